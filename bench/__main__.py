"""`python -m bench`: runs the contenders one after another on the same CSVs and reports.

Belongs here: the command line and the order of things. Doesn't: how one run is made, measured, compared or shown.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.markup import escape

from bench.agreement import differences
from bench.contenders import CHAIN, CONTENDERS, FLOOR, Contender, Limits, Run
from bench.measure import MEMORY_KIND, CommandFailed, Cost
from bench.raw_files import generated, missing, order_lines, warmed
from bench.report import ScaleCost, contenders_table, scales_table, verdicts, verdicts_table

console = Console()


def main(
    *,
    scale: Annotated[float, typer.Option(help="Scale of the generated CSVs; 1 is the full Kaggle size.")] = 1.0,
    scales: Annotated[str, typer.Option(help="Scales for the chain's cost per line; empty for none.")] = "0.1,1,3",
    only: Annotated[
        list[str] | None, typer.Option(help="Run these contenders only: names, between commas or repeated.")
    ] = None,
    cost_only: Annotated[
        bool,
        typer.Option("--cost-only", help="No contenders: only the chain's cost per line, a run for each of --scales."),
    ] = False,
    raw: Annotated[Path | None, typer.Option(help="Use these CSVs instead of generating.", exists=True)] = None,
    work: Annotated[Path | None, typer.Option(help="Keep the generated CSVs here for a next time.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the raw figures here.")] = None,
    memory: Annotated[str, typer.Option(help="Memory of the chain and of the DuckDB script.")] = "2GB",
    repeat: Annotated[int, typer.Option(help="Runs of each contender, in turns; the median counts.", min=1)] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds after which a contender is stopped.")] = 3600,
) -> None:
    """Measure the reorder chain against scripts that do the same work with one tool each."""
    chosen = _chosen(only or [])
    wanted_scales = [float(wanted) for wanted in scales.split(",") if wanted.strip()]
    if cost_only and (only or raw or not wanted_scales):
        raise typer.BadParameter("--cost-only generates its CSVs, by --scales: it goes with neither --only nor --raw")
    if raw and (lacking := missing(raw)):
        raise typer.BadParameter(f"{raw} lacks {', '.join(lacking)}")
    limits = Limits(memory, timeout)
    with _work_folder(work) as folder:
        runs: dict[str, list[Run]] = {}
        failed: dict[str, str] = {}
        costs: dict[str, Cost] = {}
        lines: int | None = None
        known: list[ScaleCost] = []
        if not cost_only:
            csvs = raw.resolve() if raw else _made(folder, scale)
            lines = order_lines(csvs)
            console.print(
                f"{lines:,} order_products lines. Memory is {MEMORY_KIND}, summed over each contender's processes.",
                highlight=False,
            )
            runs, failed = _all_runs(chosen, csvs, folder, limits, repeat)
            costs = {name: _median([run.cost for run in of_name]) for name, of_name in runs.items()}
            uploads = [run.upload_seconds for run in runs.get(CHAIN, ()) if run.upload_seconds is not None]
            console.print(contenders_table(costs, median(uploads) if uploads else None, failed))
            if CHAIN in runs and not raw:
                known = [ScaleCost(scale, lines, costs[CHAIN].seconds)]

        disagreeing = _disagreements(runs)
        if disagreeing:
            console.print("[bold red]The contenders don't agree: no figure counts until they do.[/]")
            for name, unlike in disagreeing.items():
                console.print(f"[red]{name}[/], with the first contender's figure before its own:")
                console.print(escape("\n".join(f"  {line}" for line in unlike)), highlight=False)

        by_scale: list[ScaleCost] = []
        if (cost_only or CHAIN in runs) and not disagreeing:
            by_scale, failed_scales = _chain_at(wanted_scales, known, folder, limits)
            failed |= failed_scales
    if by_scale:
        console.print(scales_table(by_scale))
    if not disagreeing:
        console.print(verdicts_table(verdicts(costs, by_scale)))
    if json_file:
        figures = {
            "machine": {
                "cores": psutil.cpu_count(),
                "memory_bytes": psutil.virtual_memory().total,
                "system": f"{platform.system()} {platform.machine()}",
                "python": platform.python_version(),
            },
            "memory_kind": MEMORY_KIND,
            "memory_limit": memory,
            "scale": None if raw or cost_only else scale,
            "lines": lines,
            "runs": {name: [asdict(run) for run in of_name] for name, of_name in runs.items()},
            "failed": failed,
            "disagreeing": disagreeing,
            "chain_by_scale": [asdict(cost) for cost in by_scale],
        }
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    if disagreeing or failed:
        raise typer.Exit(1)


def _chosen(only: list[str]) -> list[Contender]:
    """The contenders named, in the order they run in; all of them if none is."""
    names = {name.strip() for part in only for name in part.split(",") if name.strip()}
    if unknown := names - set(CONTENDERS):
        raise typer.BadParameter(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(CONTENDERS)}")
    return [contender for name, contender in CONTENDERS.items() if not names or name in names]


@contextmanager
def _work_folder(work: Path | None) -> Iterator[Path]:
    if work:
        work.mkdir(parents=True, exist_ok=True)
        yield work.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            yield Path(folder)


def _made(folder: Path, scale: float) -> Path:
    with console.status(f"generating CSVs at scale {scale:g}"):
        return generated(folder / "raw", scale)


def _all_runs(
    chosen: Sequence[Contender], csvs: Path, folder: Path, limits: Limits, repeat: int
) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """Every contender's runs, and why a contender has none. In turns, so that a busy minute hits no one's runs alone."""
    runs: dict[str, list[Run]] = {}
    failed: dict[str, str] = {}
    for _ in range(repeat):
        for contender in chosen:
            if contender.name in failed:
                continue
            try:
                run = _one_run(contender, csvs, folder, limits)
            except CommandFailed as failure:
                runs.pop(contender.name, None)
                failed[contender.name] = str(failure)
                console.print(
                    f"[red]{contender.name} failed:[/] {escape(str(failure))}", highlight=False, soft_wrap=True
                )
            else:
                runs.setdefault(contender.name, []).append(run)
                console.print(f"{contender.name}: {run.cost.seconds:.1f} s, {run.cost.peak_bytes / 1e9:.2f} GB")
    return runs, failed


def _one_run(contender: Contender, csvs: Path, folder: Path, limits: Limits) -> Run:
    """One run in a fresh folder, which is gone afterwards."""
    out = folder / "out" / contender.name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    # What the one before still has to write to disk is not this one's to wait for.
    os.sync()
    warmed(csvs)
    try:
        with console.status(f"running {contender.name}"):
            return contender.run(csvs, out, limits)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _disagreements(runs: dict[str, list[Run]]) -> dict[str, list[str]]:
    """What every contender's runs computed otherwise than the first contender, which is the floor if that ran."""
    if not runs:
        return {}
    first = runs[FLOOR if FLOOR in runs else next(iter(runs))][0].totals
    unlike = {
        name: [line for run in of_name for line in differences(first, run.totals)] for name, of_name in runs.items()
    }
    return {name: lines for name, lines in unlike.items() if lines}


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        median(cost.seconds for cost in costs),
        median(cost.cpu_seconds for cost in costs),
        median(cost.peak_bytes for cost in costs),
    )


def _chain_at(
    scales: list[float], known: list[ScaleCost], folder: Path, limits: Limits
) -> tuple[list[ScaleCost], dict[str, str]]:
    """What the chain costs at each scale, and why it failed where it did. What is known already isn't run again."""
    costs: dict[float, ScaleCost] = {cost.scale: cost for cost in known}
    failed: dict[str, str] = {}
    for scale in scales:
        if scale in costs:
            continue
        csvs = _made(folder, scale)
        try:
            run = _one_run(CONTENDERS[CHAIN], csvs, folder, limits)
        except CommandFailed as failure:
            failed[f"{CHAIN} at scale {scale:g}"] = str(failure)
            console.print(
                f"[red]{CHAIN} failed at scale {scale:g}:[/] {escape(str(failure))}", highlight=False, soft_wrap=True
            )
        else:
            costs[scale] = ScaleCost(scale, order_lines(csvs), run.cost.seconds)
    return [costs[scale] for scale in scales if scale in costs], failed


if __name__ == "__main__":
    typer.run(main)
