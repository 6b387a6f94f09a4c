"""A SQLite file that any number of processes share, for what is kept on this machine.

Belongs here: making it, transactions on it, and its troubles in words. Doesn't: what is in it (catalog/local.py, stream/local.py, ...).
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from instacart_pipeline.lake.errors import PipelineError

_WAIT_SECONDS = 60.0
"""How long a writer waits for another. A transaction here takes milliseconds; only a stopped process holds one longer."""
_LOOK_SECONDS = 0.002
"""How often a writer looks whether its turn has come."""
NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
"""Errors of the system that keep a file from being written: its disk is full, or this user may not."""
_REBUILT = {
    "catalog.sqlite": "run every day again, from its upload; `instacart-pipeline sweep` removes the versions that are not in the new catalog",
    "model_registry.sqlite": "run the jobs of the models again, which register new versions",
}
"""How what a file held comes back."""


class FileDamaged(PipelineError):
    """A file of this machine's services is not what they wrote."""


class FileUnusable(PipelineError):
    """A file of this machine's services can't be written: another process holds it for too long, its disk is full, or this user may not."""


def damage(path: Path) -> str:
    """What is wrong with the content of a SQLite file, in SQLite's words; "" if nothing is, or it can't be read at all just now."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            return "" if found == "ok" else str(found)
    except sqlite3.DatabaseError as error:
        return str(error) if _is_damage(str(error)) else ""


@contextmanager
def transaction(path: Path, schema: str, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A transaction on the file at `path`, which is made with `schema` on first use. An error inside undoes it.

    Raises FileUnusable and FileDamaged.
    """
    with translated(path, FileUnusable, FileUnusable), closing(_made(path, schema, _WAIT_SECONDS)) as connection:
        # A writer takes its place in the queue before it reads, so that what it decides on can't change under it.
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        yield connection
        connection.execute("COMMIT")


class SqliteFile:
    """A file that many threads of a process read and write all the time: each keeps a connection, since to open one takes a millisecond.

    Every write is flushed to the disk before it counts as done. A file that somebody removed is made anew by the next use.
    """

    def __init__(
        self, path: Path, schema: str, *, busy: type[PipelineError], full: type[PipelineError], wait_seconds: float
    ) -> None:
        self.path, self._schema, self._wait_seconds = path, schema, wait_seconds
        self._busy, self._full = busy, full
        self._own = threading.local()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for single queries. A file that isn't made yet is empty, and stays unmade: the disk may be full."""
        with translated(self.path, self._busy, self._full):
            yield self._connection(_found)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, on the disk at the end; undone by any error. Raises `busy` and `full`, nothing being written."""
        with translated(self.path, self._busy, self._full):
            db = self._connection(_made)
            try:
                _begin(db, self._wait_seconds)
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # some errors have ended it themselves
                    db.execute("ROLLBACK")
                raise

    def _connection(self, opened: Callable[[Path, str, float], sqlite3.Connection | None]) -> sqlite3.Connection:
        kept: tuple[tuple[int, int] | None, sqlite3.Connection] | None = getattr(self._own, "kept", None)
        if kept is not None and kept[0] == self._identity():
            return kept[1]
        db = opened(self.path, self._schema, self._wait_seconds)
        if db is None:
            empty = sqlite3.connect(":memory:")
            empty.executescript(self._schema)
            return empty
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: 16 MB; a page changed many times is copied once
        db.execute("PRAGMA cache_size = -16000")  # KB
        self._own.kept = (self._identity(), db)
        return db

    def _identity(self) -> tuple[int, int] | None:
        """What tells the file from one of the same name made after it: an open connection would go on writing to a removed one."""
        try:
            there = os.stat(self.path)  # noqa: PTH116  # half the time of Path.stat, before every query
        except FileNotFoundError:
            return None
        return there.st_dev, there.st_ino


@contextmanager
def translated(path: Path, busy: type[PipelineError], full: type[PipelineError]) -> Iterator[None]:
    """What keeps SQLite from using the file at `path`, as our own errors: held by others for too long, no room, damaged."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if any(words in text for words in ("is full", "I/O error", "unable to open", "readonly")):
            raise full(_not_writable(path, text)) from error
        if "locked" in text:
            raise busy(f"{path} is held by another process for too long: {text}. Try again in a moment.") from error
        if _is_damage(text):
            raise FileDamaged(f"{path} is damaged: {text}. {remedy_of(path)}") from error
        raise
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        raise full(_not_writable(path, error.strerror or "")) from error


def remedy_of(path: Path) -> str:
    """What to do about a file that is damaged."""
    again = _REBUILT.get(path.name, "what it held can be put again")
    return f"Move it aside with the -wal and -shm beside it; then {again}."


def _is_damage(text: str) -> bool:
    return "malformed" in text or "not a database" in text


def _not_writable(path: Path, text: str) -> str:
    return f"{path} can't be written: {text}. Make room on its disk, then go on. If there is room, let this user write to its folder."


def _begin(db: sqlite3.Connection, wait_seconds: float) -> None:
    """Begin to write, once nobody else does. SQLite's own wait sleeps up to a tenth of a second, for longer than most writes take."""
    until = time.monotonic() + wait_seconds
    db.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
            else:
                return
            time.sleep(_LOOK_SECONDS)
    finally:
        db.execute(f"PRAGMA busy_timeout = {round(1000 * wait_seconds)}")


def _made(path: Path, schema: str, wait_seconds: float) -> sqlite3.Connection:
    """A connection to a file, which is made if need be."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=wait_seconds, isolation_level=None)
    try:
        if not _holds_schema(connection):
            # SQLite waits for nobody while it changes how a file is kept, so those who make one at once take turns.
            with (path.parent / f".{path.name}.making").open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = 1; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def _found(path: Path, _schema: str, wait_seconds: float) -> sqlite3.Connection | None:
    """A connection to a file that was made before; None if it wasn't."""
    if not path.exists():
        return None
    connection = sqlite3.connect(path, timeout=wait_seconds, isolation_level=None)
    return connection if _holds_schema(connection) else None


def _holds_schema(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA user_version").fetchone()[0])
