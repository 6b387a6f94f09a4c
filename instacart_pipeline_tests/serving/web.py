"""The web application as tests ask it: over HTTP, in a thread of the test's own process, or called without a socket."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from instacart_pipeline.container.connections import BoundedConnection

PATIENCE = 120.0
"""Seconds until something that must come about is given up: more than a busy machine takes for anything here."""
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the machine's costs a client 50 ms


@contextmanager
def listening(app: Any, connection: type[BoundedConnection] = BoundedConnection) -> Iterator[str]:
    """The address of an application that is served over HTTP for the length of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http=connection, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


@contextmanager
def client_of(url: str) -> Iterator[httpx.Client]:
    """A client of an application that is served over HTTP."""
    with httpx.Client(base_url=url, timeout=PATIENCE, verify=_NO_CERTIFICATES) as client:
        yield client


@contextmanager
def called(app: FastAPI) -> Iterator[httpx.Client]:
    """A client that calls an application in this process, from whichever thread, without a socket."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        httpx.Client(transport=_Called(app, portal), base_url="http://localhost") as client,
    ):
        yield client


class _Called(httpx.BaseTransport):
    """Requests as calls of an application, in the event loop of `portal`."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        # As over HTTP, what fails is answered with 500 and not raised.
        self._transport, self._portal = httpx.ASGITransport(app, raise_app_exceptions=False), portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


def until(holds: Callable[..., object], seconds: float = PATIENCE) -> None:
    """Wait until `holds()`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
