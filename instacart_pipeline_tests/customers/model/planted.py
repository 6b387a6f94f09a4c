"""Customers made for tests of the segments: with planted groups, and with none.

Belongs here: rows that meet the contract of the customers' table, but for the columns that segments take no notice of.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from instacart_pipeline.customers.model.features import READ
from instacart_pipeline.customers.model.rows import Customers

Floats = NDArray[np.float64]
NAMES = ("spend", "orders", "days_since_order", "return_rate", "sessions", "age", "distance_in_km")
_MIDDLE = np.array([4.5, 2.0, 120.0, 0.3, 2.5, 40.0, 6.0])
_WIDTH = np.array([0.35, 0.15, 15.0, 0.04, 0.2, 4.0, 0.4])
"""Of one group, on the feature's scale: spend, orders, sessions and distance as logarithms."""


def planted(sizes: Sequence[int], seed: int = 1, apart: float = 2.5) -> tuple[Customers, NDArray[np.int64]]:
    """Buyers in groups of these sizes, shuffled, and the group of each. Centres lie `apart` standard deviations of one group from the middle, in
    every feature up or down; money is log-normal."""
    draws = np.random.default_rng(seed)
    ways: list[Floats] = []
    while len(ways) < len(sizes):
        way = draws.choice((-1.0, 1.0), len(NAMES))
        if all(np.abs(way - other).sum() > 4 for other in ways):  # three features at least tell two groups apart
            ways.append(way)
    group = np.repeat(np.arange(len(sizes)), sizes)
    raw = _MIDDLE + _WIDTH * (apart * np.array(ways)[group] + draws.standard_normal((len(group), len(NAMES))))
    order = draws.permutation(len(group))
    return _customers(raw[order], draws), group[order]


def one_blob(many: int, seed: int = 1) -> Customers:
    """Buyers of one kind."""
    return planted([many], seed, apart=0.0)[0]


def noise(many: int, seed: int = 1) -> Customers:
    """Buyers strewn evenly over a box."""
    draws = np.random.default_rng(seed)
    return _customers(_MIDDLE + _WIDTH * draws.uniform(-2, 2, (many, len(NAMES))), draws)


def shop(many: int, seed: int = 1) -> Customers:
    """Customers of a shop like thelook: everything is drawn by itself, so there is no group but those who bought nothing, who are half."""
    draws = np.random.default_rng(seed)
    orders = np.where(draws.random(many) < 0.5, 0, draws.choice([1, 2, 3, 4], many, p=[0.62, 0.26, 0.06, 0.06]))
    items = np.array([draws.choice([1, 2, 3, 4], count, p=[0.7, 0.2, 0.05, 0.05]).sum() for count in orders])
    spend = np.array([draws.lognormal(3.7, 0.8, count).sum() for count in items])
    returns = draws.binomial(items, 0.1)
    raw = {
        "spend": spend.round(4),
        "orders": orders.astype(float),
        "items": items.astype(float),
        "return_rate": np.divide(returns, items, out=np.full(many, np.nan), where=items > 0),
        "days_since_order": np.where(orders > 0, draws.integers(1, 366, many), np.nan),
        "sessions": (orders + draws.poisson(2, many)).astype(float),
        "age": draws.integers(12, 71, many).astype(float),
        "distance_in_km": draws.gamma(2, 500, many).round(2),
        "gross_margin": (spend * 0.5).round(4),
    }
    return Customers(np.arange(1, many + 1), raw)


def changed(customers: Customers, **values: Floats) -> Customers:
    """The same customers with other values in some columns."""
    return Customers(customers.user_id, {**customers.values, **values})


def write(customers: Customers, folder: Path, files: int = 1) -> Path:
    """The customers as Parquet files of a folder, in the types of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, _type(name)) for name in READ])
    for number, part in enumerate(np.array_split(np.arange(len(customers)), files)):
        table = pa.Table.from_pylist(rows(customers.where(part)), schema)
        parquet.write_table(table, folder / f"part-{number:05}.parquet")
    return folder


def rows(customers: Customers) -> list[dict[str, Any]]:
    """The customers as rows of the table."""
    made = []
    for place, user_id in enumerate(customers.user_id.tolist()):
        values = {name: _cell(name, float(column[place])) for name, column in customers.values.items()}
        made.append({"user_id": user_id, **values})
    return made


def _customers(raw: Floats, draws: np.random.Generator) -> Customers:
    values = dict(zip(NAMES, raw.T, strict=True))
    for name in ("spend", "orders", "sessions", "distance_in_km"):
        values[name] = np.expm1(values[name])
    for name in ("orders", "sessions", "days_since_order", "age"):
        values[name] = np.maximum(np.rint(values[name]), 1)
    values["return_rate"] = np.clip(values["return_rate"], 0, 1)
    values["spend"], values["distance_in_km"] = values["spend"].round(4), values["distance_in_km"].round(2)
    values["items"] = np.rint(values["orders"] * 1.4)
    values["gross_margin"] = (values["spend"] * 0.5).round(4)
    return Customers(np.sort(draws.choice(10 * len(raw), len(raw), replace=False)) + 1, values)


def _type(name: str) -> pa.DataType:
    if name in ("spend", "gross_margin"):
        return pa.decimal128(18, 4)
    if name in ("return_rate", "distance_in_km"):
        return pa.float64()
    return pa.int32() if name in ("age", "days_since_order") else pa.int64()


def _cell(name: str, value: float) -> object:
    if np.isnan(value):
        return None
    if name in ("spend", "gross_margin"):
        return Decimal(f"{value:.4f}")
    return value if name in ("return_rate", "distance_in_km") else int(value)
