"""The feature tables with Polars.

Belongs here: lazy queries on the streaming engine, each sunk to Parquet. Doesn't: a memory limit; Polars has none to set.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bench.peers import arguments

ORDERS = {
    "order_id": pl.Int32,
    "user_id": pl.Int32,
    "eval_set": pl.String,
    "order_number": pl.Int32,
    "order_dow": pl.Int32,
    "order_hour_of_day": pl.Int32,
    "days_since_prior_order": pl.Float64,
}
LINES = {"order_id": pl.Int32, "product_id": pl.Int32, "add_to_cart_order": pl.Int32, "reordered": pl.Int32}


def build(raw: Path, out: Path, memory: str) -> None:  # noqa: ARG001  # all peers are called alike
    """Write every table as a Parquet file; a later table reads the files of the earlier ones."""

    def written(name: str, query: pl.LazyFrame) -> pl.LazyFrame:
        # Snappy like the other peers, not the default zstd; row order is free.
        query.sink_parquet(out / f"{name}.parquet", compression="snappy", maintain_order=False, engine="streaming")
        return pl.scan_parquet(out / f"{name}.parquet")

    days, number, reordered = pl.col("days_since_prior_order"), pl.col("order_number"), pl.col("reordered")

    orders = pl.scan_csv(raw / "orders.csv", schema=ORDERS)
    prior_lines = pl.scan_csv(raw / "order_products__prior.csv", schema=LINES)
    train_lines = pl.scan_csv(raw / "order_products__train.csv", schema=LINES)

    prior = written(
        "order_products_prior",
        prior_lines.join(orders.filter(pl.col("eval_set") == "prior"), on="order_id").select(
            *ORDERS, "product_id", "add_to_cart_order", "reordered"
        ),
    )
    written(
        "train_labels",
        train_lines.join(orders.filter(pl.col("eval_set") == "train"), on="order_id").select(
            "order_id", "user_id", "product_id", "add_to_cart_order", "reordered"
        ),
    )
    up = written(
        "up_features",
        prior.group_by("user_id", "product_id").agg(
            up_orders=pl.len(),
            up_first_order=number.min(),
            up_last_order=number.max(),
            up_average_cart_position=pl.col("add_to_cart_order").mean(),
        ),
    )
    user_1 = written(
        "user_features_1",
        prior.select("order_id", "user_id", "order_number", "days_since_prior_order")
        .unique()
        .group_by("user_id")
        .agg(
            user_orders=number.max(),
            # The sum of nothing is 0 in Polars; a user whose only order is the first has no period.
            user_period=pl.when(days.count() > 0).then(days.sum()),
            user_mean_days_since_prior=days.mean(),
        ),
    )
    later_lines = (number > 1).sum()
    user_2 = written(
        "user_features_2",
        prior.group_by("user_id")
        .agg(
            user_total_products=pl.len(),
            user_reorder_ratio=pl.when(later_lines > 0).then(reordered.sum() / later_lines),
        )
        .join(up.group_by("user_id").agg(user_distinct_products=pl.len()), on="user_id")
        .select("user_id", "user_total_products", "user_distinct_products", "user_reorder_ratio"),
    )
    products = written(
        "prd_features",
        prior.group_by("product_id")
        .agg(prod_orders=pl.len(), prod_reorders=reordered.sum())
        .join(
            up.group_by("product_id").agg(
                prod_first_orders=pl.len(), prod_second_orders=(pl.col("up_orders") >= 2).sum()
            ),
            on="product_id",
        ),
    )
    user_orders, up_orders = pl.col("user_orders"), pl.col("up_orders")
    first_orders = pl.col("prod_first_orders")
    written(
        "result_table",
        up.join(user_1, on="user_id")
        .join(user_2, on="user_id")
        .join(products, on="product_id")
        .with_columns(
            prod_reorder_probability=pl.col("prod_second_orders") / first_orders,
            prod_reorder_times=1 + pl.col("prod_reorders") / first_orders,
            prod_reorder_ratio=pl.col("prod_reorders") / pl.col("prod_orders"),
            user_average_basket=pl.col("user_total_products") / user_orders,
            up_order_rate=up_orders / user_orders,
            up_orders_since_last_order=user_orders - pl.col("up_last_order"),
            up_order_rate_since_first_order=up_orders / (user_orders - pl.col("up_first_order") + 1),
        ),
    )


if __name__ == "__main__":
    build(*arguments(__doc__))
