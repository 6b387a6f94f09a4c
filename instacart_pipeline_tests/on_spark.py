"""A statement of the project on the Spark session that tests share, over the rows that a platform's lake has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.catalog.inputs import inputs_of
from instacart_pipeline.resources.glue.spark_job import SparkStatement
from instacart_pipeline_tests.platform import Platform, Row

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def on_spark(spark: SparkSession, platform: Platform, statement: Query, table: TableContract, dt: str) -> list[Row]:
    """The rows that Spark makes of the statement of a table as of a day, sorted by the first column."""
    from pyspark.sql.functions import lit

    query = statement.bind(dt=dt)
    made = SparkStatement.of(query, platform.catalog, inputs_of(platform.catalog, query, dt), dt)
    for view, read in made.views.items():
        found = spark.read.parquet(str(Path(read["location"]) / "*.parquet")).withColumn("dt", lit(read["dt"]))
        found.createOrReplaceTempView(view)
    rows = [row.asDict() for row in spark.sql(made.sql).select(*table.column_names).collect()]
    return sorted(rows, key=lambda row: str(row[table.column_names[0]]))
