"""Writes one day's upload in the public Instacart layout.

Belongs here: which orders a day's dump holds, as what, and the bytes of its files. Doesn't: what people buy
(reorder_people.py).
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from instacart_pipeline.datagen.reorder_catalogue import Catalogue
from instacart_pipeline.datagen.reorder_people import REORDERED_BIT, Histories

_LINES_HEADER = "order_id,product_id,add_to_cart_order,reordered"
_ORDERS_HEADER = "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order"
_ORDERS_AT_A_TIME = 100_000
_ID_STREAM = 0x1D5


@dataclass(frozen=True)
class Dump:
    """Which rows of the histories one day's upload holds, ready to be written.

    `rows` are the orders' indices by user and number, `side` 0 prior, 1 train, 2 test for each of them.
    """

    rows: NDArray[np.int64]
    side: NDArray[np.int8]


def number_orders(histories: Histories, seed: int) -> NDArray[np.int32]:
    """An order_id for every order: those by the first day get 1..N shuffled, each later day's get the next numbers.

    So an order keeps its id in every later dump, and ids say nothing of user or time within a day.
    """
    ids = np.empty(len(histories.user), dtype=np.int32)
    by_day = np.argsort(histories.arrival, kind="stable")
    bounds = np.append(0, np.cumsum(np.bincount(histories.arrival)))
    for day, (low, high) in enumerate(pairwise(bounds.tolist())):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _ID_STREAM, day])))
        ids[by_day[low:high]] = low + 1 + rng.permutation(high - low)
    return ids


def dump_of(histories: Histories, day: int, trains: NDArray[np.bool_]) -> Dump:
    """The orders placed by `day` (0 is the first); each user's last is the target, on the side the user keeps.

    `trains` says by user_id - 1 whether the user's target is train.
    """
    rows = np.flatnonzero(histories.arrival <= day)
    user = histories.user[rows]
    last = np.append(user[1:] != user[:-1], True)
    side = np.where(last, np.where(trains[user - 1], 1, 2), 0).astype(np.int8)
    return Dump(rows, side)


def write_day(
    folder: Path,
    catalogue: Catalogue,
    histories: Histories,
    *,
    ids: NDArray[np.int32],
    dump: Dump,
    told: Callable[[float], None],
) -> tuple[int, int]:
    """Writes the six files as `folder`, which appears whole or not at all. Returns the prior and the train lines."""
    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        hidden.chmod(0o755)
        _write_catalogue(hidden, catalogue)
        starts = np.cumsum(histories.size, dtype=np.int64) - histories.size
        with ThreadPoolExecutor(2) as pool:
            _write_parts(pool, hidden / "orders.csv", _ORDERS_HEADER, _order_parts(histories, ids, dump), told=None)
            counts = []
            for name, side in (("prior", 0), ("train", 1)):
                rows = dump.rows[dump.side == side]
                rows = rows[np.argsort(ids[rows])]
                counts.append(int(histories.size[rows].sum(dtype=np.int64)))
                parts = _line_parts(histories, ids, rows, starts)
                path = hidden / f"order_products__{name}.csv"
                _write_parts(pool, path, _LINES_HEADER, parts, told=told if side == 0 else None)
        hidden.rename(folder)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return counts[0], counts[1]


_Part = tuple[float, Callable[[], pa.Table]]


def _write_parts(
    pool: ThreadPoolExecutor, path: Path, header: str, parts: Iterator[_Part], told: Callable[[float], None] | None
) -> None:
    """Formats parts on the pool's threads and writes them in their order, few at a time to bound memory."""
    waiting: list[tuple[float, Future[pa.Buffer]]] = []
    with path.open("wb") as file:
        file.write(f"{header}\n".encode())

        def finish_one() -> None:
            done, future = waiting.pop(0)
            file.write(memoryview(future.result()))
            if told is not None:
                told(done)

        for done, make in parts:
            waiting.append((done, pool.submit(_formatted, make)))
            if len(waiting) > 3:
                finish_one()
        while waiting:
            finish_one()
        file.flush()
        os.fsync(file.fileno())


def _formatted(make: Callable[[], pa.Table]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = pc.WriteOptions(include_header=False, batch_size=1 << 16, quoting_style="none")
    pc.write_csv(make(), sink, options)
    return sink.getvalue()


def _line_parts(
    histories: Histories, ids: NDArray[np.int32], rows: NDArray[np.int64], starts: NDArray[np.int64]
) -> Iterator[_Part]:
    def table(some: NDArray[np.int64]) -> pa.Table:
        size = histories.size[some].astype(np.int64)
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        lines = histories.lines[np.repeat(starts[some], size) + within]
        return pa.table(
            {
                "order_id": np.repeat(ids[some], size),
                "product_id": (lines & ~REORDERED_BIT).astype(np.int32),
                "add_to_cart_order": (within + 1).astype(np.int32),
                "reordered": (lines >> np.uint32(31)).astype(np.int8),
            }
        )

    for low in range(0, len(rows), _ORDERS_AT_A_TIME):
        some = rows[low : low + _ORDERS_AT_A_TIME]
        yield (low + len(some)) / len(rows), partial(table, some)


def _order_parts(histories: Histories, ids: NDArray[np.int32], dump: Dump) -> Iterator[_Part]:
    sides = pa.array(["prior", "train", "test"])
    hours = pa.array([f"{hour:02d}" for hour in range(24)])
    gaps = pa.array(["", *(f"{gap}.0" for gap in range(31))])

    def table(low: int, high: int) -> pa.Table:
        rows = dump.rows[low:high]
        return pa.table(
            {
                "order_id": ids[rows],
                "user_id": histories.user[rows],
                "eval_set": sides.take(pa.array(dump.side[low:high])),
                "order_number": histories.number[rows],
                "order_dow": histories.dow[rows],
                "order_hour_of_day": hours.take(pa.array(histories.hour[rows])),
                "days_since_prior_order": gaps.take(pa.array(histories.gap[rows] + 1)),
            }
        )

    for low in range(0, len(dump.rows), _ORDERS_AT_A_TIME):
        high = min(low + _ORDERS_AT_A_TIME, len(dump.rows))
        yield high / len(dump.rows), partial(table, low, high)


def _write_catalogue(folder: Path, catalogue: Catalogue) -> None:
    def write(name: str, header: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    write("aisles.csv", ("aisle_id", "aisle"), iter(enumerate(catalogue.aisles, 1)))
    write("departments.csv", ("department_id", "department"), iter(enumerate(catalogue.departments, 1)))
    write(
        "products.csv",
        ("product_id", "product_name", "aisle_id", "department_id"),
        (
            (number, name, aisle, department)
            for number, (name, aisle, department) in enumerate(
                zip(catalogue.names, catalogue.aisle_id.tolist(), catalogue.department_id.tolist(), strict=True), 1
            )
        ),
    )
