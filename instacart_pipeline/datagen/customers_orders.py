"""What customers of the generated thelook shop order: orders with their fate, their items, and the pieces in stock.

Belongs here: orders.csv, order_items.csv, inventory_items.csv. Doesn't: the visits that led to the orders (customers_visits.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from instacart_pipeline.datagen import customers_habits as habits
from instacart_pipeline.datagen.customers_catalogue import PRODUCT_COLUMNS, Catalogue
from instacart_pipeline.datagen.customers_files import DAY, MINUTE, NEVER, Column, Piece, text, times
from instacart_pipeline.datagen.customers_habits import Ints
from instacart_pipeline.datagen.customers_people import SHORTEST_BEFORE_ORDER, People

ORDER_COLUMNS = (
    *("order_id", "user_id", "status", "gender", "created_at", "returned_at", "shipped_at", "delivered_at"),
    "num_of_item",
)
ITEM_COLUMNS = (
    *("id", "order_id", "user_id", "product_id", "inventory_item_id", "status", "created_at", "shipped_at"),
    *("delivered_at", "returned_at", "sale_price"),
)
STOCK_COLUMNS = (
    *("id", "product_id", "created_at", "sold_at", "cost", "product_category", "product_name", "product_brand"),
    *("product_retail_price", "product_department", "product_sku", "product_distribution_center_id"),
)
EXACT_DAYS = 3
"""Orders so many days before the end have times to the microsecond, as in the real dump; earlier ones are to the minute."""
_SHIP_DAYS, _DELIVER_DAYS, _RETURN_DAYS = 3, 5, 3
_STOCK_DAYS = 60
_UNSOLD_AN_ITEM = 1.7
_ROWS_AT_A_TIME = 100_000


@dataclass(frozen=True)
class Orders:
    """The orders by their place in the file. `user` is user_id - 1, `status` a place in STATUSES; times as customers_files has them."""

    ids: Ints
    user: Ints
    status: Ints
    created: Ints
    shipped: Ints
    delivered: Ints
    returned: Ints
    items: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Items:
    """The items by id - 1: the order's place, the product's place, and the piece's id - 1."""

    order: Ints
    product: Ints
    piece: Ints


@dataclass(frozen=True)
class Stock:
    """The pieces that were ever in stock by id - 1."""

    product: Ints
    came: Ints
    sold: Ints


def place_orders(rng: np.random.Generator, people: People, counts: Ints, end: int) -> Orders:
    """Each user's `counts` orders, at any time between registering and `end`, with what became of them.

    As in the real dump, what became of an order doesn't hang on how long ago it was: of the latest ones, shipping, delivery and return lie
    after the end.
    """
    user = np.repeat(np.arange(len(people)), counts)
    habit, earliest = people.habit[user], people.registered[user] + SHORTEST_BEFORE_ORDER
    created = earliest + (rng.random(len(user)) * (end - earliest)).astype(np.int64)
    created = np.maximum(np.minimum(created, end - 1) // MINUTE * MINUTE, earliest)
    order = np.lexsort((created, user))
    created = created[order]
    fraction = rng.integers(MINUTE, size=len(user))
    created += np.where(created >= end - EXACT_DAYS * DAY, fraction, 0)
    status = habits.statuses_of(rng, habit)
    went = np.isin(status, (habits.SHIPPED, habits.COMPLETE, habits.RETURNED))
    arrived = np.isin(status, (habits.COMPLETE, habits.RETURNED))
    shipped = _later(rng, created, _SHIP_DAYS, went)
    delivered = _later(rng, shipped, _DELIVER_DAYS, arrived)
    returned = _later(rng, delivered, _RETURN_DAYS, status == habits.RETURNED)
    ids, items = np.arange(1, len(user) + 1), habits.item_counts(rng, habit)
    return Orders(ids, user, status, created, shipped, delivered, returned, items)


def _later(rng: np.random.Generator, since: Ints, days: int, came: NDArray[np.bool_]) -> Ints:
    return np.where(came, since + rng.integers(days * 24 * 60, size=len(since)) * MINUTE, NEVER)


def fill_orders(
    rng: np.random.Generator, people: People, orders: Orders, catalogue: Catalogue, start: int, end: int
) -> tuple[Items, Stock]:
    """The items of the orders by what each customer likes to pay, each a piece of its own, and pieces that nobody bought."""
    order = np.repeat(np.arange(len(orders)), orders.items)
    user = orders.user[order]
    product = catalogue.picked(rng, people.female[user], habits.PRICE_BENDS[people.habit[user]])
    unsold = rng.integers(len(catalogue.ids), size=round(_UNSOLD_AN_ITEM * len(order)))
    # Pieces are numbered product by product, those that were sold first.
    sold_of = np.bincount(product, minlength=len(catalogue.ids))
    all_of = sold_of + np.bincount(unsold, minlength=len(catalogue.ids))
    by_product = np.argsort(product, kind="stable")
    shift = (np.cumsum(all_of) - all_of) - (np.cumsum(sold_of) - sold_of)
    piece = np.empty(len(order), dtype=np.int64)
    piece[by_product] = np.arange(len(order)) + shift[product[by_product]]
    sold = np.full(int(all_of.sum()), NEVER, dtype=np.int64)
    sold[piece] = orders.created[order]
    came = start + (rng.random(len(sold)) * (end - start)).astype(np.int64)
    was_sold = sold != NEVER
    came[was_sold] = sold[was_sold] - rng.integers(_STOCK_DAYS * 24 * 60, size=int(was_sold.sum())) * MINUTE
    came = came // MINUTE * MINUTE
    return Items(order, product, piece), Stock(np.repeat(np.arange(len(catalogue.ids)), all_of), came, sold)


def order_pieces(orders: Orders, people: People) -> Iterator[Piece]:
    """The rows of orders.csv."""

    def columns(some: slice) -> list[Column]:
        female = people.female[orders.user[some]]
        return [
            text(orders.ids[some]),
            text(orders.user[some] + 1),
            pa.array(habits.STATUSES).take(pa.array(orders.status[some])),
            pa.array(["M", "F"]).take(pa.array(female.astype(np.int8))),
            times(orders.created[some]),
            times(orders.returned[some]),
            times(orders.shipped[some]),
            times(orders.delivered[some]),
            text(orders.items[some]),
        ]

    return _by_rows(columns, len(orders))


def item_pieces(items: Items, orders: Orders, catalogue: Catalogue) -> Iterator[Piece]:
    """The rows of order_items.csv: user, status and times are the order's."""

    def columns(some: slice) -> list[Column]:
        order, product = items.order[some], items.product[some]
        return [
            text(np.arange(some.start + 1, some.start + len(order) + 1)),
            text(orders.ids[order]),
            text(orders.user[order] + 1),
            text(catalogue.ids[product]),
            text(items.piece[some] + 1),
            pa.array(habits.STATUSES).take(pa.array(orders.status[order])),
            times(orders.created[order]),
            times(orders.shipped[order]),
            times(orders.delivered[order]),
            times(orders.returned[order]),
            catalogue.columns["retail_price"].take(pa.array(product)),
        ]

    return _by_rows(columns, len(items.order))


def stock_pieces(stock: Stock, catalogue: Catalogue) -> Iterator[Piece]:
    """The rows of inventory_items.csv."""

    def columns(some: slice) -> list[Column]:
        product = pa.array(stock.product[some])
        return [
            text(np.arange(some.start + 1, some.start + len(product) + 1)),
            text(catalogue.ids[stock.product[some]]),
            times(stock.came[some]),
            times(stock.sold[some]),
            *(catalogue.columns[name].take(product) for name in PRODUCT_COLUMNS),
        ]

    return _by_rows(columns, len(stock.product))


def _by_rows(columns: Callable[[slice], list[Column]], rows: int) -> Iterator[Piece]:
    for low in range(0, rows, _ROWS_AT_A_TIME):
        yield partial(columns, slice(low, min(low + _ROWS_AT_A_TIME, rows)))
