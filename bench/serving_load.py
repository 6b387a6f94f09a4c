"""The load of the serving benchmark: `python -m bench.serving_load PORT FILE`, in a process of its own, the same for every server.

Belongs here: asking as fast as the answers come, over connections that are kept, and timing each answer. FILE holds one whole HTTP request.
Prints JSON: answers a second, and the latencies in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_LONGEST_ANSWER = 60.0


class Load:
    """One run: latencies from the end of the warm-up on."""

    def __init__(self, request: bytes, warm_up: float, seconds: float) -> None:
        now = time.perf_counter()
        self.request = request
        self.counted_from, self.until = now + warm_up, now + warm_up + seconds
        self.latencies: list[float] = []
        self.failed = 0


class Connection(asyncio.Protocol):
    """Asks, waits for the answer, asks again."""

    def __init__(self, load: Load, done: asyncio.Future[None]) -> None:
        self._load, self._done = load, done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is one without saying so
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take in a part of an answer; after its last one, ask again or end."""
        self._received = self._received + data if self._received else data
        head_end = self._received.find(_HEAD_END)
        if head_end < 0:
            return
        head = self._received[:head_end].lower()
        at = head.find(_LENGTH) + len(_LENGTH)
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._received) < head_end + len(_HEAD_END) + length:
            return
        now = time.perf_counter()
        if b" 200 " not in head[:16]:
            self._load.failed += 1
        elif now > self._load.counted_from:
            self._load.latencies.append(now - self._asked)
        self._received = b""
        if now < self._load.until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that the server ends counts as a failure."""
        del exc
        if time.perf_counter() < self._load.until:
            self._load.failed += 1
        if not self._done.done():
            self._done.set_result(None)

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._load.request)


async def run(port: int, request: bytes, connections: int, warm_up: float, seconds: float) -> Load:
    """Ask over that many connections at once."""
    loop = asyncio.get_running_loop()
    load = Load(request, warm_up, seconds)
    done = [loop.create_future() for _ in range(connections)]
    for one in done:
        await loop.create_connection(partial(Connection, load, one), "127.0.0.1", port)
    await asyncio.wait_for(asyncio.gather(*done), warm_up + seconds + _LONGEST_ANSWER)
    return load


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    uvloop.install()
    load = asyncio.run(
        run(options.port, options.request.read_bytes(), options.connections, options.warm_up, options.seconds)
    )
    taken = sorted(load.latencies)
    told = {"answers": len(taken), "failed": load.failed, "per_second": len(taken) / options.seconds}
    if taken:
        told |= {f"p{share}": 1000 * taken[min(len(taken) - 1, len(taken) * share // 100)] for share in (50, 99)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
