"""The feature tables with pandas.

Belongs here: whole tables in memory, vectorised. Doesn't: a memory limit, nor chunks; who needs them leaves pandas.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.peers import arguments

# The narrowest types that hold the values: in pandas they decide whether the work fits in memory.
ORDERS = {
    "order_id": "int32",
    "user_id": "int32",
    "eval_set": "category",
    "order_number": "int16",
    "order_dow": "int8",
    "order_hour_of_day": "int8",
    "days_since_prior_order": "float64",
}
LINES = {"order_id": "int32", "product_id": "int32", "add_to_cart_order": "int16", "reordered": "int8"}


def build(raw: Path, out: Path, memory: str) -> None:  # noqa: ARG001  # all peers are called alike
    """Write every table as a Parquet file; tables stay in memory for the later ones."""

    def written(name: str, table: pd.DataFrame) -> pd.DataFrame:
        table.to_parquet(out / f"{name}.parquet", index=False)
        return table

    orders = pd.read_csv(raw / "orders.csv", dtype=ORDERS)
    prior_lines = pd.read_csv(raw / "order_products__prior.csv", dtype=LINES)
    train_lines = pd.read_csv(raw / "order_products__train.csv", dtype=LINES)

    labels = orders.loc[orders["eval_set"] == "train", ["order_id", "user_id"]].merge(train_lines, on="order_id")
    written("train_labels", labels)
    prior = orders[orders["eval_set"] == "prior"].merge(prior_lines, on="order_id")
    del prior_lines, labels
    written("order_products_prior", prior)

    pairs = prior.groupby(["user_id", "product_id"], sort=False, as_index=False)
    up = pairs.agg(
        up_orders=("order_number", "size"),
        up_first_order=("order_number", "min"),
        up_last_order=("order_number", "max"),
        up_average_cart_position=("add_to_cart_order", "mean"),
    )
    written("up_features", up)

    by_user = prior.drop_duplicates("order_id").groupby("user_id")
    days = by_user["days_since_prior_order"]
    user_1 = pd.DataFrame(
        {
            "user_orders": by_user["order_number"].max(),
            # The sum of nothing is 0 in pandas; a user whose only order is the first has no period.
            "user_period": days.sum(min_count=1),
            "user_mean_days_since_prior": days.mean(),
        }
    ).reset_index()
    written("user_features_1", user_1)

    lines_by_user = prior.groupby("user_id")
    later_lines = (prior["order_number"] > 1).groupby(prior["user_id"]).sum()
    user_2 = pd.DataFrame(
        {
            "user_total_products": lines_by_user.size(),
            "user_distinct_products": up.groupby("user_id").size(),
            "user_reorder_ratio": lines_by_user["reordered"].sum() / later_lines.where(later_lines > 0),
        }
    ).reset_index()
    written("user_features_2", user_2)

    lines_by_product, pairs_by_product = prior.groupby("product_id"), up.groupby("product_id")
    products = pd.DataFrame(
        {
            "prod_orders": lines_by_product.size(),
            "prod_reorders": lines_by_product["reordered"].sum(),
            "prod_first_orders": pairs_by_product.size(),
            "prod_second_orders": (up["up_orders"] >= 2).groupby(up["product_id"]).sum(),
        }
    ).reset_index()
    written("prd_features", products)
    del prior, lines_by_user, lines_by_product, pairs, by_user, days

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
