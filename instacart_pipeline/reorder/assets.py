"""The reorder assets: from a day's upload to the result table.

Belongs here: which service makes which table from what. The definitions themselves lie in sql/ and recipes/; what a table
is, in tables.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DailyPartitionsDefinition,
    MaterializeResult,
    multi_asset,
)

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ColumnsMissing, FileUnreadable, InputInvalid, UploadIncomplete
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.lake.rules import REJECTS_WITHIN_LIMIT, ROWS_ACCOUNTED, Rule
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.table_assets import (
    OWNERS,
    asset_key,
    check_specs,
    publish,
    service_metadata,
    table_asset,
    table_spec,
)
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.crawler import Crawl, CrawledTable, Crawler
from instacart_pipeline.resources.databrew import DataBrew
from instacart_pipeline.resources.glue import Glue, GlueJob
from instacart_pipeline.resources.intake import Intake

HERE = Path(__file__).parent
UPLOAD = AssetKey([t.SYSTEM, "raw", "upload"])
COLUMNS_AS_CONTRACTED = Rule("columns_as_contracted", "not_null", (), "Every file has all columns of the contract.")

Results = Iterator[AssetCheckResult | MaterializeResult[Any]]


def sql(name: str) -> Query:
    """A statement of this system's sql folder."""
    return Query.load(HERE / "sql" / f"{name}.sql")


def recipe(name: str) -> Recipe:
    """A recipe of this system's recipes folder."""
    return Recipe.load(HERE / "recipes" / f"{name}.json")


def build_assets(days: DailyPartitionsDefinition, *, result_files: int) -> list[AssetsDefinition | AssetSpec]:
    """All assets of the system, partitioned by `days`; the result table is written as `result_files` files."""
    return [
        AssetSpec(
            UPLOAD,
            description="A whole dump of the shop's five tables a day, as CSV, below raw/reorder/<table>/dt=<day>/.",
            group_name=f"{t.SYSTEM}_raw",
            kinds={"csv"},
            owners=OWNERS,
            partitions_def=days,
        ),
        _staging(days),
        *(_admission(staged, days) for staged in t.STAGED),
        *_order_products(days),
        *(_features(target, days) for target in (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES)),
        _result_table(days, result_files),
    ]


def _staging(days: DailyPartitionsDefinition) -> AssetsDefinition:
    @multi_asset(
        name="reorder_staging",
        description="One crawler run enters the day's files in the catalog.",
        specs=[table_spec(table, deps=[UPLOAD], kinds={"glue", "csv"}, partitions=days) for table in t.STAGED],
        check_specs=[spec for table in t.STAGED for spec in check_specs(table, [COLUMNS_AS_CONTRACTED], days)],
        can_subset=True,
        pool="crawler",
    )
    def reorder_staging(context: AssetExecutionContext, crawler: Crawler) -> Results:
        wanted = [table for table in t.STAGED if asset_key(table) in context.selected_asset_keys]
        crawl = crawler.crawl(wanted, context.partition_key)
        problem = _problem(crawl, context.partition_key)
        for found in crawl.tables.values():
            if found.version and not found.missing_columns:
                yield from _crawled(found, crawl)
        for found in crawl.tables.values():
            if found.missing_columns:
                yield _columns_check(found)
        if problem:
            raise problem

    return reorder_staging


def _crawled(found: CrawledTable, crawl: Crawl) -> Results:
    yield _columns_check(found)
    yield MaterializeResult(
        asset_key=asset_key(found.table),
        metadata={
            **service_metadata(crawl.service),
            "change": found.change,
            "files": list(found.files),
            "bytes": found.bytes,
            "dagster/uri": found.version.location if found.version else "",
            "version": found.version.name if found.version else "",
            "inferred_columns": dict(found.columns),
            "extra_columns": list(found.extra_columns),
            "seconds": round(crawl.seconds, 3),
        },
    )


def _columns_check(found: CrawledTable) -> AssetCheckResult:
    return AssetCheckResult(
        asset_key=asset_key(found.table),
        check_name=COLUMNS_AS_CONTRACTED.name,
        passed=not found.missing_columns,
        severity=AssetCheckSeverity.ERROR,
        description=(f"Missing: {', '.join(found.missing_columns)}. " if found.missing_columns else "")
        + (f"Not in the contract, ignored: {', '.join(found.extra_columns)}." if found.extra_columns else ""),
    )


def _problem(crawl: Crawl, dt: str) -> InputInvalid | None:
    """What keeps the day from being built, worst first, in words; None if nothing does."""
    tables = crawl.tables.values()
    missing = [found.table.name for found in tables if not found.files]
    if missing:
        there = ", ".join(found.table.name for found in tables if found.files) or "nothing"
        return UploadIncomplete(
            f"{t.SYSTEM} upload of {dt} lacks {', '.join(missing)} (found {there} under raw/{t.SYSTEM}/*/dt={dt}).\n"
            f"Upload it with `instacart-pipeline upload {t.SYSTEM} DIR --dt {dt}`; the sensor starts the day by itself once it is there."
        )
    unreadable = [found.problem for found in tables if found.problem]
    if unreadable:
        return FileUnreadable("\n".join(unreadable))
    lacking = [found for found in tables if found.missing_columns]
    if lacking:
        return ColumnsMissing(
            "\n".join(
                f"{found.table.name}: lacks {', '.join(found.missing_columns)}; unexpected: {', '.join(found.extra_columns) or 'none'}. "
                f"Its columns are {', '.join(found.table.column_names)}. Upload the file again with them."
                for found in lacking
            )
        )
    return None


def _admission(staged: TableContract, days: DailyPartitionsDefinition) -> AssetsDefinition:
    target = t.ADMITTED[staged]
    known = {column.references.table for column in target.columns if column.references}

    @table_asset(
        target,
        deps=[staged, *sorted(known, key=lambda table: table.name)],
        kinds={"athena", "parquet"},
        partitions=days,
        pool="athena",
        further_rules=[ROWS_ACCOUNTED, REJECTS_WITHIN_LIMIT],
    )
    def admitted(context: AssetExecutionContext, intake: Intake) -> Results:
        yield from publish(target, lambda: intake.admit(staged, target, context.partition_key))

    return admitted


def _order_products(days: DailyPartitionsDefinition) -> list[AssetsDefinition]:
    def of(target: TableContract) -> AssetsDefinition:
        @table_asset(
            target, deps=[t.ORDERS, t.ORDER_PRODUCTS], kinds={"athena", "parquet"}, partitions=days, pool="athena"
        )
        def order_products_of_a_set(context: AssetExecutionContext, athena: Athena) -> Results:
            yield from publish(target, lambda: athena.create_table_as(sql(target.name), target, context.partition_key))

        return order_products_of_a_set

    return [of(t.ORDER_PRODUCTS_PRIOR), of(t.ORDER_PRODUCTS_TRAIN)]


def _features(target: TableContract, days: DailyPartitionsDefinition) -> AssetsDefinition:
    @table_asset(target, deps=[t.ORDER_PRODUCTS_PRIOR], kinds={"databrew", "parquet"}, partitions=days, pool="databrew")
    def features(context: AssetExecutionContext, databrew: DataBrew) -> Results:
        source = t.ORDER_PRODUCTS_PRIOR
        yield from publish(target, lambda: databrew.run(recipe(target.name), source, target, context.partition_key))

    return features


def _result_table(days: DailyPartitionsDefinition, files: int) -> AssetsDefinition:
    deps = [t.UP_FEATURES, t.USER_FEATURES_1, t.USER_FEATURES_2, t.PRD_FEATURES]

    @table_asset(t.RESULT_TABLE, deps=deps, kinds={"glue", "parquet"}, partitions=days, pool="glue")
    def result_table(context: AssetExecutionContext, glue: Glue) -> Results:
        job = GlueJob("result_table", sql("result_table"), files)
        yield from publish(t.RESULT_TABLE, lambda: glue.run(job, t.RESULT_TABLE, context.partition_key))

    return result_table
