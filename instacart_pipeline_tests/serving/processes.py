"""The command `serve` as a user meets it: real processes, on ports of their own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import psutil

from instacart_pipeline_tests.command_line import PROGRAM, environment
from instacart_pipeline_tests.serving import web


class Serving:
    """A running `instacart-pipeline serve`."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, model_port: int, log: Path, client: httpx.Client
    ) -> None:
        self.process, self.port, self.model_port, self.log = process, port, model_port, log
        self.client = client
        self.url = f"http://127.0.0.1:{port}"

    def text(self) -> str:
        """What it printed so far."""
        return self.log.read_text()

    def children(self) -> list[psutil.Process]:
        """Every process that it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def ended(self, children: list[psutil.Process]) -> bool:
        """Whether all of them end."""
        _, alive = psutil.wait_procs(children, timeout=web.PATIENCE)
        return not alive


Serve = Callable[..., AbstractContextManager[Serving]]
"""Serves a home, with the options and settings that are given."""


@contextmanager
def serving(home: Path, *arguments: str, log: Path, **settings: str) -> Iterator[Serving]:
    """A server that answers, for the length of the block."""
    port, model_port = free_port(), free_port()
    command = [PROGRAM, "serve", "--port", str(port), "--model-port", str(model_port), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(home, settings), stdout=output, stderr=output)
    try:
        web.until(lambda: "Ctrl-C ends it." in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        with web.client_of(f"http://127.0.0.1:{port}") as client:
            yield Serving(process, port, model_port, log, client)
    finally:
        process.terminate()
        process.wait(web.PATIENCE)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
