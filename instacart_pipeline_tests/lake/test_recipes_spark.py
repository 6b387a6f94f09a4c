"""Spark gives what DuckDB gives: the same cases, written by hand once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline_tests.lake.test_recipes_operations import CASES
from instacart_pipeline_tests.lake.test_recipes_reorder import (
    ORDER_PRODUCTS_PRIOR,
    RECIPES,
    baskets,
    original_prd_features,
)
from instacart_pipeline_tests.lake.test_recipes_support import Case, Data, DuckDb, comparable, compiled, rendered

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: SparkSession, case: Case) -> Data:
    """What the case's recipe gives on Spark."""
    tables = {"source": case.source, **case.datasets}
    for name, data in tables.items():
        schema = ", ".join(f"`{column}` {kind}" for column, kind in data.columns.items())
        spark.createDataFrame(list(data.rows), schema).createOrReplaceTempView(name)
    result = compiled(case.steps, case.source.columns, {name: each.columns for name, each in case.datasets.items()})
    sql = rendered(result.sql, {name: data.columns for name, data in tables.items()}, "spark")
    found = spark.sql(sql)
    assert [(name, kind) for name, kind in found.dtypes] == list(result.columns)
    return Data(dict(result.columns), [tuple(row) for row in found.collect()])


@pytest.mark.parametrize("sentence", CASES)
def test_on_spark(spark: SparkSession, sentence: str) -> None:
    case = CASES[sentence]
    assert comparable(run(spark, case).rows) == comparable(case.result.rows)


RECIPES_RUN = [*(Recipe.load(path) for path in sorted(RECIPES.glob("*.json"))), original_prd_features()]


@pytest.mark.parametrize("recipe", RECIPES_RUN, ids=lambda recipe: recipe.name)
def test_the_reorder_recipes_give_on_spark_what_they_give_on_duckdb(spark: SparkSession, recipe: Recipe) -> None:
    case = Case(recipe.definition, Data(ORDER_PRODUCTS_PRIOR, list(baskets())), Data({}, []))
    assert comparable(run(spark, case).rows) == comparable(DuckDb().run(case).rows)
