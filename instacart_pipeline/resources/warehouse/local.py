"""The warehouse on this machine: a DuckDB file.

DuckDB lets one process at a time write a file, and none read it meanwhile. So the file is opened for each operation alone, under a
lock (flock) that writers hold by themselves and readers share: whoever comes in between waits, and the kernel lets go of the
lock when a process ends, however it ends. What a killed load had not committed is gone when the file is next opened.
"""

import fcntl
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import ResourceDependency

from instacart_pipeline.engine.connection import duckdb_type, one_row, quoted
from instacart_pipeline.engine.parquet import write
from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.rule_sql import outcomes, verification
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.sql import Query, Schema
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.resources.athena import QueryResult
from instacart_pipeline.resources.catalog.inputs import schema_at
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.local_machine.queries import arrow_rows, finish, show
from instacart_pipeline.resources.published import Published, VersionRefused
from instacart_pipeline.resources.warehouse import Loaded, Warehouse
from instacart_pipeline.resources.warehouse.loads import (
    DAY,
    Load,
    at_day,
    columns_of,
    format_days,
    lineages,
    loads_of,
    newest,
    over_days,
    require_columns,
    sources_of,
    table_not_found_error,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_STAGED, _TOGETHER = "staged", "together"
"""Schemas of the engine's memory: the rows to be loaded, and those together with the rows that stay."""
_STORAGE_VERSION = "v1.0.0"
"""The oldest DuckDB whose drivers open the file."""
_LAKE_TYPES = {"varchar": "string", "integer": "int"}


class LocalWarehouse(Warehouse):
    """The warehouse in the file warehouse.duckdb below the lake's home."""

    lake: ResourceDependency[LocalLake]

    def load(self, query: Query, target: TableContract, days: Sequence[str]) -> Loaded:
        """See Warehouse."""
        started = time.perf_counter()
        with self._opened(writing=True) as connection:
            table, partitions = sources_of(self.lake.catalog, query, days)
            schema = schema_at(self.lake.catalog, query)
            _stage_table(connection, target)
            if at_once := over_days(query):
                show(connection, table, partitions)
                _stage(connection, target, at_once.render("duckdb", schema), f'"{DAY}"')
            else:
                for partition in partitions:
                    show(connection, table, [partition])
                    select = at_day(query, partition.dt).render("duckdb", schema)
                    _stage(connection, target, select, quoted(partition.dt))
            return _swap(connection, target, set(days), lineages(table, partitions), started)

    def rebuild(self, query: Query, target: TableContract, dt: str) -> Loaded:
        """See Warehouse."""
        started = time.perf_counter()
        with self._opened(writing=True) as connection:
            bound = at_day(query, dt)
            schema, lineage = _registered(connection, bound)
            _stage_table(connection, target)
            _stage(connection, target, bound.render("duckdb", schema), quoted(dt))
            days = {dt, *_loads(connection, target.database, target.name)}
            return _swap(connection, target, days, {dt: lineage}, started)

    def publish(self, query: Query, target: TableContract, dt: str) -> Published:
        """See Warehouse."""
        started = time.perf_counter()
        with self._opened() as connection:
            bound = at_day(query, dt)
            schema, lineage = _registered(connection, bound)
            select = bound.render("duckdb", schema)
            with self.lake.new_version(target, dt) as folder:
                write(connection, select, target, folder.path)
                return finish(self.lake, connection, target, dt, folder, lineage, started, {})

    def query(self, query: Query, limit: int | None = None) -> QueryResult:
        """See Warehouse."""
        started = time.perf_counter()
        with self._opened() as connection:
            schema, _ = _registered(connection, query)
            rows, truncated = arrow_rows(connection, query.render("duckdb", schema), limit)
        return QueryResult(rows, truncated, time.perf_counter() - started)

    def loads(self, table: TableContract) -> Mapping[str, Load]:
        """See Warehouse."""
        with self._opened() as connection:
            return _loads(connection, table.database, table.name)

    @contextmanager
    def _opened(self, *, writing: bool = False) -> Iterator["DuckDBPyConnection"]:
        """An engine with the file attached as `warehouse`; an empty one in its place if there is none to be read."""
        home = Path(self.lake.home)
        home.mkdir(parents=True, exist_ok=True)
        path = home / "warehouse.duckdb"
        with (home / ".warehouse").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX if writing else fcntl.LOCK_SH)
            with self.lake.engine() as connection:
                if writing:
                    # BI tools bring a DuckDB of their own, often an older one. A file that is there keeps the version it has.
                    version = "" if path.exists() else f" (STORAGE_VERSION '{_STORAGE_VERSION}')"
                    connection.execute(f"ATTACH {quoted(str(path))} AS warehouse{version}")
                elif path.exists():
                    connection.execute(f"ATTACH {quoted(str(path))} AS warehouse (READ_ONLY)")
                else:
                    connection.execute("ATTACH ':memory:' AS warehouse")
                yield connection


def _tables(connection: "DuckDBPyConnection") -> dict[str, dict[str, str]]:
    """The columns of every table of the warehouse, by qualified name."""
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, column_name, lower(data_type) FROM duckdb_columns()"
        " WHERE database_name = 'warehouse' AND NOT internal ORDER BY 1, column_index"
    ).fetchall()
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = _LAKE_TYPES.get(kind, kind)
    return found


def _registered(connection: "DuckDBPyConnection", query: Query) -> tuple[Schema, dict[str, str]]:
    """Make the warehouse's tables that a query reads known by their names; their columns, and the newest load of each.

    Of tables rebuilt from others of the warehouse, the lineage goes on to those.
    """
    there_is = _tables(connection)
    schema: dict[str, dict[str, dict[str, str]]] = {}
    lineage = []
    for database, name in query.tables():
        if f"{database}.{name}" not in there_is:
            raise table_not_found_error(query, f"{database}.{name}", there_is)
        schema.setdefault(database, {})[name] = there_is[f"{database}.{name}"]
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{database}"')
        connection.execute(f'CREATE VIEW "{database}"."{name}" AS SELECT * FROM warehouse."{database}"."{name}"')
        loads = _loads(connection, database, name).values()
        lineage += [{f"{database}.{name}": load.version} for load in loads]
        lineage += [load.within_warehouse for load in loads]
    return schema, newest(lineage)


def _loads(connection: "DuckDBPyConnection", database: str, name: str) -> dict[str, Load]:
    """The loads of a table by day; none if nothing was ever loaded."""
    loads = loads_of(database)
    if loads.qualified_name not in _tables(connection):
        return {}
    rows = connection.execute(
        f"SELECT dt, version, row_count, lineage FROM {_stored(loads)} WHERE table_name = ? ORDER BY dt",
        [name],
    ).fetchall()
    return {row[0]: Load.of(*row) for row in rows}


def _stage_table(connection: "DuckDBPyConnection", target: TableContract) -> None:
    connection.execute(f"CREATE SCHEMA {_STAGED}; CREATE TABLE {_STAGED}.{target.name} ({_columns(target)})")


def _stage(connection: "DuckDBPyConnection", target: TableContract, select: str, dt: str) -> None:
    """Stage the rows of a SELECT in the contract's columns and types. `dt` is SQL: a literal, or a column of the SELECT."""
    columns = ", ".join(f'CAST("{c.name}" AS {duckdb_type(c.type)})' for c in target.columns)
    connection.execute(f"INSERT INTO {_STAGED}.{target.name} SELECT {columns}, {dt} FROM ({select})")


def _swap(
    connection: "DuckDBPyConnection",
    target: TableContract,
    days: Collection[str],
    lineage: Mapping[str, Mapping[str, str]],
    started: float,
) -> Loaded:
    """Put the staged rows in the place of those of `days`, if they meet the contract. `lineage` has the days that are loaded."""
    loads, version = loads_of(target.database), new_version()
    stored, staged = _stored(target), f"{_STAGED}.{target.name}"
    replaced = f"{PARTITION} IN ({', '.join(quoted(dt) for dt in days)})"
    anew = _is_made_anew(connection, target, days)
    judged = _judged(connection, target, "" if anew else f"SELECT * FROM {stored} WHERE NOT {replaced}")
    if not all(outcome.passed for outcome in judged):
        raise VersionRefused(target, format_days(days), judged)
    counts = dict(connection.execute(f"SELECT {PARTITION}, count(*) FROM {staged} GROUP BY 1").fetchall())
    connection.execute("BEGIN")
    connection.execute(f'CREATE SCHEMA IF NOT EXISTS warehouse."{target.database}"')
    if anew:
        connection.execute(f"DROP TABLE IF EXISTS {stored}; CREATE TABLE {stored} ({_columns(target)})")
    else:
        connection.execute(f"DELETE FROM {stored} WHERE {replaced}")
    connection.execute(f"INSERT INTO {stored} SELECT * FROM {staged}")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {_stored(loads)} ({_columns(loads)})")
    connection.execute(f"DELETE FROM {_stored(loads)} WHERE table_name = {quoted(target.name)} AND {replaced}")
    for dt, origin in lineage.items():
        record = Load(dt, version, counts.get(dt, 0), origin)
        connection.execute(
            f"INSERT INTO {_stored(loads)} VALUES (?, ?, ?, ?, ?, ?)",
            [target.name, version, record.loaded_at, record.rows, record.lineage_json, dt],
        )
    connection.execute("COMMIT")
    (total,) = one_row(connection, f"SELECT count(*) FROM {stored}")
    seconds = time.perf_counter() - started
    return Loaded(target, sum(counts.values()), total, version, judged, seconds, newest(lineage.values()))


def _is_made_anew(connection: "DuckDBPyConnection", target: TableContract, days: Collection[str]) -> bool:
    """Whether the table is to be made: there is none, or one of other columns, no day of which stays. Raises WarehouseOutdated if one would."""
    has = _tables(connection).get(target.qualified_name)
    if has and not set(_loads(connection, target.database, target.name)) <= set(days):
        require_columns(target, has, columns_of(target))
    return has != columns_of(target)


def _judged(connection: "DuckDBPyConnection", target: TableContract, staying: str) -> tuple[Outcome, ...]:
    """What comes of each rule for the staged rows; none of them may be doubled among the rows that stay either."""
    source, together = f"{_STAGED}.{target.name}", ""
    schema = {_STAGED: {target.name: columns_of(target)}}
    if staying:
        together = f"{_TOGETHER}.{target.name}"
        schema[_TOGETHER] = schema[_STAGED]
        connection.execute(
            f"CREATE SCHEMA {_TOGETHER}; CREATE VIEW {together} AS SELECT * FROM {source} UNION ALL {staying}"
        )
    statement = Query.parse(target.name, verification(target, source, "", together)).render("duckdb", schema)
    found = connection.execute(statement)
    names = [name for name, *_ in found.description or ()]
    return outcomes(target, dict(zip(names, found.fetchone() or (), strict=True)))[1]


def _stored(table: TableContract) -> str:
    """A table in the file, as SQL names it."""
    return f'warehouse."{table.database}"."{table.name}"'


def _columns(table: TableContract) -> str:
    return ", ".join(f'"{name}" {duckdb_type(kind)}' for name, kind in columns_of(table).items())
