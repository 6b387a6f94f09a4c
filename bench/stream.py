"""`python -m bench.stream`: transactions taken over HTTP, drained by the consumers, and found again, at several numbers of shards.

Belongs here: the order of things and the tables. Doesn't: the load (serving_load.py), processes and lines (stream_site.py).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.stream_site import (
    BATCH,
    Load,
    Site,
    batch_of,
    delays,
    fsync_floor,
    load_of,
    make_lines,
    plain_server,
    single,
)

console = Console(width=150)
SHARDS = (1, 4, 16)
CONSUMERS = ("lookups", "raw_zone")
Figures = dict[str, Any]


def main(
    seconds: Annotated[float, typer.Option(help="How long each load lasts, after a second's warm-up.")] = 4.0,
    lines: Annotated[int, typer.Option(help="Lines that the consumers drain.")] = 200_000,
    shards: Annotated[str, typer.Option(help="Numbers of shards, separated by commas.")] = ",".join(map(str, SHARDS)),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the raw figures here.")] = None,
) -> None:
    """Measure what is taken durably a second, how long until a line is found, and how fast the consumers drain."""
    numbers = [int(number) for number in shards.split(",")]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_WORK")) as folder:
        work = Path(folder)
        made = make_lines(work, lines)
        figures: Figures = {
            "taking": list(_taking(work, made, numbers, seconds)),
            "draining": list(_draining(work, made, numbers)),
            "delay": list(_delay(work, made)),
        }
    for table in (
        _taking_table(figures["taking"]),
        _draining_table(figures["draining"]),
        _delay_table(figures["delay"]),
    ):
        console.print(table)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=2))


def _taking(work: Path, csv: list[str], shards: list[int], seconds: float) -> Iterator[Figures]:
    """The API at several numbers of shards and writers, beside a plain server and the disk alone."""
    yield {
        "server": "disk alone: 500 lines appended, fsync",
        "batches": {"1": fsync_floor(work, batch_of(csv).body, seconds)},
    }
    with plain_server(work) as port:
        yield {
            "server": "FastAPI and SQLite, plainly written",
            "single": {str(n): load_of(port, single(csv, plain=True), n, seconds, work) for n in (1, 16)},
            "batches": {"4": load_of(port, batch_of(csv, plain=True), 4, seconds, work)},
        }
    for number in shards:
        with Site(work / f"taking-{number}", shards=number) as site, site.serving() as port:
            yield {
                "server": f"API, {number} shard{'s' if number > 1 else ''}",
                "single": {str(n): load_of(port, single(csv), n, seconds, work) for n in (1, 16)},
                "batches": {str(n): load_of(port, batch_of(csv), n, seconds, work) for n in (1, 4, 16)},
            }


def _draining(work: Path, csv: list[str], shards: list[int]) -> Iterator[Figures]:
    """Each consumer alone. What its processes take to start and end is measured on an empty stream, and doesn't count."""
    for number in shards:
        with Site(work / f"draining-{number}", shards=number) as site:
            processes = min(number, os.cpu_count() or 1)
            idle = {consumer: site.drain(consumer, processes) for consumer in CONSUMERS}
            site.fill(csv)
            for consumer in CONSUMERS:
                cost = site.drain(consumer, processes)
                yield {
                    "consumer": consumer,
                    "shards": number,
                    "workers": processes,
                    "per_second": len(csv) / (cost.seconds - idle[consumer].seconds),
                    "cpu_us_a_line": 1e6 * (cost.cpu_seconds - idle[consumer].cpu_seconds) / len(csv),
                    "start_seconds": idle[consumer].seconds,
                    "peak_mb": cost.peak_bytes / 1e6,
                }


def _delay(work: Path, csv: list[str]) -> Iterator[Figures]:
    for beside in (0, 5_000):
        with ExitStack() as stack:
            site = stack.enter_context(Site(work / f"delay-{beside}", shards=4))
            port = stack.enter_context(site.serving())
            stack.enter_context(site.working())
            list(delays(port, 1))  # until the consumers are up
            if beside:
                stack.enter_context(site.sending(csv, beside, port))
                time.sleep(3)
            found = sorted(delays(port, 60))
            yield {"beside": beside, "p50": median(found), "p99": found[-1], "lines": len(found)}


def _taking_table(rows: list[Figures]) -> Table:
    drawn = Table(title="Taken durably, over HTTP", title_justify="left")
    drawn.add_column("server")
    for header in ("1 line, 1 conn.: p99", "a second", "1 line, 16 conn.: p99", "a second"):
        drawn.add_column(header, justify="right")
    for connections in (1, 4, 16):
        drawn.add_column(f"{BATCH} lines, {connections} conn.: p99", justify="right")
        drawn.add_column("lines/s", justify="right")
    for row in rows:
        cells = [_cell(row.get("single", {}).get(n), 1) for n in ("1", "16")]
        cells += [_cell(row["batches"].get(n), BATCH) for n in ("1", "4", "16")]
        drawn.add_row(row["server"], *(text for pair in cells for text in pair))
    return drawn


def _cell(load: Load | None, lines: int) -> tuple[str, str]:
    if load is None:
        return "", ""
    return f"{load['p99']:,.1f} ms", f"{load['per_second'] * lines:,.0f}"


def _draining_table(rows: list[Figures]) -> Table:
    drawn = Table(title="Drained by the workers of one consumer", title_justify="left")
    for header in ("consumer", "shards", "workers", "lines/s", "CPU us a line", "start, s", "peak MB"):
        drawn.add_column(header, justify="left" if header == "consumer" else "right")
    for row in rows:
        figures = (f"{row['per_second']:,.0f}", f"{row['cpu_us_a_line']:.1f}", f"{row['start_seconds']:.1f}")
        drawn.add_row(row["consumer"], str(row["shards"]), str(row["workers"]), *figures, f"{row['peak_mb']:,.0f}")
    return drawn


def _delay_table(rows: list[Figures]) -> Table:
    drawn = Table(title="From POST to GET", title_justify="left")
    for header in ("lines/s beside it", "p50", "longest"):
        drawn.add_column(header, justify="right")
    for row in rows:
        drawn.add_row(f"{row['beside']:,}", f"{row['p50']:.2f} s", f"{row['p99']:.2f} s")
    return drawn


if __name__ == "__main__":
    typer.run(main)
