"""The reorder assets: from a day's upload to the result table.

Belongs here: which service makes which table from what. The definitions themselves lie in sql/ and recipes/; what a table
is, in tables.py.
"""

from pathlib import Path

from dagster import AssetExecutionContext, AssetsDefinition, AssetSpec, DailyPartitionsDefinition

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.table_assets import Results, publish, table_asset
from instacart_pipeline.orchestration.upload_assets import ingest_asset, staging_asset, upload_spec
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.databrew import DataBrew
from instacart_pipeline.resources.glue import Glue, GlueJob

HERE = Path(__file__).parent


def sql(name: str) -> Query:
    """A statement of this system's sql folder."""
    return Query.load(HERE / "sql" / f"{name}.sql")


def recipe(name: str) -> Recipe:
    """A recipe of this system's recipes folder."""
    return Recipe.load(HERE / "recipes" / f"{name}.json")


def build_assets(days: DailyPartitionsDefinition, *, result_files: int) -> list[AssetsDefinition | AssetSpec]:
    """All assets of the system, partitioned by `days`; the result table is written as `result_files` files."""
    return [
        upload_spec(
            t.SYSTEM, "A whole dump of the shop's five tables a day, as CSV, below raw/reorder/<table>/dt=<day>/.", days
        ),
        staging_asset(t.STAGED, days, _remedy),
        *(ingest_asset(staged, t.CURATED_TABLES[staged], days) for staged in t.STAGED),
        *_order_products(days),
        *(_features(target, days) for target in (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES)),
        _result_table(days, result_files),
    ]


def _remedy(dt: str) -> str:
    return f"Upload it with `instacart-pipeline upload {t.SYSTEM} DIR --dt {dt}`; the sensor starts the day by itself once it is there."


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
