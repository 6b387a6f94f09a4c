"""Reading customers: in batches, so that memory does not grow with the shop, and a sample that is the same in any order of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import dataset, parquet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_BATCH_ROWS = 131_072


@dataclass(frozen=True)
class Customers:
    """Some customers: their ids, and a value each of every column that was read. NaN where the table has NULL."""

    user_id: Ints
    values: Mapping[str, Floats]

    def __len__(self) -> int:
        """How many they are."""
        return len(self.user_id)

    @property
    def bought(self) -> Flags:
        """Who bought anything in the last year."""
        some: Flags = self.values["items"] > 0
        return some

    def where(self, chosen: Flags | Ints) -> Customers:
        """Some of them: by a flag each, or by their places."""
        return Customers(self.user_id[chosen], {name: values[chosen] for name, values in self.values.items()})


def batches(folder: Path, columns: Iterable[str]) -> Iterator[Customers]:
    """The customers in a folder's Parquet files, batch by batch. Columns that the files lack are left out."""
    source = dataset.dataset(sorted(str(path) for path in folder.glob("*.parquet")), format="parquet")
    names = [name for name in dict.fromkeys(columns) if name in source.schema.names]
    for batch in source.to_batches(columns=names, batch_size=_BATCH_ROWS):
        if batch.num_rows:
            ids = batch.column("user_id").to_numpy()
            read = {name: _floats(batch.column(name)) for name in names if name != "user_id"}
            yield Customers(np.asarray(ids, np.int64), read)


def sample(parts: Iterable[Customers], most: int) -> tuple[Customers, int, int]:
    """At most so many of those who bought, by id; then how many bought, and how many customers there are at all.

    Who is in it depends on the ids alone: on the order of rows it does not, and from week to week the same customers stay in.
    """
    kept: Customers | None = None
    buyers = customers = 0
    for part in parts:
        own = part.where(part.bought)
        buyers, customers = buyers + len(own), customers + len(part)
        kept = _least(own if kept is None else _joined((kept, own)), most)
    if kept is None:
        kept = Customers(np.zeros(0, np.int64), {"items": np.zeros(0)})
    return kept.where(np.argsort(kept.user_id, kind="stable")), buyers, customers


class Written:
    """A Parquet file being written, a table at a time. Nothing lies there by its name before all is."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._making = path, path.with_suffix(".making")
        self._schema = schema
        self._writer = parquet.ParquetWriter(self._making, schema)

    def add(self, columns: Sequence[object]) -> None:
        """Add rows, as the columns of the schema in its order."""
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """All is written."""
        self._writer.close()
        self._making.replace(self._path)


def _floats(column: pa.Array) -> Floats:
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def _joined(parts: Sequence[Customers]) -> Customers:
    names = parts[0].values
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
    return Customers(np.concatenate([part.user_id for part in parts]), values)


def _least(customers: Customers, most: int) -> Customers:
    """Those of the least scrambled ids."""
    if len(customers) <= most:
        return customers
    return customers.where(np.argpartition(scrambled(customers.user_id), most)[:most])


def scrambled(ids: Ints) -> NDArray[np.uint64]:
    """A number an id, as good as drawn by lot, different ids giving different ones: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    last: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return last
