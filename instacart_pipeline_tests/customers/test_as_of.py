"""What counts and what doesn't: the edges of the last year and of the as-of day, and who is a customer."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.assets import a_year_before
from instacart_pipeline_tests.customers.shop import AS_OF, DT, LAST_WEEK, SINCE, event, item, returned, user
from instacart_pipeline_tests.customers.statements import Statements

TICK = timedelta(microseconds=1)


@pytest.fixture
def shop() -> Statements:
    return Statements()


@pytest.mark.parametrize(
    ("dt", "since"),
    [
        ("2024-07-29", date(2023, 7, 29)),
        ("2024-03-04", date(2023, 3, 4)),
        ("2025-03-03", date(2024, 3, 3)),
        ("2024-01-01", date(2023, 1, 1)),
        ("2024-02-29", date(2023, 2, 28)),
        ("2025-02-28", date(2024, 2, 28)),
        ("2028-02-29", date(2027, 2, 28)),  # the first Monday that is a 29 February is in 2044
        ("2044-02-29", date(2043, 2, 28)),
    ],
)
def test_a_year_before_is_the_same_date_and_of_a_leap_day_the_28th(dt: str, since: date) -> None:
    assert a_year_before(dt) == since


def test_an_item_counts_from_the_years_first_moment_to_the_last_before_the_as_of_day(shop: Statements) -> None:
    moments = {
        1: (SINCE - TICK, 0),
        2: (SINCE, 1),
        3: (SINCE + TICK, 1),
        4: (AS_OF - timedelta(seconds=1), 1),
        5: (AS_OF - TICK, 1),
        6: (AS_OF, 0),
        7: (AS_OF + TICK, 0),
        8: (datetime(2024, 7, 29, 9), 0),
    }
    items = [item(number, number, created_at=moment) for number, (moment, _) in moments.items()]
    shop.put([user(number) for number in moments], items=items)
    customers = shop.customers()
    assert {number: row["items"] for number, row in customers.items()} == {
        n: counts for n, (_, counts) in moments.items()
    }
    days = {number: row["days_since_order"] for number, row in customers.items()}
    assert days == {1: None, 2: 366, 3: 366, 4: 1, 5: 1, 6: None, 7: None, 8: None}


def test_an_item_returned_on_the_as_of_day_or_later_is_not_returned_yet(shop: Statements) -> None:
    moments = {1: (AS_OF - TICK, 1), 2: (AS_OF, 0), 3: (AS_OF + timedelta(days=3), 0), 4: (None, 0)}
    items = [returned(number, number, 30.0, returned_at=moment) for number, (moment, _) in moments.items()]
    shop.put([user(number) for number in moments], items=items)
    for number, row in shop.customers().items():
        back = moments[number][1]
        assert (row["returns"], row["return_rate"]) == (back, float(back))
        # Bought for 30 at a cost of 8: spent either way; earned unless it came back.
        assert (row["spend"], row["refunds"], row["gross_margin"]) == (30, 30 * back, 22 * (1 - back))


def test_a_date_of_return_alone_makes_no_return(shop: Statements) -> None:
    shop.put([user(1)], items=[item(1, status="Shipped", returned_at=LAST_WEEK)])
    assert shop.customer()["returns"] == 0


def test_every_item_that_was_not_cancelled_was_bought(shop: Statements) -> None:
    statuses = dict(enumerate(t.STATUSES, 1))
    shop.put([*map(user, statuses)], items=[item(n, n, status=status) for n, status in statuses.items()])
    spend = {statuses[number]: row["spend"] for number, row in shop.customers().items()}
    assert spend == {status: Decimal(20 * (status != "Cancelled")) for status in t.STATUSES}


def test_who_registers_on_the_as_of_day_is_no_customer_yet(shop: Statements) -> None:
    users = [user(1, created_at=AS_OF - TICK), user(2, created_at=AS_OF), user(3, created_at=AS_OF + TICK)]
    early = [item(1, 2)]  # though an item of theirs is dated before
    shop.put(users, items=early, events=[event(1, 2, "Email"), event(2, 1, "Email")])
    assert [*shop.customers()] == [1]
    for table in (t.NEAREST_CENTERS, t.PURCHASES, t.TRAFFIC_SOURCES):
        assert {row["user_id"] for row in shop.rows(table, DT)} <= {1}


def test_events_count_up_to_the_as_of_day_however_old(shop: Statements) -> None:
    events = [
        event(1, 1, "Organic", created_at=datetime(2019, 1, 1)),
        event(2, 1, "Organic", created_at=AS_OF - TICK),
        event(3, 1, "Email", created_at=AS_OF),
        event(4, 1, "Email", created_at=AS_OF + TICK),
        event(5, 1, "Email", created_at=AS_OF + timedelta(hours=9)),
    ]
    shop.put([user(1)], events=events)
    row = shop.customer()
    assert (row["sessions"], row["most_traffic_source"]) == (2, "Organic")


def test_a_customer_whose_place_is_not_known_has_no_center(shop: Statements) -> None:
    shop.put([user(1, latitude=None), user(2, longitude=None), user(3)])
    rows = shop.customers()
    assert {number: row["dc_id"] for number, row in rows.items()} == {1: None, 2: None, 3: 2}
    assert rows[1]["distance_in_km"] is None


def test_a_shop_in_which_nothing_happened_yet_has_its_customers(shop: Statements) -> None:
    shop.put([user(1)])
    row = shop.customer()
    assert (row["orders"], row["sessions"], row["profit_level"], row["most_traffic_source"]) == (0, 0, 1, None)


def test_a_week_built_again_has_the_same_rows_and_other_weeks_stay(shop: Statements) -> None:
    users = [user(number) for number in range(1, 8)]
    items = [item(number, number % 7 + 1, 10.0 + number) for number in range(1, 30)]
    events = [event(number, number % 5 + 1, ("Email", "Organic", "Adwords")[number % 3]) for number in range(1, 40)]
    for dt in ("2024-07-22", DT):
        shop.put(users, items=items, events=events, dt=dt)
        shop.build(dt)
    tables = [(table, dt) for table in t.DERIVED for dt in ("2024-07-22", DT)]
    before = {key: shop.rows(*key) for key in tables}
    shop.build()
    assert {key: shop.rows(*key) for key in tables} == before
    # The same shop uploaded once more, its rows in another order, makes the same of it.
    shop.put(users[::-1], items=items[::-1], events=events[::-1])
    shop.build()
    assert {key: shop.rows(*key) for key in tables} == before
