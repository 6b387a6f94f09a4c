"""The stream on Kinesis: shards, iterators and reading.

Belongs here: what KinesisStream promises, put together. Doesn't: batches of a put (kinesis_put.py), positions and leases (checkpoints.py).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dagster import ResourceDependency, get_dagster_logger

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.aws_account.errors import AwsNotFound, AwsRefused, AwsThrottled, AwsUnavailable
from instacart_pipeline.resources.aws_account.patience import RetryPolicy
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.stream import (
    START,
    Batch,
    Claim,
    Entry,
    Lag,
    Record,
    Rewind,
    Shard,
    Stream,
    StreamBusy,
    StreamState,
)
from instacart_pipeline.resources.stream.aws.checkpoints import Checkpoint, Checkpoints
from instacart_pipeline.resources.stream.aws.kinesis_put import RateLimiter, put_records

SINCE = "@"
"""A position that begins with it is a time, in seconds since 1970: after all records that arrived before."""

_MOST_READ = 10_000
_EMPTY_READS = 3
"""Kinesis may answer with nothing although there is more further on: how often one read goes on then."""
_STALE = ("ExpiredIteratorException", "InvalidArgumentException")
_ITERATORS = 1024


class KinesisStream(Stream):
    """The Kinesis stream `name`; `instacart-pipeline deploy` makes it. What consumers have read is kept in the table `<prefix>checkpoints`.

    A put that is held back is tried again for `patience_seconds` before StreamBusy is raised. A worker that is gone loses its
    shards after `lease_seconds`.
    """

    session: ResourceDependency[AwsSession]
    name: str
    prefix: str
    patience_seconds: float = 10.0
    lease_seconds: float = 30.0

    def put(self, entries: Sequence[Entry]) -> None:
        """See Stream, and put_records for the order within a key."""
        try:
            put_records(
                self.session,
                self.name,
                entries,
                patience_seconds=self.patience_seconds,
                pace=self._shared.pace,
            )
        except AwsNotFound as error:
            raise self._missing() from error

    def state(self) -> StreamState:
        """See Stream."""
        listed: list[dict[str, Any]] = []
        try:
            for page in self.session.pages("kinesis", "list_shards", StreamName=self.name):
                listed += page["Shards"]
        except AwsNotFound as error:
            raise self._missing() from error
        return StreamState(self.name, tuple(Shard(shard["ShardId"], _parents(shard)) for shard in listed))

    def read(self, shard: str, after: str, limit: int) -> Batch:
        """See Stream. A position that is past the retention goes on at the oldest record there is."""
        return self._read(shard, after, limit)[0]

    @contextmanager
    def claim(self, consumer: str, shard: Shard) -> Iterator[Claim | None]:
        """See Stream. The lease is renewed in the background for as long as the block is open."""
        claim = self._checkpoints.take(consumer, shard) if self._parents_read(consumer, shard) else None
        if claim is None:
            yield None
            return
        with claim.kept():
            yield claim

    def rewind(self, consumer: str, to: Rewind) -> None:
        """See Stream."""
        position = START if to.to == "start" else f"{SINCE}{to.since!r}"
        with ExitStack() as held:
            claims = []
            for shard in self.state().shards:
                claim = self._checkpoints.take(consumer, shard, finished_too=True)
                if claim is None:
                    raise StreamBusy(
                        f"A worker reads {shard.id} for {consumer}, or has died less than {self.lease_seconds:g} s ago. Stop the workers, then rewind."
                    )
                held.enter_context(claim.kept())
                claims.append(claim)
            for claim in claims:
                claim.restart(position)

    def lag(self, consumer: str) -> Sequence[Lag]:
        """See Stream. Kinesis doesn't count records."""
        known = self._checkpoints.of(consumer)
        return [self._lag(shard.id, known.get(shard.id, Checkpoint())) for shard in self.state().shards]

    @property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(
            self.session,
            self.prefix,
            self.name,
            lease_seconds=self.lease_seconds,
            patience_seconds=self.patience_seconds,
        )

    @property
    def _shared(self) -> "_Shared":
        place = self.session
        return _shared_of(place.region, place.profile, place.endpoint, place.role, self.name)

    def _missing(self) -> PipelineError:
        return PipelineError(
            f"There is no Kinesis stream {self.name}. Make it with `instacart-pipeline deploy --apply`, or set INSTACART_STREAM_NAME to one there is."
        )

    def _parents_read(self, consumer: str, shard: Shard) -> bool:
        if not shard.parents:
            return True
        known = self._checkpoints.of(consumer)
        left = {parent for parent in shard.parents if not known.get(parent, Checkpoint()).finished}
        # A parent that isn't listed any more is past its retention: nobody can read it.
        return not left or left.isdisjoint(each.id for each in self.state().shards)

    def _lag(self, shard: str, known: Checkpoint) -> Lag:
        if known.finished:
            return Lag(shard, 0, 0.0)
        batch, behind = self._read(shard, known.position, 1)
        return Lag(shard, None, max(0.0, time.time() - batch.records[0].arrived) if batch.records else behind)

    def _read(self, shard: str, after: str, limit: int) -> tuple[Batch, float]:
        """The next records, and how many seconds the end of these is behind the newest."""
        behind, since = 0.0, _since(after)
        for _ in range(_EMPTY_READS):
            told = self._get_records(shard, after, limit)
            if told is None:
                break
            going_on, behind = told.get("NextShardIterator"), told.get("MillisBehindLatest", 0) / 1000
            records = tuple(each for each in (_record(shard, one) for one in told["Records"]) if each.arrived >= since)
            if going_on:
                self._shared.iterators.keep((shard, records[-1].sequence if records else after), going_on)
            if records or not going_on:
                return Batch(records, ended=not going_on), behind
            if not behind:
                break
        return Batch((), ended=told is None), behind

    def _get_records(self, shard: str, after: str, limit: int) -> dict[str, Any] | None:
        """One GetRecords, by the iterator that is kept for the position or by a new one; None if the shard is gone."""
        kept, limit = self._shared.iterators.find((shard, after)), min(limit, _MOST_READ)
        if kept:
            try:
                return self._ask("get_records", ShardIterator=kept, Limit=limit)
            except AwsRefused as refused:
                if refused.code not in _STALE:  # an iterator lives for five minutes
                    raise
        iterator = self._iterator(shard, after)
        return self._ask("get_records", ShardIterator=iterator, Limit=limit) if iterator else None

    def _iterator(self, shard: str, after: str) -> str | None:
        try:
            return self._new_iterator(shard, **_place(after))
        except AwsNotFound as error:
            if shard in (each.id for each in self.state().shards):
                raise PipelineError(f"The shard {shard} of the stream {self.name} is not there: {error}") from error
            return None
        except AwsRefused as refused:
            if refused.code != "InvalidArgumentException":
                raise
            get_dagster_logger().warning(
                f"{self.name} has nothing at {after} of {shard} any more: it is past the retention, or the stream was made anew. Going on at the oldest record."
            )
            return self._new_iterator(shard, **_place(START))

    def _new_iterator(self, shard: str, **place: Any) -> str:
        told = self._ask("get_shard_iterator", StreamName=self.name, ShardId=shard, **place)
        return str(told["ShardIterator"])

    def _ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """A call of a reader. Raises StreamBusy at once when it is held back: a reader comes again anyway."""
        patience = RetryPolicy(self.patience_seconds)
        while True:
            try:
                return self.session.call("kinesis", operation, once=True, **parameters)
            except AwsThrottled as held:  # noqa: PERF203  # one try a round is what it is about
                raise StreamBusy(
                    f"The stream {self.name} is read too often: {held.code}: {held.message} A shard gives five reads a second, and 2 MB; read again in a second."
                ) from held
            except AwsUnavailable:
                if not patience.pause():
                    raise


class _Iterators:
    """Iterators by (shard, position), the ones used last. Going on from where a read ended costs one call with them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, place: tuple[str, str]) -> str | None:
        with self._lock:
            return self._kept.get(place)

    def keep(self, place: tuple[str, str], iterator: str) -> None:
        with self._lock:
            self._kept[place] = iterator
            self._kept.move_to_end(place)
            if len(self._kept) > _ITERATORS:
                self._kept.popitem(last=False)


@dataclass(frozen=True)
class _Shared:
    """What all copies of a stream's resource have together."""

    pace: RateLimiter = field(default_factory=RateLimiter)
    iterators: _Iterators = field(default_factory=_Iterators)


# Dagster copies a resource for each one that depends on it.
_shared_of = lru_cache(maxsize=16)(lambda *_place: _Shared())


def _parents(shard: dict[str, Any]) -> tuple[str, ...]:
    return tuple(shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name))


def _place(after: str) -> dict[str, Any]:
    """A position as GetShardIterator takes it."""
    if after == START:
        return {"ShardIteratorType": "TRIM_HORIZON"}
    if after.startswith(SINCE):
        # A time to come is refused, and another clock than ours decides. boto3 cuts it to a whole second.
        return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": min(_since(after), time.time() - 1)}
    return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}


def _since(after: str) -> float:
    """The time that a position is; 0 if it is none."""
    return float(after.removeprefix(SINCE)) if after.startswith(SINCE) else 0.0


def _record(shard: str, told: dict[str, Any]) -> Record:
    return Record(
        shard,
        told["SequenceNumber"],
        told["PartitionKey"],
        told["Data"],
        told["ApproximateArrivalTimestamp"].timestamp(),
    )
