"""The feature tables with pandas.

Belongs here: pandas as most people write it, its own types, whole tables in memory. Doesn't: a memory limit, narrow types or
chunks; who needs them leaves pandas.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.peers import arguments


def build(raw: Path, out: Path, memory: str) -> None:  # noqa: ARG001  # all peers are called alike
    """Write every table as a Parquet file; the joined lines and the features stay in memory for later ones."""

    def written(name: str, table: pd.DataFrame) -> pd.DataFrame:
        table.to_parquet(out / f"{name}.parquet", index=False)
        return table

    orders = pd.read_csv(raw / "orders.csv")
    train_lines = pd.read_csv(raw / "order_products__train.csv")
    train_orders = orders.loc[orders["eval_set"] == "train", ["order_id", "user_id"]]
    written("train_labels", train_orders.merge(train_lines, on="order_id"))
    del train_lines, train_orders

    prior_lines = pd.read_csv(raw / "order_products__prior.csv")
    prior = orders[orders["eval_set"] == "prior"].merge(prior_lines, on="order_id")
    del orders, prior_lines
    written("order_products_prior", prior)

    user_orders = prior[["user_id", "order_number", "days_since_prior_order"]].drop_duplicates().groupby("user_id")
    user_1 = pd.DataFrame(
        {
            "user_orders": user_orders["order_number"].max(),
            # The sum of nothing is 0 in pandas; a user whose only order is the first has no period.
            "user_period": user_orders["days_since_prior_order"].sum(min_count=1),
            "user_mean_days_since_prior": user_orders["days_since_prior_order"].mean(),
        }
    ).reset_index()
    written("user_features_1", user_1)
    del user_orders

    by_user = prior.groupby("user_id")
    later_lines = prior.loc[prior["order_number"] > 1, "user_id"].value_counts()
    user_2 = by_user.agg(user_total_products=("product_id", "size"), user_distinct_products=("product_id", "nunique"))
    user_2["user_reorder_ratio"] = by_user["reordered"].sum() / later_lines
    user_2 = written("user_features_2", user_2.reset_index())
    del by_user, later_lines

    up = prior.groupby(["user_id", "product_id"], as_index=False).agg(
        up_orders=("order_number", "size"),
        up_first_order=("order_number", "min"),
        up_last_order=("order_number", "max"),
        up_average_cart_position=("add_to_cart_order", "mean"),
    )
    written("up_features", up)

    prior = prior.sort_values(["user_id", "product_id", "order_number"])
    prior["product_seq_time"] = prior.groupby(["user_id", "product_id"]).cumcount() + 1
    prior["first"] = prior["product_seq_time"] == 1
    prior["second"] = prior["product_seq_time"] == 2
    products = prior.groupby("product_id", as_index=False).agg(
        prod_orders=("order_id", "size"),
        prod_reorders=("reordered", "sum"),
        prod_first_orders=("first", "sum"),
        prod_second_orders=("second", "sum"),
    )
    written("prd_features", products)
    del prior

    result = up.merge(user_1, on="user_id").merge(user_2, on="user_id").merge(products, on="product_id")
    result["prod_reorder_probability"] = result["prod_second_orders"] / result["prod_first_orders"]
    result["prod_reorder_times"] = 1 + result["prod_reorders"] / result["prod_first_orders"]
    result["prod_reorder_ratio"] = result["prod_reorders"] / result["prod_orders"]
    result["user_average_basket"] = result["user_total_products"] / result["user_orders"]
    result["up_order_rate"] = result["up_orders"] / result["user_orders"]
    result["up_orders_since_last_order"] = result["user_orders"] - result["up_last_order"]
    result["up_order_rate_since_first_order"] = result["up_orders"] / (
        result["user_orders"] - result["up_first_order"] + 1
    )
    written("result_table", result)


if __name__ == "__main__":
    build(*arguments(__doc__))
