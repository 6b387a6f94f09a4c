"""A SQLite file that any number of processes share, for what is kept on this machine.

Belongs here: making it, transactions on it, and its troubles in words. Doesn't: what is in it (catalog.py, stream.py, ...).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instacart_pipeline.lake.errors import PipelineError

_WAIT_SECONDS = 60.0
"""How long a writer waits for another. A transaction here takes milliseconds; only a stopped process holds one longer."""


@contextmanager
def transaction(path: Path, schema: str, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A transaction on the file at `path`, which is made with `schema` on first use. An error inside undoes it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = 1; COMMIT;")
        # A writer takes its place in the queue before it reads, so that what it decides on can't change under it.
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def translated(path: Path, busy: type[PipelineError], full: type[PipelineError]) -> Iterator[None]:
    """What keeps SQLite from writing the file at `path`, as our own errors: held by others for too long, or no room."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "is full" in text or "I/O error" in text:
            raise full(f"{path} can't grow: {text}. Make room on its disk, then go on.") from error
        if "locked" in text:
            raise busy(f"{path} is held by another process for too long: {text}. Try again in a moment.") from error
        raise
