"""A lock in S3: one holder at a time among any number of machines.

Belongs here: taking, losing and releasing a lock by conditional writes (If-None-Match, If-Match). Doesn't: what it guards.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.resources.aws_account.errors import AwsThrottled, AwsUnavailable, log_cleanup_errors
from instacart_pipeline.resources.aws_account.objects import Objects

LEASE_SECONDS = 120
"""A lock older than this, by S3's own clock, has lost its holder."""
_WAIT_SECONDS = 300
_LONGEST_PAUSE = 2.0
Made = TypeVar("Made")


class Lease:
    """The right to write, for as long as nobody else may have taken the lock over."""

    def __init__(self, uri: str) -> None:
        self._uri, self._since = uri, time.monotonic()

    def write(self, call: Callable[[], Made]) -> Made:
        """What `call` gives: one call, tried once by itself, that may happen twice. It is tried again while it is throttled.

        No call begins in the second half of the lease, and none lasts that long (session.py): so none is made after another
        holder's. Raises JobFailed when the time is up.
        """
        pause = 0.1
        while True:
            if time.monotonic() - self._since > LEASE_SECONDS / 2:
                raise JobFailed(f"Half of the lease on {self._uri} went by before AWS took the write. Run again.")
            with suppress(AwsThrottled, AwsUnavailable):
                return call()
            time.sleep(random.uniform(0, pause))  # noqa: S311  # spreads calls, guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE)


@contextmanager
def locked(objects: Objects, uri: str) -> Iterator[Lease]:
    """Hold the lock at `uri` for the length of the block. Raises JobFailed if others hold it for five minutes on end."""
    own = {"holder": uuid.uuid4().hex}
    deadline = time.monotonic() + _WAIT_SECONDS
    pause = 0.05
    while True:
        held = objects.held(uri)
        lease = Lease(uri)
        free = held is None or held.age > LEASE_SECONDS
        if free and (etag := objects.swap(uri, own, held)):
            break
        if time.monotonic() > deadline:
            raise JobFailed(f"{uri} is locked by others for {_WAIT_SECONDS} s on end. Run again once they are done.")
        time.sleep(random.uniform(0, pause))  # noqa: S311  # spreads writers, guards nothing
        pause = min(pause * 2, _LONGEST_PAUSE)
    try:
        yield lease
    finally:
        # Only if it is still our own: whoever came after the lease ran out keeps theirs. One that stays runs out by itself.
        with log_cleanup_errors(f"The lock {uri}"):
            objects.remove(uri, etag)
