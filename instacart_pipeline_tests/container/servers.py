"""A model's server as tests drive it: a real process, over real HTTP; and toy models to put into it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from instacart_pipeline.container.unpacking import pack
from instacart_pipeline.lake.artefacts import MODEL, SOURCE, Artefact, ModelCode
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline_tests.resources.toy_model import CODE

PATIENCE = 120.0


@dataclass
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Server:
    """A server process; every request is over a connection of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send one request; underscores in header names stand for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
        finally:
            connection.close()

    def invoke(self, body: bytes, **headers: str) -> Answer:
        """Ask the model, with text/csv unless told otherwise."""
        return self.ask("POST", "/invocations", body, **{"Content_Type": "text/csv", **headers})

    def ping(self) -> int:
        """The status of a ping."""
        return self.ask("GET", "/ping").status

    @property
    def children(self) -> list[int]:
        """The ids of its worker processes."""
        told = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(number) for number in told.split()]


@contextmanager
def server(*arguments: str | Path, log: Path, port: int = 0) -> Iterator[Server]:
    """A server with these arguments, that answers pings with whatever status."""
    command = [sys.executable, "-m", "instacart_pipeline.container.server", *map(str, arguments), "--port", str(port)]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        made = Server(process, int(line.rsplit(":", 1)[1]), log)
        made.ping()
        yield made
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def toy_folder(path: Path, mean: float | None = 10.0, code: Mapping[str, str] | None = None) -> Path:
    """A model's folder with model/ and code/; without a mean it can't be loaded. `code` replaces or adds files."""
    files = {**{name: content.decode() for name, content in CODE.files.items()}, **(code or {})}
    (path / "model").mkdir(parents=True)
    (path / "model" / "model.json").write_text(json.dumps({"mean": mean}) if mean is not None else "broken")
    for name, text in files.items():
        (path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "code" / name).write_text(text)
    return path


def toy_version(
    root: Path, number: int, mean: float | None = 10.0, code: Mapping[str, str] | None = None
) -> ModelVersion:
    """A version of the toy whose artefact lies below `root`."""
    folder, location = toy_folder(root / f"made-{number}", mean, code), root / f"v={number}"
    location.mkdir()
    pack(folder / "model", location / MODEL)
    pack(folder / "code", location / SOURCE)
    digest = ModelCode({}).digest
    artefact = Artefact("toy", "model", "2026-01-01", str(number), str(location), digest)
    return ModelVersion("toy", number, "Approved", artefact, {})


def point(pointer: Path, version: ModelVersion) -> None:
    """Move a pointer to a version."""
    made = pointer.with_suffix(".new")
    made.write_text(json.dumps(asdict(version)))
    made.replace(pointer)


def eventually(met: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
