"""Weeks of generated dumps, as tests of the whole customers system bring them and compare them."""

from __future__ import annotations

from pathlib import Path

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers import tables as t
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline_tests.customers.test_mart_assets import rows_of
from instacart_pipeline_tests.platform import Platform, Row

MADE = (*t.DERIVED, *m.MART_TABLES)


def upload(platform: Platform, folder: Path, dt: str) -> None:
    """Put a dump into the raw zone."""
    for table in t.STAGED:
        platform.storage.put(t.SYSTEM, table.name, dt, [folder / f"{table.name}.csv"])


def everything(platform: Platform, dt: str) -> dict[TableContract, list[Row]]:
    """The rows of all that is made of a week, by table, and those of all weeks in the warehouse."""
    lake = {table: platform.rows(table, dt) for table in MADE}
    return lake | {table: rows_of(platform.resources.warehouse, table) for table in m.WAREHOUSE_TABLES}
