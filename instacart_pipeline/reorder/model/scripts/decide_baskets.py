"""Decides the basket of every open order, from the probabilities of its candidates."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from instacart_pipeline.reorder.model.baskets import by_decision


def main() -> None:
    """Read the probabilities, decide, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spread", type=float, required=True, help="what the products of an order have in common")
    spread = parser.parse_args().spread
    base = Path(os.environ["SM_PROCESSING_DIR"])
    columns = ["order_id", "product_id", "probability"]
    table = parquet.read_table(base / "input" / "probabilities", columns=columns)
    order_id, product_id, probability = (table[name].to_numpy() for name in columns)
    # Products by falling probability, so that the file reads as the basket is meant.
    ranked = np.lexsort((product_id, -probability, order_id))
    order_id, product_id, probability = order_id[ranked], product_id[ranked], probability[ranked]
    starts = np.flatnonzero(np.r_[True, order_id[1:] != order_id[:-1]]) if len(order_id) else np.zeros(0, np.int64)
    chosen, none = by_decision((starts, np.diff(np.r_[starts, len(order_id)])), probability, spread)
    made = {
        "order_id": order_id,
        "product_id": product_id,
        "probability": probability,
        "in_basket": chosen.astype(np.int32),
    }
    parquet.write_table(pa.table(made), base / "output" / "part-00000.parquet")
    print(
        f"{len(starts):,} orders, {int(chosen.sum()):,} products, {int(none.sum()):,} orders may re-order nothing",
        flush=True,
    )


if __name__ == "__main__":
    main()
