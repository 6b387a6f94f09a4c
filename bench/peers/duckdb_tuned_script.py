"""The feature tables with DuckDB, tuned to this data: how fast the engine of the floor gets in the hands of who knows it.

Belongs here: 32-bit ids, and user and product features counted from the pairs of up_features instead of from all lines.
Doesn't: the plain definitions; those are duckdb_script.py.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from bench.peers import arguments

ORDERS = """
    order_id: 'INTEGER', user_id: 'INTEGER', eval_set: 'VARCHAR', order_number: 'INTEGER', order_dow: 'INTEGER',
    order_hour_of_day: 'INTEGER', days_since_prior_order: 'DOUBLE'
"""
LINES = "order_id: 'INTEGER', product_id: 'INTEGER', add_to_cart_order: 'INTEGER', reordered: 'INTEGER'"

TABLES = {
    "order_products_prior": """
        SELECT orders.*, product_id, add_to_cart_order, reordered
        FROM order_products__prior
        JOIN orders USING (order_id)
        WHERE eval_set = 'prior'
    """,
    "train_labels": """
        SELECT order_id, user_id, product_id, add_to_cart_order, reordered
        FROM order_products__train
        JOIN orders USING (order_id)
        WHERE eval_set = 'train'
    """,
    "up_features": """
        SELECT user_id,
               product_id,
               count(*)               AS up_orders,
               min(order_number)      AS up_first_order,
               max(order_number)      AS up_last_order,
               avg(add_to_cart_order) AS up_average_cart_position
        FROM order_products_prior
        GROUP BY user_id, product_id
    """,
    "user_features_1": """
        SELECT user_id,
               max(order_number)           AS user_orders,
               sum(days_since_prior_order) AS user_period,
               avg(days_since_prior_order) AS user_mean_days_since_prior
        FROM (SELECT DISTINCT order_id, user_id, order_number, days_since_prior_order FROM order_products_prior)
        GROUP BY user_id
    """,
    # A pair of up_features is a distinct product of its user: counting pairs saves a count(DISTINCT) over all lines.
    "user_features_2": """
        SELECT user_id, user_total_products, user_distinct_products, user_reorder_ratio
        FROM (
            SELECT user_id,
                   count(*)                                                    AS user_total_products,
                   sum(reordered) / nullif(count_if(order_number > 1), 0) AS user_reorder_ratio
            FROM order_products_prior
            GROUP BY user_id
        )
        JOIN (SELECT user_id, count(*) AS user_distinct_products FROM up_features GROUP BY user_id) USING (user_id)
    """,
    # A pair bought at least twice has exactly one second purchase: no need to number the purchases.
    "prd_features": """
        SELECT product_id, prod_orders, prod_reorders, prod_first_orders, prod_second_orders
        FROM (
            SELECT product_id, count(*) AS prod_orders, sum(reordered) AS prod_reorders
            FROM order_products_prior
            GROUP BY product_id
        )
        JOIN (
            SELECT product_id, count(*) AS prod_first_orders, count_if(up_orders >= 2) AS prod_second_orders
            FROM up_features
            GROUP BY product_id
        ) USING (product_id)
    """,
    "result_table": """
        SELECT *,
               prod_second_orders / prod_first_orders         AS prod_reorder_probability,
               1 + prod_reorders / prod_first_orders          AS prod_reorder_times,
               prod_reorders / prod_orders                    AS prod_reorder_ratio,
               user_total_products / user_orders              AS user_average_basket,
               up_orders / user_orders                        AS up_order_rate,
               user_orders - up_last_order                    AS up_orders_since_last_order,
               up_orders / (user_orders - up_first_order + 1) AS up_order_rate_since_first_order
        FROM up_features
        JOIN user_features_1 USING (user_id)
        JOIN user_features_2 USING (user_id)
        JOIN prd_features USING (product_id)
    """,
}


def build(raw: Path, out: Path, memory: str) -> None:
    """Write every table as a Parquet file; a later table reads the files of the earlier ones."""
    with duckdb.connect(config={"memory_limit": memory, "temp_directory": str(out / "spilled")}) as db:
        # Row order is free, and keeping it would cost memory.
        db.execute("SET preserve_insertion_order = false")
        for name, columns in (("orders", ORDERS), ("order_products__prior", LINES), ("order_products__train", LINES)):
            csv = raw / f"{name}.csv"
            db.execute(
                f"CREATE VIEW {name} AS FROM read_csv('{csv}', header = true, auto_detect = false, columns = {{{columns}}})"
            )
        for name, query in TABLES.items():
            parquet = out / f"{name}.parquet"
            db.execute(f"COPY ({query}) TO '{parquet}' (FORMAT parquet)")
            db.execute(f"CREATE VIEW {name} AS FROM read_parquet('{parquet}')")


if __name__ == "__main__":
    build(*arguments(__doc__))
