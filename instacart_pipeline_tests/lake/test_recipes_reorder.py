"""The recipes of the reorder system give the feature tables as they are defined."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import instacart_pipeline
from instacart_pipeline.lake.recipe_sql import compile_recipe
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline_tests.lake.test_recipes_support import (
    Columns,
    aggregate,
    comparable,
    frame,
    recipe,
    rendered,
    step,
)

RECIPES = Path(instacart_pipeline.__file__).parent / "reorder" / "recipes"

ORDER_PRODUCTS_PRIOR: Columns = {
    "order_id": "bigint",
    "user_id": "bigint",
    "eval_set": "string",
    "order_number": "int",
    "order_dow": "int",
    "order_hour_of_day": "int",
    "days_since_prior_order": "double",
    "product_id": "bigint",
    "add_to_cart_order": "int",
    "reordered": "int",
}

DEFINITIONS = {
    "user_features_1": """
        SELECT user_id,
               CAST(max(order_number) AS bigint) AS user_orders,
               sum(days_since_prior_order) AS user_period,
               avg(days_since_prior_order) AS user_mean_days_since_prior
        FROM (SELECT DISTINCT user_id, order_id, order_number, days_since_prior_order FROM source)
        GROUP BY user_id
    """,
    "user_features_2": """
        SELECT user_id,
               count(*) AS user_total_products,
               count(DISTINCT product_id) AS user_distinct_products,
               CAST(count_if(reordered = 1) AS double) / nullif(count_if(order_number > 1), 0) AS user_reorder_ratio
        FROM source
        GROUP BY user_id
    """,
    "up_features": """
        SELECT user_id, product_id,
               count(*) AS up_orders,
               CAST(min(order_number) AS bigint) AS up_first_order,
               CAST(max(order_number) AS bigint) AS up_last_order,
               avg(add_to_cart_order) AS up_average_cart_position
        FROM source
        GROUP BY user_id, product_id
    """,
    "prd_features": """
        SELECT product_id,
               count(*) AS prod_orders,
               CAST(sum(reordered) AS bigint) AS prod_reorders,
               count(*) FILTER (WHERE product_seq_time = 1) AS prod_first_orders,
               count(*) FILTER (WHERE product_seq_time = 2) AS prod_second_orders
        FROM (
            SELECT *, rank() OVER (PARTITION BY user_id, product_id ORDER BY order_number) AS product_seq_time FROM source
        )
        GROUP BY product_id
    """,
}


def original_prd_features() -> Recipe:
    """The recipe of the project this one comes from, which numbers each user's purchases of a product."""
    mapped = {"sourceColumn": "product_seq_time", "other": "0", "mapType": "NUMERIC", "mappingOption": "TOP_X_VALUES"}
    return recipe(
        step("ROW_NUMBER", groupByColumns=["user_id", "product_id"], orderByColumns=["order_number"], targetColumn="product_seq_time"),
        step("CHANGE_DATA_TYPE", sourceColumn="product_seq_time", columnDataType="string"),
        step("CATEGORICAL_MAPPING", categoryMap={"1": "1"}, targetColumn="prod_first", **mapped),
        step("CATEGORICAL_MAPPING", categoryMap={"2": "1"}, targetColumn="prod_second", **mapped),
        step(
            "GROUP_BY",
            sourceColumns=["product_id"],
            groupByAggFunctionOptions=[
                aggregate("COUNT", "product_id", "prod_orders", "bigint"),
                aggregate("SUM", "reordered", "prod_reorders", "bigint"),
                aggregate("SUM", "prod_first", "prod_first_orders", "bigint"),
                aggregate("SUM", "prod_second", "prod_second_orders", "bigint"),
            ],
            useNewDataFrame="true",
        ),
    )  # fmt: skip


def baskets() -> Iterator[tuple[Any, ...]]:
    """Lines of a few users' prior orders; the user 9 has one order only."""
    chance = random.Random(7)  # noqa: S311  # no secret
    order_id = 0
    for user in (1, 2, 3, 9):
        bought: set[int] = set()
        for number in range(1, 2 if user == 9 else 6):
            order_id += 1
            days = None if number == 1 else float(chance.randint(0, 30))
            basket = chance.sample(range(100, 108), chance.randint(1, 5))
            for position, product in enumerate(basket, 1):
                yield order_id, user, "prior", number, 3, 8, days, product, position, int(product in bought)
            bought |= set(basket)


@pytest.fixture(scope="module")
def small() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        columns = ", ".join(
            f"{name} {kind.replace('string', 'varchar')}" for name, kind in ORDER_PRODUCTS_PRIOR.items()
        )
        connection.execute(f"CREATE TABLE source ({columns}, dt varchar)")
        for day in ("2026-11-19", "2026-11-20"):
            connection.executemany(
                "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [(*row, day) for row in baskets()]
            )
        yield connection  # fmt: skip


def run(connection: duckdb.DuckDBPyConnection, recipe: Recipe, dt: str) -> duckdb.DuckDBPyRelation:
    """What the recipe makes of one day of `source`."""
    result = compile_recipe(recipe, frame("source", ORDER_PRODUCTS_PRIOR), where=f"dt = '{dt}'")
    columns: Columns = {**ORDER_PRODUCTS_PRIOR, "dt": "string"}
    relation = connection.sql(rendered(result.sql, {"source": columns}, "duckdb"))
    assert list(zip(relation.columns, (str(kind).lower() for kind in relation.types), strict=True)) == list(
        result.columns
    )
    return relation


@pytest.mark.parametrize("table", DEFINITIONS)
def test_a_recipe_gives_the_table_as_defined(small: duckdb.DuckDBPyConnection, table: str) -> None:
    defined = small.sql(
        DEFINITIONS[table].replace("FROM source", "FROM (SELECT * FROM source WHERE dt = '2026-11-20')")
    )
    found = run(small, Recipe.load(RECIPES / f"{table}.json"), "2026-11-20")
    assert found.columns == defined.columns
    assert found.types == defined.types
    assert comparable(found.fetchall()) == comparable(defined.fetchall())


def test_the_original_recipe_of_prd_features_gives_the_same(small: duckdb.DuckDBPyConnection) -> None:
    original = run(small, original_prd_features(), "2026-11-20").fetchall()
    assert comparable(original) == comparable(
        run(small, Recipe.load(RECIPES / "prd_features.json"), "2026-11-20").fetchall()
    )


def test_a_user_with_one_order_has_no_period_and_no_reorder_ratio(small: duckdb.DuckDBPyConnection) -> None:
    period = run(small, Recipe.load(RECIPES / "user_features_1.json"), "2026-11-20").filter("user_id = 9").fetchall()
    ratio = run(small, Recipe.load(RECIPES / "user_features_2.json"), "2026-11-20").filter("user_id = 9").fetchall()
    assert period == [(9, 1, None, None)]
    assert [row[-1] for row in ratio] == [None]


def test_the_recipes_need_no_window_no_sort_and_no_text() -> None:
    for path in RECIPES.glob("*.json"):
        sql = compile_recipe(Recipe.load(path), frame("source", ORDER_PRODUCTS_PRIOR)).sql
        assert not [word for word in ("OVER", "ORDER BY", "DISTINCT", "VARCHAR", "REGEXP") if word in sql], path.stem


@pytest.fixture(scope="module")
def real(real_data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    baskets = real_data / "retail_baskets"
    columns = ", ".join(
        f"CAST({name} AS {kind.replace('string', 'varchar')}) AS {name}" for name, kind in ORDER_PRODUCTS_PRIOR.items()
    )
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(f"""
            CREATE TABLE source AS
            SELECT {columns}, '2026-11-20' AS dt
            FROM '{baskets}/orders.csv' JOIN '{baskets}/order_products__prior.csv' USING (order_id)
            WHERE eval_set = 'prior'
        """)
        yield connection  # fmt: skip


FIGURES: dict[str, dict[str, float]] = {
    "user_features_1": {
        "count(*)": 1496,
        "sum(user_orders)": 12_233,
        "sum(user_period)": 230_084,
        "round(avg(user_mean_days_since_prior), 6)": 23.472226,
    },
    "user_features_2": {
        "count(*)": 1496,
        "sum(user_total_products)": 253_857,
        "sum(user_distinct_products)": 154_964,
        "round(avg(user_reorder_ratio), 6)": 0.343069,
    },
    "up_features": {
        "count(*)": 154_964,
        "sum(up_orders)": 253_857,
        "sum(up_first_order)": 1_135_462,
        "sum(up_last_order)": 1_673_910,
        "round(avg(up_average_cart_position), 6)": 23.380384,
    },
    "prd_features": {
        "count(*)": 3549,
        "sum(prod_orders)": 253_857,
        "sum(prod_reorders)": 98_893,
        "sum(prod_first_orders)": 154_964,
        "sum(prod_second_orders)": 46_495,
    },
}


@pytest.mark.parametrize("table", FIGURES)
def test_real_baskets_give_the_known_figures(real: duckdb.DuckDBPyConnection, table: str) -> None:
    found = run(real, Recipe.load(RECIPES / f"{table}.json"), "2026-11-20")
    assert found.aggregate(", ".join(FIGURES[table])).fetchall() == [tuple(FIGURES[table].values())]


@pytest.mark.parametrize("table", DEFINITIONS)
def test_real_baskets_give_the_tables_as_defined(real: duckdb.DuckDBPyConnection, table: str) -> None:
    found = run(real, Recipe.load(RECIPES / f"{table}.json"), "2026-11-20").fetchall()
    assert set(found) == set(real.sql(DEFINITIONS[table]).fetchall())


def test_real_baskets_give_the_same_with_the_original_recipe(real: duckdb.DuckDBPyConnection) -> None:
    original = run(real, original_prd_features(), "2026-11-20").fetchall()
    assert comparable(original) == comparable(
        run(real, Recipe.load(RECIPES / "prd_features.json"), "2026-11-20").fetchall()
    )
