"""A week of the customer mart in memory: every customer, to be looked up, and groups of them, to be added up.

Belongs here: reading a version of the mart. Doesn't: which one (mart_weeks.py), the sums (mart_sums.py).

Distances are whole hundredths of a kilometre and amounts whole ten-thousandths of a dollar, so that sums are exact. In a column of
numbers -1 stands for NULL: none that may be NULL can be negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from instacart_pipeline.customers.mart_tables import CUSTOMER_MART
from instacart_pipeline.customers.tables import DISTRIBUTION_CENTERS
from instacart_pipeline.serving.columns import places, read_table, ten_thousandths
from instacart_pipeline.serving.customers.mart_groups import Groups, grouped

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGES = (0, 18, 25, 35, 45, 55, 65)
"""The first age of each band; the last band has no end."""
LEVELS = (1, 2, 3)
NEAR_KM = 500
"""A customer at most this far from a centre is near it."""
TEXTS = ("gender", "country", "state", "most_traffic_source")
AMOUNTS = ("spend", "refunds", "gross_margin")
COUNTS = ("orders", "items", "returns", "sessions")


class Center(NamedTuple):
    """A distribution centre; where it is, if that is known."""

    id: int
    name: str
    latitude: float | None
    longitude: float | None


@dataclass(frozen=True)
class Mart:
    """The mart as of the Monday `dt`. Names are in the order of the alphabet, centres and segments in that of their numbers."""

    dt: str
    versions: Mapping[str, str]
    numbers: Mapping[str, NDArray[Any]]
    """Columns of numbers, in the order of user_id; `center` and `segment_place` are places in the lists below."""
    texts: Mapping[str, NDArray[np.int32]]
    """Columns of texts: the place of each in `names`, or -1."""
    names: Mapping[str, Sequence[str]]
    segments: Sequence[tuple[int, str]]
    centers: Sequence[Center]
    groups: Groups
    """By country, segment, level, center, age and source; the code after the last of a dimension is of those of whom it isn't known."""

    @property
    def customers(self) -> int:
        """How many there are."""
        return len(self.numbers["user_id"])

    def place(self, user_id: int) -> int | None:
        """Where a customer stands in the columns; None if there is no such customer."""
        known = self.numbers["user_id"]
        if not -(2**63) <= user_id < 2**63:
            return None
        at = int(np.searchsorted(known, np.int64(user_id)))
        return at if at < len(known) and known[at] == user_id else None

    def text(self, column: str, place: int) -> str | None:
        """A customer's text in one of TEXTS."""
        code = self.texts[column][place]
        return None if code < 0 else self.names[column][code]


def read(dt: str, versions: Mapping[str, str], mart: Path, centers: Path | None) -> Mart:
    """The mart of a week, from the folders of the mart's version and, if there is one, of the distribution centres'."""
    table = _by_user(read_table(CUSTOMER_MART, mart))
    names = {name: sorted(table.column(name).drop_null().unique().to_pylist()) for name in TEXTS}
    texts = {name: places(table.column(name), names[name]) for name in TEXTS}
    segments = sorted(_pairs(table, "segment", "segment_name").items())
    known = _centers(_pairs(table, "dc_id", "nearest_distribution_center"), centers)
    numbers: dict[str, NDArray[Any]] = {
        "user_id": table.column("user_id").to_numpy(),
        "registered_at": table.column("registered_at").to_numpy(),
        "age": _whole(table, "age").astype(np.int16),
        "days_since_order": _whole(table, "days_since_order").astype(np.int16),
        "profit_level": _whole(table, "profit_level").astype(np.int8),
        "distance": _hundredths(table.column("distance_in_km")),
        "center": _standing(_whole(table, "dc_id"), [center.id for center in known]),
        "segment_place": _standing(_whole(table, "segment"), [number for number, _ in segments]),
        **{name: _whole(table, name) for name in COUNTS},
        **{name: ten_thousandths(table.column(name)) for name in AMOUNTS},
    }
    codes = {
        "country": texts["country"],
        "segment": numbers["segment_place"],
        "level": numbers["profit_level"].astype(np.int32) - LEVELS[0],
        "center": numbers["center"],
        "age": (np.searchsorted(AGES, numbers["age"], side="right") - 1).astype(np.int32),
        "source": texts["most_traffic_source"],
    }
    last = {
        "country": len(names["country"]),
        "segment": len(segments),
        "level": len(LEVELS),
        "center": len(known),
        "age": len(AGES),
        "source": len(names["most_traffic_source"]),
    }
    return Mart(
        dt=dt,
        versions=dict(versions),
        numbers=numbers,
        texts=texts,
        names=names,
        segments=segments,
        centers=known,
        groups=grouped(
            {name: np.where(code < 0, np.int32(last[name]), code) for name, code in codes.items()}, _measures(numbers)
        ),
    )


def _by_user(table: Any) -> Any:
    """In the order of user_id, which a file of the lake has, and several may not have together."""
    known = table.column("user_id").to_numpy()
    return table if bool((known[1:] > known[:-1]).all()) else table.sort_by("user_id")


def _measures(numbers: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
    """What is added up. Beside each sum of what may be NULL stands how many it is of."""
    age, days, distance = (numbers[name].astype(np.int64) for name in ("age", "days_since_order", "distance"))
    counted = {
        "customers": np.ones(len(age), bool),
        "buyers": numbers["items"] > 0,
        "aged": age >= 0,
        "placed": distance >= 0,
        "near": (distance >= 0) & (distance <= NEAR_KM * 100),
        "dated": days >= 0,
    }
    return {
        **{name: numbers[name] for name in (*COUNTS, *AMOUNTS)},
        **{name: values.astype(np.int64) for name, values in counted.items()},
        **{
            name: np.maximum(values, 0)
            for name, values in (("age", age), ("days_since_order", days), ("distance", distance))
        },
    }


def _pairs(table: Any, key: str, name: str) -> dict[int, str]:
    """The name of each number that occurs; of several the first in the alphabet."""
    found = table.select([key, name]).drop_null().group_by([key]).aggregate([(name, "min")])
    return dict(zip(found.column(key).to_pylist(), found.column(f"{name}_min").to_pylist(), strict=True))


def _centers(named: Mapping[int, str], folder: Path | None) -> list[Center]:
    known = {number: Center(number, name, None, None) for number, name in named.items()}
    rows = read_table(DISTRIBUTION_CENTERS, folder).to_pylist() if folder else []
    known.update((row["id"], Center(row["id"], row["name"], row["latitude"], row["longitude"])) for row in rows)
    return [known[number] for number in sorted(known)]


def _whole(table: Any, name: str) -> NDArray[np.int64]:
    filled: NDArray[np.int64] = table.column(name).fill_null(-1).to_numpy().astype(np.int64)
    return filled


def _hundredths(column: Any) -> NDArray[np.int32]:
    kilometres: NDArray[np.float64] = column.fill_null(-0.01).to_numpy()
    return np.rint(kilometres * 100).astype(np.int32)


def _standing(numbers: NDArray[np.int64], known: Sequence[int]) -> NDArray[np.int32]:
    """Where each number stands among the sorted `known`; -1 for one that doesn't, as NULL."""
    if not known:
        return np.full(len(numbers), -1, np.int32)
    at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    return np.where(np.asarray(known, np.int64)[at] == numbers, at, -1).astype(np.int32)
