"""Athena, whichever backend: what a CREATE TABLE AS publishes and refuses, and what comes back from a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from instacart_pipeline.lake.errors import JobFailed, TableNotFound, UnsupportedSql
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.athena import QueryResult
from instacart_pipeline.resources.published import Published, VersionRefused
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.resources.backends import DEEP_ON_AWS, Day

TRAIN = t.ORDER_PRODUCTS_TRAIN
AGAIN = "20260102T000000000000-000000"
JobsStarted = Callable[[], int]


def order(number: int, eval_set: str, gap: float | None = None) -> Row:
    row = {"order_id": number, "user_id": 7, "eval_set": eval_set, "order_number": number, "order_dow": 2}
    return {**row, "order_hour_of_day": 8, "days_since_prior_order": gap}


def line(order_id: int, product: int) -> Row:
    return {"order_id": order_id, "product_id": product, "add_to_cart_order": product - 9, "reordered": 0}


ORDERS = [order(1, "prior"), order(2, "train", 5.5)]
LINES = [line(1, 10), line(2, 10), line(2, 11)]


@pytest.fixture
def shop(day: Day) -> Day:
    """A day with two orders and three lines."""
    day.put_rows(t.ORDERS, ORDERS)
    day.put_rows(t.ORDER_PRODUCTS, LINES)
    return day


def make(shop: Day, query: Query | None = None) -> Published:
    return shop.backend.resources.athena.create_table_as(query or sql(TRAIN.name), TRAIN, shop.dt)


def ask(shop: Day, statement: str, limit: int | None = None) -> QueryResult:
    return shop.backend.resources.athena.query(Query.parse("asked", statement.replace(":day", f"'{shop.dt}'")), limit)


def rows(shop: Day, statement: str) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in ask(shop, statement).table.columns), strict=True))


# CREATE TABLE AS.


def test_a_result_is_published_in_the_contracts_columns_with_lineage_outcomes_and_size(shop: Day) -> None:
    published = make(shop)
    version = shop.current(TRAIN)
    assert (published.table, published.dt, published.version) == (TRAIN, shop.dt, version)
    assert (published.superseded, version.rows) == (False, 2)
    assert published.seconds > 0
    assert version.bytes > 0
    assert dict(version.lineage) == {
        table.qualified_name: shop.current(table).name for table in (t.ORDERS, t.ORDER_PRODUCTS)
    }
    assert [(outcome.rule, outcome.violations) for outcome in version.outcomes] == [
        (rule, 0) for rule in ("no_nulls", "in_range", "allowed_values", "unique_user_id_order_number_product_id")
    ]
    assert shop.orphaned_files(TRAIN) == []
    # Whatever order the files have the columns in.
    assert shop.tuples(TRAIN) == [
        (2, 7, "train", 2, 2, 8, 5.5, 10, 1, 0),
        (2, 7, "train", 2, 2, 8, 5.5, 11, 2, 0),
    ]
    table = shop.backend.catalog.table(TRAIN.database, TRAIN.name)
    assert table.columns == tuple((column.name, column.type) for column in TRAIN.columns)
    assert ask(shop, f"SELECT * FROM {TRAIN.qualified_name} WHERE dt = :day").table.column_names == [
        *TRAIN.column_names,
        "dt",
    ]


@DEEP_ON_AWS
def test_making_a_table_again_replaces_it_whole(shop: Day) -> None:
    first = make(shop).version
    shop.put_rows(t.ORDER_PRODUCTS, LINES[:2], name=AGAIN)
    again = make(shop).version
    assert [row[7] for row in shop.tuples(TRAIN)] == [10]
    assert [location for location, _ in again.retired] == [first.location]


@DEEP_ON_AWS
def test_other_days_are_neither_read_nor_changed(shop: Day) -> None:
    later = replace(shop, dt="2027-01-01")
    later.put_rows(t.ORDERS, ORDERS)
    later.put_rows(t.ORDER_PRODUCTS, [*LINES, line(2, 12)])
    make(later)
    assert make(shop).version.rows == 2
    assert later.current(TRAIN).rows == 3


@DEEP_ON_AWS
def test_a_query_that_finds_nothing_makes_a_table_without_rows(shop: Day) -> None:
    shop.put_rows(t.ORDERS, ORDERS[:1], name=AGAIN)
    assert make(shop).version.rows == 0
    assert shop.rows(TRAIN) == []


@DEEP_ON_AWS
def test_a_result_that_breaks_its_contract_leaves_readers_with_the_version_before(shop: Day) -> None:
    before = shop.put_rows(TRAIN, [])
    shop.put_rows(t.ORDER_PRODUCTS, [*LINES, LINES[2]], name=AGAIN)
    with pytest.raises(VersionRefused) as refused:
        make(shop)
    assert f"{TRAIN.qualified_name} dt={shop.dt} breaks its contract and was not published" in str(refused.value)
    assert "unique_user_id_order_number_product_id: 1 rows." in str(refused.value)
    assert [outcome.rule for outcome in refused.value.outcomes if not outcome.passed] == [
        "unique_user_id_order_number_product_id"
    ]
    assert shop.current(TRAIN) == before
    assert shop.orphaned_files(TRAIN) == []


@DEEP_ON_AWS
def test_a_result_from_older_inputs_than_the_published_one_is_dropped(shop: Day) -> None:
    newer = make(shop).version
    shop.backend.catalog.drop_partition(t.ORDERS.database, t.ORDERS.name, shop.dt)
    shop.put_rows(t.ORDERS, ORDERS, name="20250101T000000000000-000000")
    late = make(shop)
    assert (late.superseded, late.version) == (True, newer)
    assert shop.current(TRAIN) == newer
    assert shop.orphaned_files(TRAIN) == []


def test_an_input_without_the_day_is_named_before_anything_starts(shop: Day, jobs_started: JobsStarted) -> None:
    shop.backend.catalog.drop_partition(t.ORDERS.database, t.ORDERS.name, shop.dt)
    before = jobs_started()
    with pytest.raises(TableNotFound) as missing:
        make(shop)
    assert str(missing.value) == (
        f"order_products_train reads reorder_curated.orders, which has no partition dt={shop.dt}. "
        f"Build it with `instacart-pipeline run reorder --dt {shop.dt}`."
    )
    assert jobs_started() == before


UNSUPPORTED = {
    "SELECT nowhere FROM reorder_curated.orders WHERE dt = :dt": "Column 'nowhere' could not be resolved",
    "SELECT order_id FROM orders WHERE dt = :dt": "orders lacks its database; write it as database.table",
    "SELECT order_id FROM reorder_curated.orders": r"takes parameters \[\], was given \['dt'\]",
    "SELECT order_id FROM reorder_curated.orders WHERE dt = :day": r"takes parameters \['day'\], was given",
}


@pytest.mark.parametrize(
    ("backend_double", "statement"),
    [*(("local", statement) for statement in UNSUPPORTED), ("aws", next(iter(UNSUPPORTED)))],
    indirect=["backend_double"],
)
def test_sql_that_is_not_supported_is_refused_before_anything_runs(
    shop: Day, jobs_started: JobsStarted, statement: str
) -> None:
    before = jobs_started()
    with pytest.raises(UnsupportedSql, match=f"wrong: {UNSUPPORTED[statement]}"):
        make(shop, Query.parse("wrong", statement))
    assert jobs_started() == before
    assert shop.find(TRAIN) is None


def test_a_statement_that_fails_on_its_rows_publishes_nothing(shop: Day) -> None:
    text = str(sql(TRAIN.name).expression.sql("athena"))
    failing = Query.parse("failing", text.replace("SELECT", "SELECT CAST('x' || eval_set AS bigint) AS no_number,", 1))
    columns = tuple(
        replace(column, name="no_number") if column.name == "order_id" else column for column in TRAIN.columns
    )
    with pytest.raises(JobFailed, match="Could not convert string 'xtrain'"):
        shop.backend.resources.athena.create_table_as(failing, replace(TRAIN, columns=columns), shop.dt)
    assert shop.find(TRAIN) is None
    assert shop.orphaned_files(TRAIN) == []


# Queries.


@pytest.fixture(scope="module")
def stocked(backend: Platform, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The same two orders and three lines, for all tests that only ask."""
    made = Day(backend, "2025-12-31", tmp_path_factory.mktemp("stocked"))
    made.put_rows(t.ORDERS, ORDERS)
    made.put_rows(t.ORDER_PRODUCTS, LINES)
    return made


def test_values_come_back_in_their_types(stocked: Day) -> None:
    (row,) = rows(
        stocked,
        "SELECT 1, CAST(2 AS bigint), CAST(1.5 AS double), 'x', true, 1.25, DATE '2026-01-02',"
        " TIMESTAMP '2026-01-02 03:04:05'",
    )
    assert row == (1, 2, 1.5, "x", True, Decimal("1.25"), date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5))
    assert [type(value) for value in row] == [int, int, float, str, bool, Decimal, date, datetime]


def test_columns_of_tables_come_back_in_the_contracts_types(stocked: Day) -> None:
    found = ask(stocked, "SELECT order_id, order_dow, days_since_prior_order, eval_set FROM reorder_curated.orders")
    assert [str(kind) for kind in found.table.schema.types] == ["int64", "int32", "double", "string"]


def test_null_is_none_and_an_empty_text_is_none_of_it(stocked: Day) -> None:
    statement = "SELECT '', CAST(NULL AS varchar), CAST(NULL AS double), CAST(NULL AS bigint), CAST(NULL AS date)"
    assert rows(stocked, statement) == [("", None, None, None, None)]


def test_texts_come_back_as_they_are(stocked: Day) -> None:
    statement = "SELECT ' a, \"b\" ', 'two\nlines', 'it''s', '日本 🍵', 'NULL', '\\'"
    assert rows(stocked, statement) == [(' a, "b" ', "two\nlines", "it's", "日本 🍵", "NULL", "\\")]


def test_numbers_keep_every_digit(stocked: Day) -> None:
    statement = "SELECT 9223372036854775807, CAST(0.1 AS double) + CAST(0.2 AS double), CAST(1e300 AS double)"
    assert rows(stocked, statement) == [(9223372036854775807, 0.1 + 0.2, 1e300)]


def test_rows_come_in_the_order_that_was_asked_for(stocked: Day) -> None:
    statement = (
        "SELECT product_id, order_id FROM reorder_curated.order_products WHERE dt = :day"
        " ORDER BY product_id DESC, order_id"
    )
    assert rows(stocked, statement) == [(11, 2), (10, 1), (10, 2)]


@pytest.mark.parametrize(
    ("limit", "own", "found", "truncated"),
    [
        (2, "", [12, 11], True),
        (3, "", [12, 11, 10], False),
        (1, " LIMIT 2", [12], True),
        (2, " LIMIT 2", [12, 11], False),
    ],
)
def test_a_limit_cuts_the_rows_and_says_so(
    stocked: Day, limit: int | None, own: str, found: list[int], truncated: bool
) -> None:
    three = "(SELECT 10 AS n UNION ALL SELECT 12 UNION ALL SELECT 11) AS three"
    result = ask(stocked, f"SELECT n FROM {three} ORDER BY n DESC{own}", limit)
    assert (result.table.column("n").to_pylist(), result.truncated) == (found, truncated)
    assert result.seconds > 0


def test_columns_without_a_name_are_numbered_and_those_of_one_name_kept_apart(stocked: Day) -> None:
    table = ask(
        stocked, "SELECT count(*), 1 AS named, max(order_id), 2 AS named FROM reorder_curated.orders WHERE dt = :day"
    ).table
    assert table.column_names == ["_col0", "named", "_col2", "named"]
    assert [column.to_pylist() for column in table.columns] == [[2], [1], [2], [2]]


def test_whole_numbers_are_summed_as_bigint_and_averaged_as_double(stocked: Day) -> None:
    statement = "SELECT sum(product_id), sum(reordered), avg(product_id), sum(product_id) / 2, count(*) FROM reorder_curated.order_products WHERE dt = :day"  # fmt: skip
    table = ask(stocked, statement).table
    assert [str(kind) for kind in table.schema.types] == ["int64", "int64", "double", "int64", "int64"]
    assert [column.to_pylist() for column in table.columns] == [[31], [0], [31 / 3], [15], [3]]


def test_of_no_rows_a_count_is_0_and_a_sum_is_null(stocked: Day) -> None:
    counted = "SELECT count(*), count_if(order_id > 1), sum(order_id), max(eval_set) FROM reorder_curated.orders"
    assert rows(stocked, f"{counted} WHERE dt = '1999-01-01'") == [(0, 0, None, None)]


def test_a_result_without_rows_still_has_its_columns(stocked: Day) -> None:
    table = ask(stocked, "SELECT order_id, eval_set FROM reorder_curated.orders WHERE dt = '1999-01-01'").table
    assert (table.num_rows, table.column_names) == (0, ["order_id", "eval_set"])
    assert [str(kind) for kind in table.schema.types] == ["int64", "string"]


def test_a_query_is_over_all_days_and_the_day_is_a_column(stocked: Day) -> None:
    replace(stocked, dt="2027-01-02").put_rows(t.ORDERS, ORDERS[:1])
    statement = (
        "SELECT dt, count(*) FROM reorder_curated.orders WHERE dt IN (:day, '2027-01-02') GROUP BY dt ORDER BY dt"
    )
    assert rows(stocked, statement) == [(stocked.dt, 2), ("2027-01-02", 1)]


def test_a_query_of_what_is_not_there_says_so_before_anything_runs(stocked: Day, jobs_started: JobsStarted) -> None:
    before = jobs_started()
    with pytest.raises(TableNotFound, match=r"The catalog has no table reorder_curated\.nowhere\. There is .*orders"):
        ask(stocked, "SELECT * FROM reorder_curated.nowhere")
    with pytest.raises(UnsupportedSql, match="Column 'nowhere' could not be resolved"):
        ask(stocked, "SELECT nowhere FROM reorder_curated.orders")
    assert jobs_started() == before


def test_a_query_that_fails_says_why(stocked: Day) -> None:
    with pytest.raises(JobFailed, match="Could not convert string 'xprior'"):
        ask(stocked, "SELECT CAST('x' || eval_set AS bigint) FROM reorder_curated.orders WHERE eval_set = 'prior'")
