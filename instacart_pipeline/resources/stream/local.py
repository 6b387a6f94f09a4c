"""The stream on this machine: a SQLite file a shard, each an append-only log that any number of processes share.

A put is committed, and flushed to the disk, before it returns. A shard has one writer at a time, so the sequence in which records become
visible is the one they are numbered in: a reader never meets a number that a smaller one follows.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from instacart_pipeline.resources.local_machine.sqlite_file import SqliteFile
from instacart_pipeline.resources.stream import (
    START,
    Batch,
    Claim,
    ClaimLost,
    Entry,
    Lag,
    Record,
    Rewind,
    Shard,
    Stream,
    StreamBusy,
    StreamFull,
    StreamState,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (sequence INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, data BLOB NOT NULL, arrived REAL NOT NULL);
CREATE TABLE IF NOT EXISTS positions (consumer TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO sqlite_sequence (name, seq) SELECT 'records', 1000 * CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'records');
"""
# The numbers of a file begin at the microsecond of its making, and no shard takes a million records a second. So a file that is made in
# place of a lost one gives none of its numbers again: what is named by them keeps its name, and a position of old has all that is new after it.
# Numbered without a gap, but for the trimmed ones at the start, and never twice: a number that was undone is given again.
_ENDS = "SELECT (SELECT min(sequence) FROM records), (SELECT max(sequence) FROM records)"
_WAIT_SECONDS = 10.0
"""How long a put waits for other processes to write to its shard before the stream counts as busy."""
_TRIMMED_AT_ONCE = 10_000


class LocalStream(Stream):
    """The stream `name` below the folder `home`, put into `shards` shards.

    Their number may change at any time, records of a key then going to another shard: all shards that were ever written to are
    read, but not in the order in which they were written across the change. What one of the `consumers` has not read yet is kept past
    the retention too.
    """

    home: str
    name: str = "transactions"
    shards: int = 4
    retention_hours: int = 168
    consumers: list[str] = []  # noqa: RUF012  # each instance gets its own

    def put(self, entries: Sequence[Entry]) -> None:
        """See Stream."""
        by_shard: dict[str, list[Entry]] = {}
        for entry in entries:
            by_shard.setdefault(_shard_of(entry.key, self.shards), []).append(entry)
        puts = [self._log(shard).append(mine) for shard, mine in by_shard.items()]
        wait(puts)
        for put in puts:
            put.result()

    def state(self) -> StreamState:
        """See Stream."""
        shards = self._shards()
        return StreamState(
            self.name, [Shard(shard) for shard in shards], sum(self._log(shard).count_after(0) for shard in shards)
        )

    def read(self, shard: str, after: str, limit: int) -> Batch:
        """See Stream."""
        return Batch(self._log(shard).read(int(after or 0), limit))

    @contextmanager
    def claim(self, consumer: str, shard: Shard) -> Iterator[Claim | None]:
        """See Stream. The kernel lets go of a lock when its process ends, however it ends."""
        path = self._folder / "claims" / f"{consumer}-{shard.id}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lock:
            yield _LocalClaim(self._log(shard.id), consumer, shard, lock) if _locked(lock) else None

    def rewind(self, consumer: str, to: Rewind) -> None:
        """See Stream."""
        with ExitStack() as claims:
            claimed = [(shard, claims.enter_context(self.claim(consumer, Shard(shard)))) for shard in self._shards()]
            for shard, claim in claimed:
                if claim is None:
                    raise StreamBusy(f"A worker reads {shard} for {consumer}. Stop the workers, then rewind.")
            for shard, _ in claimed:
                log = self._log(shard)
                log.commit(consumer, log.before(to.since) if to.to == "since" else 0)

    def lag(self, consumer: str) -> Sequence[Lag]:
        """See Stream."""
        return [self._lag(consumer, shard) for shard in self._shards()]

    def trim(self) -> int:
        """See Stream."""
        until = time.time() - self.retention_hours * 3600
        return sum(self._log(shard).trim(until, self.consumers) for shard in self._shards())

    @property
    def _folder(self) -> Path:
        return Path(self.home) / "stream" / self.name

    def _shards(self) -> list[str]:
        there = {path.stem for path in self._folder.glob("shard-*.sqlite")}
        return sorted(there | {_shard_name(number) for number in range(self.shards)})

    def _log(self, shard: str) -> _Log:
        return _log_of(str(self._folder / f"{shard}.sqlite"), os.getpid())

    def _lag(self, consumer: str, shard: str) -> Lag:
        log = self._log(shard)
        position = log.position(consumer)
        oldest = log.arrival_after(position)
        return Lag(shard, log.count_after(position), 0.0 if oldest is None else max(0.0, time.time() - oldest))


class _LocalClaim(Claim):
    """A claim for as long as its lock is held."""

    def __init__(self, log: _Log, consumer: str, shard: Shard, lock: TextIO) -> None:
        self._log, self._consumer, self.shard, self._lock = log, consumer, shard, lock
        position = log.position(consumer)
        self.position = str(position) if position else START

    def commit(self, sequence: str) -> None:
        """See Claim. A claim is lost only with its file."""
        if not _is_there(self._lock):
            raise ClaimLost(f"{self._lock.name} was removed: another worker may read {self.shard.id} by now.")
        self._log.commit(self._consumer, int(sequence))
        self.position = sequence

    def finish(self) -> None:
        """See Claim. Shards of this machine are never closed."""


class _Put:
    """Entries to be written, and the moment when they are."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries, self.written = entries, Future[None]()


class _Log:
    """The file of one shard: its records, and how far each consumer is. Safe under threads and processes."""

    def __init__(self, path: Path) -> None:
        self._shard = path.stem
        self._file = SqliteFile(path, _SCHEMA, busy=StreamBusy, full=StreamFull, wait_seconds=_WAIT_SECONDS)
        self._waiting: deque[_Put] = deque()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"stream-{self._shard}")

    def append(self, entries: Sequence[Entry]) -> Future[None]:
        """Add records: all of them are on the disk when this is done, or none. Its errors: StreamBusy, StreamFull.

        What is brought while others are written is written together next, since a flush costs more than many records.
        """
        put = _Put(entries)
        self._waiting.append(put)
        self._writer.submit(self._write_waiting)
        return put.written

    def _write_waiting(self) -> None:
        puts = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not puts:
            return  # written with earlier ones
        try:
            self._write([entry for put in puts for entry in put.entries])
        except BaseException as error:  # noqa: BLE001  # raised by those who wait
            for put in puts:
                put.written.set_exception(error)
        else:
            for put in puts:
                put.written.set_result(None)

    def _write(self, entries: Sequence[Entry]) -> None:
        with self._file.writing() as db:
            # In the order of arrival even if the clock is set back, so that a time can be found by halving.
            last = db.execute("SELECT arrived FROM records ORDER BY sequence DESC LIMIT 1").fetchone()
            arrived = max(time.time(), last[0] if last else 0.0)
            rows = ((entry.key, entry.data, arrived) for entry in entries)
            db.executemany("INSERT INTO records (key, data, arrived) VALUES (?, ?, ?)", rows)

    def read(self, after: int, limit: int) -> list[Record]:
        """The next records after a sequence."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT sequence, key, data, arrived FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Record(self._shard, str(sequence), key, data, arrived) for sequence, key, data, arrived in rows]

    def arrival_after(self, sequence: int) -> float | None:
        """When the first record after a sequence arrived; None if there is none."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT arrived FROM records WHERE sequence > ? ORDER BY sequence LIMIT 1", (sequence,)
            ).fetchone()
        return float(row[0]) if row else None

    def count_after(self, sequence: int) -> int:
        """How many records follow a sequence."""
        with self._file.reading() as db:
            first, last = db.execute(_ENDS).fetchone()
        return max(0, last - max(sequence, first - 1)) if last else 0

    def before(self, since: float) -> int:
        """The sequence after which the records that arrived at a time or later follow; 0 if all did."""
        with self._file.reading() as db:
            first, last = db.execute(_ENDS).fetchone()
        if not last:
            return 0

        def arrived(sequence: int) -> float:
            return self.arrival_after(sequence - 1) or 0.0

        return int(first) - 1 + bisect_left(range(first, last + 1), since, key=arrived)

    def position(self, consumer: str) -> int:
        """The sequence that a consumer committed last; 0 before the first."""
        with self._file.reading() as db:
            row = db.execute("SELECT sequence FROM positions WHERE consumer = ?", (consumer,)).fetchone()
        return int(row[0]) if row else 0

    def commit(self, consumer: str, sequence: int) -> None:
        """Remember a consumer's position. Raises StreamBusy, StreamFull."""
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (consumer, sequence))

    def trim(self, until: float, consumers: Sequence[str]) -> int:
        """Remove the records that arrived before a time and that all consumers have read, a few at a time, so that writers get in between."""
        removed, last = 0, min([self.before(until), *map(self.position, consumers)])
        while True:
            with self._file.writing() as db:
                first = db.execute(_ENDS).fetchone()[0] or last + 1
                end = min(last, first + _TRIMMED_AT_ONCE - 1)
                removed += max(0, db.execute("DELETE FROM records WHERE sequence <= ?", (end,)).rowcount)
            if end >= last:
                return removed


# Dagster copies a resource for each one that depends on it; the open files are shared by all copies. A forked process opens its own.
@lru_cache(maxsize=256)
def _log_of(path: str, _process: int) -> _Log:
    return _Log(Path(path))


def _locked(file: TextIO) -> bool:
    """Whether this took the lock on an open file, which nobody replaced meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _is_there(file)


def _is_there(file: TextIO) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), Path(file.name).stat())
    except FileNotFoundError:
        return False


def _shard_name(number: int) -> str:
    return f"shard-{number:03}"


def _shard_of(key: str, shards: int) -> str:
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()  # as Kinesis spreads partition keys
    return _shard_name(int.from_bytes(digest[:8], "big") * shards >> 64)
