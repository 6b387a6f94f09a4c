"""Athena on this machine: DuckDB over the local lake."""

import time

from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.athena import Athena, QueryResult
from instacart_pipeline.resources.catalog.inputs import schema_at
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.local_machine.queries import arrow_rows, build, register
from instacart_pipeline.resources.published import Published


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
            table, truncated = arrow_rows(connection, text, limit)
        return QueryResult(table, truncated, time.perf_counter() - started)
