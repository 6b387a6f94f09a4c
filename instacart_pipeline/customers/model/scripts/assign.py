"""Puts every customer into a segment of the week's model: the table of segments."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from instacart_pipeline.customers.model.rows import Written, batches
from instacart_pipeline.customers.model.segmentation import Segmentation

_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("segment", pa.int32()),
        ("segment_name", pa.string()),
        ("distance_to_center", pa.float64()),
    ]
)


def main() -> None:
    """Read, assign, write, batch by batch."""
    base = Path(os.environ["SM_PROCESSING_DIR"])
    model = Segmentation.read(base / "input" / "segmentation" / "output")
    names = np.array(["", *(model.name(number) for number in model.numbers)], dtype=object)
    written, customers = Written(base / "output" / "part-00000.parquet", _SCHEMA), 0
    for part in batches(base / "input" / "customers", model.reads):
        numbers, distances = model.assign(part)
        far = pa.array(distances, pa.float64(), from_pandas=True)  # NaN is NULL
        written.add([part.user_id, numbers, names[numbers], far])
        customers += len(part)
    written.close()
    print(f"{customers:,} customers in {len(model.numbers)} segments", flush=True)


if __name__ == "__main__":
    main()
