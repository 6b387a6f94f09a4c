"""A day of the system made by its services, table by table, without Dagster: what a run makes, at a tenth of its cost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import recipe, sql
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline_tests.platform import DT, Platform

STAGED_OF = {ingested: staged for staged, ingested in t.CURATED_TABLES.items()}
MADE = (*t.CURATED_TABLES.values(), *t.DERIVED)
"""The tables that a run makes, in an order in which they can be made."""


def make(platform: Platform, table: TableContract, dt: str = DT) -> Version:
    """Make one table of a day by the service that its asset uses."""
    resources = platform.resources
    if table in STAGED_OF:
        return resources.ingest.ingest_table(STAGED_OF[table], table, dt).version
    if table in (t.ORDER_PRODUCTS_PRIOR, t.ORDER_PRODUCTS_TRAIN):
        return resources.athena.create_table_as(sql(table.name), table, dt).version
    if table is t.RESULT_TABLE:
        return resources.glue.run(GlueJob(table.name, sql(table.name)), table, dt).version
    return resources.databrew.run(recipe(table.name), t.ORDER_PRODUCTS_PRIOR, table, dt).version


def build(platform: Platform, upload: Path, dt: str = DT, tables: Iterable[TableContract] = MADE) -> Platform:
    """Upload a day, and make tables of it."""
    platform.upload(upload, dt)
    platform.resources.crawler.crawl(t.STAGED, dt)
    for table in tables:
        make(platform, table, dt)
    return platform
