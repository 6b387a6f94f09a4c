"""The stream: records put by many, kept in order a shard, read by consumers that remember how far they are.

Belongs here: what putting, reading and remembering promise, in the terms of Kinesis.
Doesn't: what a record holds, or what is made of it (retail/).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from dagster import ConfigurableResource

from instacart_pipeline.lake.errors import PipelineError

START = ""
"""The position before a shard's oldest record."""


class StreamBusy(PipelineError):
    """The stream takes no more records just now. Nothing is lost: put the same again in a moment."""


class StreamFull(PipelineError):
    """There is no room for records until somebody makes some."""


class ClaimLost(PipelineError):
    """Another worker reads the shard by now: what was read since the last commit is its to read again."""


@dataclass(frozen=True)
class Entry:
    """A record to be put. Entries of one `key` go to one shard, and stay in the order they are put in."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is read. `sequence` is a whole number as text, growing along the shard; `arrived` is seconds since 1970."""

    shard: str
    sequence: str
    key: str
    data: bytes
    arrived: float


@dataclass(frozen=True)
class Shard:
    """A shard. One that was made of others (`parents`) is read after them."""

    id: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Records of a shard, in order. `ended`: the shard is closed and these are its last."""

    records: Sequence[Record]
    ended: bool = False


@dataclass(frozen=True)
class Lag:
    """How far a consumer is behind at one shard: records it has not committed, if that is known, and the age of the oldest in seconds."""

    shard: str
    records: int | None
    seconds: float


class Claim(ABC):
    """The right of one worker to read a shard for a consumer. Ends with its block, and with the worker however it ends."""

    shard: Shard
    position: str
    """The sequence committed last; START before the first."""

    @abstractmethod
    def commit(self, sequence: str) -> None:
        """Remember that everything up to `sequence` is dealt with. Raises ClaimLost, committing nothing."""

    @abstractmethod
    def finish(self) -> None:
        """Remember that a closed shard is read to its end, so that those made of it can be read. Raises ClaimLost."""


@dataclass(frozen=True)
class Rewind:
    """Where a consumer is to read from again: the `start`, or the records that arrived at or after `since` (seconds since 1970)."""

    to: Literal["start", "since"] = "start"
    since: float = 0.0


@dataclass(frozen=True)
class StreamState:
    """What there is of a stream: its shards, and the records it keeps, if that is known."""

    name: str
    shards: Sequence[Shard] = field(default_factory=tuple)
    records: int | None = None


class Stream(ConfigurableResource[Any], ABC):
    """A stream of records over shards. Safe under any number of writers, and of workers of any number of consumers.

    At least once: a record may be stored, and read, more than once. Who needs it once tells doubles by what they hold.
    """

    @abstractmethod
    def put(self, entries: Sequence[Entry]) -> None:
        """Store records. When this returns all of them are durable, whatever is killed afterwards.

        Raises StreamBusy and StreamFull, some of them being stored: put all of them again.
        """

    @abstractmethod
    def state(self) -> StreamState:
        """The shards, closed ones that are still kept included. Raises PipelineError if there is no such stream, saying how to make it."""

    @abstractmethod
    def read(self, shard: str, after: str, limit: int) -> Batch:
        """At most `limit` of the next records of a shard after the position `after`; none if there are none yet.

        Never waits for records. Raises StreamBusy if asked too often.
        """

    @abstractmethod
    def claim(self, consumer: str, shard: Shard) -> AbstractContextManager[Claim | None]:
        """A claim on a shard for a consumer; None if another worker has it, or its parents are not read to their end, or it is itself."""

    @abstractmethod
    def rewind(self, consumer: str, to: Rewind) -> None:
        """Have a consumer read again from an earlier place. Its workers must be stopped; raises StreamBusy if one holds a claim."""

    @abstractmethod
    def lag(self, consumer: str) -> Sequence[Lag]:
        """How far a consumer is behind, shard by shard."""

    def trim(self) -> int:
        """Remove records past the retention, where the service doesn't do so by itself, that are read. Returns how many."""
        return 0
