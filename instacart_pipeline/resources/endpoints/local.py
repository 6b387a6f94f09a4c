"""Endpoints on this machine: a pointer file an endpoint, which the model's server watches.

Belongs here: trying a version in a server of its own, moving the pointer, asking the server. Doesn't: the server
(container/server.py), which `instacart-pipeline serve` starts.
"""

import base64
import fcntl
import http.client
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dagster import get_dagster_logger
from pydantic import PrivateAttr

from instacart_pipeline.container.child_server import ServerFailed, end_of, serving
from instacart_pipeline.container.contract import attributes_of
from instacart_pipeline.container.unpacking import scratch
from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.lake.zones import kept, located
from instacart_pipeline.resources.endpoints import (
    ATTRIBUTES,
    Canary,
    Deployed,
    DeploymentFailed,
    EndpointNotFound,
    Endpoints,
    EndpointUnavailable,
    Reply,
)
from instacart_pipeline.resources.local_machine.sqlite_file import FileDamaged
from instacart_pipeline.resources.model_registry import ModelVersion

_ANSWER_SECONDS = 60.0
"""How long a model may take to answer, by SageMaker's contract."""
_TAKEOVER_SECONDS = 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


class LocalEndpoints(Endpoints):
    """Endpoints below the folder `home`, answered by the server at `url`."""

    home: str
    url: str = "http://127.0.0.1:8080"
    _kept: threading.local = PrivateAttr(default_factory=threading.local)

    def pointer(self, name: str) -> Path:
        """The file that says which version stands behind an endpoint: what the server watches."""
        if not _NAME.fullmatch(name):
            raise InputInvalid(f"{name!r} can't name an endpoint: take letters, digits and hyphens, at most 63.")
        return Path(self.home) / "endpoints" / f"{name}.json"

    def deploy(self, name: str, version: ModelVersion, canary: Canary) -> Deployed:
        """See Endpoints."""
        started = time.perf_counter()
        with self._only_one(name) as pointer:
            before = self._read(pointer)
            if before and (before.label, before.artefact.location) == (version.label, version.artefact.location):
                return Deployed(name, before)
            candidate = pointer.with_suffix(".candidate")
            self._write(candidate, version, canary)
            try:
                self._try(candidate, canary)
            except ServerFailed as error:
                candidate.unlink()
                stands = f"{before.label} still stands behind it" if before else "nothing stands behind it yet"
                raise DeploymentFailed(
                    f"{version.label} (artefact {version.artefact.location}) was not brought behind the endpoint {name}; {stands}.\n{error}"
                ) from error
            candidate.replace(pointer)
            _sync(pointer.parent)
            served = self._await_takeover(version, before)
        seconds = time.perf_counter() - started
        return Deployed(name, version, seconds, {"server": self.url if served else "none was running"})

    def deployed(self, name: str) -> ModelVersion:
        """See Endpoints."""
        version = self._read(self.pointer(name))
        if version is None:
            raise self._not_found(name)
        return version

    def invoke(
        self, name: str, body: bytes, *, content_type: str = "text/csv", accept: str = "text/csv", attributes: str = ""
    ) -> Reply:
        """See Endpoints."""
        if not self.pointer(name).exists():
            raise self._not_found(name)
        headers = {"Content-Type": content_type, "Accept": accept, ATTRIBUTES: attributes}
        try:
            return self._ask("POST", "/invocations", body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise EndpointUnavailable(
                f"The endpoint {name} does not answer at {self.url}: {str(error) or type(error).__name__}. "
                "`instacart-pipeline serve` starts its server."
            ) from error

    def locations(self) -> set[str]:
        """The locations of the artefacts behind endpoints."""
        pointers = (self._read(path) for path in (Path(self.home) / "endpoints").glob("*.json"))
        return {version.artefact.location for version in pointers if version}

    def _read(self, pointer: Path) -> ModelVersion | None:
        try:
            return ModelVersion.from_json(json.loads(pointer.read_bytes())).moved(partial(located, self.home))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise FileDamaged(
                f"{pointer} is damaged: {error}. Move it aside, then run the model's job again, which deploys an approved version."
            ) from error

    def _write(self, path: Path, version: ModelVersion, canary: Canary) -> None:
        """Write a pointer: the version, its location relative to the home, and the canary for each server process to try it with."""
        tried: dict[str, Any] = {
            "body": base64.b64encode(canary.body).decode(),
            "lines": canary.lines,
            "content_type": canary.content_type,
        }
        with path.open("w", encoding="utf-8") as file:
            json.dump({**version.moved(partial(kept, self.home)).as_json(), "canary": tried}, file)
            file.flush()
            os.fsync(file.fileno())

    def _not_found(self, name: str) -> EndpointNotFound:
        return EndpointNotFound(
            f"Nothing was ever deployed as the endpoint {name} (there is no {self.pointer(name)}). Deploy an approved version first."
        )

    @contextmanager
    def _only_one(self, name: str) -> Iterator[Path]:
        """The pointer, that nobody else moves for the length of the block."""
        pointer = self.pointer(name)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        with pointer.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield pointer

    def _try(self, candidate: Path, canary: Canary) -> None:
        """Hold a version to its canary in a server of its own. Raises ServerFailed."""
        with scratch(Path(self.home) / "scratch") as folder:
            log = folder / "server.log"
            with serving(["--watch", str(candidate), "--scratch", str(folder)], log) as address:
                with closing(http.client.HTTPConnection(*address, timeout=_ANSWER_SECONDS)) as connection:
                    try:
                        connection.request(
                            "POST",
                            "/invocations",
                            canary.body,
                            {"Content-Type": canary.content_type, "Accept": "text/csv"},
                        )
                        answer = connection.getresponse()
                        text = answer.read().decode(errors="replace")
                    except (OSError, http.client.HTTPException) as error:
                        raise ServerFailed(
                            f"Its server did not answer the canary: {error}. The end of its log:\n{end_of(log)}"
                        ) from error
                lines = len(text.splitlines())
                if answer.status != http.HTTPStatus.OK or lines != canary.lines:
                    raise ServerFailed(
                        f"It answered the canary with status {answer.status} and {lines} lines where 200 and {canary.lines} were due: "
                        f"{text[:300]}\nThe end of its server's log:\n{end_of(log)}"
                    )

    def _await_takeover(self, version: ModelVersion, before: ModelVersion | None) -> bool:
        """Wait until the server, if one is running, answers by the version; whether it does."""
        deadline, alike = time.monotonic() + _TAKEOVER_SECONDS, 0
        while time.monotonic() < deadline:
            try:
                with closing(self._connection(2.0)) as connection:  # a new one each time: there may be several workers
                    connection.request("GET", "/ping")
                    answer = connection.getresponse()
                    answering = attributes_of(answer.headers.get(ATTRIBUTES, "")).get("model")
            except TimeoutError:
                continue
            except (OSError, http.client.HTTPException):
                return False
            if answering not in (None, version.label, before.label if before else None):
                return False  # another endpoint's server
            alike = alike + 1 if answering == version.label else 0
            if alike == 5:
                return True
            time.sleep(0.02 if alike else 0.1)
        get_dagster_logger().warning(
            "The server at %s does not answer by %s after %.0f s: see its log",
            self.url,
            version.label,
            _TAKEOVER_SECONDS,
        )
        return False

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        return kind(place.hostname or "127.0.0.1", place.port, timeout=seconds)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """One request over this thread's own connection, which is kept. One that the server closed meanwhile is made anew."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        for connection in (kept, self._connection(_ANSWER_SECONDS)):
            if connection is None:
                continue
            self._kept.connection = connection
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (ConnectionError, http.client.RemoteDisconnected):
                self._forget(connection)
                if connection is kept:
                    continue
                raise
            except BaseException:
                # Its answer may still come, and must not be taken for the next request's.
                self._forget(connection)
                raise
            kind = answer.headers.get("Content-Type", "")
            return Reply(answer.status, content, kind, answer.headers.get(ATTRIBUTES, ""))
        raise AssertionError("a new connection either answers or raises")

    def _forget(self, connection: http.client.HTTPConnection) -> None:
        self._kept.connection = None
        connection.close()


def _sync(folder: Path) -> None:
    """Make a rename in a folder outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
