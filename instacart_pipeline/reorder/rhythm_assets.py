"""The assets of what was known before each order: recency and rhythm, and the pairs the model is given.

Belongs here: which service makes which of these tables from what. What the tables are stands in model_tables.py, how they are computed
in sql/.
"""

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetExecutionContext,
    AssetsDefinition,
    DailyPartitionsDefinition,
    asset_check,
)

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.table_assets import Results, asset_key, publish, table_asset
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.glue import Glue, GlueJob

FURTHEST_BACK = 6
"""Most orders before the last one that serve as further examples."""


def build_rhythm_assets(
    days: DailyPartitionsDefinition, *, training_pairs: int, result_files: int
) -> list[AssetsDefinition]:
    """The assets, partitioned by `days`. About so many `training_pairs` are made; large tables are written as `result_files` files."""
    return [
        _athena_table(m.ORDER_CONTEXT, [t.ORDERS], days),
        _up_rhythm(days, training_pairs, result_files),
        _athena_table(m.USER_RHYTHM, [m.UP_RHYTHM, m.ORDER_CONTEXT], days),
        *(
            _athena_table(table, [m.UP_RHYTHM, t.PRODUCTS], days)
            for table in (m.PRD_RHYTHM, m.USER_AISLE_RHYTHM, m.USER_DEPARTMENT_RHYTHM)
        ),
        *(
            _pairs(target, open_orders, days, result_files)
            for target, open_orders in ((m.TRAINING_PAIRS, 0), (m.OPEN_PAIRS, 1))
        ),
    ]


def build_rhythm_checks(days: DailyPartitionsDefinition) -> list[AssetChecksDefinition]:
    """The checks that look across these tables, partitioned by `days`."""

    @asset_check(
        asset=asset_key(m.TRAINING_PAIRS),
        additional_deps=[asset_key(m.OPEN_PAIRS), asset_key(t.RESULT_TABLE)],
        blocking=True,
        partitions_def=days,
        description="Each pair of the result table is there once, as a pair of its user's last order, known or open.",
    )
    def pairs_are_those_of_the_result_table(
        context: AssetCheckExecutionContext, catalog: Catalog, athena: Athena
    ) -> AssetCheckResult:
        dt = context.partition_key
        counted = Query.parse(
            "last_orders",
            f"SELECT count(*) AS pairs FROM {m.TRAINING_PAIRS.qualified_name} WHERE dt = :dt AND orders_back = 0",  # noqa: S608  # a contract's name
        )
        known = int(athena.query(counted.bind(dt=dt)).table["pairs"][0].as_py())
        still_open, expected = catalog.current(m.OPEN_PAIRS, dt).rows, catalog.current(t.RESULT_TABLE, dt).rows
        return AssetCheckResult(
            passed=known + still_open == expected,
            description=f"{known:,} known + {still_open:,} open = {known + still_open:,} of {expected:,}",
            metadata={"known": known, "open": still_open, "result_table": expected},
        )

    return [pairs_are_those_of_the_result_table]


def _athena_table(
    target: TableContract, deps: list[TableContract], days: DailyPartitionsDefinition
) -> AssetsDefinition:
    @table_asset(target, deps=deps, kinds={"athena", "parquet"}, partitions=days, pool="athena")
    def rhythm(context: AssetExecutionContext, athena: Athena) -> Results:
        yield from publish(target, lambda: athena.create_table_as(sql(target.name), target, context.partition_key))

    return rhythm


def _up_rhythm(days: DailyPartitionsDefinition, training_pairs: int, files: int) -> AssetsDefinition:
    deps = [t.ORDER_PRODUCTS_PRIOR, m.ORDER_CONTEXT, t.RESULT_TABLE]

    @table_asset(m.UP_RHYTHM, deps=deps, kinds={"glue", "parquet"}, partitions=days, pool="glue")
    def up_rhythm(context: AssetExecutionContext, glue: Glue, catalog: Catalog) -> Results:
        # Where users are few, their earlier orders serve as further examples; where they are many, the last ones are enough.
        pairs = catalog.current(t.RESULT_TABLE, context.partition_key).rows
        windows = max(0, min(FURTHEST_BACK, training_pairs // max(1, pairs) - 1))
        context.log.info(f"{pairs:,} pairs of last orders; {windows} orders before each serve as further examples")
        job = GlueJob("up_rhythm", sql("up_rhythm").given(windows=windows), files)
        yield from publish(m.UP_RHYTHM, lambda: glue.run(job, m.UP_RHYTHM, context.partition_key))

    return up_rhythm


def _pairs(target: TableContract, open_orders: int, days: DailyPartitionsDefinition, files: int) -> AssetsDefinition:
    deps = [*m.FEATURE_TABLES, t.PRODUCTS, t.ORDER_PRODUCTS]

    @table_asset(target, deps=deps, kinds={"glue", "parquet"}, partitions=days, pool="glue")
    def pairs(context: AssetExecutionContext, glue: Glue) -> Results:
        job = GlueJob(target.name, sql("pairs").given(open=open_orders), files)
        yield from publish(target, lambda: glue.run(job, target, context.partition_key))

    return pairs
