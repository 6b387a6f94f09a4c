"""What the generated customers try: tastes over aisles, and draws of products from them.

Belongs here: products a user has not bought before. Doesn't: buying again (reorder_people.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.datagen import reorder_calibration as real
from instacart_pipeline.datagen.reorder_catalogue import Shelves

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

_ROUNDS = 5


class Tastes:
    """The tastes of a chunk of users."""

    def __init__(self, rng: np.random.Generator, shelves: Shelves, users: int) -> None:
        self.shelves, self.users = shelves, users
        departments = int(shelves.aisle_department.max()) + 1
        liking = rng.standard_normal((users, len(shelves.aisle_share)), dtype=np.float32) * np.float32(real.AISLE_TASTE)
        by_department = rng.standard_normal((users, departments), dtype=np.float32) * np.float32(real.DEPARTMENT_TASTE)
        liking += by_department[:, shelves.aisle_department]
        weights: NDArray[np.float64] = np.cumsum(np.exp(liking) * shelves.aisle_share, axis=1)
        weights /= weights[:, -1:]
        # Flat: the user's index plus the cumulative share of the aisle, so that one search draws for all users.
        self.cdf = (weights + np.arange(users, dtype=np.float64)[:, None]).ravel()

    def something_new(self, rng: np.random.Generator, wanted: Longs, known: Longs) -> tuple[Ints, Ints]:
        """Draws for each user as many products as wanted, in order of drawing, none twice and none in `known`.

        `known` holds user * products + product, sorted. A user who knows most of what they like gets fewer.
        """
        products = np.int64(len(self.shelves.habit))
        aisles = len(self.shelves.aisle_share)
        got = np.zeros(0, dtype=np.int64)
        short = wanted
        for _ in range(_ROUNDS):
            draws = np.where(short > 0, short + short // 3 + 3, 0)
            user = np.repeat(np.arange(self.users), draws)
            at = np.searchsorted(self.cdf, user + rng.random(len(user)), side="right")
            aisle = np.minimum(at - user * aisles, aisles - 1)
            at = np.searchsorted(self.shelves.shelf_cdf, aisle + rng.random(len(user)), side="right")
            drawn = user * products + self.shelves.on_shelf[np.minimum(at, products - 1)]
            if len(known):
                at = np.minimum(np.searchsorted(known, drawn), len(known) - 1)
                drawn = drawn[known[at] != drawn]
            got = np.concatenate((got, drawn))
            got = got[np.sort(np.unique(got, return_index=True)[1])]
            have = np.bincount(got // products, minlength=self.users)
            short = np.maximum(wanted - have, 0)
            if not short.any():
                break
        got = got[np.argsort(got // products, kind="stable")]
        who = got // products
        got = got[rank_within(who) < wanted[who]]
        return (got // products).astype(np.int32), (got % products).astype(np.int32)


def rank_within(groups: Ints | Longs) -> Longs:
    """0, 1, 2 ... within each run of equal values of `groups`."""
    if not len(groups):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1])))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
