"""A shop whose lines lie in the lake, its warehouse, and the assets on it, as tests drive them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query, schema_of
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.orchestration.day_ranges import FROM_DAY
from instacart_pipeline.resources.lookup_tables import Item, Value
from instacart_pipeline.resources.warehouse import Loaded, Warehouse
from instacart_pipeline.resources.warehouse.local import LocalWarehouse
from instacart_pipeline.retail.analysis_assets import analysis_sql, build_analysis_assets
from instacart_pipeline.retail.cancellations import cancelled_sale
from instacart_pipeline.retail.lines import Line, counted
from instacart_pipeline.retail.lookups import invoice_item
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.tables import TRANSACTIONS
from instacart_pipeline.retail.warehouse_assets import build_warehouse_assets, build_warehouse_checks, warehouse_sql
from instacart_pipeline.retail.warehouse_tables import DATES, SALES_LINES, WAREHOUSE_TABLES
from instacart_pipeline_tests.platform import Platform, Row, Run, run_of

DAYS = dg.DailyPartitionsDefinition("2010-12-01")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
LINE = Line("536365", "85123A", "WHITE HANGING HEART", 6, "2011-03-01 08:26:00", "2.5500", "17850", "United Kingdom")


def line(invoice_no: str, time: str, quantity: int = 6, price: str = "2.5500", **changes: Any) -> Line:
    """A line that is like LINE in what isn't said; `time` is written 2011-03-01 10:00."""
    return LINE._replace(
        invoice_no=invoice_no, invoice_time=f"{time}:00", quantity=quantity, unit_price=price, **changes
    )


class Shop:
    """The warehouse and analyses over hand-made days of retail_curated.transactions."""

    def __init__(self, home: Path) -> None:
        self.platform = Platform(home)
        self.warehouse: Warehouse = LocalWarehouse(lake=self.platform.lake)
        self.instance = dg.DagsterInstance.ephemeral()
        self._evaluated: Sequence[dg.AssetCheckEvaluation] = ()

    def sold(self, lines: Iterable[Line]) -> None:
        """Publish lines as the transactions of their days, in the place of those that were there."""
        by_day: dict[str, list[Line]] = {}
        for each in counted(lines):
            by_day.setdefault(each.day, []).append(each)
        for dt, of_the_day in by_day.items():
            self.put(dt, of_the_day)

    def put(self, dt: str, lines: Iterable[Line]) -> None:
        """Publish lines as the transactions of `dt`, whichever day they are of."""
        self.platform.put_rows(TRANSACTIONS, [_transaction(each) for each in lines], dt=dt, name=new_version())

    def run(
        self,
        first: str,
        last: str = "",
        *,
        warehouse: Sequence[TableContract] = WAREHOUSE_TABLES,
        analyses: Sequence[TableContract] = SANDBOX_TABLES,
    ) -> Run:
        """Load the days, rebuild, check, and publish the analyses as of each of them, in one run of the real assets of these tables."""
        wanted = {(*table.asset_key,) for table in (*warehouse, *analyses)}
        made = [*build_warehouse_assets(DAYS), *build_analysis_assets(DAYS)]
        checks = build_warehouse_checks(DAYS) if SALES_LINES in warehouse else []
        return self._materialized([*(asset for asset in made if (*asset.key.path,) in wanted), *checks], first, last)

    def load(self, *days: str, rebuilt: Sequence[TableContract] = (DATES,)) -> Loaded:
        """Load the days and rebuild the dates, or other tables, without Dagster. Returns what was loaded."""
        loaded = self.warehouse.load(warehouse_sql(SALES_LINES), SALES_LINES, days)
        newest = max(self.warehouse.days(SALES_LINES))
        for table in rebuilt:
            self.warehouse.rebuild(warehouse_sql(table), table, newest)
        return loaded

    def as_of(self, dt: str, analyses: Sequence[TableContract] = SANDBOX_TABLES) -> dict[str, list[Row]]:
        """The rows that analyses as of a day have now, sorted, without publishing them: their statements over the warehouse's file."""
        with duckdb.connect() as connection:
            connection.execute(
                f"ATTACH '{self.platform.home}/warehouse.duckdb' AS warehouse (READ_ONLY); USE warehouse"
            )
            return {
                table.name: sorted(
                    connection.sql(_statement(table, dt)).to_arrow_table().to_pylist(),
                    key=lambda row: str([*row.values()]),
                )
                for table in analyses
            }

    def published(self, dt: str, analyses: Sequence[TableContract] = SANDBOX_TABLES) -> dict[str, list[Row]]:
        """The rows of analyses as they are published for a day, sorted."""
        return {table.name: self.platform.rows(table, dt) for table in analyses}

    def stored(self, select: str) -> list[Row]:
        """The rows of a query over the warehouse."""
        return self.warehouse.query(Query.parse("test", select)).table.to_pylist()  # type: ignore[no-any-return]

    def metadata(self, table: TableContract) -> Mapping[str, Any]:
        """What the newest materialization says."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(table.asset_key))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}

    def evaluations(self) -> Sequence[dg.AssetCheckEvaluation]:
        """What came of the checks of the last run."""
        return self._evaluated

    def recorded_days(self, table: TableContract) -> set[str]:
        """The days that Dagster knows of a table."""
        return self.instance.get_materialized_partitions(dg.AssetKey(table.asset_key))

    def _materialized(self, assets: Sequence[Any], first: str, last: str) -> Run:
        found = self.platform.resources
        resources = {"warehouse": self.warehouse, "athena": found.athena, "catalog": found.catalog}
        days: dict[str, Any] = {"partition_key": first}
        if last:
            days = {"partition_key": last, "tags": {FROM_DAY: first}}
        result = dg.materialize(
            list(assets), resources=resources, instance=self.instance, raise_on_error=False, run_config=QUIET, **days
        )
        self._evaluated = result.get_asset_check_evaluations()
        return run_of(result)


def require_to_the_rule(shop: Shop, lines: Iterable[Line]) -> int:
    """Assert that each cancellation of the warehouse takes back what `cancelled_sale` says. Returns how many take something back."""
    items = [invoice_item(each) for each in lines]
    candidates: dict[Value, list[Item]] = {}
    for item in items:
        candidates.setdefault(item.get("customer_product", ""), []).append(item)
    by_rule = {}
    for item in items:
        if item["is_cancellation"]:
            sale = cancelled_sale(item, candidates[item.get("customer_product", "")])
            by_rule[item["line_id"]] = (sale["line_id"], sale["invoice_no"]) if sale else (None, None)
    stored = shop.stored("SELECT line_id, cancels_line_id, cancels_invoice_no FROM retail_warehouse.cancellations")
    assert {row["line_id"]: (row["cancels_line_id"], row["cancels_invoice_no"]) for row in stored} == by_rule
    return sum(line_id is not None for line_id, _ in by_rule.values())


@cache
def _statement(table: TableContract, dt: str) -> str:
    """The SQL of an analysis as of a day, which is written in a good part of the time it runs."""
    return analysis_sql(table).bind(dt=dt).render("duckdb", schema_of([*WAREHOUSE_TABLES]))


def _transaction(said: Line) -> Row:
    price = Decimal(said.unit_price)
    return {
        **said._asdict(),
        "line_id": said.line_id,
        "invoice_time": datetime.fromisoformat(said.invoice_time),
        "unit_price": price,
        "amount": price * said.quantity,
        "is_product": said.is_product,
        "is_cancellation": said.is_cancellation,
        "came_by": "upload",
    }
