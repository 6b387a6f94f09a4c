"""The feature tables with PySpark, on one machine.

Belongs here: DataFrame code as it would run on a cluster, in one local session. Doesn't: the `--memory` of the others; a
JVM that is to hold these tables gets 4 GB of heap.
"""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # as every Spark script calls it

from bench.peers import arguments

ORDERS = """
    order_id BIGINT, user_id BIGINT, eval_set STRING, order_number INT, order_dow INT, order_hour_of_day INT,
    days_since_prior_order DOUBLE
"""
LINES = "order_id BIGINT, product_id BIGINT, add_to_cart_order INT, reordered INT"


def local_session(spilled: Path) -> SparkSession:
    """One session on two cores that listens on the loopback address only."""
    return (
        SparkSession.builder.master("local[2]")
        .appName("peer")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.local.dir", str(spilled))
        # The default of 200 is a cluster's: on two cores it only makes small tasks.
        .config("spark.sql.shuffle.partitions", "16")
        .getOrCreate()
    )


def build(raw: Path, out: Path, memory: str) -> None:  # noqa: ARG001  # all peers are called alike
    """Write every table as a folder of Parquet files; features read order_products_prior's, the result the features'."""
    spark = local_session(out / "spilled")

    def read(name: str, schema: str) -> DataFrame:
        return spark.read.csv(str(raw / f"{name}.csv"), schema=schema, header=True)

    def written(name: str, table: DataFrame) -> DataFrame:
        folder = str(out / f"{name}.parquet")
        table.write.parquet(folder)
        return spark.read.parquet(folder)

    orders = read("orders", ORDERS)
    prior = written(
        "order_products_prior",
        orders.where("eval_set = 'prior'").join(read("order_products__prior", LINES), "order_id"),
    )
    written(
        "train_labels",
        orders.where("eval_set = 'train'")
        .select("order_id", "user_id")
        .join(read("order_products__train", LINES), "order_id"),
    )
    user_1 = written(
        "user_features_1",
        prior.select("user_id", "order_number", "days_since_prior_order")
        .distinct()
        .groupBy("user_id")
        .agg(
            F.max("order_number").cast("bigint").alias("user_orders"),
            F.sum("days_since_prior_order").alias("user_period"),
            F.avg("days_since_prior_order").alias("user_mean_days_since_prior"),
        ),
    )
    user_2 = written(
        "user_features_2",
        prior.groupBy("user_id").agg(
            F.count("*").alias("user_total_products"),
            F.countDistinct("product_id").alias("user_distinct_products"),
            F.expr("sum(reordered) / nullif(count_if(order_number > 1), 0)").alias("user_reorder_ratio"),
        ),
    )
    up = written(
        "up_features",
        prior.groupBy("user_id", "product_id").agg(
            F.count("*").alias("up_orders"),
            F.min("order_number").cast("bigint").alias("up_first_order"),
            F.max("order_number").cast("bigint").alias("up_last_order"),
            F.avg("add_to_cart_order").alias("up_average_cart_position"),
        ),
    )
    products = written(
        "prd_features",
        prior.withColumn(
            "product_seq_time", F.row_number().over(Window.partitionBy("user_id", "product_id").orderBy("order_number"))
        )
        .groupBy("product_id")
        .agg(
            F.count("*").alias("prod_orders"),
            F.sum("reordered").alias("prod_reorders"),
            F.expr("count_if(product_seq_time = 1)").alias("prod_first_orders"),
            F.expr("count_if(product_seq_time = 2)").alias("prod_second_orders"),
        ),
    )
    written(
        "result_table",
        up.join(user_1, "user_id")
        .join(user_2, "user_id")
        .join(products, "product_id")
        .selectExpr(
            # A join by name moves that column to the front: here the key is put in order again.
            *up.columns,
            *(name for features in (user_1, user_2, products) for name in features.columns[1:]),
            "prod_second_orders / prod_first_orders AS prod_reorder_probability",
            "1 + prod_reorders / prod_first_orders AS prod_reorder_times",
            "prod_reorders / prod_orders AS prod_reorder_ratio",
            "user_total_products / user_orders AS user_average_basket",
            "up_orders / user_orders AS up_order_rate",
            "user_orders - up_last_order AS up_orders_since_last_order",
            "up_orders / (user_orders - up_first_order + 1) AS up_order_rate_since_first_order",
        )
        .coalesce(1),
    )
    spark.stop()


if __name__ == "__main__":
    build(*arguments(__doc__))
