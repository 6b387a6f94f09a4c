"""What gives a consumer the stream's records: Lambda's event source mapping, on this machine.

Belongs here: which shards a worker reads, batches, going on after failures, sharing with other workers. Doesn't: what a consumer does.

A worker keeps nothing in memory but the batch it is at. A batch is due once it is full, or its oldest record has waited for the consumer's
window. Until then its records are counted and let go, each once, and read again when they are due: so nothing is held back in memory
meanwhile and nothing is lost with a worker; what was given to the consumer and not committed when one died is given to it again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.stream import Batch, Claim, ClaimLost, Record, Shard, Stream
from instacart_pipeline.retail.consumers.consumer import Consumer
from instacart_pipeline.retail.consumers.events import Answer, kinesis_event

logger = logging.getLogger(__name__)
_TURN_SECONDS = 20.0
"""So long a shard is held before it is let go, so that other workers get their share of the shards."""
_BACK_OFF_SECONDS = (0.2, 30.0)
"""The first pause after a failure, and the longest."""
_TRIM_SECONDS = 300.0
_LOOKS_A_WINDOW = 20
"""How often in a window it is looked whether a batch is full."""


@dataclass(frozen=True)
class Delivered:
    """A batch that was given to the consumer: how many of its records are dealt with, of how many, and in which time."""

    shard: str
    done: int
    records: int
    seconds: float


@dataclass
class _Held:
    """A shard that this worker reads. `due` and `since` are times of the monotonic clock."""

    claim: Claim
    letting_go: ExitStack
    since: float
    due: float = 0.0
    failures: int = 0


@dataclass
class _Waiting:
    """Records after `position` that wait for their window to be over, up to `last`: how many, and when the oldest arrived."""

    position: str
    oldest: float
    last: str
    records: int


@dataclass
class EventSourceMapping:
    """A worker of a consumer. Any number of them, in any processes, share the shards of the stream.

    `poll_seconds` is how long it waits before it looks again at a shard that had nothing. A worker that holds more shards looks less often for further
    ones, and each shard is let go after a while: so the shards spread over the workers by themselves. Workers that are started together
    say so by `share`, (which of them this is, how many they are): each leaves the others theirs for as long as it has work itself.
    """

    stream: Stream
    consumer: Consumer
    poll_seconds: float = 0.1
    turn_seconds: float = _TURN_SECONDS
    share: tuple[int, int] = (0, 1)
    on_batch: Callable[[Delivered], None] = lambda _: None
    _held: dict[str, _Held] = field(init=False, default_factory=dict)
    _waiting: dict[str, _Waiting] = field(init=False, default_factory=dict)
    _stream_name: str = field(init=False, default="")
    _look: float = field(init=False, default=0.0)
    _busy: bool = field(init=False, default=True)
    _trim: float = field(init=False, default=0.0)

    def run(self, stopping: threading.Event, *, until_empty: bool = False) -> None:
        """Read until `stopping` is set, between two batches. With `until_empty` no window is waited for, and it ends when nothing is left.

        Failures of the consumer and of the stream are logged, and tried again after a pause that grows; other shards go on meanwhile.
        """
        self._trim = time.monotonic() + _TRIM_SECONDS * random.uniform(0.2, 1.2)  # noqa: S311  # so that not all do it at once
        try:
            while not stopping.is_set():
                self._busy = self._round(stopping, hurry=until_empty)
                if self._busy:
                    continue
                if until_empty and self._is_empty():
                    return
                stopping.wait(self.poll_seconds)
        finally:
            for shard in list(self._held):
                self._let_go(shard)

    def _round(self, stopping: threading.Event, *, hurry: bool) -> bool:
        """Give each shard that is due a batch. Returns whether there was one."""
        self._claim_more()
        worked = False
        for shard, held in list(self._held.items()):
            if stopping.is_set():
                break
            if held.due > time.monotonic():
                continue
            try:
                worked |= self._turn(held, hurry=hurry)
            except ClaimLost as error:
                logger.warning("%s: another worker reads %s by now: %s", self.consumer.name, shard, error)
                self._let_go(shard)
                continue
            except PipelineError as error:
                logger.warning("%s: %s is tried again: %s: %s", self.consumer.name, shard, type(error).__name__, error)
                _back_off(held)
            except Exception:  # whatever it is: the other shards go on, and this one after a pause
                logger.exception("%s: %s is tried again", self.consumer.name, shard)
                _back_off(held)
            if time.monotonic() - held.since > self.turn_seconds and not held.failures:
                self._let_go(shard)
        if time.monotonic() > self._trim:
            self._trim = time.monotonic() + _TRIM_SECONDS
            if removed := self.stream.trim():
                logger.info("%s: %d records past the stream's retention were removed", self.consumer.name, removed)
        return worked

    def _turn(self, held: _Held, *, hurry: bool) -> bool:
        """Give the consumer the shard's next batch, if one is due, and commit what it dealt with."""
        claim, shard = held.claim, held.claim.shard.id
        window = 0.0 if hurry else self.consumer.window_seconds
        batch = self._batch_due(shard, claim.position, window)
        if batch is None:
            left = window - (time.time() - self._waiting[shard].oldest)
            held.due = time.monotonic() + min(left, max(self.poll_seconds, window / _LOOKS_A_WINDOW))
            return False
        if not batch.records:
            held.failures = 0
            if batch.ended:
                claim.finish()
                self._let_go(shard)
            held.due = time.monotonic() + self.poll_seconds
            return False
        started = time.monotonic()
        records = batch.records
        answer = self.consumer.handle(kinesis_event(self._stream_name, records))
        done = _done(answer, records)
        if done:
            claim.commit(records[done - 1].sequence)
        self.on_batch(Delivered(shard, done, len(records), time.monotonic() - started))
        if done < len(records):
            _back_off(held)
        else:
            held.failures, held.due = 0, 0.0
        return True

    def _batch_due(self, shard: str, position: str, window: float) -> Batch | None:
        """The next records of a shard, if there are none, or enough, or if they waited long enough; None while they are to wait."""
        most, waiting = self.consumer.batch_size, self._waiting.pop(shard, None)
        batch: Batch | None = None
        if waiting is None or waiting.position != position or not window:
            batch = self.stream.read(shard, position, most)
            if not batch.records or batch.ended or not window:
                return batch
            waiting = _Waiting(position, batch.records[0].arrived, batch.records[-1].sequence, len(batch.records))
        elif new := self.stream.read(shard, waiting.last, most - waiting.records).records:
            waiting.last, waiting.records = new[-1].sequence, waiting.records + len(new)
        if waiting.records >= most or time.time() - waiting.oldest >= window:
            return batch or self.stream.read(shard, position, most)
        self._waiting[shard] = waiting
        return None

    def _claim_more(self) -> None:
        """Claim the shards that can be had, now and then."""
        if time.monotonic() < self._look:
            return
        try:
            state = self.stream.state()
            self._stream_name = state.name
            place, workers = self.share
            for number, shard in enumerate(state.shards):
                others = self._busy and number % workers != place
                if shard.id not in self._held and not others:
                    self._claim(shard)
        except PipelineError as error:
            logger.warning("%s: shards are claimed later: %s: %s", self.consumer.name, type(error).__name__, error)
        pause = 2.0 * self.poll_seconds * (1 + len(self._held)) * random.uniform(0.75, 1.25)  # noqa: S311  # no secret
        self._look = time.monotonic() + pause

    def _claim(self, shard: Shard) -> None:
        with ExitStack() as stack:
            claim = stack.enter_context(self.stream.claim(self.consumer.name, shard))
            if claim is not None:
                self._held[shard.id] = _Held(claim, stack.pop_all(), time.monotonic())

    def _let_go(self, shard: str) -> None:
        try:
            self._held.pop(shard).letting_go.close()
        except PipelineError as error:  # then it ends by itself, as that of a worker that died
            logger.warning("%s: the claim on %s was not given back: %s", self.consumer.name, shard, error)

    def _is_empty(self) -> bool:
        return all(not lag.records and not lag.seconds for lag in self.stream.lag(self.consumer.name))


def _done(answer: Answer, records: Sequence[Record]) -> int:
    """How many of the records, from the first on, an answer says are dealt with: none after the lowest failure."""
    failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    if not failed:
        return len(records)
    # As with Lambda, one that names none of the batch's records fails it as a whole.
    return next((place for place, record in enumerate(records) if record.sequence in failed), 0)


def _back_off(held: _Held) -> None:
    first, longest = _BACK_OFF_SECONDS
    held.failures += 1
    pause = min(longest, first * 2 ** min(held.failures - 1, 20))
    held.due = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311  # so that workers don't come all at once
