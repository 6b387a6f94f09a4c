"""Checks across tables: customers lost or made up, spend that is not that of the items, items that gainsay their orders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.checks import build_checks
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.orchestration.partitions import weekly
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.customers.shop import DT, event, item, orders_of, returned, user
from instacart_pipeline_tests.customers.statements import Statements
from instacart_pipeline_tests.platform import Row

ITEMS = [item(1, 1, 30.0), returned(2, 1, 12.5), item(3, 2, 99.99), item(4, 2, 5.0, status="Cancelled")]


@pytest.fixture
def shop() -> Statements:
    """Three customers; 1 bought two items for 42.50, 2 one for 99.99, 3 nothing."""
    made = Statements()
    made.put([user(1), user(2), user(3)], items=ITEMS)
    return made


@pytest.fixture
def built(shop: Statements) -> Statements:
    """The same, and what is made of them."""
    shop.build()
    return shop


CHECKS = {
    spec.key: check for check in build_checks(weekly(Settings().customers_first_day)) for spec in check.check_specs
}


def checked(shop: Statements, table: TableContract, name: str) -> dg.AssetCheckResult:
    """What comes of one check, called as Dagster would."""
    check: Any = CHECKS[dg.AssetCheckKey(asset_key(table), name)]
    result: dg.AssetCheckResult = check.op.compute_fn.decorated_fn(SimpleNamespace(partition_key=DT), shop)
    return result


def figures(check: dg.AssetCheckResult) -> dict[str, object]:
    """The metadata of a check."""
    return {name: value.value for name, value in (check.metadata or {}).items()}


def rewritten(shop: Statements, change: Callable[[list[Row]], list[Row]]) -> None:
    """Have the customers once more, changed."""
    shop.put_rows(t.CUSTOMERS, change(shop.rows(t.CUSTOMERS)))


def test_a_customer_lost_and_a_figure_that_is_wrong_stop_the_week_and_what_is_odd_in_a_dump_does_not() -> None:
    specs = [spec for check in CHECKS.values() for spec in check.check_specs]
    assert {spec.name for spec in specs if spec.blocking} == {"every_customer_once", "spend_accounted"}
    assert {spec.name for spec in specs if not spec.blocking} == {"items_agree_with_orders", "dump_reaches_the_week"}


def test_customers_made_as_they_should_be_pass(built: Statements) -> None:
    once = checked(built, t.CUSTOMERS, "every_customer_once")
    assert once.passed
    assert figures(once) == {"registered": 3, "listed_once": 3, "missing": 0, "doubled": 0, "strangers": 0}
    spend = checked(built, t.CUSTOMERS, "spend_accounted")
    assert spend.passed
    assert spend.description == "Customers: 3 items for 142.4900; order_items: 3 for 142.4900."


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rows: rows[1:], "missing"),
        (lambda rows: [*rows, rows[0]], "doubled"),
        (lambda rows: [*rows, {**rows[0], "user_id": 77}], "strangers"),
    ],
    ids=["a customer lost", "a customer twice", "nobody's row"],
)
def test_a_customer_lost_doubled_or_made_up_stops_the_week(
    built: Statements, change: Callable[[list[Row]], list[Row]], fault: str
) -> None:
    rewritten(built, change)
    check = checked(built, t.CUSTOMERS, "every_customer_once")
    assert not check.passed
    counts = {name: figures(check)[name] for name in ("missing", "doubled", "strangers")}
    assert counts == {"missing": 0, "doubled": 0, "strangers": 0, fault: 1}


@pytest.mark.parametrize("column", ["spend", "items"])
def test_a_figure_that_is_not_that_of_the_items_stops_the_week(built: Statements, column: str) -> None:
    rewritten(built, lambda rows: [{**rows[0], column: rows[0][column] + 1}, *rows[1:]])
    check = checked(built, t.CUSTOMERS, "spend_accounted")
    assert not check.passed
    assert (figures(check)["sold_for"], figures(check)["sold"]) == ("142.4900", 3)


def test_items_that_gainsay_their_orders_warn_with_counts(shop: Statements) -> None:
    orders = orders_of(ITEMS)
    orders[0]["user_id"] = 3
    orders[1]["status"] = "Shipped"
    orders[2]["num_of_item"] = 2
    shop.put([user(1), user(2), user(3)], items=ITEMS, orders=orders)
    check = checked(shop, t.ORDER_ITEMS, "items_agree_with_orders")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert figures(check) == {
        "orders": 4,
        "items": 4,
        "of_another_user": 1,
        "of_another_status": 1,
        "returned_undated": 0,
        "orders_of_another_count": 1,
    }


def test_items_that_agree_with_their_orders_pass(shop: Statements) -> None:
    assert checked(shop, t.ORDER_ITEMS, "items_agree_with_orders").passed


def test_a_return_without_a_date_warns_as_it_counts_as_kept(shop: Statements) -> None:
    shop.put([user(1)], items=[item(1, 1, 30.0, status="Returned", returned_at=None)])
    check = checked(shop, t.ORDER_ITEMS, "items_agree_with_orders")
    assert (check.passed, figures(check)["returned_undated"]) == (False, 1)
    assert "1 were returned without a date, which counts as kept" in str(check.description)


@pytest.mark.parametrize(
    ("hours", "passed"), [(1, True), (24, True), (25, False)], ids=["the last night", "a day before", "more than that"]
)
def test_a_dump_that_ends_a_day_before_its_week_does_warns(shop: Statements, *, hours: int, passed: bool) -> None:
    monday = datetime.fromisoformat(DT)
    after = event(2, 1, "Email", created_at=monday + timedelta(hours=1))
    shop.put([user(1)], events=[event(1, 1, "Email", created_at=monday - timedelta(hours=hours)), after])
    check = checked(shop, t.EVENTS, "dump_reaches_the_week")
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert figures(check)["hours_missing"] == hours


def test_a_dump_in_which_nothing_happened_warns(shop: Statements) -> None:
    shop.put([user(1)])
    check = checked(shop, t.EVENTS, "dump_reaches_the_week")
    assert not check.passed
    assert "is of no day" in str(check.description)
