"""Finds the week's segments, puts every customer into one, and compares with last week."""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

import pyarrow as pa

from instacart_pipeline.customers.model import plots
from instacart_pipeline.customers.model.drift import SEGMENTS_FILE, Drift, LastWeek, comparable
from instacart_pipeline.customers.model.features import READ
from instacart_pipeline.customers.model.fitting import FIT_ROWS, fit
from instacart_pipeline.customers.model.profiles import Profiles
from instacart_pipeline.customers.model.rows import Written, batches, sample

_SEGMENTS = pa.schema([("user_id", pa.int64()), ("segment", pa.int32())])


def main() -> None:
    """Fit on a sample, then go through all customers once more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", default="", help="the day of last week's segments, if there are any")
    against = parser.parse_args().against
    started, base = time.perf_counter(), Path(os.environ["SM_PROCESSING_DIR"])
    source, output = base / "input" / "customers", base / "output"
    buyers, bought, customers = sample(batches(source, READ), FIT_ROWS)
    model, report = fit(buyers, say)
    report |= {"customers": customers, "buyers": bought}
    last = LastWeek.read(base / "input" / "last_week" / "output", against) if against else None
    reason = comparable(last.model, dict.fromkeys(READ)) if last else "there are no segments of the week before"
    drift = Drift(last, model) if last and not reason else None
    profiles, written = Profiles(model), Written(output / SEGMENTS_FILE, _SEGMENTS)
    for part in batches(source, READ):
        numbers, _ = model.assign(part)
        written.add([part.user_id, numbers])
        profiles.add(part, numbers)
        if drift:
            drift.add(part, numbers)
    written.close()
    report |= {"segments": profiles.told(), "drift": drift.told() if drift else None, "drift_unknown": reason}
    model.write(output)
    (output / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    plots.draw_all(output, model, report)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    say(f"{customers:,} customers; seconds={time.perf_counter() - started:.1f} peak-bytes={peak}")


def say(line: str) -> None:
    """A line of the job's log."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
