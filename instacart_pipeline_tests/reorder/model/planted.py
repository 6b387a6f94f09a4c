"""Pairs with a planted habit: users buy again what is due, with a known probability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from instacart_pipeline.reorder.model.features import FEATURES


def write_pairs(folder: Path, *, users: int, products: int = 12, windows: int = 0, seed: int = 1) -> Path:
    """A folder of training pairs of users in all buckets. What decides is up_order_rate; everything else is noise or constant."""
    draws = np.random.default_rng(seed)
    rows = users * products * (windows + 1)
    user = np.repeat(np.arange(users), products * (windows + 1))
    back = np.tile(np.repeat(np.arange(windows + 1), products), users)
    columns = {name: draws.normal(size=rows) for name in FEATURES}
    rate = draws.uniform(0, 1, rows)
    columns |= {
        "up_order_rate": rate,
        "up_in_last_1": (draws.uniform(size=rows) < rate).astype(float),
        "up_orders": np.rint(10 * rate) + 1,
        "up_last_order": draws.integers(1, 11, rows).astype(float),
        "user_reorder_ratio": np.full(rows, 0.5),
        "user_average_basket": np.full(rows, 8.0),
        "orders_back": back.astype(float),
    }
    columns["up_mean_gap_days"] = np.where(draws.uniform(size=rows) < 0.3, np.nan, columns["up_mean_gap_days"])
    table = {
        "order_id": user * 10 + back,
        "product_id": np.tile(np.arange(products), users * (windows + 1)),
        "user_id": user,
        "user_bucket": user % 100,
        "label": (draws.uniform(size=rows) < rate**3).astype(np.int32),
        **columns,
    }
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(table), folder / "part-0.parquet")
    return folder
