"""Checks across tables: customers lost or made up, spend that is not that of the items, items that gainsay their orders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg
import pytest

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.checks import build_checks
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline_tests.customers.shop import DT, QUIET, Shop, event, item, orders_of, returned, user
from instacart_pipeline_tests.platform import Platform, Row

ITEMS = [item(1, 1, 30.0), returned(2, 1, 12.5), item(3, 2, 99.99), item(4, 2, 5.0, status="Cancelled")]


@pytest.fixture
def shop(platform: Platform) -> Shop:
    """Three customers; 1 bought two items for 42.50, 2 one for 99.99, 3 nothing."""
    made = Shop(platform)
    made.put([user(1), user(2), user(3)], items=ITEMS)
    made.build()
    return made


def checked(shop: Shop, table: TableContract, name: str) -> dg.AssetCheckEvaluation:
    """What comes of one check when assets that do nothing stand in for the tables."""

    def idle(of: TableContract) -> dg.AssetsDefinition:
        @dg.asset(key=asset_key(of), partitions_def=shop.weeks)
        def nothing() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult()

        return nothing

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [*map(idle, (t.USERS, t.ORDERS, t.ORDER_ITEMS, t.EVENTS, t.CUSTOMERS)), *build_checks(shop.weeks)],
            selection=dg.AssetSelection.checks(dg.AssetCheckKey(asset_key(table), name))
            | dg.AssetSelection.assets(asset_key(table)).without_checks(),
            instance=instance,
            partition_key=DT,
            resources={"athena": shop.platform.resources.athena},
            raise_on_error=False,
            run_config=QUIET,
        )
    (check,) = result.get_asset_check_evaluations()
    return check


def rewritten(shop: Shop, change: Callable[[list[Row]], list[Row]]) -> None:
    """Publish the customers once more, changed."""
    shop.platform.put_rows(t.CUSTOMERS, change(shop.platform.rows(t.CUSTOMERS, DT)), dt=DT, name=new_version())


def test_customers_made_as_they_should_be_pass(shop: Shop) -> None:
    once = checked(shop, t.CUSTOMERS, "every_customer_once")
    assert (once.passed, once.blocking) == (True, True)
    assert {name: value.value for name, value in once.metadata.items()} == {
        "registered": 3,
        "listed_once": 3,
        "missing": 0,
        "doubled": 0,
        "strangers": 0,
    }
    spend = checked(shop, t.CUSTOMERS, "spend_accounted")
    assert (spend.passed, spend.blocking) == (True, True)
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
    shop: Shop, change: Callable[[list[Row]], list[Row]], fault: str
) -> None:
    rewritten(shop, change)
    check = checked(shop, t.CUSTOMERS, "every_customer_once")
    assert not check.passed
    counts = {name: check.metadata[name].value for name in ("missing", "doubled", "strangers")}
    assert counts == {"missing": 0, "doubled": 0, "strangers": 0, fault: 1}


@pytest.mark.parametrize("column", ["spend", "items"])
def test_a_figure_that_is_not_that_of_the_items_stops_the_week(shop: Shop, column: str) -> None:
    rewritten(shop, lambda rows: [{**rows[0], column: rows[0][column] + 1}, *rows[1:]])
    check = checked(shop, t.CUSTOMERS, "spend_accounted")
    assert not check.passed
    assert (check.metadata["sold_for"].value, check.metadata["sold"].value) == ("142.4900", 3)


def test_items_that_gainsay_their_orders_warn_with_counts(shop: Shop) -> None:
    orders = orders_of(ITEMS)
    orders[0]["user_id"] = 3
    orders[1]["status"] = "Shipped"
    orders[2]["num_of_item"] = 2
    shop.put([user(1), user(2), user(3)], items=ITEMS, orders=orders)
    check = checked(shop, t.ORDER_ITEMS, "items_agree_with_orders")
    assert (check.passed, check.severity, check.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert {name: value.value for name, value in check.metadata.items()} == {
        "orders": 4,
        "items": 4,
        "of_another_user": 1,
        "of_another_status": 1,
        "returned_undated": 0,
        "orders_of_another_count": 1,
    }


def test_items_that_agree_with_their_orders_pass(shop: Shop) -> None:
    assert checked(shop, t.ORDER_ITEMS, "items_agree_with_orders").passed


def test_a_return_without_a_date_warns_as_it_counts_as_kept(shop: Shop) -> None:
    shop.put([user(1)], items=[item(1, 1, 30.0, status="Returned", returned_at=None)])
    check = checked(shop, t.ORDER_ITEMS, "items_agree_with_orders")
    assert (check.passed, check.metadata["returned_undated"].value) == (False, 1)
    assert "1 were returned without a date, which counts as kept" in str(check.description)


@pytest.mark.parametrize(
    ("hours", "passed"), [(1, True), (24, True), (25, False)], ids=["the last night", "a day before", "more than that"]
)
def test_a_dump_that_ends_a_day_before_its_week_does_warns(shop: Shop, *, hours: int, passed: bool) -> None:
    monday = datetime.fromisoformat(DT)
    after = event(2, 1, "Email", created_at=monday + timedelta(hours=1))
    shop.put([user(1)], events=[event(1, 1, "Email", created_at=monday - timedelta(hours=hours)), after])
    check = checked(shop, t.EVENTS, "dump_reaches_the_week")
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert check.metadata["hours_missing"].value == hours


def test_a_dump_in_which_nothing_happened_warns(shop: Shop) -> None:
    shop.put([user(1)])
    check = checked(shop, t.EVENTS, "dump_reaches_the_week")
    assert not check.passed
    assert "is of no day" in str(check.description)
