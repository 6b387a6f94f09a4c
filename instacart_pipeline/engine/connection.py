"""The embedded engine itself: DuckDB within limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instacart_pipeline.lake.errors import JobFailed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


_LEAST_MEMORY = 200_000_000


@contextmanager
def connected(memory: int, threads: int, spill: Path) -> Iterator[DuckDBPyConnection]:
    """An engine of its own, of at most so many bytes and threads, that spills to the folder `spill`.

    What the engine raises inside the block leaves it as JobFailed.
    """
    import duckdb  # noqa: PLC0415  # engines are loaded where they are used, so that importing definitions stays cheap

    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{max(memory, _LEAST_MEMORY)}B",
        "threads": threads,
        "temp_directory": str(spill),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
    }
    connection = duckdb.connect(config=limits)
    try:
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except duckdb.OutOfMemoryException as error:
        raise JobFailed(f"The embedded engine ran out of its memory. Raise INSTACART_MEMORY.\n{error}") from error
    except duckdb.Error as error:
        raise JobFailed(f"The embedded engine failed: {error}") from error
    finally:
        connection.close()


_TYPES = {"string": "VARCHAR"}


def duckdb_type(name: str) -> str:
    """DuckDB's name of a lake column type."""
    return _TYPES.get(name, name)


def quoted(text: str) -> str:
    """`text` as a string literal."""
    return "'" + text.replace("'", "''") + "'"


def one_row(connection: DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """The single row of a query that always gives one, such as an aggregate."""
    row = connection.execute(sql).fetchone()
    if row is None:
        raise AssertionError(f"no row from {sql}")
    return tuple(row)
