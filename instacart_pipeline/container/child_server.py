"""A model's server as a child process of whoever needs it for a while: to try a model, or to ask it about a whole table.

Belongs here: starting the server, waiting until it answers, ending it. It doesn't outlive its parent, however that ends.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from instacart_pipeline.lake.errors import PipelineError

_LOAD_SECONDS = 300.0
"""How long a model may take to come up. A server that ended is noticed at once."""
_LOG_LINES = 30


class ServerFailed(PipelineError):
    """A model's server did not come up; carries its reason and the end of its log."""


@contextmanager
def serving(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """A server with these arguments, answering, at a (host, port) of its own. Raises ServerFailed if it has no model to answer with."""
    # The socket is made here and inherited, so that nobody can take the port in between.
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening, log.open("wb") as output:
        address: tuple[str, int] = listening.getsockname()
        descriptor = listening.fileno()
        command = [sys.executable, "-m", "instacart_pipeline.container.server", *arguments]
        child = subprocess.Popen(  # noqa: S603
            [*command, "--end-with-stdin", "--fd", str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            pass_fds=[descriptor],
            start_new_session=True,
        )
    try:
        _await_answer(child, address, log)
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdin:
            child.stdin.close()


def end_of(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _await_answer(child: subprocess.Popen[bytes], address: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + _LOAD_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(*address, timeout=1.0)
        try:
            connection.request("GET", "/ping")
            answer = connection.getresponse()
            reason = answer.read().decode(errors="replace")
        except TimeoutError:
            continue  # still loading: the connection waits to be taken up
        except (OSError, http.client.HTTPException):
            child.wait()  # nobody listens any more, as only the child did
            raise ServerFailed(
                f"The server ended with code {child.returncode}. The end of its log:\n{end_of(log)}"
            ) from None
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise ServerFailed(f"{reason}\nThe end of the server's log:\n{end_of(log)}")
        return
    raise ServerFailed(
        f"The model did not come up within {_LOAD_SECONDS:.0f} s. The end of the server's log:\n{end_of(log)}"
    )
