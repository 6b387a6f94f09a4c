"""The generated shop: which products lie in which aisle, how well they sell, and what they are called.

Belongs here: everything about products that holds for all customers. Doesn't: customers (reorder_people.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.datagen import reorder_calibration as real
from instacart_pipeline.datagen.reorder_words import (
    BRANDS,
    DEPARTMENTS,
    FLAVOURS,
    NICKNAMES,
    QUALIFIERS,
    SIZES,
    STAPLES,
)

_CATALOGUE_STREAM = 0x5E1F
_COMMA_SHARE = 0.065
_QUOTE_SHARE = 0.0025


@dataclass(frozen=True)
class Shelves:
    """What shopping needs to know of the catalogue; small enough to hand to every worker.

    Products are numbered by sales rank here (0 sells best); `product_id` says what the files call them.
    `on_shelf` lists ranks aisle by aisle, and `shelf_cdf` is, for each of them, its aisle's index plus the cumulative
    popularity within the aisle, so that one search in it finds the product for aisle + uniform.
    """

    product_id: NDArray[np.int32]
    habit: NDArray[np.float32]
    on_shelf: NDArray[np.int32]
    shelf_cdf: NDArray[np.float64]
    aisle_share: NDArray[np.float64]
    aisle_department: NDArray[np.int32]


@dataclass(frozen=True)
class Catalogue:
    """The shop's files' worth: names and places by product_id (index 0 is product 1), and the shelves."""

    departments: list[str]
    aisles: list[str]
    names: list[str]
    aisle_id: NDArray[np.int32]
    department_id: NDArray[np.int32]
    shelves: Shelves


def catalogue_size(scale: float) -> int:
    """How many products a shop of this scale lists.

    It grows with the square root of the number of users, as shops do, and never falls below 500: with fewer, users
    would have tried everything and re-orders would mean nothing. A smaller shop lacks the slow sellers, not the
    staples, so its best sellers keep about the share of lines they have at full size.
    """
    return max(real.SMALLEST_PRODUCTS, round(real.FULL_PRODUCTS * float(np.sqrt(scale))))


def build_catalogue(scale: float, seed: int) -> Catalogue:
    """The same shop for the same scale and seed, with 134 aisles in 21 departments at every scale."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _CATALOGUE_STREAM])))
    size = catalogue_size(scale)
    aisles = [name for department in DEPARTMENTS for name, _ in department.aisles]
    aisle_department = np.array(
        [d for d, department in enumerate(DEPARTMENTS) for _ in department.aisles], dtype=np.int32
    )
    aisle = _aisles_by_rank(rng, size, aisles, aisle_department)
    habit = _habits(rng, aisle_department[aisle])
    wanted = _first_purchase_weights(habit, aisle_department[aisle])
    order = np.argsort(aisle, kind="stable")
    aisle_sum = np.bincount(aisle, wanted, len(aisles))
    running = np.cumsum(wanted[order])
    before = np.concatenate(([0.0], np.cumsum(aisle_sum)[:-1]))
    within: NDArray[np.float64] = (running - before[aisle[order]]) / aisle_sum[aisle[order]]
    ends = np.cumsum(np.bincount(aisle, minlength=len(aisles))) - 1
    within[ends] = 1.0
    product_id = (rng.permutation(size) + 1).astype(np.int32)
    shelves = Shelves(
        product_id=product_id,
        habit=habit,
        on_shelf=order.astype(np.int32),
        shelf_cdf=aisle[order].astype(np.float64) + np.minimum(within, 1.0),
        aisle_share=aisle_sum / aisle_sum.sum(),
        aisle_department=aisle_department,
    )
    names = _names(rng, aisle)
    by_id = np.argsort(product_id)
    return Catalogue(
        departments=[department.name for department in DEPARTMENTS],
        aisles=aisles,
        names=[names[rank] for rank in by_id],
        aisle_id=(aisle[by_id] + 1).astype(np.int32),
        department_id=(aisle_department[aisle[by_id]] + 1).astype(np.int32),
        shelves=shelves,
    )


def _first_purchase_weights(habit: NDArray[np.float32], department: NDArray[np.int32]) -> NDArray[np.float64]:
    """Weight by rank in a draw of something new, from the product's share of lines and how few of them are firsts."""
    rank, share = np.array(real.LINES_BY_RANK).T
    knots, shares = np.concatenate(([0.0], rank)), np.concatenate(([0.0], share))
    full = np.diff(np.interp(np.arange(real.FULL_PRODUCTS + 1), knots, shares))
    size = min(len(habit), len(full))
    lines = np.concatenate((full[:size], np.full(len(habit) - size, full[-1])))
    # Chance puts a best seller or two too many into a department, and a small shop lacks the tail of some.
    share = np.array([entry.lines for entry in DEPARTMENTS])
    lines *= np.clip(share / 100.0 * lines.sum() / np.bincount(department, lines, len(share)), 0.4, 2.5)[department]
    # A user's basket has room for only so many habits: of the strongest, less comes true than they promise.
    most = real.HABIT_SATURATES
    comes_true = np.where(habit > most, most + real.HABIT_BEYOND * (habit - most), habit.astype(np.float64))
    firsts = lines / (1.0 + np.exp(comes_true))
    wanted = firsts / firsts.sum() * real.DISTINCT_PRODUCTS_A_USER
    # A product can be new to a user only once, which flattens the head; the draw has to be steeper than its outcome.
    weights: NDArray[np.float64] = (-np.log1p(-np.minimum(wanted, 0.9))) ** real.HEAD_STEEPNESS
    return weights


def _aisles_by_rank(
    rng: np.random.Generator, size: int, aisles: list[str], aisle_department: NDArray[np.int32]
) -> NDArray[np.int64]:
    """The aisle of each product: best sellers lie in produce and dairy, slow ones in personal care."""
    counts = np.array([department.products for department in DEPARTMENTS], dtype=np.float64)
    department_cdf = np.cumsum(counts / counts.sum(axis=0), axis=0)
    # A shop larger than the real one has more of the slowest sellers.
    last = counts.shape[1] - 1
    rank_bin = np.minimum(np.searchsorted(np.array(real.RANK_BINS), np.arange(size), side="right") - 1, last)
    department = (department_cdf[:, rank_bin] < rng.random(size)).sum(axis=0)
    department = np.minimum(department, len(DEPARTMENTS) - 1)
    aisle = np.empty(size, dtype=np.int64)
    pick = rng.random(size)
    for d, entry in enumerate(DEPARTMENTS):
        mine = department == d
        weights = 1.0 / np.sqrt(np.arange(1, len(entry.aisles) + 1))
        cdf = np.cumsum(weights / weights.sum())
        first = int(np.searchsorted(aisle_department, d))
        aisle[mine] = first + np.minimum(np.searchsorted(cdf, pick[mine], side="right"), len(entry.aisles) - 1)
    for rank, (_, name) in enumerate(STAPLES):
        aisle[rank] = aisles.index(name)
    # No aisle stays empty, however small the shop: the slowest seller of a fuller one moves over.
    for missing in np.flatnonzero(np.bincount(aisle, minlength=len(aisles)) == 0):
        fuller = np.bincount(aisle, minlength=len(aisles))[aisle] > 1
        aisle[np.flatnonzero(fuller)[-1]] = missing
    return aisle


def _habits(rng: np.random.Generator, department: NDArray[np.int32]) -> NDArray[np.float32]:
    rank, lift = np.array(real.HABIT_BY_RANK).T
    by_rank = np.interp(np.log(np.arange(1, len(department) + 1)), np.log(rank), lift)
    base = np.array([entry.habit for entry in DEPARTMENTS])
    noise = rng.normal(0.0, real.HABIT_SPREAD, len(department))
    noise[: len(STAPLES)] = 0.0
    habit: NDArray[np.float32] = (base[department] + by_rank + noise).astype(np.float32)
    return habit


def _names(rng: np.random.Generator, aisle: NDArray[np.int64]) -> list[str]:
    """A name for each product by rank, no two alike."""
    nouns = [words.split("|") for department in DEPARTMENTS for _, words in department.aisles]
    taken = {name for name, _ in STAPLES}
    names = [name for name, _ in STAPLES]
    size = len(aisle)
    picks = rng.integers(0, 1 << 30, (size, 6)).tolist()
    chance = rng.random((size, 2))
    comma = chance[:, 0] < _COMMA_SHARE
    quoted = chance[:, 1] < _QUOTE_SHARE
    quoted[len(STAPLES) :: 400] = True  # some in the smallest shop, too
    for rank in range(len(STAPLES), size):
        brand, qualifier, flavour, noun, extra, nick = picks[rank]
        words = nouns[aisle[rank]]
        parts = [
            BRANDS[brand % len(BRANDS)],
            QUALIFIERS[qualifier % len(QUALIFIERS)],
            NICKNAMES[nick % len(NICKNAMES)] if quoted[rank] else "",
            FLAVOURS[flavour % len(FLAVOURS)],
            words[noun % len(words)],
        ]
        name = stem = " ".join(part for part in parts if part)
        if comma[rank]:
            name = f"{stem}, {SIZES[extra % len(SIZES)]}"
        number = 2
        while name in taken:
            name = f"{stem} No. {number}"
            number += 1
        taken.add(name)
        names.append(name)
    return names
