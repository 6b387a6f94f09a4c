"""Running portable SQL over the lake on DuckDB.

Belongs here: how a table of the catalog is read by DuckDB, and how a query's result is written as a new version of a
table. Doesn't: how a result is judged (verify.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlglot import exp

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import Version, lineage_of
from instacart_pipeline.resources.catalog import Catalog, CatalogTable, Partition
from instacart_pipeline.resources.inputs import inputs_of, schema_at
from instacart_pipeline.resources.local.csv_files import csv_relation
from instacart_pipeline.resources.local.duckdb_sql import duckdb_type, quoted
from instacart_pipeline.resources.local.lake import LocalLake, VersionFolder
from instacart_pipeline.resources.local.verify import verify
from instacart_pipeline.resources.published import Published, VersionRefused

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def register(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    query: Query,
    dt: str | None = None,
    inputs: Mapping[str, Version] | None = None,
) -> None:
    """Make the tables a query reads known to DuckDB as views: all their days, or `dt` alone at the versions `inputs`."""
    for database, name in query.tables():
        table = catalog.table(database, name)
        if dt is not None and inputs is not None:
            # Not what the catalog says by now: rows and lineage must be of one and the same version.
            version = inputs[table.qualified_name]
            partitions: Sequence[Partition] = [Partition(dt, version.location, version.parameters())]
        else:
            partitions = catalog.partitions(database, name)
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{database}"')
        connection.execute(f'CREATE OR REPLACE VIEW "{database}"."{name}" AS {_relation(table, partitions)}')


def build(
    lake: LocalLake,
    query: Query,
    target: TableContract,
    dt: str,
    *,
    files: int = 1,
    service: Mapping[str, str | int | float] | None = None,
) -> Published:
    """Publish the result of `query`, its tables read at day `dt`, as `target` at `dt`, in `files` Parquet files.

    Raises VersionRefused, leaving the version before in place, if the result breaks the target's contract.
    """
    started = time.perf_counter()
    inputs = inputs_of(lake.catalog, query, dt)
    lineage = lineage_of(inputs)
    with lake.new_version(target, dt) as folder, lake.engine() as connection:
        register(connection, lake.catalog, query, dt, inputs)
        tree = query.qualified(schema_at(lake.catalog, query))
        write(connection, tree.sql("duckdb", comments=False), target, folder.path, files, _constants(tree))
        return finish(lake, connection, target, dt, folder, lineage, started, service or {})


def write(
    connection: DuckDBPyConnection,
    select: str,
    target: TableContract,
    folder: Path,
    files: int = 1,
    constants: Mapping[str, str] | None = None,
) -> None:
    """Write a SELECT's rows to Parquet in `folder`, columns in the contract's order and types, rows in its sort order.

    `constants` names columns that are one literal throughout; they are added after the sort, which need not carry them.
    """
    fixed = constants or {}
    varying = ", ".join(
        f'CAST("{c.name}" AS {duckdb_type(c.type)}) AS "{c.name}"' for c in target.columns if c.name not in fixed
    )
    columns = ", ".join(
        f'CAST({fixed[c.name]} AS {duckdb_type(c.type)}) AS "{c.name}"' if c.name in fixed else f'"{c.name}"'
        for c in target.columns
    )
    order = f" ORDER BY {', '.join(target.sorted_by)}" if target.sorted_by else ""
    rows = f"(SELECT {varying} FROM ({select}){order})"
    if files == 1:
        to = quoted(str(folder / "part-00000.parquet"))
        connection.execute(f"COPY (SELECT {columns} FROM {rows}) TO {to} (FORMAT parquet)")
        return
    spread = ", ".join(f'"{name}"' for name in target.key)
    connection.execute(
        f"COPY (SELECT {columns}, hash({spread}) % {files} AS part FROM {rows})"
        f" TO {quoted(str(folder))} (FORMAT parquet, PARTITION_BY (part), OVERWRITE_OR_IGNORE)"
    )
    for number, path in enumerate(sorted(folder.glob("part=*/*.parquet"))):
        path.rename(folder / f"part-{number:05}.parquet")
    for emptied in folder.glob("part=*"):
        emptied.rmdir()
    if not any(folder.glob("*.parquet")):
        write(
            connection, select, target, folder, constants=constants
        )  # no row went to any part, but a table has a file all the same


def finish(
    lake: LocalLake,
    connection: DuckDBPyConnection,
    target: TableContract,
    dt: str,
    folder: VersionFolder,
    lineage: Mapping[str, str],
    started: float,
    service: Mapping[str, str | int | float],
) -> Published:
    """Hold a written version to its contract and publish it. Raises VersionRefused if it breaks the contract."""
    rows, outcomes = verify(connection, lake, target, dt, folder.path)
    if not all(outcome.passed for outcome in outcomes):
        raise VersionRefused(target, dt, outcomes)
    size = sum(path.stat().st_size for path in folder.path.glob("*.parquet"))
    version = Version(folder.name, str(folder.path), rows, size, lineage, outcomes)
    lake.catalog.put_table(CatalogTable.of(target, lake.zones.table(target)))
    current = lake.publish(target, dt, version)
    seconds = time.perf_counter() - started
    return Published(target, dt, current, seconds, superseded=current.name != version.name, service=service)


def _constants(tree: exp.Query) -> dict[str, str]:
    """The columns of a query that are literals, with their SQL."""
    named = {selected.alias_or_name: selected.unalias() for selected in tree.selects}
    return {name: value.sql("duckdb") for name, value in named.items() if isinstance(value, exp.Literal)}


def parquet_relation(locations: Sequence[str]) -> str:
    """The rows of version folders, their day in the column dt."""
    globs = ", ".join(quoted(f"{location}/*.parquet") for location in locations)
    return f"read_parquet([{globs}], hive_partitioning = true, hive_types = {{'{PARTITION}': VARCHAR}}, union_by_name = {len(locations) > 1})"


def _relation(table: CatalogTable, partitions: Sequence[Partition]) -> str:
    names = ", ".join(f'"{name}"' for name in (*dict(table.columns), *table.partition_keys))
    if not partitions:
        empty = ", ".join(
            f'CAST(NULL AS {duckdb_type(kind)}) AS "{name}"' for name, kind in (*table.columns, (PARTITION, "string"))
        )
        return f"SELECT {empty} WHERE false"
    if table.parameters.get("classification") == "csv":
        days = (
            f"SELECT *, {quoted(p.dt)} AS {PARTITION} FROM ({csv_relation(p.location, table.columns)})"
            for p in partitions
        )
        return " UNION ALL ".join(days)
    return f"SELECT {names} FROM {parquet_relation([partition.location for partition in partitions])}"
