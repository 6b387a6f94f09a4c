"""Drift: how far this week's customers have moved through last week's segments.

Belongs here: the comparison. Last week's model is asked about this week's customers, so that what moves is the customers, not the model;
then this week's segments are matched with last week's, so that one can be followed through the weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet
from sklearn.metrics import adjusted_rand_score

from instacart_pipeline.customers.model.clustering import Labels
from instacart_pipeline.customers.model.limits import MUCH, SOME
from instacart_pipeline.customers.model.rows import Customers, Floats, Ints
from instacart_pipeline.customers.model.segmentation import RULE, Segmentation
from instacart_pipeline.customers.model.space import Space

SEGMENTS_FILE = "segments.parquet"


@dataclass(frozen=True)
class LastWeek:
    """Last week's model, and the segment that each customer had by it; customers by id."""

    dt: str
    model: Segmentation
    user_id: Ints
    numbers: Labels

    @classmethod
    def read(cls, folder: Path, dt: str) -> LastWeek:
        """What last week's job left in its output folder."""
        table = parquet.read_table(folder / SEGMENTS_FILE)
        ids, numbers = table["user_id"].to_numpy(), table["segment"].to_numpy()
        order = np.argsort(ids, kind="stable")
        return cls(dt, Segmentation.read(folder), ids[order], numbers[order])


class Drift:
    """The comparison with last week, counted while this week's customers pass by in batches."""

    def __init__(self, last: LastWeek, model: Segmentation) -> None:
        self._last, self._model = last, model
        then, now = last.model.numbers.stop, model.numbers.stop
        self._sizes_now = np.zeros(then, np.int64)
        self._moves = np.zeros((then, then), np.int64)
        self._crossed = np.zeros((then, now), np.int64)

    def add(self, customers: Customers, numbers: Labels) -> None:
        """Count some customers; `numbers` are their segments by this week's model."""
        asked, _ = self._last.model.assign(customers)
        self._sizes_now += np.bincount(asked, minlength=len(self._sizes_now))
        if not len(self._last.user_id):
            return
        place = np.minimum(np.searchsorted(self._last.user_id, customers.user_id), len(self._last.user_id) - 1)
        known = self._last.user_id[place] == customers.user_id
        before = self._last.numbers[place[known]]
        np.add.at(self._moves, (before, asked[known]), 1)
        np.add.at(self._crossed, (before, numbers[known]), 1)

    def told(self) -> dict[str, Any]:
        """The figures. `moves` lists, most first, how many customers went from which of last week's segments to which."""
        sizes_then = np.bincount(self._last.numbers, minlength=len(self._sizes_now))
        both = int(self._moves.sum())
        moves = [
            {"from": int(start), "to": int(end), "customers": int(self._moves[start, end])}
            for start, end in np.argwhere(self._moves)
            if start != end
        ]
        moved = sum(each["customers"] for each in moves)
        index = stability_index(sizes_then, self._sizes_now)
        return {
            "against": self._last.dt,
            "psi": index,
            "shift": "none" if index < SOME else "some" if index < MUCH else "much",
            "sizes": [
                {
                    "segment": number,
                    "name": self._last.model.name(number),
                    "then": int(sizes_then[number]),
                    "now": int(self._sizes_now[number]),
                }
                for number in self._last.model.numbers
            ],
            "customers_in_both": both,
            "moved": moved,
            "share_moved": moved / both if both else 0.0,
            "moves": sorted(moves, key=lambda each: (-each["customers"], each["from"], each["to"])),
            "agreement": _agreement(self._crossed),
            "matched": _matched(self._last.model, self._model),
        }


def comparable(last: Segmentation, read: Mapping[str, object]) -> str:
    """Why last week's model can't be asked about customers of these columns; empty if it can."""
    gone = [name for name in last.reads if name != "user_id" and name not in read]
    return f"last week's model asks for {', '.join(gone)}, which the customers' table no longer has" if gone else ""


def stability_index(then: NDArray[np.int64], now: NDArray[np.int64]) -> float:
    """The population stability index of two lists of sizes, in the same order: sum of (p - q) ln(p / q) over their shares p and q.

    An empty part counts as half a customer where the other has any, since the logarithm knows no 0.
    """
    some = (then > 0) | (now > 0)
    if not then.sum() or not now.sum():
        return 0.0
    p, q = (np.maximum(sizes[some], 0.5) / sizes.sum() for sizes in (now, then))
    return float(np.sum((p - q) * np.log(p / q)))


def _agreement(crossed: NDArray[np.int64]) -> float:
    """Adjusted Rand index of last week's segments and this week's, over customers in both; 1 if there are none."""
    start, end = np.nonzero(crossed)
    many = crossed[start, end]
    return float(adjusted_rand_score(np.repeat(start, many), np.repeat(end, many))) if many.sum() else 1.0


def _matched(then: Segmentation, now: Segmentation) -> list[dict[str, Any]]:
    """Each of this week's segments with the one of last week's whose centre is nearest, the nearest pair first and each only once.

    Distances are taken in this week's space, over the features of both. The rule's segment is itself.
    """
    pairs: list[dict[str, Any]] = [{"now": RULE, "then": RULE, "distance": 0.0}]
    shared = [name for name in now.space.names if name in then.space.names]
    moved = _brought(then, now.space, shared)
    own = now.centres[:, [now.space.names.index(name) for name in shared]]
    distances = np.sqrt(((own[:, None] - moved[None]) ** 2).sum(axis=2))
    while np.isfinite(distances).any():
        start, end = (int(place) for place in np.unravel_index(np.argmin(distances), distances.shape))
        pairs.append(
            {"now": start + RULE + 1, "then": end + RULE + 1, "distance": round(float(distances[start, end]), 6)}
        )
        distances[start, :] = distances[:, end] = np.inf
    met = {pair["now"] for pair in pairs}
    pairs += [{"now": number, "then": None, "distance": None} for number in now.numbers if number not in met]
    return sorted(pairs, key=lambda pair: int(pair["now"]))


def _brought(then: Segmentation, into: Space, shared: list[str]) -> Floats:
    """Last week's centres in this week's space."""
    brought = np.zeros((len(then.centres), len(shared)))
    for column, name in enumerate(shared):
        old = then.space.names.index(name)
        before, after = then.space.axes[old], into.axes[into.names.index(name)]
        value = then.centres[:, old] * before.deviation + before.mean
        brought[:, column] = (value - after.mean) / after.deviation
    return brought
