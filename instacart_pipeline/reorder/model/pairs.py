"""Pairs of an order and a product in memory, as the model's scripts read them.

Belongs here: reading Parquet into arrays. Part of the code that trains: numpy and pyarrow only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import compute, dataset

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """Pairs, the order's together. `features` is a float32 matrix of (pairs, names), NaN where unknown; `label` is 1 where bought."""

    order_id: NDArray[np.int64]
    user_bucket: NDArray[np.int64]
    orders_back: NDArray[np.int64]
    label: NDArray[np.float32]
    features: NDArray[np.float32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def where(self, chosen: Mask | NDArray[np.int64]) -> Pairs:
        """The pairs of a mask, or at these positions."""
        return Pairs(
            self.order_id[chosen],
            self.user_bucket[chosen],
            self.orders_back[chosen],
            self.label[chosen],
            self.features[chosen],
            self.names,
        )

    def columns(self, names: Sequence[str]) -> NDArray[np.float32]:
        """The features of these names, in this order. Raises KeyError naming those that are not there."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise KeyError(f"the pairs have no {', '.join(missing)}")
        if tuple(names) == self.names:
            return self.features
        return np.ascontiguousarray(self.features[:, [self.names.index(name) for name in names]])

    def column(self, name: str) -> NDArray[np.float32]:
        """One feature."""
        return self.features[:, self.names.index(name)]

    def orders(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each order begins, and how many pairs it has."""
        starts = np.flatnonzero(np.r_[True, self.order_id[1:] != self.order_id[:-1]]) if len(self) else np.zeros(0, int)
        return starts, np.diff(np.r_[starts, len(self)])


def read_pairs(
    folder: Path, names: Sequence[str], buckets: Sequence[int], *, furthest_back: int | None = None
) -> Pairs:
    """The labelled pairs in a folder of Parquet files, of users in `buckets`, at most so many orders back; each order's together.

    Read batch by batch into one matrix: what is not in it never lies in memory as a whole.
    """
    condition = compute.field("user_bucket").isin(list(buckets))
    if furthest_back is not None:
        condition &= compute.field("orders_back") <= furthest_back
    source = dataset.dataset(folder, format="parquet")
    whole = ("order_id", "user_bucket", "orders_back", "label")
    rows = source.count_rows(filter=condition)
    numbers = {name: np.empty(rows, np.float32 if name == "label" else np.int64) for name in whole}
    features = np.empty((rows, len(names)), np.float32)
    at = 0
    for batch in source.to_batches(columns=list(dict.fromkeys((*whole, *names))), filter=condition):
        part = slice(at, at + batch.num_rows)
        for name, values in numbers.items():
            values[part] = batch[name].to_numpy(zero_copy_only=False)
        for position, name in enumerate(names):
            features[part, position] = compute.cast(batch[name], "float32", safe=False).to_numpy(zero_copy_only=False)
        at = part.stop
    order_id, bucket, back, label = (numbers[name] for name in whole)
    pairs = Pairs(order_id, bucket, back, label, features, tuple(names))
    if len(pairs.orders()[0]) == len(np.unique(order_id)):
        return pairs  # each order's pairs lie together as they were read
    return pairs.where(np.argsort(order_id, kind="stable"))
