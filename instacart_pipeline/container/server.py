"""A model's server: `python -m instacart_pipeline.container.server`.

Belongs here: the command line, sockets, processes and signals. Doesn't: what is answered (app.py), by which model (watch.py).

Several workers have a socket each on the one port, made by the parent, which keeps them: connections that wait for a worker that died are
taken up by its successor. A worker reads the end of its standard input as its parent's death, which it doesn't outlive.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from instacart_pipeline.container.app import Container
from instacart_pipeline.container.unpacking import scratch
from instacart_pipeline.container.watch import FixedModel, WatchedModel

_DRAIN_SECONDS = 28
"""How long requests under way may take to end: SageMaker kills a container 30 s after the signal."""
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048
_RESTART_SECONDS = 1.0
_log = logging.getLogger("instacart_pipeline.container")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(given)
    if (options.folder is None) == (options.watch is None):
        parser.error("give either a model's FOLDER or --watch POINTER")
    logging.basicConfig(format="%(asctime)s %(process)d %(message)s", level=logging.WARNING, stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        return _run(options, given)
    except _Ended:
        return 0


class _Ended(BaseException):
    """A signal asked for the end: while a model is loaded, or, raised again by Uvicorn, when all requests are answered."""


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise _Ended


def _run(options: argparse.Namespace, given: Sequence[str]) -> int:
    if options.end_with_stdin:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if options.fd is not None:
        return _serve(options, socket.socket(fileno=options.fd))
    try:
        sockets = _listen(options.host, options.port, options.workers)
    except OSError as error:
        print(f"{options.host}:{options.port} can't be had: {error.strerror}. Choose another --port.", file=sys.stderr)  # noqa: T201
        return 1
    host, port = sockets[0].getsockname()[:2]
    print(f"listening on http://{host}:{port}", flush=True)  # noqa: T201  # what the command says
    return _serve(options, sockets[0]) if options.workers == 1 else _supervise(given, sockets)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m instacart_pipeline.container.server",
        description="Answers with a model over HTTP, as a SageMaker container does: GET /ping, POST /invocations, GET /execution-parameters.",
        epilog="SIGTERM ends it: no new connections, and requests under way are finished.",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="a model's folder, with model/ and code/ in it"
    )
    parser.add_argument(
        "--watch",
        type=Path,
        metavar="POINTER",
        help="answer with the model version that this file names, and with another as soon as it names another",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen at (%(default)s); 0.0.0.0 lets others in"
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="the port to listen at (%(default)s); 0 takes a free one"
    )
    parser.add_argument("--workers", type=_positive, default=1, help="processes that answer, on one port (%(default)s)")
    parser.add_argument(
        "--module",
        default=os.environ.get("SAGEMAKER_PROGRAM", "inference.py"),
        help="for a FOLDER: the module in code/ that has the inference hooks (%(default)s)",
    )
    parser.add_argument(
        "--version", default="unknown", help="for a FOLDER: the version that answers name (%(default)s)"
    )
    parser.add_argument(
        "--scratch", type=Path, help="for --watch: where models are unpacked (the system's temporary folder)"
    )
    parser.add_argument("--end-with-stdin", action="store_true", help="end as SIGTERM does when standard input ends")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a listening socket that was inherited
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 up")
    return int(text)


def _listen(host: str, port: int, workers: int) -> list[socket.socket]:
    """Listening sockets, all on one port. Raises OSError if the port is another's."""
    made: list[socket.socket] = []
    for number in range(workers):
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        one = socket.socket(family, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if number:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(address)
        # Set only now: two servers that both ask for sharing would both get the port, unnoticed.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1 if workers > 1 else 0)
        port = one.getsockname()[1]
        made.append(one)
    for one in made:
        one.listen(_BACKLOG)
    return made


def _serve(options: argparse.Namespace, listening: socket.socket) -> int:
    """Answer in this process until it is told to end."""
    import uvicorn  # noqa: PLC0415  # the parent of workers needs none

    from instacart_pipeline.container.connections import BoundedConnection  # noqa: PLC0415  # as above

    with ExitStack() as stack:
        source: FixedModel | WatchedModel
        if options.watch:
            source = WatchedModel(options.watch, stack.enter_context(scratch(options.scratch)))
            source.watch()
        else:
            source = FixedModel(options.folder, options.module, options.version)
        config = uvicorn.Config(
            Container(source),
            loop="uvloop",
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _supervise(arguments: Sequence[str], sockets: Sequence[socket.socket]) -> int:
    """Keep a worker on each socket until told to end; then wait for them."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    workers = [_Worker(arguments, one) for one in sockets]
    try:
        while not stopping.is_set():
            for worker in workers:
                worker.restart_if_dead()
            stopping.wait(0.1)
    finally:
        for one in sockets:
            one.close()
        deadline = time.monotonic() + _DRAIN_SECONDS + 1
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.end(deadline)
    return 0


class _Worker:
    """A process that answers on one socket."""

    def __init__(self, arguments: Sequence[str], listening: socket.socket) -> None:
        self._arguments, self._listening = arguments, listening
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._started = time.monotonic()
        descriptor = self._listening.fileno()
        command = [sys.executable, "-m", "instacart_pipeline.container.server", *self._arguments]
        return subprocess.Popen(  # noqa: S603  # our own command line once more
            [*command, "--end-with-stdin", "--fd", str(descriptor)], stdin=subprocess.PIPE, pass_fds=[descriptor]
        )

    def restart_if_dead(self) -> None:
        """Start it again if it ended; one that ends at once is left dead for a second each time."""
        code = self.process.poll()
        if code is not None and time.monotonic() - self._started > _RESTART_SECONDS:
            _log.warning("worker %d ended with code %d; another takes its place", self.process.pid, code)
            self.process = self._start()

    def end(self, deadline: float) -> None:
        """Wait for its end, which comes at the deadline at the latest."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _end_with_parent() -> None:
    # The file descriptor itself: a buffered stream read by a daemon thread breaks the interpreter's own ending.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
