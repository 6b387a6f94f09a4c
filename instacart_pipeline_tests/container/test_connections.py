"""A server's bounds, over real sockets: what it reads of a request, how long it waits, and how many connections it keeps."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, cast
from unittest.mock import MagicMock
from urllib.parse import urlsplit

import pytest
import uvicorn
from uvicorn.server import ServerState

from instacart_pipeline.container.connections import MAX_HEAD, MAX_LINE, BoundedConnection, most_connections
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.tiers import costs

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
MEGABYTE = b"a" * (1 << 20)
BUFFERS = 16
"""Megabytes that may lie in the buffers of a socket's two ends while nobody reads."""


class Hasty(BoundedConnection):
    """Waits for no client."""

    head_seconds = body_seconds = unread_seconds = 0.05


class Two(BoundedConnection):
    """Two at a time."""

    most = 2


class Counter:
    """An application that answers with a body's length; /much with more than fits into buffers, /wait once it is allowed to."""

    def __init__(self) -> None:
        self.begun, self.allowed, self.given_up = threading.Event(), threading.Event(), threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Answer."""
        if scope["type"] != "http":
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.given_up.set()
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/wait":
            self.begun.set()
            await asyncio.to_thread(self.allowed.wait, web.PATIENCE)
        answer = MEGABYTE * 4 * BUFFERS if scope["path"] == "/much" else str(size).encode()
        head = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for begin in range(0, len(answer), len(MEGABYTE)):
            last = begin + len(MEGABYTE) >= len(answer)
            await send(
                {
                    "type": "http.response.body",
                    "body": answer[begin : begin + len(MEGABYTE)],
                    "more_body": not last,
                }
            )
        self.given_up.set()


@contextmanager
def served(connection: type[BoundedConnection], app: Counter) -> Iterator[Callable[[], socket.socket]]:
    """What opens a connection to an application, which waits for nothing when the block ends."""
    with web.listening(app, connection) as url, ExitStack() as opened:
        place = urlsplit(url)

        def connect() -> socket.socket:
            return opened.enter_context(
                closing(socket.create_connection((place.hostname, place.port or 0), web.PATIENCE))
            )

        yield connect


@pytest.fixture(scope="module")
@costs("contract")
def connect() -> Iterator[Callable[[], socket.socket]]:
    """Connections with the bounds that we serve with."""
    with served(BoundedConnection, Counter()) as made:
        yield made


@pytest.fixture
@costs("contract")
def hurried() -> Iterator[tuple[Callable[[], socket.socket], Counter]]:
    """Connections to a server that waits for nobody."""
    app = Counter()
    with served(Hasty, app) as made:
        yield made, app


@pytest.fixture
@costs("contract")
def two() -> Iterator[tuple[Callable[[], socket.socket], Counter]]:
    """Connections to a server that has two at most."""
    app = Counter()
    with served(Two, app) as made:
        yield made, app


def until_closed(one: socket.socket) -> bytes:
    """All that comes before the server closes."""
    got = b""
    with suppress(ConnectionResetError):  # it had not read all that was sent
        while more := one.recv(1 << 16):
            got += more
    return got


def refusal(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def test_requests_within_the_bounds_are_answered_one_after_the_other(connect: Callable[[], socket.socket]) -> None:
    one, line = connect(), b"X: " + b"a" * (MAX_LINE - 1) + b"\r\n"
    whole = ASK + line * 7 + b"\r\n"
    one.sendall(whole + whole + POST + b"123456789" + ASK + b"Connection: close\r\n\r\n")
    bodies = [part.partition(b"\r\n\r\n")[2] for part in until_closed(one).split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"0", b"0", b"9", b"0"]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (ASK + b"X: " + b"a" * MAX_LINE + b"\r\n\r\n", 431, "headers_too_large"),
        (ASK + b"a" * MAX_LINE + b": x\r\n\r\n", 431, "headers_too_large"),
        (ASK + b"X: 1234567\r\n" * (MAX_HEAD // 8 + 1) + b"\r\n", 431, "headers_too_large"),
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
        (b"\x16\x03\x01\x02\x00\x01", 400, "bad_request"),
    ],
    ids=["a value", "a name", "many", "an address", "TLS"],
)
def test_a_request_beyond_a_bound_is_refused_by_name(
    connect: Callable[[], socket.socket], request_: bytes, status: int, code: str
) -> None:
    one = connect()
    one.sendall(request_)
    assert refusal(until_closed(one)) == (status, code)


@pytest.mark.parametrize(
    "begin",
    [
        ASK + b"X-A: ",
        ASK,
        b"GET /",
        b"\r\n",
        POST.replace(b"Content-Length: 9", b"Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\nX: ",
    ],
    ids=["a value", "a name", "an address", "empty lines", "a trailer"],
)
def test_what_never_ends_is_read_no_further_than_its_bound(connect: Callable[[], socket.socket], begin: bytes) -> None:
    one, sent = connect(), 0
    one.sendall(begin)
    endless = b"\r\n" * (1 << 19) if begin == b"\r\n" else MEGABYTE
    with pytest.raises(ConnectionError):
        while sent < 100:
            one.sendall(endless)
            sent += 1
    assert sent < BUFFERS + 12, "a body's 12 MB at most, besides what lies in buffers"
    other = connect()
    other.sendall(ASK + b"Connection: close\r\n\r\n")
    assert until_closed(other).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("sent", "answers"),
    [(b"", []), (ASK, [408]), (POST + b"1234", [408]), (POST + b"123456789" + ASK, [200, 408])],
    ids=["nothing", "half a head", "half a body", "half a second one"],
)
def test_who_sends_no_more_is_not_waited_for(
    hurried: tuple[Callable[[], socket.socket], Counter], sent: bytes, answers: list[int]
) -> None:
    one = hurried[0]()
    one.sendall(sent)
    assert [int(part[:3]) for part in until_closed(one).split(b"HTTP/1.1 ")[1:]] == answers


def test_half_a_body_ends_its_request_in_the_application_too(
    hurried: tuple[Callable[[], socket.socket], Counter],
) -> None:
    connect, app = hurried
    connect().sendall(POST + b"1234")
    assert app.given_up.wait(web.PATIENCE)


def test_who_does_not_read_an_answer_is_not_waited_for(
    hurried: tuple[Callable[[], socket.socket], Counter],
) -> None:
    connect, app = hurried
    connect().sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
    assert app.given_up.wait(web.PATIENCE)


def test_while_all_connections_are_answered_one_more_is_told_to_come_again(
    two: tuple[Callable[[], socket.socket], Counter],
) -> None:
    connect, app = two
    busy = [connect(), connect()]
    for one in busy:
        app.begun.clear()
        one.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert app.begun.wait(web.PATIENCE)
    assert refusal(until_closed(connect())) == (503, "unavailable")
    app.allowed.set()
    assert all(b"200 OK" in until_closed(one) for one in busy)


@pytest.mark.parametrize(
    ("descriptors", "most"), [(256, 128), (1024, 512), (1_048_576, 1_000), (resource.RLIM_INFINITY, 1_000)]
)
def test_connections_leave_descriptors_to_all_else(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert most_connections() == most


class Clock(MagicMock):
    """An event loop whose time is set, with what is due next."""

    now: float = 0.0
    due: tuple[float, Callable[[], None]]

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> MagicMock:
        """Keep what is due."""
        self.due = when, call
        return MagicMock()

    def create_task(self, application: Coroutine[Any, Any, None]) -> MagicMock:
        """Run nothing."""
        application.close()
        return MagicMock()


def connected(
    clock: Clock, state: ServerState, kind: type[BoundedConnection] = BoundedConnection
) -> tuple[BoundedConnection, MagicMock]:
    """A connection without a socket, and the transport that it writes to and closes."""
    connection, transport = kind(uvicorn.Config(Counter()), state, {}, _loop=cast("Any", clock)), MagicMock()
    transport.is_closing.side_effect = lambda: transport.close.called
    connection.connection_made(transport)
    return connection, transport


@pytest.mark.parametrize(("size", "seconds"), [(1, 20.0), (15_000, 35.0)], ids=["drips", "comes"])
def test_a_body_has_as_much_time_as_it_has_bytes(size: int, seconds: float) -> None:
    clock = Clock()
    connection, transport = connected(clock, ServerState())
    connection.data_received(POST.replace(b"9", b"99999"))
    connection.data_received(b"a" * size)
    while not transport.close.called:
        clock.now, look = clock.due
        look()
    assert clock.now == pytest.approx(seconds, abs=0.01)
    assert refusal(transport.write.call_args.args[0]) == (408, "timeout")


def test_what_the_application_has_yet_to_take_is_not_the_clients_delay() -> None:
    clock = Clock()
    connection, transport = connected(clock, ServerState())
    connection.data_received(POST.replace(b"9", b"99999") + b"a" * 70_000)
    assert transport.pause_reading.called
    for _ in range(10):
        clock.now, look = clock.due
        look()
    assert not transport.close.called


def test_one_connection_too_many_takes_the_place_of_the_one_whose_request_is_waited_for_the_longest() -> None:
    clock, state = Clock(), ServerState()
    opened = []
    for sent in (ASK + b"\r\n", POST, ASK, b""):
        connection, transport = connected(clock, state)
        connection.data_received(sent)
        opened.append(transport)
        clock.now += 1
    answering, sending, half, idle = opened
    _, first = connected(clock, state, Two)
    assert [one.close.called for one in (answering, sending, half, idle, first)] == [False, False, True, False, False]
