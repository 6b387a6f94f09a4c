"""The numbers that /metrics tells, in Prometheus' text form: of one process, or of all that answer on one socket.

Belongs here: keeping them, adding those of several processes up, counting requests. Doesn't: what a part counts (retail/service.py).

With several processes each writes its numbers into files of its own in a folder they share, and whichever is asked adds all up.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_FILES = ("counter", "histogram", "gauge_livesum", "gauge_mostrecent")
_FILE_BYTES = 1 << 20
"""What prometheus_client makes a file by; thousands of numbers fit in."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def share(folder: Path) -> None:
    """Have this process keep its numbers in `folder`. To be called before anything imports prometheus_client."""
    for path in folder.glob("gauge_live*_*.db"):
        if not _is_alive(int(path.stem.rpartition("_")[2])):
            path.unlink(missing_ok=True)  # of a process that was killed; what it counted stays
    for kind in _FILES if hasattr(os, "posix_fallocate") else ():
        # The files are mapped into memory: one that finds no room on a full disk while it grows would kill the process.
        with (folder / f"{kind}_{os.getpid()}.db").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _FILE_BYTES)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


class Metrics:
    """The numbers of an application. `folder` is what `share` was called with; without it they are this process's alone."""

    def __init__(self, folder: Path | None = None) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram  # noqa: PLC0415  # after `share`

        self._folder = folder
        self.registry: CollectorRegistry = CollectorRegistry()
        self.requests = Counter(
            "instacart_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "instacart_http_request_seconds",
            "Seconds from a request's first byte to its answer's last.",
            ["method", "route"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415  # as above
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        if self._folder is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, str(self._folder))  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
        return generate_latest(together)


class Counting:
    """An ASGI application around another one, that counts what it answers by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when it is answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, begun = 500, time.perf_counter()  # what fails without an answer is answered with that further out

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            # The address as it is declared; what was made up by the caller would make a number each.
            route = getattr(scope.get("route"), "path", "") or "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - begun)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
