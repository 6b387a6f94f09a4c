"""The retail assets in the lake: from a day's lines, by file and by the stream, to its transactions.

Belongs here: which service makes which table from what. The statement lies in sql/; what a table is, in tables.py. Doesn't: what is made of
transactions (warehouse_assets.py, analysis_assets.py).
"""

from pathlib import Path

from dagster import AssetExecutionContext, AssetsDefinition, AssetSpec, DailyPartitionsDefinition

from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.day_ranges import publish_days
from instacart_pipeline.orchestration.table_assets import Results, table_asset
from instacart_pipeline.orchestration.upload_assets import days_of, ingest_asset, staging_asset, upload_spec
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.glue import Glue, GlueJob
from instacart_pipeline.retail import tables as t

_SQL = Path(__file__).parent / "sql"


def sql(name: str) -> Query:
    """A statement of this system's sql folder."""
    return Query.load(_SQL / f"{name}.sql")


def build_assets(days: DailyPartitionsDefinition) -> list[AssetsDefinition | AssetSpec]:
    """The assets from raw files to transactions, partitioned by `days`. A run may take a range of days."""
    return [
        upload_spec(
            t.SYSTEM,
            "A day's lines of invoices: files of them below raw/retail/uploaded_lines/dt=<day>/, and what came by the stream below "
            "raw/retail/streamed_lines/dt=<day>/. Either or both.",
            days,
        ),
        staging_asset(t.STAGED, days, _remedy, any_makes_a_day=True, many_days_at_once=True),
        *(ingest_asset(staged, t.CURATED_TABLES[staged], days, arriving=t.STAGED) for staged in t.STAGED),
        _transactions(days),
    ]


def _remedy(dt: str) -> str:
    return (
        f"Upload its file with `instacart-pipeline upload {t.SYSTEM} DIR --dt {dt}`, or let `instacart-pipeline stream work` write what was sent "
        "to the stream; the sensor starts the day by itself once either is there."
    )


def _transactions(days: DailyPartitionsDefinition) -> AssetsDefinition:
    ingested = list(t.CURATED_TABLES.values())

    @table_asset(
        t.TRANSACTIONS, deps=ingested, kinds={"glue", "parquet"}, partitions=days, pool="glue", many_days_at_once=True
    )
    def transactions(context: AssetExecutionContext, glue: Glue, catalog: Catalog) -> Results:
        job = GlueJob("retail_transactions", sql("transactions"))
        yield from publish_days(
            context,
            t.TRANSACTIONS,
            lambda: days_of(catalog, t.STAGED),
            lambda dt: glue.run(job, t.TRANSACTIONS, dt),
        )

    return transactions
