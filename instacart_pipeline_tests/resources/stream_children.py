"""What child processes of the tests of the stream do.

A module of its own, that imports little: a child imports it anew, and is killed in mid-work soon enough.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from instacart_pipeline.resources.stream import START, Entry, Shard, Stream


def put_once(open_stream: Callable[[], Stream]) -> None:
    """Put one record."""
    open_stream().put([Entry("one", b"x")])


def put_until_killed(open_stream: Callable[[], Stream], life: int, acknowledged: Path) -> None:
    """Put <thread>.<life>.<number>.<part> in order, by six threads; append what was put to a file as soon as the put returns."""
    stream, log = open_stream(), os.open(acknowledged, os.O_WRONLY | os.O_APPEND)

    def put(thread: int) -> None:
        for number in range(100_000):
            ids = [f"{thread}.{life}.{number}.{part}" for part in range(1 + number % 7)]
            stream.put([Entry(f"key-{thread}", text.encode()) for text in ids])
            os.write(log, ("\n".join(ids) + "\n").encode())

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(put, range(6)))


def hold(open_stream: Callable[[], Stream], consumer: str, shard: Shard, committed: str, held: Path) -> None:
    """Claim a shard, commit a position if there is one, make the file `held`, and hold on."""
    with open_stream().claim(consumer, shard) as claim:
        assert claim is not None
        if committed:
            claim.commit(committed)
        held.touch()
        time.sleep(300)


def read_whole(open_stream: Callable[[], Stream], shard: str, grown: Path) -> None:
    """Read a shard; write how many records it held and by how many KB the process grew after the first 5,000."""
    stream, after, read, before = open_stream(), START, 0, 0
    while records := stream.read(shard, after, 1000).records:
        read, after = read + len(records), records[-1].sequence
        if read == 5000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown.write_text(f"{read} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before}")
