"""Checks of the reorder system that look across tables or days.

Belongs here: what no single contract says. A table's own rules are checked before it is published
(orchestration/table_assets.py).
"""

import math
from collections.abc import Iterator
from datetime import date, timedelta

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    DailyPartitionsDefinition,
    asset_check,
    multi_asset_check,
)

from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.catalog import Catalog

_FEW = 0.01
"""The share of orders without lines that is no remark: rejected lines leave some."""
COMPARED = (t.ORDERS, t.ORDER_PRODUCTS, t.ORDER_PRODUCTS_PRIOR, t.UP_FEATURES, t.RESULT_TABLE)


def build_checks(
    days: DailyPartitionsDefinition, *, tolerance: float, max_rejected: float
) -> list[AssetChecksDefinition]:
    """The checks, partitioned by `days`. A row count further than `tolerance` from the day before's warns.

    The day stops if a larger share of the orders than `max_rejected` has no line.
    """

    @asset_check(
        asset=asset_key(t.ORDER_PRODUCTS),
        additional_deps=[asset_key(t.ORDERS)],
        blocking=True,
        partitions_def=days,
        pool="athena",
        description="Every prior and train order has a line: no file of lines is missing, or cut short.",
    )
    def every_order_has_lines(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        (found,) = athena.query(sql("orders_without_lines").bind(dt=context.partition_key)).table.to_pylist()
        without, orders = found["prior_without_lines"] + found["train_without_lines"], found["orders"]
        share = without / orders if orders else 0.0
        told = (
            f"{without:,} of {orders:,} orders ({share:.1%}) have no line in order_products: {found['prior_without_lines']:,} prior and "
            f"{found['train_without_lines']:,} train orders."
        )
        if share > max_rejected:
            told += (
                f" At most {max_rejected:.1%} may (INSTACART_MAX_REJECTED). Upload order_products__prior.csv and order_products__train.csv "
                f"whole; or, if this is a sample of the lines, set INSTACART_MAX_REJECTED to {math.ceil(100 * share) / 100:g} for its run."
            )
        elif share > _FEW:
            told += f" It is taken for a sample, as INSTACART_MAX_REJECTED={max_rejected:g} allows."
        return AssetCheckResult(
            passed=share <= _FEW,
            severity=AssetCheckSeverity.ERROR if share > max_rejected else AssetCheckSeverity.WARN,
            description=told,
            metadata=found,
        )

    @asset_check(
        asset=asset_key(t.ORDER_PRODUCTS_PRIOR),
        additional_deps=[asset_key(t.ORDER_PRODUCTS_TRAIN), asset_key(t.ORDER_PRODUCTS)],
        blocking=True,
        partitions_def=days,
        description="Every line of the upload belongs to a prior or a train order, and to one only.",
    )
    def every_line_is_prior_or_train(context: AssetCheckExecutionContext, catalog: Catalog) -> AssetCheckResult:
        dt = context.partition_key
        lines, prior, train = (
            catalog.current(table, dt).rows
            for table in (t.ORDER_PRODUCTS, t.ORDER_PRODUCTS_PRIOR, t.ORDER_PRODUCTS_TRAIN)
        )
        return AssetCheckResult(
            passed=lines == prior + train,
            description=f"{lines:,} lines = {prior:,} prior + {train:,} train"
            + (
                ""
                if lines == prior + train
                else f" + {lines - prior - train:,} of test orders, whose baskets must not be in the upload"
            ),
            metadata={"lines": lines, "prior": prior, "train": train},
        )

    @multi_asset_check(
        specs=[
            AssetCheckSpec(
                "row_count_near_the_day_before",
                asset=asset_key(table),
                partitions_def=days,
                description=f"No more than {tolerance:.0%} more or fewer rows than the day before.",
            )
            for table in COMPARED
        ],
        can_subset=True,
    )
    def row_counts(context: AssetCheckExecutionContext, catalog: Catalog) -> Iterator[AssetCheckResult]:
        dt = context.partition_key
        day_before = (date.fromisoformat(dt) - timedelta(days=1)).isoformat()
        wanted = {key.asset_key for key in context.selected_asset_check_keys}
        for table in (table for table in COMPARED if asset_key(table) in wanted):
            now, before = catalog.find(table, dt), catalog.find(table, day_before)
            if now is None:
                continue
            rows_before = before.rows if before else now.rows
            change = now.rows / rows_before - 1 if rows_before else float("inf") if now.rows else 0.0
            yield AssetCheckResult(
                asset_key=asset_key(table),
                check_name="row_count_near_the_day_before",
                passed=abs(change) <= tolerance,
                severity=AssetCheckSeverity.WARN,
                description=f"{now.rows:,} rows; nothing to compare with, as {day_before} was not built."
                if before is None
                else f"{now.rows:,} rows, {change:+.1%} against {day_before}.",
                metadata={"rows": now.rows, "rows_the_day_before": before.rows if before else 0},
            )

    return [every_order_has_lines, every_line_is_prior_or_train, row_counts]
