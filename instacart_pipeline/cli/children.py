"""Processes that a command starts, watches and ends: none of them outlives it, however it dies.

Belongs here: starting them again, waiting for an answer, ending them in order. Doesn't: which processes they are (serving.py).
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from urllib.parse import urlsplit

from instacart_pipeline.cli import output
from instacart_pipeline.lake.errors import PipelineError

_END_SECONDS = 10.0
"""How long processes may take to end before they are killed."""
_START_SECONDS = 300.0
_RESTART_SECONDS = 1.0


class ServerEnded(PipelineError):
    """A server ended while it was starting."""


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Child:
    """A process that is started again when it ends, and that ends when its standard input does."""

    def __init__(
        self, name: str, command: Sequence[str], environment: dict[str, str] | None, inherited: Sequence[int]
    ) -> None:
        self.name, self._command, self._environment, self._inherited = name, command, environment, inherited
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it. A session of its own keeps the terminal's Ctrl-C for the parent, which ends all in order."""
        self.started = time.monotonic()
        return subprocess.Popen(  # noqa: S603  # our own modules
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=self._environment,
            pass_fds=self._inherited,
            start_new_session=True,
        )


class Children:
    """The processes of a server; they are ended, the last one first, at the end of the block."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._running: list[_Child] = []

    def __enter__(self) -> Children:
        return self

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start one more."""
        self._running.append(_Child(name, command, environment, inherited))

    def require_alive(self) -> None:
        """Raise ServerEnded if one has ended."""
        for child in self._running:
            if (code := child.process.poll()) is not None and not self._stopping.is_set():
                raise ServerEnded(f"The {child.name} ended with code {code} while it was starting. It said above why.")

    def restart_the_dead(self, *, but_done: bool = False) -> None:
        """Start those again that ended, or but the ones that ended well; one that ends at once is left dead for a second each time."""
        for child in self._running:
            code = child.process.poll()
            if code is None or (but_done and code == 0):
                continue
            if time.monotonic() - child.started > _RESTART_SECONDS:
                output.note(f"The {child.name} ended with code {code} and is started again.")
                child.process = child.start()

    @property
    def all_done(self) -> bool:
        """Whether every one has ended well."""
        return all(child.process.poll() == 0 for child in self._running)

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + _END_SECONDS
        for name in dict.fromkeys(child.name for child in reversed(self._running)):
            ending = [child.process for child in self._running if child.name == name]
            for process in ending:
                process.terminate()
            for process in ending:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, deadline - time.monotonic()))
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # with whatever it started
                process.wait()
                if process.stdin:
                    process.stdin.close()


def await_answer(url: str, path: str, name: str, children: Children, stopping: threading.Event) -> None:
    """Wait until a server answers, well or badly. Raises ServerEnded if one ended before."""
    place = urlsplit(url)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and not stopping.is_set():
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=1.0)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            children.require_alive()
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    if not stopping.is_set():
        raise ServerEnded(
            f"The {name} does not answer at {url} after {_START_SECONDS:.0f} s. Its log above may say why."
        )


def end_with_parent() -> None:
    """Wait, in a thread of a child, until its standard input ends; then end it as SIGTERM does.

    The file descriptor itself is read: a buffered stream read by a daemon thread breaks the interpreter's own ending.
    """
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
