"""The floor: the feature tables with DuckDB and nothing else.

Belongs here: plain DuckDB SQL, a COPY a table, in the types of the project's contracts. Doesn't: tricks that a reader would
have to be told about; those are in duckdb_tuned_script.py.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from bench.peers import arguments

ORDERS = """
    order_id: 'BIGINT', user_id: 'BIGINT', eval_set: 'VARCHAR', order_number: 'INTEGER', order_dow: 'INTEGER',
    order_hour_of_day: 'INTEGER', days_since_prior_order: 'DOUBLE'
"""
LINES = "order_id: 'BIGINT', product_id: 'BIGINT', add_to_cart_order: 'INTEGER', reordered: 'INTEGER'"

# The casts: a sum is HUGEINT in DuckDB, which Parquet lacks, and the least of INTEGERs is INTEGER; the contracts say bigint.
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
    "user_features_1": """
        SELECT user_id,
               CAST(max(order_number) AS BIGINT) AS user_orders,
               sum(days_since_prior_order)       AS user_period,
               avg(days_since_prior_order)       AS user_mean_days_since_prior
        FROM (SELECT DISTINCT user_id, order_number, days_since_prior_order FROM order_products_prior)
        GROUP BY user_id
    """,
    "user_features_2": """
        SELECT user_id,
               count(*)                                                                AS user_total_products,
               count(DISTINCT product_id)                                              AS user_distinct_products,
               sum(reordered) / nullif(count(*) FILTER (WHERE order_number > 1), 0) AS user_reorder_ratio
        FROM order_products_prior
        GROUP BY user_id
    """,
    "up_features": """
        SELECT user_id,
               product_id,
               count(*)                          AS up_orders,
               CAST(min(order_number) AS BIGINT) AS up_first_order,
               CAST(max(order_number) AS BIGINT) AS up_last_order,
               avg(add_to_cart_order)            AS up_average_cart_position
        FROM order_products_prior
        GROUP BY user_id, product_id
    """,
    "prd_features": """
        SELECT product_id,
               count(*)                                       AS prod_orders,
               CAST(sum(reordered) AS BIGINT)                 AS prod_reorders,
               count(*) FILTER (WHERE product_seq_time = 1) AS prod_first_orders,
               count(*) FILTER (WHERE product_seq_time = 2) AS prod_second_orders
        FROM (
            SELECT product_id,
                   reordered,
                   row_number() OVER (PARTITION BY user_id, product_id ORDER BY order_number) AS product_seq_time
            FROM order_products_prior
        )
        GROUP BY product_id
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
    """Write every table as a Parquet file; features read order_products_prior's, the result the features'."""
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
