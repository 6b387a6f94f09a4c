"""Running portable SQL over the lake on DuckDB.

Belongs here: how a table of the catalog is read by DuckDB, and how a query's result is written as a new version of a
table. Doesn't: how a result is judged (engine/verification.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from instacart_pipeline.engine.connection import duckdb_type, quoted
from instacart_pipeline.engine.csv_files import csv_relation
from instacart_pipeline.engine.parquet import write
from instacart_pipeline.engine.verification import verify
from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import Version, lineage_of
from instacart_pipeline.resources.catalog import Catalog, CatalogTable, Partition
from instacart_pipeline.resources.catalog.inputs import inputs_of, schema_at
from instacart_pipeline.resources.local_machine.lake import LocalLake, VersionFolder
from instacart_pipeline.resources.published import Published, VersionRefused

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_UNNAMED = re.compile(r"^_col_(?=\d+$)")


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
        show(connection, table, partitions)


def show(connection: DuckDBPyConnection, table: CatalogTable, partitions: Sequence[Partition]) -> None:
    """Make a table of the catalog known to DuckDB as a view on these days of it."""
    connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{table.database}"')
    connection.execute(f'CREATE OR REPLACE VIEW "{table.database}"."{table.name}" AS {_relation(table, partitions)}')


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
    rows, outcomes = verify(connection, target, folder.path, {})
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


def arrow_rows(connection: DuckDBPyConnection, select: str, limit: int | None) -> tuple[pa.Table, bool]:
    """The rows of a SELECT, at most `limit` of them, as Athena would type and name them; and whether there are more."""
    described = connection.execute(f"DESCRIBE {select}").fetchall()
    # Athena sums whole numbers as bigint and calls a column without a name _col0; DuckDB differs in both.
    # Two columns may have one name, so they are told apart by their places.
    columns = ", ".join(
        f'"{place}"{"::BIGINT" if kind == "HUGEINT" else ""} AS {_identifier(_UNNAMED.sub("_col", name))}'
        for place, (name, kind, *_) in enumerate(described)
    )
    places = ", ".join(f'"{place}"' for place in range(len(described)))
    cut = f" LIMIT {limit + 1}" if limit is not None else ""
    table: pa.Table = connection.sql(f"SELECT {columns} FROM ({select}) AS made({places}){cut}").to_arrow_table()
    truncated = limit is not None and table.num_rows > limit
    return table.slice(0, limit) if truncated else table, truncated


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


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
