"""Doubles the column `y` of the input `rows` into a table of (id, y), and says in a report what else it was given."""

import json
import os
import sys
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

base = Path(os.environ["SM_PROCESSING_DIR"])
files = sorted((base / "input" / "rows").rglob("*.parquet"))
rows = [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]
model = base / "input" / "model" / "model" / "model.json"
report = {
    "arguments": sys.argv[1:],
    "rows": len(rows),
    "mean": json.loads(model.read_text())["mean"] if model.exists() else None,
}
if "--table" in sys.argv:
    made = pa.table({"id": [row["id"] for row in rows], "y": [2 * row["y"] for row in rows]})
    parquet.write_table(made, base / "output" / "part-0.parquet")
else:
    (base / "output" / "report.json").write_text(json.dumps(report))
