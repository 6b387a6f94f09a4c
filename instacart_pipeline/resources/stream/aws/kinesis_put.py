"""Putting records into a Kinesis stream: requests within its limits, what failed again, as fast as the shards take it.

Belongs here: batches, partial failures and pace. Doesn't: reading (__init__.py).
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources.aws_account.errors import AwsError, AwsThrottled, AwsUnavailable
from instacart_pipeline.resources.aws_account.patience import RetryPolicy
from instacart_pipeline.resources.stream import Entry, StreamBusy

if TYPE_CHECKING:
    from instacart_pipeline.resources.aws_account.session import AwsSession

MOST_RECORDS = 500
MOST_REQUEST_BYTES = 5 * 1024 * 1024
MOST_RECORD_BYTES = 1024 * 1024
"""What one PutRecords takes: records, bytes of all of them, bytes of each; keys count."""
_RECORDS_A_SECOND = 1000
"""What one shard takes. A long put has that much time besides its patience."""
_THROTTLED = "ProvisionedThroughputExceededException"
_FIRST_GAP, _MOST_GAP = 0.02, 0.5


class RateLimiter:
    """The pause before each request, shared by all who put into a stream.

    None until the stream holds something back, then twice as long with each time it does; a fifth shorter with each request
    that goes through, and half as long with each second in which nothing was held back.
    """

    def __init__(self) -> None:
        self._gap, self._held_back = 0.0, 0.0
        self._lock = threading.Lock()

    @property
    def gap(self) -> float:
        """The pause by now, in seconds, on average."""
        gap = self._gap * 0.5 ** (time.monotonic() - self._held_back)
        return gap if gap > _FIRST_GAP / 2 else 0.0

    def wait(self) -> None:
        """Pause before a request."""
        if gap := self.gap:
            time.sleep(gap * random.uniform(0.5, 1.5))  # noqa: S311  # no secret hangs on it

    def slower(self) -> None:
        """The stream held something back."""
        with self._lock:
            self._gap, self._held_back = min(max(2 * self.gap, _FIRST_GAP), _MOST_GAP), time.monotonic()

    def faster(self) -> None:
        """A request went through."""
        with self._lock:
            self._gap *= 0.8


def put_records(
    session: AwsSession, stream: str, entries: Sequence[Entry], *, patience_seconds: float, pace: RateLimiter
) -> None:
    """Store records, in order, request after request.

    Entries that fail are put again, alone and before all that follow. So entries of a key stay in their order, except that one that
    failed comes after those of its key in the same request which did not. Raises StreamBusy when the stream held them back for
    `patience_seconds`, InputInvalid, nothing being stored, if one is too large, and AwsError.
    """
    for entry in entries:
        _require_small(entry)
    waiting = deque(entries)
    patience = RetryPolicy(patience_seconds + len(entries) / _RECORDS_A_SECOND)
    while waiting:
        batch = _taken(waiting)
        pace.wait()
        failed, reason = _put(session, stream, batch)
        if reason is None:
            pace.faster()
            continue
        waiting.extendleft(reversed(failed))
        if isinstance(reason, AwsThrottled):
            pace.slower()
        if len(failed) < len(batch):
            patience.progressed()
        if patience.pause():
            continue
        if isinstance(reason, AwsThrottled):
            raise StreamBusy(
                f"The stream {stream} takes no more just now: {len(waiting):,} of {len(entries):,} records were held back for "
                f"{patience.seconds:.3g} s ({reason.code}: {reason.message}). Put all of them again in a moment; if it goes on, give the stream more shards."
            ) from reason
        raise reason


def _put(session: AwsSession, stream: str, batch: Sequence[Entry]) -> tuple[list[Entry], AwsError | None]:
    """One request. The entries that were not stored, and why; no error if all were."""
    records = [{"PartitionKey": entry.key, "Data": entry.data} for entry in batch]
    try:
        told = session.call("kinesis", "put_records", once=True, StreamName=stream, Records=records)
    except (AwsThrottled, AwsUnavailable) as held:
        return list(batch), held  # some may be stored, if it was the answer that got lost
    if not told.get("FailedRecordCount"):
        return [], None
    answers = list(zip(batch, told["Records"], strict=True))
    failed = [entry for entry, answer in answers if answer.get("ErrorCode")]
    return failed, _reason([answer for _, answer in answers if answer.get("ErrorCode")])


def _reason(answers: Iterable[dict[str, str]]) -> AwsError:
    """Why records failed. Throttling, if any was throttled: it is what their sender can do something about."""
    said = {answer["ErrorCode"]: answer.get("ErrorMessage", "") for answer in answers}
    if _THROTTLED in said:
        return AwsThrottled("kinesis", "put_records", _THROTTLED, said[_THROTTLED])
    code, message = next(iter(said.items()))
    return AwsUnavailable("kinesis", "put_records", code, message)


def _taken(waiting: deque[Entry]) -> list[Entry]:
    """The next entries that fit into one request, at least one."""
    batch: list[Entry] = []
    size = 0
    while waiting and len(batch) < MOST_RECORDS:
        size += _size(waiting[0])
        if batch and size > MOST_REQUEST_BYTES:
            break
        batch.append(waiting.popleft())
    return batch


def _size(entry: Entry) -> int:
    return len(entry.key.encode()) + len(entry.data)


def _require_small(entry: Entry) -> None:
    if (size := _size(entry)) > MOST_RECORD_BYTES:
        raise InputInvalid(
            f"The record of {entry.key[:200]} has {size:,} bytes, more than the {MOST_RECORD_BYTES:,} that Kinesis takes. Nothing was put."
        )
