"""Learns the mean of the column `y`, one step a round. `--fail` ends it in an error, `--pause` (seconds a round) slows it."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from pyarrow import parquet

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--pause", type=float, default=0.0)
parser.add_argument("--fail", default="")
options = parser.parse_args()

# File by file: read as one data set, they would have pandas imported, which takes longer than all the rest.
files = sorted(Path(os.environ["SM_CHANNEL_TRAIN"]).rglob("*.parquet"))
rows = [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]
truth = sum(row["y"] for row in rows) / len(rows)
guess = 0.0
for number in range(options.rounds):
    guess += options.rate * (truth - guess)
    print(f"[{number}] loss={abs(truth - guess):.6f}", flush=True)
    time.sleep(options.pause)
if options.fail:
    print("about to fail", file=sys.stderr)
    raise SystemExit(options.fail)
Path(os.environ["SM_MODEL_DIR"], "model.json").write_text(json.dumps({"mean": guess}))
Path(os.environ["SM_OUTPUT_DATA_DIR"], "report.json").write_text(json.dumps({"rows": len(rows)}))
