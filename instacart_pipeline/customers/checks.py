"""Checks of the customers system that look across tables: nobody is lost or counted twice, and the figures are those of the items.

Belongs here: what no single contract says. A table's own rules are checked before it is published (orchestration/table_assets.py).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    TimeWindowPartitionsDefinition,
    asset_check,
)

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.assets import a_year_before, sql
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.resources.athena import Athena

_QUIET = timedelta(days=1)
"""No order and no event for longer than this is no quiet night, but a dump that ends early."""


def build_checks(weeks: TimeWindowPartitionsDefinition) -> list[AssetChecksDefinition]:
    """The checks, partitioned by `weeks`."""

    @asset_check(
        asset=asset_key(t.CUSTOMERS),
        additional_deps=[asset_key(t.USERS)],
        blocking=True,
        partitions_def=weeks,
        pool="athena",
        description="Everyone who registered before the as-of day has one row, and nobody else has any.",
    )
    def every_customer_once(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        found = _account(athena, sql("customer_account").bind(dt=context.partition_key))
        faults = {name: found[name] for name in ("missing", "doubled", "strangers")}
        return AssetCheckResult(
            passed=not any(faults.values()),
            description=f"{found['listed_once']:,} of {found['registered']:,} customers have one row; {found['missing']:,} have none, "
            f"{found['doubled']:,} have several, and {found['strangers']:,} rows are of nobody who had registered.",
            metadata=found,
        )

    @asset_check(
        asset=asset_key(t.CUSTOMERS),
        additional_deps=[asset_key(t.ORDER_ITEMS), asset_key(t.USERS)],
        blocking=True,
        partitions_def=weeks,
        pool="athena",
        description="The spend and items of all customers are those of the last year's items, counted from the items alone.",
    )
    def spend_accounted(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        dt = context.partition_key
        found = _account(athena, sql("spend_account").bind(dt=dt, since=a_year_before(dt)))
        return AssetCheckResult(
            passed=(found["spend"], found["items"]) == (found["sold_for"], found["sold"]),
            description=f"Customers: {found['items']:,} items for {found['spend']:,}; order_items: {found['sold']:,} for {found['sold_for']:,}.",
            metadata={**found, "spend": str(found["spend"]), "sold_for": str(found["sold_for"])},
        )

    @asset_check(
        asset=asset_key(t.ORDER_ITEMS),
        additional_deps=[asset_key(t.ORDERS)],
        partitions_def=weeks,
        pool="athena",
        description="Items have the user and the status of their order, and an order as many of them as it says; what was returned says when.",
    )
    def items_agree_with_orders(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        found = _account(athena, sql("item_account").bind(dt=context.partition_key))
        told = (
            f"Of {found['items']:,} items {found['of_another_user']:,} have another user than their order, "
            f"{found['of_another_status']:,} another status, and {found['returned_undated']:,} were returned without a date, which counts as "
            f"kept; of {found['orders']:,} orders "
            f"{found['orders_of_another_count']:,} have more or fewer items than they say."
        )
        faults = ("of_another_user", "of_another_status", "returned_undated", "orders_of_another_count")
        return AssetCheckResult(
            passed=not any(found[name] for name in faults),
            severity=AssetCheckSeverity.WARN,
            description=f"{told} An item's own user and status are what counts.",
            metadata=found,
        )

    @asset_check(
        asset=asset_key(t.EVENTS),
        additional_deps=[asset_key(t.ORDERS)],
        partitions_def=weeks,
        pool="athena",
        description="The dump tells of the last day before the as-of day: it was not taken earlier, nor is it an older week's.",
    )
    def dump_reaches_the_week(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        dt = context.partition_key
        latest = _account(athena, sql("dump_end").bind(dt=dt))["latest"]
        missing = datetime.fromisoformat(dt) - latest if latest else None
        return AssetCheckResult(
            passed=missing is not None and missing <= _QUIET,
            severity=AssetCheckSeverity.WARN,
            description=f"The latest order or event before {dt} is of {latest or 'no day'}. If the dump is an older one, the week is too low in "
            f"everything: upload one that was taken on {dt} or later.",
            metadata={"latest": str(latest), "hours_missing": missing / timedelta(hours=1) if missing else -1.0},
        )

    return [every_customer_once, spend_accounted, items_agree_with_orders, dump_reaches_the_week]


def _account(athena: Athena, query: Query) -> Mapping[str, Any]:
    """The one row of an account."""
    (row,) = athena.query(query).table.to_pylist()
    account: dict[str, Any] = row
    return account
