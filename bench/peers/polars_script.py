"""The feature tables with Polars.

Belongs here: lazy queries on the streaming engine, each sunk to Parquet. Doesn't: a memory limit; Polars has none to set.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bench.peers import arguments


def build(raw: Path, out: Path, memory: str) -> None:  # noqa: ARG001  # all peers are called alike
    """Write every table as a Parquet file; features scan order_products_prior's, the result the features'."""

    def written(name: str, query: pl.LazyFrame) -> pl.LazyFrame:
        # Snappy like the other peers, not the default zstd; row order is free.
        query.sink_parquet(out / f"{name}.parquet", compression="snappy", maintain_order=False, engine="streaming")
        return pl.scan_parquet(out / f"{name}.parquet")

    days, number, reordered = pl.col("days_since_prior_order"), pl.col("order_number"), pl.col("reordered")

    orders = pl.scan_csv(raw / "orders.csv")
    prior_lines = pl.scan_csv(raw / "order_products__prior.csv")
    train_lines = pl.scan_csv(raw / "order_products__train.csv")
    # Counts are of 32 bits in Polars, the contracts' of 64.
    count = pl.len().cast(pl.Int64)

    prior = written(
        "order_products_prior", orders.filter(pl.col("eval_set") == "prior").join(prior_lines, on="order_id")
    )
    written(
        "train_labels",
        orders.filter(pl.col("eval_set") == "train").select("order_id", "user_id").join(train_lines, on="order_id"),
    )
    user_1 = written(
        "user_features_1",
        prior.select("user_id", "order_number", "days_since_prior_order")
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
        prior.group_by("user_id").agg(
            user_total_products=count,
            user_distinct_products=pl.col("product_id").n_unique().cast(pl.Int64),
            user_reorder_ratio=pl.when(later_lines > 0).then(reordered.sum() / later_lines),
        ),
    )
    up = written(
        "up_features",
        prior.group_by("user_id", "product_id").agg(
            up_orders=count,
            up_first_order=number.min(),
            up_last_order=number.max(),
            up_average_cart_position=pl.col("add_to_cart_order").mean(),
        ),
    )
    products = written(
        "prd_features",
        prior.select("product_id", "reordered", product_seq_time=number.rank("ordinal").over("user_id", "product_id"))
        .group_by("product_id")
        .agg(
            prod_orders=count,
            prod_reorders=reordered.sum(),
            prod_first_orders=(pl.col("product_seq_time") == 1).sum().cast(pl.Int64),
            prod_second_orders=(pl.col("product_seq_time") == 2).sum().cast(pl.Int64),
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
