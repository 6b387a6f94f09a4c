"""Makes the files that requests look things up in, from the Parquet files of a day's tables.

Belongs here: what is in those files and how they are written, in bounded memory. Doesn't: reading them (store.py), when (days.py).

A folder holds plain arrays (.npy), which every process that serves maps into its memory: the kernel keeps one copy for all, and
a lookup is a binary search. Everything about users is ordered by user, so that a user's rows lie together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPEN_PAIRS, ORDERS, PRIOR, PRODUCTS, AISLES = (
    table.qualified_name for table in (m.OPEN_PAIRS, t.ORDERS, t.ORDER_PRODUCTS_PRIOR, t.PRODUCTS, t.AISLES)
)
TABLES = (OPEN_PAIRS, ORDERS, PRIOR, PRODUCTS, AISLES)
LAST_ORDERS = 3
"""How many of a user's last orders are kept."""
META = "meta.json"
PAIR_IDS = ("order_id", "product_id", "user_id")

_ROWS_AT_ONCE = 1 << 16


class DayInconsistent(PipelineError):
    """The tables of a day contradict each other."""


def build(target: Path, dt: str, folders: Mapping[str, Path], versions: Mapping[str, str]) -> None:
    """Write the files of the day `dt` to `target`, from the folder of each of TABLES."""
    users, numbers = _write_orders(target, folders[ORDERS])
    features = _write_pairs(target, folders[OPEN_PAIRS], users)
    _write_last_orders(target, folders[PRIOR], users, numbers)
    _write_products(target, folders[PRODUCTS], folders[AISLES])
    meta = {"dt": dt, "versions": dict(versions), "features": features, "format": FORMAT}
    (target / META).write_text(json.dumps(meta))


FORMAT = 1
"""Raised when the files change their meaning, so that files of an earlier release are made again."""


def _write_orders(target: Path, folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The users with an open order, and its number; writes what is known of that order, and all users."""
    everybody: list[NDArray[Any]] = []
    found: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("user_id", "order_id", "order_number", "order_hour_of_day", "days_since_prior_order")
    }
    for batch in _batches(folder, [*found, "eval_set"]):
        everybody.append(np.unique(_numbers(batch, "user_id")))
        is_open = np.asarray(batch.column("eval_set").to_numpy(zero_copy_only=False) == "test")
        for name, parts in found.items():
            kind = np.float32 if name == "days_since_prior_order" else np.int64
            parts.append(_numbers(batch, name, kind)[is_open])
    columns = {name: np.concatenate(parts) if parts else np.empty(0, np.int64) for name, parts in found.items()}
    by_user = np.argsort(columns["user_id"], kind="stable")
    columns = {name: values[by_user] for name, values in columns.items()}
    users = columns["user_id"]
    if len(twice := users[1:][users[1:] == users[:-1]]):
        raise DayInconsistent(f"User {twice[0]} has two open orders in {ORDERS}. Upload the day again, then build it.")
    _save(target, "everybody", np.unique(np.concatenate(everybody)) if everybody else users)
    for name, values in columns.items():
        _save(target, name, values)
    return users, columns["order_number"]


def _write_pairs(target: Path, folder: Path, users: NDArray[np.int64]) -> list[str]:
    """Writes the candidates by user and their features; returns the names of these."""
    features = _features(folder)
    ids: dict[str, list[NDArray[np.int64]]] = {"user_id": [], "product_id": []}
    for batch in _batches(folder, list(ids)):
        for name, parts in ids.items():
            parts.append(_numbers(batch, name))
    of_user, products = (np.concatenate(parts) if parts else np.empty(0, np.int64) for parts in ids.values())
    if len(unrecognized := np.setdiff1d(of_user, users)):
        raise DayInconsistent(
            f"{OPEN_PAIRS} has user {unrecognized[0]}, who has no open order in {ORDERS}. Build the day again."
        )
    # One file is written in this order; a table of several may be in order within each file only.
    place = None
    if not bool((of_user[1:] >= of_user[:-1]).all()):
        order = np.argsort(of_user, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        of_user, products = of_user[order], products[order]
    _save(target, "starts", np.append(np.searchsorted(of_user, users), len(of_user)))
    _save(target, "products", products)
    _write_matrix(target / "features.npy", folder, features, len(products), place)
    return features


def _write_matrix(
    path: Path, folder: Path, features: Sequence[str], rows: int, place: NDArray[np.int64] | None
) -> None:
    shape = (rows, len(features))
    if place is not None:
        matrix = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        first = 0
        for batch in _batches(folder, features):
            matrix[place[first : first + batch.num_rows]] = _matrix(batch, features)
            first += batch.num_rows
        matrix.flush()
        return
    with path.open("wb") as file:  # written rather than mapped: what is mapped would count as this process's memory
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for batch in _batches(folder, features):
            file.write(_matrix(batch, features).data)


def _write_last_orders(target: Path, folder: Path, users: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
    """Writes what each user bought in their last orders, the latest first, in the order of the cart."""
    names = ("user_id", "order_number", "add_to_cart_order", "product_id")
    kept: dict[str, list[NDArray[np.int64]]] = {name: [] for name in names}
    for batch in _batches(folder, names) if len(users) else ():
        of_user = _numbers(batch, "user_id")
        at = np.minimum(np.searchsorted(users, of_user), len(users) - 1)
        late = (users[at] == of_user) & (_numbers(batch, "order_number") >= numbers[at] - LAST_ORDERS)
        for name, parts in kept.items():
            parts.append(_numbers(batch, name)[late])
    columns = {name: np.concatenate(parts) if parts else np.empty(0, np.int64) for name, parts in kept.items()}
    order = np.lexsort((columns["add_to_cart_order"], -columns["order_number"], columns["user_id"]))
    of_user = columns["user_id"][order]
    _save(target, "last_starts", np.append(np.searchsorted(of_user, users), len(of_user)))
    _save(target, "last_numbers", columns["order_number"][order].astype(np.int32))
    _save(target, "last_products", columns["product_id"][order])


def _write_products(target: Path, folder: Path, aisles_folder: Path) -> None:
    """Writes the products by id, with the names of their aisles."""
    import pyarrow as pa  # noqa: PLC0415  # takes a while to load

    aisles: dict[int, str] = {}
    for batch in _batches(aisles_folder, ["aisle_id", "aisle"]):
        aisles.update(zip(batch.column("aisle_id").to_pylist(), batch.column("aisle").to_pylist(), strict=True))
    batches = list(_batches(folder, ["product_id", "product_name", "aisle_id"]))
    products = (
        pa.Table.from_batches(batches).sort_by("product_id")
        if batches
        else pa.table({"product_id": pa.array([], pa.int64()), "product_name": [], "aisle_id": []})
    )
    named = [aisles.get(aisle, "") for aisle in products.column("aisle_id").to_pylist()]
    made = pa.table(
        {
            "product_id": products.column("product_id"),
            "product_name": products.column("product_name").cast(pa.string()),
            "aisle": pa.array(named, pa.string()),
        }
    ).combine_chunks()
    with pa.OSFile(str(target / "products.arrow"), "wb") as file, pa.ipc.new_file(file, made.schema) as writer:
        writer.write_table(made)


def _features(folder: Path) -> list[str]:
    """Every number of the pairs that is not an id, by the table's own columns: what a model wants of them is its own affair."""
    from pyarrow import parquet, types  # noqa: PLC0415  # as above

    schema = parquet.read_schema(_files(folder)[0])
    numbers = [field.name for field in schema if types.is_integer(field.type) or types.is_floating(field.type)]
    return [name for name in numbers if name not in PAIR_IDS]


def _batches(folder: Path, columns: Sequence[str]) -> Iterator[Any]:
    """The rows of a folder's files, a batch at a time, so that no table need fit in memory."""
    from pyarrow import parquet  # noqa: PLC0415  # as above

    for path in _files(folder):
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from file.iter_batches(_ROWS_AT_ONCE, columns=list(columns))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _numbers(batch: Any, name: str, kind: Any = np.int64) -> NDArray[Any]:
    """A column as an array; NULL is NaN, in a column of floats."""
    values: NDArray[Any] = batch.column(name).to_numpy(zero_copy_only=False)
    return values.astype(kind, copy=False)


def _matrix(batch: Any, features: Sequence[str]) -> NDArray[np.float32]:
    matrix = np.empty((batch.num_rows, len(features)), np.float32)
    for position, name in enumerate(features):
        matrix[:, position] = _numbers(batch, name, np.float32)  # whole numbers with NULLs come as floats already
    return matrix


def _save(target: Path, name: str, values: NDArray[Any]) -> None:
    np.save(target / f"{name}.npy", np.ascontiguousarray(values))
