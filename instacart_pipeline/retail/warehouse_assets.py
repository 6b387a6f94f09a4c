"""The assets on the warehouse: the fact loaded from the lake by day, the dimensions and cancellations rebuilt from it.

Belongs here: which statement makes which table, and the check that nothing is lost on the way. The statements lie in sql/warehouse/; what a
table is, in warehouse_tables.py.
"""

from decimal import Decimal
from pathlib import Path

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
from instacart_pipeline.lake.errors import TableNotFound
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.day_ranges import days_of_run, record_day
from instacart_pipeline.orchestration.table_assets import Results, asset_key, load, table_asset
from instacart_pipeline.resources.athena import Athena, QueryResult
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.warehouse import Loaded, Warehouse
from instacart_pipeline.retail import warehouse_tables as w
from instacart_pipeline.retail.tables import TRANSACTIONS

SQL = Path(__file__).parent / "sql"
POOL = "warehouse"
REBUILT = (w.PRODUCTS, w.CUSTOMERS, w.DATES, w.CANCELLATIONS)
"""The tables that are made of all lines, whichever days came anew."""
EVERY_DAY_LOADED = "every_day_loaded"
_SHOWN = 10


def warehouse_sql(table: TableContract) -> Query:
    """The statement that makes a table of the warehouse."""
    return Query.load(SQL / "warehouse" / f"{table.name}.sql")


def build_warehouse_assets(days: DailyPartitionsDefinition) -> list[AssetsDefinition]:
    """The fact, partitioned by `days`, and what is rebuilt from it: once a run, however many days the run loads."""
    return [_sales_lines(days), *map(_rebuilt, REBUILT)]


def build_warehouse_checks(days: DailyPartitionsDefinition) -> list[AssetChecksDefinition]:
    """The checks that look across lake and warehouse, partitioned by `days`."""

    @asset_check(
        asset=asset_key(w.SALES_LINES),
        additional_deps=[asset_key(TRANSACTIONS)],
        blocking=True,
        partitions_def=days,
        pool=POOL,
        description="Each day has as many lines in the warehouse as in the lake, of exactly the same amount.",
    )
    def warehouse_equals_the_lake(
        context: AssetCheckExecutionContext, athena: Athena, warehouse: Warehouse
    ) -> AssetCheckResult:
        dts = days_of_run(context)
        in_lake = _totals(athena.query(_totals_of(TRANSACTIONS, dts)), dts)
        loaded = _totals(warehouse.query(_totals_of(w.SALES_LINES, dts)), dts)
        none = (0, Decimal(0))
        differing = [dt for dt in dts if in_lake.get(dt, none) != loaded.get(dt, none)]
        lines = sum(loaded.get(dt, none)[0] for dt in dts)
        amount = sum((loaded.get(dt, none)[1] for dt in dts), Decimal(0))
        told = [
            f"{dt}: {loaded.get(dt, none)[0]:,} lines of {loaded.get(dt, none)[1]} in the warehouse, "
            f"{in_lake.get(dt, none)[0]:,} of {in_lake.get(dt, none)[1]} in the lake."
            for dt in differing[:_SHOWN]
        ]
        return AssetCheckResult(
            passed=not differing,
            description=" ".join(
                [
                    *told,
                    f"{len(differing):,} of {len(dts):,} days differ. Load them again with {w.SALES_LINES.remedy(differing[0])}.",
                ]
            )
            if differing
            else f"{lines:,} lines of {amount} on {len(loaded):,} days, in both.",
            metadata={"days": len(loaded), "days_differing": len(differing), "lines": lines, "amount": str(amount)},
        )

    @asset_check(
        name=EVERY_DAY_LOADED,
        asset=asset_key(w.SALES_LINES),
        additional_deps=[asset_key(TRANSACTIONS)],
        blocking=True,
        partitions_def=days,
        pool=POOL,
        description="The catalog and the warehouse have every day that the lake has, up to the run's: analyses look back at all of them.",
    )
    def every_day_loaded(
        context: AssetCheckExecutionContext, catalog: Catalog, warehouse: Warehouse
    ) -> AssetCheckResult:
        last = days_of_run(context)[-1]
        unnamed = {dt for dt in catalog.lost_days(TRANSACTIONS) if dt <= last}
        published = {found.dt for found in catalog.partitions(TRANSACTIONS.database, TRANSACTIONS.name)}
        unloaded = {dt for dt in published - set(warehouse.days(w.SALES_LINES)) if dt <= last} - unnamed
        told = []
        if unnamed:
            told.append(
                f"The catalog lacks {len(unnamed):,} days whose lines lie in the lake ({_span(unnamed)}): it was lost, or restored from before."
            )
        if unloaded:
            told.append(f"The warehouse lacks {len(unloaded):,} days that the lake has ({_span(unloaded)}).")
        if lacking := unnamed | unloaded:
            told.append(
                f"Bring them back with `instacart-pipeline run {TRANSACTIONS.system} --from {min(lacking)} --to {max(lacking)}`."
            )
        return AssetCheckResult(
            passed=not told,
            description=" ".join(told) or f"All {len(published):,} days of the lake are in the warehouse.",
            metadata={"days": len(published), "not_in_catalog": len(unnamed), "not_in_warehouse": len(unloaded)},
        )

    return [warehouse_equals_the_lake, every_day_loaded]


def _span(days: set[str]) -> str:
    first, *others = sorted(days)
    return f"{first} to {others[-1]}" if others else first


def _sales_lines(days: DailyPartitionsDefinition) -> AssetsDefinition:
    target = w.SALES_LINES

    @table_asset(
        target, deps=[TRANSACTIONS], kinds={"redshift", "sql"}, partitions=days, pool=POOL, many_days_at_once=True
    )
    def sales_lines(context: AssetExecutionContext, warehouse: Warehouse) -> Results:
        def work() -> Loaded:
            dts = days_of_run(context)
            loaded = warehouse.load(warehouse_sql(target), target, dts)
            for dt, (rows, _) in _totals(warehouse.query(_totals_of(target, dts)), dts).items():
                record_day(context, target, dt, {"dagster/partition_row_count": rows})
            return loaded

        yield from load(target, work)

    return sales_lines


def _rebuilt(target: TableContract) -> AssetsDefinition:
    @table_asset(target, deps=[w.SALES_LINES], kinds={"redshift", "sql"}, partitions=None, pool=POOL)
    def rebuilt(warehouse: Warehouse) -> Results:
        yield from load(target, lambda: warehouse.rebuild(warehouse_sql(target), target, _newest_day(warehouse)))

    return rebuilt


def _newest_day(warehouse: Warehouse) -> str:
    loaded = warehouse.days(w.SALES_LINES)
    if not loaded:
        raise TableNotFound(
            f"No day of {w.SALES_LINES.qualified_name} is loaded. Load one with `instacart-pipeline run {w.SALES_LINES.system} --dt DAY`."
        )
    return max(loaded)


def _totals_of(table: TableContract, days: list[str]) -> Query:
    text = (
        f"SELECT dt, count(*) AS lines, sum(amount) AS amount FROM {table.qualified_name}"  # noqa: S608  # a contract's name
        " WHERE dt BETWEEN :first AND :last GROUP BY dt"
    )
    return Query.parse(f"totals of {table.qualified_name}", text).bind(first=days[0], last=days[-1])


def _totals(found: QueryResult, days: list[str]) -> dict[str, tuple[int, Decimal]]:
    return {row["dt"]: (row["lines"], row["amount"]) for row in found.table.to_pylist() if row["dt"] in days}
