"""The serving contract of SageMaker's containers as an ASGI application: /ping, /invocations, /execution-parameters.

Belongs here: requests and answers. Doesn't: which model answers (hooks.py, watch.py), processes and sockets (server.py). Plain ASGI, as a
framework would take longer than a small model does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from instacart_pipeline.container.contract import ATTRIBUTES, FEATURES_DIFFER, MAX_BODY, attributes_of
from instacart_pipeline.container.hooks import Loaded, one_line

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_ATTRIBUTES = ATTRIBUTES.lower().encode()
_LARGE = 100_000
"""Bytes of a body from which on the prediction is left to a thread, so that /ping is answered meanwhile."""
_DEFAULT_ACCEPT = "text/csv"
_log = logging.getLogger(__name__)


class Answering(Protocol):
    """Where the model of the moment is found. Without one, `problem` says why."""

    loaded: Loaded | None
    problem: str


class _Refused(Exception):
    """A request that is answered with a status and one line of text."""

    def __init__(self, status: int, text: str = "") -> None:
        self.status, self.text = status, text


class Container:
    """Answers by the model that `source` holds when a request's body has been read."""

    def __init__(self, source: Answering) -> None:
        self._source = source
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._cores, "prediction")
        self._parameters = json.dumps(
            {
                "MaxConcurrentTransforms": self._cores,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": MAX_BODY // 1024**2,
            }
        ).encode()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, body, kind = 200, b"", b"text/plain; charset=utf-8"
        loaded = self._source.loaded
        try:
            route = (scope["method"], scope["path"])
            if route == ("POST", "/invocations"):
                headers: dict[bytes, bytes] = dict(scope["headers"])
                given = await _body(headers, receive)
                loaded = self._source.loaded  # the one that a swap may have brought meanwhile
                body, kind = await self._invocation(self._model(loaded), headers, given)
            elif route == ("GET", "/ping"):
                self._model(loaded)
            elif route == ("GET", "/execution-parameters"):
                body, kind = self._parameters, b"application/json"
            else:
                known = scope["path"] in ("/invocations", "/ping", "/execution-parameters")
                raise _Refused(405 if known else 404, f"{scope['method']} {scope['path']} is not served here")  # noqa: TRY301
        except _Refused as refused:
            status, body, kind = refused.status, refused.text.encode(), b"text/plain; charset=utf-8"
        answer = [(b"content-type", kind)]
        if loaded:
            answer.append((_ATTRIBUTES, loaded.attributes))
        if status != 204:
            answer.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": body})

    def _model(self, loaded: Loaded | None) -> Loaded:
        if loaded is None:
            raise _Refused(500, self._source.problem)
        return loaded

    async def _invocation(self, loaded: Loaded, headers: Mapping[bytes, bytes], body: bytes) -> tuple[bytes, bytes]:
        if not body:
            raise _Refused(204)
        told = attributes_of(headers.get(_ATTRIBUTES, b"").decode("latin-1")).get("features")
        if told and loaded.features and told != loaded.features:
            raise _Refused(400, FEATURES_DIFFER)
        kind = headers.get(b"content-type", b"text/csv").decode("latin-1")
        accept = headers.get(b"accept", b"").decode("latin-1")
        if len(body) < _LARGE:
            return _answer(loaded, body, kind, accept)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _answer, loaded, body, kind, accept)


def _answer(loaded: Loaded, body: bytes, kind: str, accept: str) -> tuple[bytes, bytes]:
    """What the model answers, and its type. Whatever a model's code raises is the request's failure, never the server's."""
    try:
        data = loaded.input_fn(body, kind)
    except Exception as error:  # noqa: BLE001
        raise _Refused(415, one_line(error)) from None
    try:
        prediction = loaded.predict_fn(data, loaded.model)
    except Exception as error:  # noqa: BLE001
        _log.info("a prediction failed: %s", one_line(error))
        raise _Refused(400, one_line(error)) from None
    refused = f"{accept} is not supported"
    for wanted in _accepted(accept):
        try:
            answer, made = loaded.output_fn(prediction, wanted)
        except ValueError as error:  # noqa: PERF203  # hardly ever more than one type is asked for
            refused = one_line(error)
        except Exception as error:  # noqa: BLE001
            raise _Refused(400, one_line(error)) from None
        else:
            return answer.encode() if isinstance(answer, str) else bytes(answer), made.encode("latin-1")
    raise _Refused(406, refused)


def _accepted(accept: str) -> Iterator[str]:
    """The types of an Accept header, those wanted most first; any type means text/csv."""
    wanted = []
    for part in accept.lower().split(",") if accept.strip() else ["*/*"]:
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        wanted.append((_number(quality), name))
    for rank, name in sorted(wanted, key=lambda one: -one[0]):
        if rank > 0:
            yield {"*/*": _DEFAULT_ACCEPT, "text/*": "text/csv", "application/*": "application/json"}.get(name, name)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The body of a request; one that is too large is refused before it is read, if the request says so, and never kept."""
    length = headers.get(b"content-length", b"0")
    too_large = _Refused(413, f"the body is larger than {MAX_BODY:,} bytes")
    if length.isdigit() and int(length) > MAX_BODY:
        raise too_large
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "the request was cut short")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise too_large
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)
