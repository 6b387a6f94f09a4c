"""A lock in S3: one holder at a time among any number of machines.

Belongs here: taking, losing and releasing a lock by conditional writes (If-None-Match, If-Match). Doesn't: what it guards.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.resources.aws.objects import Objects

LEASE_SECONDS = 120
"""A lock older than this, by S3's own clock, has lost its holder. The block it guards makes a few calls, each of at most 20 s."""
_WAIT_SECONDS = 300
_LONGEST_PAUSE = 2.0


@contextmanager
def locked(objects: Objects, uri: str) -> Iterator[None]:
    """Hold the lock at `uri` for the length of the block. Raises JobFailed if others hold it for five minutes on end."""
    own = {"holder": uuid.uuid4().hex}
    deadline = time.monotonic() + _WAIT_SECONDS
    pause = 0.05
    while True:
        held = objects.held(uri)
        free = held is None or held.age > LEASE_SECONDS
        if free and objects.swap(uri, own, held):
            break
        if time.monotonic() > deadline:
            raise JobFailed(f"{uri} is locked by others for {_WAIT_SECONDS} s on end. Run again once they are done.")
        time.sleep(random.uniform(0, pause))  # noqa: S311  # spreads writers, guards nothing
        pause = min(pause * 2, _LONGEST_PAUSE)
    try:
        yield
    finally:
        objects.remove(uri)
