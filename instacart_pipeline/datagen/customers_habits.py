"""How the generated customers differ: their habits, and the shares that all of them together keep to.

Belongs here: shares and tilts, and draws by them. Doesn't: what is drawn for whom (customers_people.py, customers_orders.py,
customers_visits.py).

A habit only tilts what a customer does. The shares are fitted so that over all customers they are thelook's own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STATUSES = ("Complete", "Cancelled", "Returned", "Processing", "Shipped")
COMPLETE, CANCELLED, RETURNED, PROCESSING, SHIPPED = range(5)
_STATUS_SHARES = (0.25, 0.15, 0.10, 0.20, 0.30)
_ORDERS_SHARES = (0.2, 0.5, 0.2, 0.05, 0.05)
"""Of users, by 0 to 4 orders."""
_ITEM_SHARES = (0.7, 0.2, 0.05, 0.05)
"""Of orders, by 1 to 4 items."""
USER_SOURCES = ("Search", "Organic", "Facebook", "Email", "Display")
_USER_SOURCE_SHARES = (0.70, 0.15, 0.06, 0.05, 0.04)
VISIT_SOURCES = ("Email", "Adwords", "YouTube", "Facebook", "Organic")
_VISIT_SOURCE_SHARES = (0.45, 0.30, 0.10, 0.10, 0.05)
_FAVOURS = 0.5
"""Share of a customer's visits that come by the source the customer favours, whatever the others come by."""


class Habit(NamedTuple):
    """A kind of customer. Tilts multiply shares before they are fitted to the whole.

    `price` bends the draw of a product by its rank in price: 1 is any, above 1 cheaper ones, below 1 dearer ones. `visits` is the mean
    number of visits without an order.
    """

    name: str
    statuses: tuple[float, ...]
    items: tuple[float, ...]
    user_sources: tuple[float, ...]
    visit_sources: tuple[float, ...]
    price: float
    visits: float


HABITS = (
    Habit("regular", (1, 1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1, 1), (1, 1, 1, 1, 1), 1.0, 1.0),
    Habit("bargain hunter", (1, 1.3, 0.8, 1, 1), (1, 0.9, 0.8, 0.6), (1, 0.7, 1.5, 1, 1.5), (0.7, 1.7, 1, 1.2, 1), 2.0, 1.7),
    Habit("loyal spender", (1.2, 0.6, 0.5, 1, 1.1), (1, 1.4, 2, 2), (1, 1.3, 0.8, 1.6, 0.8), (1.9, 0.6, 1, 0.8, 1), 0.55, 0.8),
    Habit("returner", (0.8, 1.1, 4, 0.9, 0.9), (1, 1.3, 1.6, 1.6), (1, 1, 1.3, 1, 1), (0.9, 1, 1.6, 1.3, 1), 0.9, 1.5),
)  # fmt: skip
_HABITS_BY_ORDERS = np.array(
    [
        (0.50, 0.35, 0.05, 0.10),
        (0.46, 0.32, 0.10, 0.12),
        (0.38, 0.26, 0.22, 0.14),
        (0.28, 0.16, 0.40, 0.16),
        (0.22, 0.12, 0.50, 0.16),
    ]
)
"""Shares of the habits, a column each, among users of 0 to 4 orders, a row each."""

_SHARE_OF_USERS = np.array(_ORDERS_SHARES)[:, None] * _HABITS_BY_ORDERS
_USERS = _SHARE_OF_USERS.sum(axis=0)
_ORDERS = (np.arange(5)[:, None] * _SHARE_OF_USERS).sum(axis=0)
PRICE_BENDS = np.array([habit.price for habit in HABITS])
VISITS = np.array([habit.visits for habit in HABITS])
_PAGES = 6.4 * _ORDERS + 3.9 * VISITS * _USERS
"""About how many pages the customers of each habit look at, in visits with an order and in others."""


def fitted(shares: ArrayLike, tilts: ArrayLike, weights: Floats) -> Floats:
    """Shares a row of `tilts`, tilted by it, whose mean over the rows, by `weights`, is `shares`."""
    whole, tilted = np.array(shares, dtype=np.float64), np.array(tilts, dtype=np.float64)
    base = whole.copy()
    for _ in range(200):
        rows: Floats = base * tilted / (base * tilted).sum(axis=1, keepdims=True)
        base *= whole / (weights @ rows / weights.sum())
    return rows


STATUS_SHARES = fitted(_STATUS_SHARES, [habit.statuses for habit in HABITS], _ORDERS)
_ITEMS_OF = fitted(_ITEM_SHARES, [habit.items for habit in HABITS], _ORDERS)
_USER_SOURCES_OF = fitted(_USER_SOURCE_SHARES, [habit.user_sources for habit in HABITS], _USERS)
_VISIT_SOURCES_OF = fitted(_VISIT_SOURCE_SHARES, [habit.visit_sources for habit in HABITS], _PAGES)
_ANYBODY = len(HABITS)
_VISIT_SOURCES_OF = np.vstack([_VISIT_SOURCES_OF, _VISIT_SOURCE_SHARES])


def drawn(rng: np.random.Generator, shares: Floats, rows: Ints) -> Ints:
    """A column of `shares` for each of `rows`, by the shares of that row."""
    ends = np.cumsum(shares, axis=1)
    ends[:, -1] = np.inf
    uniform = rng.random(len(rows))
    column = np.zeros(len(rows), dtype=np.int64)
    for end in ends.T[:-1]:
        column += end[rows] <= uniform
    return column


def drawn_alike(rng: np.random.Generator, shares: ArrayLike, size: int) -> Ints:
    """`size` numbers from 0 by the weights `shares`, the same for all."""
    ends = np.cumsum(np.array(shares, dtype=np.float64))
    column: Ints = np.searchsorted(ends, rng.random(size) * ends[-1], side="right")
    return np.minimum(column, len(ends) - 1)


def order_counts(rng: np.random.Generator, users: int) -> Ints:
    """How often each user orders, 0 to 4."""
    return drawn_alike(rng, _ORDERS_SHARES, users)


def habits_of(rng: np.random.Generator, orders: Ints, statuses: Ints | None = None) -> Ints:
    """Each user's habit, given the number of orders; with `statuses`, a row a user of how many orders ended how, given these too."""
    likely = np.log(_HABITS_BY_ORDERS[np.minimum(orders, 4)])
    if statuses is not None:
        likely += statuses @ np.log(STATUS_SHARES).T
    # The largest of logarithms with Gumbel noise is a draw by what they are the logarithms of.
    habit: Ints = (likely + rng.gumbel(size=likely.shape)).argmax(axis=1)
    return habit


def statuses_of(rng: np.random.Generator, habit: Ints) -> Ints:
    """How each order ends, given its customer's habit."""
    return drawn(rng, STATUS_SHARES, habit)


def item_counts(rng: np.random.Generator, habit: Ints) -> Ints:
    """Items of each order, 1 to 4."""
    return drawn(rng, _ITEMS_OF, habit) + 1


def user_sources(rng: np.random.Generator, habit: Ints) -> Ints:
    """What brought each user to register, as places in USER_SOURCES."""
    return drawn(rng, _USER_SOURCES_OF, habit)


def favoured_sources(rng: np.random.Generator, habit: Ints) -> Ints:
    """The source by which each user comes most often, as a place in VISIT_SOURCES."""
    return drawn(rng, _VISIT_SOURCES_OF, habit)


def visit_sources(rng: np.random.Generator, habit: Ints, favoured: Ints) -> Ints:
    """What brings the visitor each time, as places in VISIT_SOURCES; nobody who is known has habit and favoured -1."""
    somebody = habit >= 0
    any_source = drawn(rng, _VISIT_SOURCES_OF, np.where(somebody, habit, _ANYBODY))
    return np.where(somebody & (rng.random(len(habit)) < _FAVOURS), favoured, any_source)
