"""How true to thelook the generated customers are taken together, and how they differ from each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from instacart_pipeline.datagen import customers_habits as habits
from instacart_pipeline_tests.datagen.conftest import ReadShop


def assert_shares(values: pd.Series, shares: Mapping[str, float] | Mapping[int, float], tolerance: float) -> None:
    told = values.value_counts(normalize=True).to_dict()
    assert told == pytest.approx(dict(shares), abs=tolerance)


def test_orders_a_user_are_none_to_four_by_their_shares(much_of_thelook: ReadShop) -> None:
    counts = much_of_thelook.orders.groupby("user_id").size().reindex(much_of_thelook.users.id, fill_value=0)
    assert_shares(counts, {0: 0.2, 1: 0.5, 2: 0.2, 3: 0.05, 4: 0.05}, 0.015)
    assert len(much_of_thelook.orders) / len(much_of_thelook.users) == pytest.approx(1.25, abs=0.03)


def test_orders_end_by_their_shares(much_of_thelook: ReadShop) -> None:
    shares = {"Complete": 0.25, "Cancelled": 0.15, "Returned": 0.10, "Processing": 0.20, "Shipped": 0.30}
    assert_shares(much_of_thelook.orders.status, shares, 0.015)


def test_orders_take_half_of_the_longest_time_from_each_date_to_the_next(much_of_thelook: ReadShop) -> None:
    dates = much_of_thelook.orders[["created_at", "shipped_at", "delivered_at", "returned_at"]]
    took = dates.diff(axis="columns").mean() / pd.Timedelta(days=1)
    assert took.tolist()[1:] == pytest.approx([3 / 2, 5 / 2, 3 / 2], rel=0.1)


def test_an_order_has_one_and_a_half_items(much_of_thelook: ReadShop) -> None:
    assert_shares(much_of_thelook.orders.num_of_item, {1: 0.7, 2: 0.2, 3: 0.05, 4: 0.05}, 0.015)
    assert much_of_thelook.orders.num_of_item.mean() == pytest.approx(1.45, abs=0.03)


def test_users_and_events_have_a_vocabulary_of_sources_each(much_of_thelook: ReadShop) -> None:
    registered = {"Search": 0.70, "Organic": 0.15, "Facebook": 0.06, "Email": 0.05, "Display": 0.04}
    assert_shares(much_of_thelook.users.traffic_source, registered, 0.015)
    visits = {"Email": 0.45, "Adwords": 0.30, "YouTube": 0.10, "Facebook": 0.10, "Organic": 0.05}
    assert_shares(much_of_thelook.events.traffic_source, visits, 0.015)
    assert_shares(much_of_thelook.events.traffic_source[much_of_thelook.events.user_id.notna()], visits, 0.03)


def test_there_are_twenty_four_events_and_five_pieces_in_stock_a_user(much_of_thelook: ReadShop) -> None:
    assert len(much_of_thelook.events) / len(much_of_thelook.users) == pytest.approx(24, rel=0.03)
    assert len(much_of_thelook.inventory_items) / len(much_of_thelook.order_items) == pytest.approx(2.7, abs=0.01)


def test_about_half_of_the_orders_are_of_the_last_year(much_of_thelook: ReadShop) -> None:
    created = much_of_thelook.orders.created_at
    assert (created > created.max() - pd.Timedelta(days=365)).mean() == pytest.approx(0.5, abs=0.05)


def test_some_customers_never_visited_the_site(much_of_thelook: ReadShop) -> None:
    assert 0.03 < 1 - much_of_thelook.events.user_id.nunique() / len(much_of_thelook.users) < 0.1


def test_customers_return_more_unevenly_than_chance_would_have_it(much_of_thelook: ReadShop) -> None:
    orders = much_of_thelook.orders.assign(returned=much_of_thelook.orders.status == "Returned", orders=1)
    several = orders.groupby("user_id")[["returned", "orders"]].sum()
    twice = several[several.orders >= 2]
    share = twice.returned.sum() / twice.orders.sum()
    by_chance = (twice.orders * (twice.orders - 1) / 2 * share**2).sum()
    assert (twice.returned * (twice.returned - 1) / 2).sum() > 1.3 * by_chance


def test_what_a_customer_paid_once_says_what_the_customer_pays_again(much_of_thelook: ReadShop) -> None:
    prices = np.log(much_of_thelook.order_items.sale_price).groupby(much_of_thelook.order_items.order_id).mean()
    orders = much_of_thelook.orders.assign(price=much_of_thelook.orders.order_id.map(prices)).sort_values(
        ["user_id", "order_id"]
    )
    again = orders.user_id == orders.user_id.shift()
    together = np.corrcoef(orders.price[again], orders.price.shift()[again])[0, 1]
    assert 0.1 < together < 0.5


def test_who_orders_more_often_pays_more_for_a_piece(much_of_thelook: ReadShop) -> None:
    often = much_of_thelook.order_items.user_id.map(much_of_thelook.orders.groupby("user_id").size())
    paid = much_of_thelook.order_items.sale_price.groupby(often).median()
    assert paid[4] > 1.1 * paid[1]


def test_tilted_shares_make_the_whole_when_taken_together() -> None:
    whole, weights = np.array([0.6, 0.3, 0.1]), np.array([5.0, 3.0, 2.0])
    rows = habits.fitted(whole, [(1, 1, 1), (1, 2, 4), (3, 1, 0.5)], weights)
    assert weights @ rows / weights.sum() == pytest.approx(whole)
    assert rows.sum(axis=1) == pytest.approx(np.ones(3))
    assert rows[1, 2] > 2 * rows[2, 2]


def test_orders_that_came_back_make_a_returner_likely() -> None:
    rng = np.random.default_rng(1)
    orders, returned = np.full(4000, 3), np.zeros((4000, 5), dtype=np.int64)
    returned[:2000, habits.RETURNED] = returned[2000:, habits.COMPLETE] = 3
    habit = habits.habits_of(rng, orders, returned)
    returner = [habit.name for habit in habits.HABITS].index("returner")
    assert (habit[:2000] == returner).mean() > 0.8
    assert (habit[2000:] == returner).mean() < 0.1
