"""HTTP connections with bounds: on what is read of a request, on how long its client is waited for, and on how many there are.

Belongs here: what keeps one client from holding the memory, the processor or the descriptors of a server, with or without an API key.
Doesn't: what a request may say (the applications').
"""

from __future__ import annotations

import json
import resource
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from instacart_pipeline.container.contract import MAX_BODY

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MAX_LINE = 8 * 1024
"""The most bytes of a header, name and value."""
MAX_HEAD = 64 * 1024
"""The most bytes of all headers of a request, and of its address."""
_MAX_SENT = 2 * MAX_BODY
"""The most bytes that a body may come in, the marks of its chunks and its trailers included."""


def most_connections() -> int:
    """As many as leave half of a process's file descriptors to all else; a thousand at most."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000 if descriptors == resource.RLIM_INFINITY else min(1_000, descriptors // 2)


class _Awaited(Enum):
    """What a client has to send next."""

    REQUEST = "a request, the first or another one"
    HEAD = "the rest of a request's headers"
    BODY = "the rest of a request's body"


class BoundedConnection(HttpToolsProtocol):
    """What `uvicorn.Config(http=...)` takes: a connection that is closed, with 408, 414, 431 or 503, where its client goes beyond a bound.

    A body has `body_seconds`, and a second more for each `body_bytes_a_second` received, as in Apache's RequestReadTimeout. Time in which
    the application has yet to take what came is not the client's.
    """

    head_seconds = 10.0
    body_seconds = 20.0
    body_bytes_a_second = 1_000
    unread_seconds = 60.0
    """How long a client may leave an answer unread that no longer fits into buffers."""
    most = most_connections()
    """Connections of a process. One more takes the place of the one whose request is waited for the longest."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._awaited, self._since = _Awaited.REQUEST, self.loop.time()
        self._received = self._head = 0
        self._turned = False
        self._fault: tuple[int, str, str] | None = None
        self._due: TimerHandle | None = None
        self._until = 0.0
        self._unread: TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Take a connection, if there is room for it."""
        super().connection_made(transport)
        if len(self.connections) > self.most and not self._make_room():
            self._refuse(503, "unavailable", "The server has all the connections that it takes. Try again in a moment.")
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; no more than a buffer's length beyond a bound."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._turned:
            self._turned = False
            if self._awaited is _Awaited.REQUEST:
                return  # one is whole
        else:
            self._received += len(data)
        if self._awaited is not _Awaited.BODY and self._received > MAX_HEAD:
            self._refuse(*_HEAD_TOO_LARGE)
        elif self._received > _MAX_SENT:
            self._refuse(413, "too_large", f"The body is larger than {MAX_BODY:,} bytes. Send fewer rows at a time.")
        elif self._due is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was waited for."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._read()

    def pause_writing(self) -> None:
        """Give the client some time to read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it reads."""
        super().resume_writing()
        self._read()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head = 0
        self._turn(_Awaited.HEAD)

    def on_url(self, url: bytes) -> None:
        """Take the address, or a part of it."""
        super().on_url(url)
        if len(self.url) > MAX_HEAD:
            self._fail(414, "uri_too_long", f"The address is longer than {MAX_HEAD:,} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, of a request or behind a body in chunks."""
        size = len(name) + len(value)
        self._head += size
        if size > MAX_LINE or self._head > MAX_HEAD:
            self._fail(*_HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        super().on_headers_complete()
        self._turn(_Awaited.BODY)

    def on_message_complete(self) -> None:
        """End the request: what comes next is the application's."""
        super().on_message_complete()
        self._turn(_Awaited.REQUEST)

    # What a bound comes to

    def send_400_response(self, msg: str) -> None:
        """Say why the parser stopped."""
        del msg
        self._refuse(*(self._fault or (400, "bad_request", "This is no request of HTTP/1.1.")))

    def _fail(self, status: int, code: str, message: str) -> None:
        self._fault = status, code, message
        raise _BeyondBoundsError(message)  # the parser stops, and uvicorn calls send_400_response

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Close the connection, with an answer unless another one is on its way."""
        self._stop_waiting()
        if not (self.cycle.response_started if self._awaited is _Awaited.BODY else self._answers()):
            body = json.dumps({"error": {"code": code, "message": message}}).encode()
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _make_room(self) -> bool:
        """Close the connection whose request has been waited for the longest; whether there is room then."""
        staying = [one for one in self.connections if not one.transport.is_closing()]
        if len(staying) <= self.most:
            return True
        waiting = [one for one in staying if isinstance(one, BoundedConnection) and one is not self and one._waits()]
        if waiting:
            min(waiting, key=lambda one: one._since).transport.close()
        return bool(waiting)

    def _waits(self) -> bool:
        """Whether nothing is under way but, at most, the headers of a request."""
        return self._awaited is not _Awaited.BODY and not self._answers()

    def _answers(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and (not cycle.response_complete or bool(self.pipeline))

    # What is awaited, and until when

    def _turn(self, awaited: _Awaited) -> None:
        self._awaited, self._since = awaited, self.loop.time()
        self._received, self._turned = 0, True
        self._stop_waiting()

    def _wait(self) -> None:
        seconds = self.head_seconds
        if self._awaited is _Awaited.BODY:
            seconds = self.body_seconds + self._received / self.body_bytes_a_second
        self._due = self.loop.call_at(self._since + seconds, self._look)
        self._until = self._since + seconds

    def _look(self) -> None:
        """The time is up, unless more of a body gave it more, or the application has to go on first."""
        if self.flow.read_paused or (self._awaited is not _Awaited.BODY and self._answers()):
            self._since = self.loop.time()
        before = self._until
        self._wait()
        if self._until > before:
            return
        self._stop_waiting()
        if self._awaited is _Awaited.REQUEST:
            self.transport.close()
        else:
            self._refuse(408, "timeout", "The rest of the request did not come in time.")

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class _BeyondBoundsError(Exception):
    """What stops the parser."""


_HEAD_TOO_LARGE = (
    431,
    "headers_too_large",
    f"A header has more than {MAX_LINE:,} bytes, or all of them more than {MAX_HEAD:,}.",
)
