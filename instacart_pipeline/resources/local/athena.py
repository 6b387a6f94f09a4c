"""Athena on this machine: DuckDB over the local lake."""

import re
import time
from typing import TYPE_CHECKING

from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.athena import Athena, QueryResult
from instacart_pipeline.resources.inputs import schema_at
from instacart_pipeline.resources.local.engine import build, register
from instacart_pipeline.resources.local.lake import LocalLake
from instacart_pipeline.resources.published import Published

if TYPE_CHECKING:
    import pyarrow as pa

_UNNAMED = re.compile(r"^_col_(?=\d+$)")


class LocalAthena(Athena):
    """Runs Athena SQL on an embedded engine."""

    lake: ResourceDependency[LocalLake]

    def create_table_as(self, query: Query, target: TableContract, dt: str) -> Published:
        """See Athena."""
        return build(self.lake, query.bind(dt=dt), target, dt)

    def query(self, query: Query, limit: int | None = None) -> QueryResult:
        """See Athena."""
        started = time.perf_counter()
        with self.lake.engine() as connection:
            register(connection, self.lake.catalog, query)
            text = query.render("duckdb", schema_at(self.lake.catalog, query))
            described = connection.execute(f"DESCRIBE {text}").fetchall()
            # Athena sums whole numbers as bigint and calls a column without a name _col0; DuckDB differs in both.
            # Two columns may have one name, so they are told apart by their places.
            columns = ", ".join(
                f'"{place}"{"::BIGINT" if kind == "HUGEINT" else ""} AS {_quoted(_UNNAMED.sub("_col", name))}'
                for place, (name, kind, *_) in enumerate(described)
            )
            places = ", ".join(f'"{place}"' for place in range(len(described)))
            cut = f" LIMIT {limit + 1}" if limit is not None else ""
            table: pa.Table = connection.sql(f"SELECT {columns} FROM ({text}) AS made({places}){cut}").to_arrow_table()
        truncated = limit is not None and table.num_rows > limit
        return QueryResult(table.slice(0, limit) if truncated else table, truncated, time.perf_counter() - started)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
