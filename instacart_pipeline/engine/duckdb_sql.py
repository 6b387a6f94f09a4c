"""Small pieces of DuckDB's SQL that the local backends share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

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
