"""The statements of the customers system on an engine in memory: hand-made curated rows in, the figures of customers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.assets import a_year_before, sql
from instacart_pipeline.engine.connection import duckdb_type
from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.sql import Query, schema_of
from instacart_pipeline.resources.athena import QueryResult
from instacart_pipeline_tests.customers.shop import DT, curated
from instacart_pipeline_tests.platform import Row

TABLES = (*t.CURATED_TABLES.values(), *t.DERIVED, m.CUSTOMER_SEGMENTS)
BUILT = (t.NEAREST_CENTERS, t.PURCHASES, t.TRAFFIC_SOURCES, t.CUSTOMERS)
"""In the order in which they are made of each other."""


class Statements:
    """The curated tables by hand, and what the statements of the assets make of them."""

    def __init__(self) -> None:
        self.engine = duckdb.connect(config={"threads": 1})
        for database in {table.database for table in TABLES}:
            self.engine.execute(f"CREATE SCHEMA {database}")
        for table in TABLES:
            columns = ", ".join(f'"{column.name}" {duckdb_type(str(column.type))}' for column in table.columns)
            self.engine.execute(f"CREATE TABLE {table.qualified_name} ({columns}, {PARTITION} VARCHAR)")

    def put(self, users: Sequence[Row] = (), *, dt: str = DT, **rows: Any) -> None:
        """A week of curated tables; `rows` are those that Shop.put takes."""
        for table, made in curated(users, **rows).items():
            self.put_rows(table, made, dt)

    def put_rows(self, table: TableContract, rows: Sequence[Row], dt: str = DT) -> None:
        """Rows in the place of those that a week of a table had."""
        self.engine.execute(f"DELETE FROM {table.qualified_name} WHERE {PARTITION} = '{dt}'")
        if rows:
            whole = [{**{name: row.get(name) for name in table.column_names}, PARTITION: dt} for row in rows]
            self.engine.register("made", pa.Table.from_pylist(whole))
            self.engine.execute(f"INSERT INTO {table.qualified_name} BY NAME SELECT * FROM made")
            self.engine.unregister("made")

    def build(self, dt: str = DT) -> None:
        """Make every derived table."""
        for table in BUILT:
            names = ", ".join(table.column_names)
            self.engine.execute(f"DELETE FROM {table.qualified_name} WHERE {PARTITION} = '{dt}'")
            self.engine.execute(f"INSERT INTO {table.qualified_name} SELECT {names}, '{dt}' FROM ({_made(table, dt)})")

    def customers(self, dt: str = DT) -> dict[int, Row]:
        """The derived tables built anew, and the rows of customers by user."""
        self.build(dt)
        return {row["user_id"]: row for row in self.rows(t.CUSTOMERS, dt)}

    def customer(self, number: int = 1, dt: str = DT) -> Row:
        """The row of one customer, built anew."""
        return self.customers(dt)[number]

    def rows(self, table: TableContract, dt: str = DT) -> list[Row]:
        """A week of a table, sorted."""
        return self.sql(
            f"SELECT * EXCLUDE ({PARTITION}) FROM {table.qualified_name} WHERE {PARTITION} = '{dt}' ORDER BY ALL"
        )

    def query(self, query: Query) -> QueryResult:
        """As Athena's."""
        text = query.render("duckdb", schema_of([*TABLES]))
        return QueryResult(self.engine.sql(text).to_arrow_table(), truncated=False, seconds=0.0)

    def sql(self, statement: str) -> list[Row]:
        """The rows of a query."""
        rows: list[Row] = self.engine.sql(statement).to_arrow_table().to_pylist()
        return rows


@cache
def _made(table: TableContract, dt: str) -> str:
    """The SQL that makes a week of a table, which takes longer to write than to run."""
    query = sql(table.name)
    if table is t.PURCHASES:
        query = query.given(since=a_year_before(dt))
    return query.bind(dt=dt).render("duckdb", schema_of([*TABLES]))
