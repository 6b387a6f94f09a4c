"""Running Redshift's statements on DuckDB: SQL through sqlglot, and COPY, UNLOAD and LOCK by their own forms.

Belongs here: what a transaction does and how it fails. Doesn't: statements as the API shows them (redshift.py).
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun, Stopped
from instacart_pipeline_tests.aws_double.objects import Objects

_TEXT = r"'((?:[^'\\]|''|\\.)*)'"
_COPY = re.compile(
    rf"COPY\s+(\S+)\s+FROM\s+{_TEXT}\s+IAM_ROLE\s+{_TEXT}\s+FORMAT\s+(?:AS\s+)?PARQUET", re.IGNORECASE | re.DOTALL
)
_UNLOAD = re.compile(
    rf"UNLOAD\s*\(\s*{_TEXT}\s*\)\s*TO\s+{_TEXT}\s+IAM_ROLE\s+{_TEXT}\s+FORMAT\s+(?:AS\s+)?PARQUET(\s+PARALLEL\s+OFF)?",
    re.IGNORECASE | re.DOTALL,
)
_LOCK = re.compile(r'LOCK\s+(?:TABLE\s+)?([\w".]+)', re.IGNORECASE)
_SCHEMA = """
CREATE SCHEMA pg_double;
CREATE VIEW pg_double.columns AS
SELECT schema_name AS table_schema, table_name, column_name, column_index AS ordinal_position,
       CASE WHEN data_type LIKE 'DECIMAL%' THEN 'numeric'
            ELSE coalesce(map {'VARCHAR': 'character varying', 'DOUBLE': 'double precision',
                               'TIMESTAMP': 'timestamp without time zone'}[data_type], lower(data_type)) END AS data_type,
       numeric_precision, numeric_scale
FROM duckdb_columns() WHERE database_name = 'memory' AND NOT internal AND schema_name NOT IN ('main', 'pg_double');
"""


@dataclass
class Answer:
    """What one statement came to: its columns (name, DuckDB's type) and rows; neither if it answers nothing."""

    columns: Sequence[tuple[str, str]] = ()
    rows: Sequence[tuple[Any, ...]] = ()
    changed: int = -1


Table = tuple[tuple[str, str], str, str, str, pa.Table]
"""Workgroup and database, schema, name, the statement that makes it, and its rows."""


class Engine:
    """The databases of every workgroup, in memory. `roles` are those that may read and write S3 for it; None: any."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._databases: dict[tuple[str, str], duckdb.DuckDBPyConnection] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def run(self, place: tuple[str, str], statements: Sequence[str], run: JobRun) -> list[Answer]:
        """Run statements as one transaction. Raises JobFailure, nothing having changed, and Stopped.

        Where DuckDB refuses two writers at once, one of them waits on Redshift: the transaction is begun again.
        """
        while True:
            connection = self._database(place).cursor()
            try:
                with run.stoppable_by(connection.interrupt), self._transaction(connection) as locked:
                    return [self._answer(connection, sql, number, locked) for number, sql in enumerate(statements, 1)]
            except duckdb.TransactionException:
                run.pause(0.02)
            except duckdb.InterruptException as error:
                raise Stopped from error
            finally:
                connection.close()

    def dump(self) -> list[Table]:
        """Every table with its rows."""
        found = []
        for place, connection in self._databases.items():
            tables = connection.execute(
                "SELECT schema_name, table_name, sql FROM duckdb_tables() WHERE NOT internal ORDER BY table_oid"
            ).fetchall()
            for schema, name, sql in tables:
                rows = connection.sql(f'SELECT * FROM "{schema}"."{name}"').to_arrow_table()
                found.append((place, schema, name, sql, rows))
        return found

    def load(self, tables: Sequence[Table]) -> None:
        """Make tables with their rows."""
        for place, schema, name, sql, rows in tables:
            connection = self._database(place)
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; {sql}')
            connection.register("given", rows)
            connection.execute(f'INSERT INTO "{schema}"."{name}" SELECT * FROM given')
            connection.unregister("given")

    def close(self) -> None:
        """Forget everything."""
        for connection in self._databases.values():
            connection.close()

    def _database(self, place: tuple[str, str]) -> duckdb.DuckDBPyConnection:
        with self._guard:
            if place not in self._databases:
                self._databases[place] = duckdb.connect(config={"threads": 2})
                self._databases[place].execute(f"SET GLOBAL integer_division = true; {_SCHEMA}")
            return self._databases[place]

    @contextmanager
    def _transaction(self, connection: duckdb.DuckDBPyConnection) -> Iterator[ExitStack]:
        with ExitStack() as locked:
            connection.execute("BEGIN")
            try:
                yield locked
                connection.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # it is rolled back already
                    connection.execute("ROLLBACK")
                raise

    def _answer(self, connection: duckdb.DuckDBPyConnection, sql: str, number: int, locked: ExitStack) -> Answer:
        try:
            if found := _LOCK.fullmatch(sql.strip()):
                return self._lock(found[1], locked)
            if found := _COPY.fullmatch(sql.strip()):
                return self._copy(connection, found[1], _unescaped(found[2]))
            if found := _UNLOAD.fullmatch(sql.strip()):
                return self._unload(connection, _unescaped(found[1]), _unescaped(found[2]))
            return _executed(connection, _translated(sql))
        except (duckdb.TransactionException, duckdb.InterruptException):
            raise
        except (duckdb.Error, SqlglotError) as error:
            raise JobFailure(f"Query #{number} failed with ERROR: {str(error).splitlines()[0]}") from error
        except JobFailure as failure:
            raise JobFailure(f"Query #{number} failed with ERROR: {failure}") from failure

    def _lock(self, table: str, locked: ExitStack) -> Answer:
        """Wait for the table. DuckDB's snapshot is taken by the first statement that reads, which comes after."""
        with self._guard:
            lock = self._locks.setdefault(table, threading.Lock())
        locked.enter_context(lock)
        return Answer()

    def _copy(self, connection: duckdb.DuckDBPyConnection, table: str, location: str) -> Answer:
        found = [each for each in self._objects.below(location) if each.size and not each.name.startswith((".", "_"))]
        if not found:
            raise JobFailure(f"The specified S3 prefix '{location}' does not exist")
        files = ", ".join(f"'{self._objects.fetch(each)}'" for each in found)
        wanted = connection.execute(f"DESCRIBE {table}").fetchall()
        given = connection.execute(f"DESCRIBE SELECT * FROM read_parquet([{files}])").fetchall()
        if [kind for _, kind, *_ in wanted] != [kind for _, kind, *_ in given]:
            raise JobFailure(
                f"Spectrum Scan Error: {location} has the columns {[row[:2] for row in given]}, {table} {[row[:2] for row in wanted]}"
            )
        connection.execute(f"INSERT INTO {table} SELECT * FROM read_parquet([{files}])")
        return Answer()

    def _unload(self, connection: duckdb.DuckDBPyConnection, select: str, location: str) -> Answer:
        if self._objects.below(location):
            raise JobFailure(
                "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix"
            )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "000.parquet"
            connection.execute(f"COPY ({_translated(select)}) TO '{path}' (FORMAT parquet)")
            rows = connection.execute(f"SELECT count(*) FROM '{path}'").fetchall()[0][0]
            if rows:
                self._objects.upload(path, f"{location}000.parquet")
        return Answer()


def _executed(connection: duckdb.DuckDBPyConnection, sql: str) -> Answer:
    if not sql.lstrip().upper().startswith(("SELECT", "WITH", "(")):
        connection.execute(sql)
        return Answer()
    columns = [(name, kind) for name, kind, *_ in connection.execute(f"DESCRIBE {sql}").fetchall()]
    return Answer(columns, connection.execute(sql).fetchall())


def _translated(sql: str) -> str:
    """A statement of Redshift as DuckDB takes it. Raises JobFailure on more than one, which the Data API does not take as one."""
    found = [each for each in sqlglot.parse(sql, read="redshift") if each is not None]
    if len(found) != 1:
        raise JobFailure(f"cannot insert multiple commands into a prepared statement: {sql}")
    for table in found[0].find_all(exp.Table):
        if (table.db, table.name) == ("information_schema", "columns"):
            table.set("db", exp.to_identifier("pg_double"))
    return found[0].sql("duckdb", comments=False)


def _unescaped(text: str) -> str:
    return re.sub(r"''|\\(.)", lambda found: found[1] or "'", text, flags=re.DOTALL)
