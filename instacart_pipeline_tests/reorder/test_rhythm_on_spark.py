"""What Glue makes for the model is the same on DuckDB and on Spark, row by row. What Athena makes never runs on Spark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.catalog.inputs import inputs_of
from instacart_pipeline.resources.glue.spark_job import SparkStatement
from instacart_pipeline_tests.platform import DT, Platform, write_upload
from instacart_pipeline_tests.reorder.rhythm import alike
from instacart_pipeline_tests.reorder.test_rhythm import built

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WINDOWS = 2
QUERIES: dict[TableContract, Query] = {
    m.UP_RHYTHM: sql("up_rhythm").given(windows=WINDOWS),
    m.TRAINING_PAIRS: sql("pairs").given(open=0),
    m.OPEN_PAIRS: sql("pairs").given(open=1),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    folder = tmp_path_factory.mktemp("rhythm")
    return built(Platform(folder / "home"), write_upload(folder / "upload"), windows=WINDOWS)


@pytest.mark.parametrize("table", QUERIES, ids=lambda table: table.name)
def test_spark_gives_the_same_rows(spark: SparkSession, lake: Platform, table: TableContract) -> None:
    from pyspark.sql.functions import lit

    query = QUERIES[table].bind(dt=DT)
    statement = SparkStatement.of(query, lake.catalog, inputs_of(lake.catalog, query, DT), DT)
    for view, read in statement.views.items():
        found = spark.read.parquet(str(Path(read["location"]) / "*.parquet")).withColumn("dt", lit(read["dt"]))
        found.createOrReplaceTempView(view)
    rows = [row.asDict() for row in spark.sql(statement.sql).select(*table.column_names).collect()]
    key = [column.name for column in table.columns if column.key]

    def by_key(row: dict[str, Any]) -> tuple[int, ...]:
        return tuple(row[name] for name in key)

    expected = sorted(lake.rows(table), key=by_key)
    assert expected
    assert len(rows) == len(expected)
    apart = [
        (row, found) for row, found in zip(expected, sorted(rows, key=by_key), strict=True) if not alike(row, found)
    ]
    assert apart == []
