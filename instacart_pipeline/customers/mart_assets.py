"""The customer mart and the profiles of its segments, as assets: made in the lake, drawn, and loaded into the warehouse.

Belongs here: which statement makes which table, the pictures' counts, and the check that the warehouse has what the lake has. The statements
lie in sql/mart/ and sql/warehouse/; what a table is, in mart_tables.py. Doesn't: who is in which segment (segment_assets.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetExecutionContext,
    AssetsDefinition,
    WeeklyPartitionsDefinition,
    asset_check,
)

from instacart_pipeline.customers import charts
from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers.tables import CUSTOMERS
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.pictures import picture
from instacart_pipeline.orchestration.table_assets import Results, asset_key, load, publish, table_asset
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.glue import Glue, GlueJob
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.warehouse import Warehouse

SQL = Path(__file__).parent / "sql"
WAREHOUSE_POOL = "warehouse"
ADDED_UP: Mapping[TableContract, tuple[str, ...]] = {
    m.WAREHOUSE_MART: ("orders", "items", "returns", "spend", "refunds", "gross_margin", "segment"),
    m.WAREHOUSE_PROFILES: ("customers", "spend", "gross_margin"),
}
"""The columns whose sums, which are exact, must be the same in lake and warehouse."""
_IN_LAKE = {m.WAREHOUSE_MART: m.CUSTOMER_MART, m.WAREHOUSE_PROFILES: m.SEGMENT_PROFILES}


def mart_sql(table: TableContract) -> Query:
    """The statement that makes a table of the mart."""
    return Query.load(SQL / "mart" / f"{table.name}.sql")


def warehouse_sql(table: TableContract) -> Query:
    """The statement by which a table of the warehouse is loaded."""
    return Query.load(SQL / "warehouse" / f"{table.name}.sql")


def build_mart_assets(weeks: WeeklyPartitionsDefinition) -> list[AssetsDefinition]:
    """The mart and the profiles, in the lake and in the warehouse, partitioned by `weeks`."""
    return [_customer_mart(weeks), _segment_profiles(weeks), *(_loaded(table, weeks) for table in m.WAREHOUSE_TABLES)]


def build_mart_checks(weeks: WeeklyPartitionsDefinition) -> list[AssetChecksDefinition]:
    """The checks that look across lake and warehouse, partitioned by `weeks`."""
    return [_warehouse_equals_the_lake(table, weeks) for table in m.WAREHOUSE_TABLES]


def _customer_mart(weeks: WeeklyPartitionsDefinition) -> AssetsDefinition:
    target = m.CUSTOMER_MART

    @table_asset(
        target, deps=[CUSTOMERS, m.CUSTOMER_SEGMENTS], kinds={"glue", "parquet"}, partitions=weeks, pool="glue"
    )
    def customer_mart(context: AssetExecutionContext, glue: Glue, athena: Athena) -> Results:
        def work() -> Published:
            dt = context.partition_key
            made = glue.run(GlueJob(target.name, mart_sql(target)), target, dt)
            drawn = {
                "profit_levels": charts.profit_levels(_counted(athena, LEVELS_OF, dt), dt),
                "nearest_centers": charts.nearest_centers(_counted(athena, CENTERS_OF, dt), dt),
            }
            pictures = {name: picture(name, png) for name, png in drawn.items()}
            context.add_asset_metadata(pictures, partition_key=dt)
            return made

        yield from publish(target, work)

    return customer_mart


def _segment_profiles(weeks: WeeklyPartitionsDefinition) -> AssetsDefinition:
    target = m.SEGMENT_PROFILES

    @table_asset(target, deps=[m.CUSTOMER_MART], kinds={"athena", "parquet"}, partitions=weeks, pool="athena")
    def segment_profiles(context: AssetExecutionContext, athena: Athena) -> Results:
        yield from publish(target, lambda: athena.create_table_as(mart_sql(target), target, context.partition_key))

    return segment_profiles


def _loaded(target: TableContract, weeks: WeeklyPartitionsDefinition) -> AssetsDefinition:
    @table_asset(target, deps=[_IN_LAKE[target]], kinds={"redshift", "sql"}, partitions=weeks, pool=WAREHOUSE_POOL)
    def loaded(context: AssetExecutionContext, warehouse: Warehouse) -> Results:
        yield from load(target, lambda: warehouse.load(warehouse_sql(target), target, [context.partition_key]))

    return loaded


def _warehouse_equals_the_lake(target: TableContract, weeks: WeeklyPartitionsDefinition) -> AssetChecksDefinition:
    source = _IN_LAKE[target]

    @asset_check(
        name="warehouse_equals_the_lake",
        asset=asset_key(target),
        additional_deps=[asset_key(source)],
        blocking=True,
        partitions_def=weeks,
        pool=WAREHOUSE_POOL,
        description=f"The week has as many rows in the warehouse as in the lake, of exactly the same {', '.join(ADDED_UP[target])}.",
    )
    def warehouse_equals_the_lake(
        context: AssetCheckExecutionContext, athena: Athena, warehouse: Warehouse
    ) -> AssetCheckResult:
        dt, summed = context.partition_key, ADDED_UP[target]
        (in_lake,) = athena.query(_totals_of(source, summed, dt)).table.to_pylist()
        (loaded,) = warehouse.query(_totals_of(target, summed, dt)).table.to_pylist()
        differing = [name for name, value in in_lake.items() if loaded[name] != value]
        told = "; ".join(f"{name} {loaded[name]} in the warehouse, {in_lake[name]} in the lake" for name in differing)
        return AssetCheckResult(
            passed=not differing,
            description=f"{dt}: {told}. Load it again with {target.remedy(dt)}."
            if differing
            else f"{loaded['rows_there']:,} rows of the same sums in both.",
            metadata={name: "none" if value is None else str(value) for name, value in loaded.items()},
        )

    return warehouse_equals_the_lake


LEVELS_OF = Query.parse(
    "customers by profit level",
    "SELECT profit_level, count(*) AS customers, sum(items) AS items, sum(returns) AS returns"  # noqa: S608  # a contract's name
    f" FROM {m.CUSTOMER_MART.qualified_name} WHERE dt = :dt GROUP BY profit_level",
)
CENTERS_OF = Query.parse(
    "customers by nearest centre",
    "SELECT nearest_distribution_center AS center, count(*) AS customers, avg(distance_in_km) AS distance_in_km"  # noqa: S608
    f" FROM {m.CUSTOMER_MART.qualified_name} WHERE dt = :dt GROUP BY nearest_distribution_center",
)


def _counted(athena: Athena, query: Query, dt: str) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = athena.query(query.bind(dt=dt)).table.to_pylist()
    return rows


def _totals_of(table: TableContract, summed: Sequence[str], dt: str) -> Query:
    sums = ", ".join(f"sum({name}) AS {name}" for name in summed)
    text = f"SELECT count(*) AS rows_there, {sums} FROM {table.qualified_name} WHERE dt = :dt"  # noqa: S608  # contracts' names
    return Query.parse(f"totals of {table.qualified_name}", text).bind(dt=dt)
