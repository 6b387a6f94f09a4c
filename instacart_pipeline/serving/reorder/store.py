"""What requests look up: users, their open orders and candidates, what they bought last, products.

Belongs here: reading a folder that building.py made. Doesn't: which folder that is by now (days.py).
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instacart_pipeline.serving.reorder.building import META

if TYPE_CHECKING:
    from numpy.typing import NDArray

READING = ".reading"
"""A file that everyone who reads the folder holds a shared lock on. The kernel lets go of it when they end, however they end."""
_LONGEST_ID = 19
"""Digits of the largest bigint."""


@dataclass(frozen=True)
class Product:
    """A product of the shop."""

    id: int
    name: str
    aisle: str


@dataclass(frozen=True)
class OpenOrder:
    """An order whose basket is not known yet. `days_since` the order before is capped at 30."""

    id: int
    number: int
    hour: int
    days_since: float | None


class Store:
    """One day, mapped into memory. Its folder stays as long as this object is alive."""

    def __init__(self, folder: Path) -> None:
        """Open what lies in `folder`. Raises FileNotFoundError if that is no whole store."""
        import pyarrow as pa  # noqa: PLC0415  # takes a while to load

        self._lock = (folder / READING).open("a")
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        meta = json.loads((folder / META).read_text())
        self.folder = folder
        self.dt: str = meta["dt"]
        self.versions: Mapping[str, str] = meta["versions"]
        self.features: tuple[str, ...] = tuple(meta["features"])
        self._everybody = _mapped(folder, "everybody")
        self._users = _mapped(folder, "user_id")
        self._orders = {
            name: _mapped(folder, name)
            for name in ("order_id", "order_number", "order_hour_of_day", "days_since_prior_order")
        }
        self._starts, self._products = _mapped(folder, "starts"), _mapped(folder, "products")
        self._matrix = _mapped(folder, "features")
        self._last_starts, self._last_numbers = _mapped(folder, "last_starts"), _mapped(folder, "last_numbers")
        self._last_products = _mapped(folder, "last_products")
        products = pa.ipc.open_file(pa.memory_map(str(folder / "products.arrow"))).read_all()
        self._product_ids: NDArray[np.int64] = products.column("product_id").to_numpy()
        self._names, self._aisles = products.column("product_name"), products.column("aisle")

    @property
    def users(self) -> int:
        """How many users have an open order."""
        return len(self._users)

    def knows(self, user_id: int) -> bool:
        """Whether the shop has such a user, with an open order or without."""
        return _find(self._everybody, user_id) is not None

    def position(self, user_id: int) -> int | None:
        """Where a user with an open order stands; None if they have none."""
        return _find(self._users, user_id)

    def order(self, position: int) -> OpenOrder:
        """The open order of a user."""
        of = {name: values[position] for name, values in self._orders.items()}
        days = float(of["days_since_prior_order"])
        return OpenOrder(
            int(of["order_id"]), int(of["order_number"]), int(of["order_hour_of_day"]), None if isnan(days) else days
        )

    def candidates(self, position: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The products that a user has ever bought, and the features of each, in the order of `features`."""
        rows = slice(int(self._starts[position]), int(self._starts[position + 1]))
        return self._products[rows], self._matrix[rows]

    def last_orders(self, position: int) -> list[tuple[int, list[int]]]:
        """A user's last orders, the latest first: number and products."""
        rows = slice(int(self._last_starts[position]), int(self._last_starts[position + 1]))
        found: dict[int, list[int]] = {}
        for number, product in zip(self._last_numbers[rows].tolist(), self._last_products[rows].tolist(), strict=True):
            found.setdefault(number, []).append(product)
        return list(found.items())

    def product(self, product_id: int) -> Product | None:
        """The product with an id."""
        at = _find(self._product_ids, product_id)
        return None if at is None else self._product(at)

    def products(self, search: str, limit: int) -> list[Product]:
        """Products whose name holds `search`, whatever its case; names that begin with it first, then the shorter ones."""
        import pyarrow.compute as pc  # noqa: PLC0415  # as pyarrow

        at = pc.indices_nonzero(pc.match_substring(self._names, search, ignore_case=True)).to_pylist()
        found = [self._product(position) for position in at]
        if search.isdecimal() and len(search) < _LONGEST_ID and (named := self.product(int(search))):
            found = [named, *(product for product in found if product.id != named.id)]
        start = search.lower()
        found.sort(key=lambda p: (str(p.id) != search, not p.name.lower().startswith(start), len(p.name), p.name))
        return found[:limit]

    def search_users(self, digits: str, limit: int) -> tuple[list[tuple[int, int, int]], int]:
        """Users with an open order whose id begins with `digits`, by id: (id, number of that order, candidates).

        And how many there are in all.
        """
        at: list[int] = []
        total = 0
        for first, last in _ranges(digits):
            low, high = np.searchsorted(self._users, [first, last])
            total += int(high - low)
            at.extend(range(int(low), min(int(high), int(low) + limit - len(at))))
        numbers = self._orders["order_number"]
        listed = [(int(self._users[p]), int(numbers[p]), int(self._starts[p + 1] - self._starts[p])) for p in at]
        return listed, total

    def _product(self, at: int) -> Product:
        return Product(int(self._product_ids[at]), self._names[at].as_py(), self._aisles[at].as_py())


def _ranges(digits: str) -> Sequence[tuple[int, int]]:
    """The ranges of ids that begin with `digits`, their ends excluded; every id begins with nothing."""
    if not digits:
        return [(0, 2**63 - 1)]
    first = int(digits)
    if not first or str(first) != digits:
        return []  # no id begins with a nought
    more = range(_LONGEST_ID - len(digits) + 1)
    return [(first * 10**k, min((first + 1) * 10**k, 2**63 - 1)) for k in more if first * 10**k < 2**63]


def _find(ordered: NDArray[np.int64], value: int) -> int | None:
    at = int(np.searchsorted(ordered, value))
    return at if at < len(ordered) and int(ordered[at]) == value else None


def _mapped(folder: Path, name: str) -> NDArray[Any]:
    # As a plain array on top of the map: slices of a memmap cost several times as much.
    mapped: NDArray[Any] = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
    return mapped
