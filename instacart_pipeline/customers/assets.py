"""The customers assets in the lake: from a week's upload to one row a customer.

Belongs here: which service makes which table from what. The statements lie in sql/; what a table is, in tables.py. Doesn't: what is made of
the customers (segment_assets.py, mart_assets.py).
"""

from datetime import date
from pathlib import Path

from dagster import AssetExecutionContext, AssetsDefinition, AssetSpec, TimeWindowPartitionsDefinition

from instacart_pipeline.customers import tables as t
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.table_assets import Results, publish, table_asset
from instacart_pipeline.orchestration.upload_assets import ingest_asset, staging_asset, upload_spec
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.glue import Glue, GlueJob

_SQL = Path(__file__).parent / "sql"


def sql(name: str) -> Query:
    """A statement of this system's sql folder."""
    return Query.load(_SQL / f"{name}.sql")


def a_year_before(dt: str) -> date:
    """The same date a year earlier, the first day of "the last year" as of `dt`; of 29 February the 28th."""
    day = date.fromisoformat(dt)
    if (day.month, day.day) == (2, 29):
        return date(day.year - 1, 2, 28)
    return day.replace(year=day.year - 1)


def build_assets(weeks: TimeWindowPartitionsDefinition) -> list[AssetsDefinition | AssetSpec]:
    """The assets from raw files to customers_features.customers, partitioned by `weeks`."""
    return [
        upload_spec(
            t.SYSTEM,
            "A whole dump of the shop's seven tables a week, as CSV, below raw/customers/<table>/dt=<Monday>/.",
            weeks,
        ),
        staging_asset(t.STAGED, weeks, _remedy),
        *(ingest_asset(staged, t.CURATED_TABLES[staged], weeks) for staged in t.STAGED),
        _athena_table(t.NEAREST_CENTERS, [t.USERS, t.DISTRIBUTION_CENTERS], weeks),
        _purchases(weeks),
        _glue_table(t.TRAFFIC_SOURCES, [t.EVENTS, t.USERS], weeks),
        _glue_table(t.CUSTOMERS, [t.USERS, t.NEAREST_CENTERS, t.PURCHASES, t.TRAFFIC_SOURCES], weeks),
    ]


def _remedy(dt: str) -> str:
    return f"Upload it with `instacart-pipeline upload {t.SYSTEM} DIR --dt {dt}`; the sensor starts the week by itself once it is there."


def _athena_table(
    target: TableContract, deps: list[TableContract], weeks: TimeWindowPartitionsDefinition
) -> AssetsDefinition:
    @table_asset(target, deps=deps, kinds={"athena", "parquet"}, partitions=weeks, pool="athena")
    def by_athena(context: AssetExecutionContext, athena: Athena) -> Results:
        yield from publish(target, lambda: athena.create_table_as(sql(target.name), target, context.partition_key))

    return by_athena


def _glue_table(
    target: TableContract, deps: list[TableContract], weeks: TimeWindowPartitionsDefinition
) -> AssetsDefinition:
    @table_asset(target, deps=deps, kinds={"glue", "parquet"}, partitions=weeks, pool="glue")
    def by_glue(context: AssetExecutionContext, glue: Glue) -> Results:
        job = GlueJob(f"{t.SYSTEM}_{target.name}", sql(target.name))
        yield from publish(target, lambda: glue.run(job, target, context.partition_key))

    return by_glue


def _purchases(weeks: TimeWindowPartitionsDefinition) -> AssetsDefinition:
    deps = [t.ORDER_ITEMS, t.INVENTORY_ITEMS, t.USERS]

    @table_asset(t.PURCHASES, deps=deps, kinds={"athena", "parquet"}, partitions=weeks, pool="athena")
    def purchases(context: AssetExecutionContext, athena: Athena) -> Results:
        dt = context.partition_key
        query = sql("purchases").given(since=a_year_before(dt))
        yield from publish(t.PURCHASES, lambda: athena.create_table_as(query, t.PURCHASES, dt))

    return purchases
