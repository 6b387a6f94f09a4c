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

    def where(self, mask: Mask) -> Pairs:
        """The pairs of a mask."""
        return Pairs(
            self.order_id[mask],
            self.user_bucket[mask],
            self.orders_back[mask],
            self.label[mask],
            self.features[mask],
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
    """The labelled pairs in a folder of Parquet files, of users in `buckets`, at most so many orders back; sorted by order.

    Read batch by batch, so that the text of the table never lies in memory beside the matrix.
    """
    condition = compute.field("user_bucket").isin(list(buckets))
    if furthest_back is not None:
        condition &= compute.field("orders_back") <= furthest_back
    source = dataset.dataset(folder, format="parquet")
    scanner = source.scanner(
        columns=list(dict.fromkeys(("order_id", "user_bucket", "orders_back", "label", *names))), filter=condition
    )
    order_id, bucket, back, label, features = [], [], [], [], []
    for batch in scanner.to_batches():
        if not batch.num_rows:
            continue
        order_id.append(batch["order_id"].to_numpy(zero_copy_only=False))
        bucket.append(batch["user_bucket"].to_numpy(zero_copy_only=False))
        back.append(batch["orders_back"].to_numpy(zero_copy_only=False))
        label.append(batch["label"].to_numpy(zero_copy_only=False))
        matrix = np.empty((batch.num_rows, len(names)), np.float32)
        for position, name in enumerate(names):
            matrix[:, position] = compute.cast(batch[name], "float32", safe=False).to_numpy(zero_copy_only=False)
        features.append(matrix)
    if not order_id:
        empty = np.zeros(0, np.int64)
        return Pairs(empty, empty, empty, np.zeros(0, np.float32), np.zeros((0, len(names)), np.float32), tuple(names))
    ids = np.concatenate(order_id)
    together = np.argsort(ids, kind="stable")
    return Pairs(
        ids[together],
        np.concatenate(bucket)[together].astype(np.int64),
        np.concatenate(back)[together].astype(np.int64),
        np.concatenate(label)[together].astype(np.float32),
        np.concatenate(features)[together],
        tuple(names),
    )
