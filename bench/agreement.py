"""Whether contenders computed the same tables: row counts and sums of each, which every contender answers for itself.

Belongs here: the questions, and the comparison of the answers. Doesn't: where a contender keeps its tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

Totals = Mapping[str, Mapping[str, float | None]]
"""table -> "row_count" or a column -> the number of rows, or the column's sum."""

_LINE = ("product_id", "add_to_cart_order", "reordered")
_RATIOS = (
    "prod_reorder_probability",
    "prod_reorder_times",
    "prod_reorder_ratio",
    "user_average_basket",
    "up_order_rate",
    "up_orders_since_last_order",
    "up_order_rate_since_first_order",
)
SUMMED = {
    "order_products_prior": ("order_id", "user_id", "order_number", "order_dow", "days_since_prior_order", *_LINE),
    "train_labels": ("order_id", "user_id", *_LINE),
    "user_features_1": ("user_id", "user_orders", "user_period", "user_mean_days_since_prior"),
    "user_features_2": ("user_id", "user_total_products", "user_distinct_products", "user_reorder_ratio"),
    "up_features": ("up_orders", "up_first_order", "up_last_order", "up_average_cart_position"),
    "prd_features": ("product_id", "prod_orders", "prod_reorders", "prod_first_orders", "prod_second_orders"),
    "result_table": ("user_id", "product_id", "up_orders", "user_orders", "prod_orders", *_RATIOS),
}
"""table -> the columns that are summed."""


def totals(sources: Mapping[str, str], ask: Callable[[str], Mapping[str, float | None]]) -> Totals:
    """Every table's totals. `sources` says what the contender calls each table, `ask` runs a query that has one row."""
    return {table: ask(_totals_query(table, source)) for table, source in sources.items()}


def differences(floor: Totals, other: Totals) -> list[str]:
    """What the two don't agree on, a line each. Sums may differ in the order they were added up in, not by more."""
    return [
        f"{table}.{name}: {mine} and {theirs}"
        for table, expected in floor.items()
        for name, mine in expected.items()
        if not _same(mine, theirs := other[table].get(name))
    ]


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9)


def _totals_query(table: str, source: str) -> str:
    # Doubles, so that no engine overflows and all answer in the same type.
    sums = ", ".join(f"sum(CAST({column} AS double)) AS {column}" for column in SUMMED[table])
    return f"SELECT count(*) AS row_count, {sums} FROM {source}"
