"""The stream on this machine: a SQLite file a shard, each an append-only log that any number of processes share.

A put is committed, and flushed to the disk, before it returns. A shard has one writer at a time, so the sequence in which records become
visible is the one they are numbered in: a reader never meets a number that a smaller one follows.
"""

from __future__ import annotations

import fcntl
import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from instacart_pipeline.resources.local.sqlite_file import transaction, translated
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
    StreamFull,
    StreamState,
)

_RECORDS = """
CREATE TABLE IF NOT EXISTS records (sequence INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, data BLOB NOT NULL, arrived REAL NOT NULL);
CREATE INDEX IF NOT EXISTS records_by_arrival ON records (arrived);
"""
_POSITIONS = """
CREATE TABLE IF NOT EXISTS positions (consumer TEXT NOT NULL, shard TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (consumer, shard)) WITHOUT ROWID;
"""
_TRIMMED_AT_ONCE = 10_000


class LocalStream(Stream):
    """The stream `name` below the folder `home`, put into `shards` shards. Fewer of them than before are filled; all are read."""

    home: str
    name: str = "transactions"
    shards: int = 4
    retention_hours: int = 168

    def put(self, entries: Sequence[Entry]) -> None:
        """See Stream."""
        by_shard: dict[str, list[Entry]] = {}
        for entry in entries:
            by_shard.setdefault(_shard_of(entry.key, self.shards), []).append(entry)
        for shard, mine in sorted(by_shard.items()):
            self._log(shard).append(mine)

    def state(self) -> StreamState:
        """See Stream."""
        return StreamState(
            self.name, [Shard(shard) for shard in self._shards()], sum(self._count(s) for s in self._shards())
        )

    def read(self, shard: str, after: str, limit: int) -> Batch:
        """See Stream."""
        return Batch(self._log(shard).read(int(after or 0), limit))

    @contextmanager
    def claim(self, consumer: str, shard: Shard) -> Iterator[Claim | None]:
        """See Stream. The kernel lets go of a lock when its process ends, however it ends."""
        path = self._folder / "claims" / f"{consumer}-{shard.id}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield _LocalClaim(self, consumer, shard)

    def rewind(self, consumer: str, to: Rewind) -> None:
        """See Stream."""
        for shard in self._shards():
            with self.claim(consumer, Shard(shard)) as claim:
                if claim is None:
                    raise StreamBusy(f"A worker reads {shard} for {consumer}. Stop the workers, then rewind.")
                position = self._log(shard).before(to.since) if to.to == "since" else 0
                self.commit(consumer, shard, position)

    def lag(self, consumer: str) -> Sequence[Lag]:
        """See Stream."""
        return [self._lag(consumer, shard) for shard in self._shards()]

    def trim(self) -> int:
        """See Stream."""
        until = time.time() - self.retention_hours * 3600
        return sum(self._log(shard).trim(until) for shard in self._shards())

    def position(self, consumer: str, shard: str) -> int:
        """The sequence that a consumer committed last at a shard; 0 before the first."""
        with transaction(self._positions, _POSITIONS) as db:
            row = db.execute(
                "SELECT sequence FROM positions WHERE consumer = ? AND shard = ?", (consumer, shard)
            ).fetchone()
        return int(row[0]) if row else 0

    def commit(self, consumer: str, shard: str, sequence: int) -> None:
        """Remember a consumer's position."""
        with transaction(self._positions, _POSITIONS, write=True) as db:
            db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", (consumer, shard, sequence))

    @property
    def _folder(self) -> Path:
        return Path(self.home) / "stream" / self.name

    @property
    def _positions(self) -> Path:
        return self._folder / "positions.sqlite"

    def _shards(self) -> list[str]:
        there = {path.stem for path in self._folder.glob("shard-*.sqlite")}
        return sorted(there | {_shard_name(number) for number in range(self.shards)})

    def _log(self, shard: str) -> _Log:
        return _log_of(str(self._folder / f"{shard}.sqlite"))

    def _count(self, shard: str) -> int:
        return self._log(shard).count_after(0)

    def _lag(self, consumer: str, shard: str) -> Lag:
        position = self.position(consumer, shard)
        log = self._log(shard)
        oldest = log.read(position, 1)
        return Lag(shard, log.count_after(position), max(0.0, time.time() - oldest[0].arrived) if oldest else 0.0)


class _LocalClaim(Claim):
    """A claim for as long as its lock is held."""

    def __init__(self, stream: LocalStream, consumer: str, shard: Shard) -> None:
        self._stream, self._consumer, self.shard = stream, consumer, shard
        position = stream.position(consumer, shard.id)
        self.position = str(position) if position else START

    def commit(self, sequence: str) -> None:
        """See Claim."""
        self._stream.commit(self._consumer, self.shard.id, int(sequence))
        self.position = sequence

    def finish(self) -> None:
        """See Claim. Shards of this machine are never closed."""


class _Log:
    """The file of one shard. A connection a thread, since SQLite's are for one."""

    def __init__(self, path: Path) -> None:
        self._path, self._shard, self._own = path, path.stem, threading.local()

    def append(self, entries: Sequence[Entry]) -> None:
        """Add records in one transaction, which is on the disk at the end. Raises StreamBusy, StreamFull."""
        now = time.time()
        rows = ((entry.key, entry.data, now) for entry in entries)
        with translated(self._path, StreamBusy, StreamFull):
            db = self._connection()
            with _written(db):
                db.executemany("INSERT INTO records (key, data, arrived) VALUES (?, ?, ?)", rows)

    def read(self, after: int, limit: int) -> list[Record]:
        """The next records after a sequence."""
        rows = self._connection().execute(
            "SELECT sequence, key, data, arrived FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, limit),
        )
        return [Record(self._shard, str(sequence), key, data, arrived) for sequence, key, data, arrived in rows]

    def count_after(self, sequence: int) -> int:
        """How many records follow a sequence. Those of a log are numbered without a gap, but for the ones trimmed at its start."""
        first, last = self._connection().execute("SELECT min(sequence), max(sequence) FROM records").fetchone()
        return max(0, last - max(sequence, first - 1)) if last else 0

    def before(self, since: float) -> int:
        """The sequence of the last record that arrived before a time; 0 if there is none."""
        row = self._connection().execute("SELECT max(sequence) FROM records WHERE arrived < ?", (since,)).fetchone()
        return int(row[0] or 0)

    def trim(self, until: float) -> int:
        """Remove the records that arrived before a time, a few at a time, so that writers get in between."""
        removed, last = 0, self.before(until)
        while last:
            with translated(self._path, StreamBusy, StreamFull), _written(self._connection()) as db:
                gone = db.execute(
                    "DELETE FROM records WHERE sequence IN (SELECT sequence FROM records WHERE sequence <= ? ORDER BY sequence LIMIT ?)",
                    (last, _TRIMMED_AT_ONCE),
                ).rowcount
            removed += gone
            if gone < _TRIMMED_AT_ONCE:
                break
        return removed

    def _connection(self) -> sqlite3.Connection:
        made: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if made is None:
            with transaction(self._path, _RECORDS):
                pass  # which makes the file
            made = self._own.connection = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None)
            made.execute("PRAGMA synchronous = FULL")
        return made


_WAIT_SECONDS = 10.0
"""How long a put waits for another writer of its shard before the stream counts as busy."""


@contextmanager
def _written(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


# Dagster copies a resource for each one that depends on it; the open files are shared by all copies.
_log_of = lru_cache(maxsize=1024)(lambda path: _Log(Path(path)))


def _shard_name(number: int) -> str:
    return f"shard-{number:03}"


def _shard_of(key: str, shards: int) -> str:
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()  # as Kinesis spreads partition keys
    return _shard_name(int.from_bytes(digest[:8], "big") * shards >> 64)
