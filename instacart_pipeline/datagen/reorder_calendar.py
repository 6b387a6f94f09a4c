"""When the generated customers order: how often, how many days apart, on which day of the week, at which hour.

Belongs here: draws from the calendar's histograms. Doesn't: what is in the orders (reorder_people.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.datagen import reorder_calibration as real

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

_GAP_CANDIDATES = 6


def order_counts(rng: np.random.Generator, users: int) -> Longs:
    """How many orders each user has placed by the first day, 4 to 100."""
    number, share = np.array(real.ORDERS_AT_LEAST).T
    at_least = np.exp(np.interp(np.arange(4, real.MOST_ORDERS + 1), number, np.log(share)))
    return 3 + np.searchsorted(-at_least, -rng.random(users), side="right")


def paces(rng: np.random.Generator, orders: Longs) -> Ints:
    """Each user's row of the gap histograms, given the number of orders; 0 orders most often."""
    table = np.array(real.PACE_BY_ORDERS)
    cdf = np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)
    row = np.searchsorted(np.array(real.ORDER_CLASSES), orders)
    pace = (cdf[row] < rng.random(len(orders))[:, None]).sum(axis=1)
    row_of_gaps: Ints = np.minimum(pace, table.shape[1] - 1).astype(np.int32)
    return row_of_gaps


def _gap_cdf() -> NDArray[np.float64]:
    """Cumulative shares of gaps 0..30 by pace and by the day of the week of the order before."""
    table = np.array(real.GAPS_BY_PACE, dtype=np.float64)
    lands = (np.arange(7)[:, None] + np.arange(real.GAP_CAP + 1)) % 7
    liked = np.array(real.DAY_OF_WEEK)[lands] ** real.DAY_LIKING
    liked[:, real.GAP_CAP] = liked[:, : real.GAP_CAP].mean(axis=1)
    weights = table[:, None, :] * liked[None]
    return np.cumsum(weights / weights.sum(axis=2, keepdims=True), axis=2)


_GAP_CDF = _gap_cdf()
MEAN_GAPS: NDArray[np.float32] = (
    (np.array(real.GAPS_BY_PACE, dtype=np.float64) @ np.arange(real.GAP_CAP + 1))
    / np.array(real.GAPS_BY_PACE, dtype=np.float64).sum(axis=1)
).astype(np.float32)
"""Days, by pace."""

_HOUR_CDF = np.cumsum(np.array(real.HOURS) / np.array(real.HOURS).sum(axis=1, keepdims=True), axis=1)


def gaps(rng: np.random.Generator, pace: Ints, dow: Ints) -> Ints:
    """Whole days to each user's next order, given the day of the week of the last one. Not capped at 30."""
    gap = (_GAP_CDF[pace, dow] < rng.random(len(pace))[:, None]).sum(axis=1)
    gap = np.minimum(gap, real.GAP_CAP)
    longer = rng.exponential(real.LONG_GAP_EXTRA_DAYS, len(pace)).astype(np.int64)
    days: Ints = np.where(gap == real.GAP_CAP, gap + longer, gap).astype(np.int32)
    return days


def hours(rng: np.random.Generator, dow: Ints) -> Ints:
    """Hours 0..23, given the days of the week."""
    hour = (_HOUR_CDF[(dow >= 2).astype(np.int64)] < rng.random(len(dow))[:, None]).sum(axis=1)
    whole: Ints = np.minimum(hour, 23).astype(np.int32)
    return whole


def place_last_order(rng: np.random.Generator, pace: Ints, dow: Ints, first_dow: int) -> tuple[Ints, Ints]:
    """Pins each user's last order to the calendar: on or before the first day, the next one after it.

    Returns how many days before the first day it was, and the gap to the next order, which is longer. Long gaps are
    likelier to contain a given day, so a gap counts by how many of its days could be the first day.
    """
    users = len(pace)
    earliest = (first_dow - dow) % 7
    several = gaps(rng, np.tile(pace, _GAP_CANDIDATES), np.tile(dow, _GAP_CANDIDATES)).reshape(-1, users)
    room = np.maximum(0, -((earliest - several) // 7))
    running = np.cumsum(room, axis=0)
    pick = (running <= rng.random(users) * running[-1]).sum(axis=0) % _GAP_CANDIDATES
    some = running[-1] > 0
    gap = np.where(some, several[pick, np.arange(users)], earliest + 1)
    weeks = np.where(some, room[pick, np.arange(users)], 1)
    since = earliest + 7 * np.floor(rng.random(users) * weeks)
    return since.astype(np.int32), gap.astype(np.int32)
