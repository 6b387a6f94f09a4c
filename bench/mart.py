"""`python -m bench.mart`: the customer mart made from the same CSVs by the chain, by pandas and by a DuckDB script.

Belongs here: the command line, the order of things, the tables and the targets. Doesn't: how one run is made (mart_contenders.py),
measured (measure.py) or compared (mart_agreement.py).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.contenders import Limits
from bench.mart_agreement import unlike
from bench.mart_contenders import CHAIN, CONTENDERS, FLOOR, PANDAS
from bench.measure import MEMORY_KIND, CommandFailed, Cost
from bench.peers import WEEK
from bench.raw_files import CHUNK, warmed

console = Console(width=120)


def main(
    scale: Annotated[float, typer.Option(help="Scale of the generated CSVs; 1 is 2.4 million events.")] = 1.0,
    scales: Annotated[str, typer.Option(help="Further scales, for the chain's cost per row; empty for none.")] = "10",
    only: Annotated[str, typer.Option(help="Run these contenders only: names, between commas.")] = "",
    work: Annotated[Path | None, typer.Option(help="Keep the generated CSVs here for a next time.")] = None,
    memory: Annotated[str, typer.Option(help="Memory of the chain and of the DuckDB script.")] = "2GB",
    repeat: Annotated[int, typer.Option(help="Runs of each contender, in turns; the median counts.", min=1)] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds after which a contender is stopped.")] = 3600,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the raw figures here.")] = None,
) -> None:
    """Measure the customers chain against scripts that compute the same rows with one tool each."""
    names = [name.strip() for name in only.split(",") if name.strip()] or list(CONTENDERS)
    if unknown := set(names) - set(CONTENDERS):
        raise typer.BadParameter(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(CONTENDERS)}")
    with ExitStack() as stack:
        folder = work.resolve() if work else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        bench = _Bench(folder, Limits(memory, timeout))
        costs = bench.costs(names, scale, repeat)
        rows = {scale: _rows(bench.csvs(scale))}
        by_scale = {scale: costs[CHAIN]} if CHAIN in costs else {}
        for further in [float(each) for each in scales.split(",") if each.strip()] if by_scale else []:
            rows[further] = _rows(bench.csvs(further))
            if cost := bench.costs([CHAIN], further, 1).get(CHAIN):
                by_scale[further] = cost
    console.print(_costs_table(costs, rows[scale]))
    if len(by_scale) > 1:
        console.print(_scales_table(by_scale, rows))
    targets = _targets(costs, by_scale, rows)
    console.print(_targets_table(targets))
    for line in bench.trouble:
        console.print(f"[bold red]{escape(line)}[/]", soft_wrap=True)
    if json_file:
        figures = {
            "rows": rows,
            "memory_kind": MEMORY_KIND,
            "runs": {name: [asdict(cost) for cost in of_name] for name, of_name in bench.runs.items()},
            "chain_by_scale": {each: asdict(cost) for each, cost in by_scale.items()},
            "targets": targets,
            "trouble": bench.trouble,
        }
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    if bench.trouble:
        raise typer.Exit(1)


class _Bench:
    """Runs contenders on CSVs that are made once a scale. `trouble` is what failed and what they don't agree on."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.trouble: list[str] = []
        self.runs: dict[str, list[Cost]] = {}

    def csvs(self, scale: float) -> Path:
        """The folder of the CSVs at a scale, made if it isn't there."""
        from instacart_pipeline.datagen.customers import generate_customers  # noqa: PLC0415

        made = self.folder / f"mart-{scale:g}"
        if not made.exists():
            with console.status(f"generating CSVs at scale {scale:g}"):
                generate_customers(made, scale=scale, as_of=WEEK, seed=7)
        return made

    def costs(self, names: list[str], scale: float, repeat: int) -> dict[str, Cost]:
        """The median cost of each contender that didn't fail. They take turns, so that a busy minute hits no one's runs alone."""
        runs: dict[str, list[Cost]] = {}
        raw = self.csvs(scale)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="marts-") as kept:
            for _ in range(repeat):
                for name in names:
                    if cost := self._one(name, raw, Path(kept)):
                        runs.setdefault(name, []).append(cost)
                        console.print(f"scale {scale:g}, {name}: {cost.seconds:.1f} s, {cost.peak_bytes / 1e9:.2f} GB")
        self.runs |= {f"{name} at scale {scale:g}": of_name for name, of_name in runs.items()}
        return {name: _median(of_name) for name, of_name in runs.items()}

    def _one(self, name: str, raw: Path, kept: Path) -> Cost | None:
        """One run in a fresh folder, its mart held against the first one of `kept`; None if it failed."""
        out = self.folder / "out" / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        os.sync()  # what the one before still has to write is not this one's to wait for
        warmed(raw)
        try:
            with console.status(f"running {name}"):
                run = CONTENDERS[name].run(raw, out, self.limits)
            if not (first := sorted(map(str, kept.iterdir()))):
                for place, file in enumerate(run.mart):
                    shutil.copy(file, kept / f"{place}.parquet")
            else:
                self.trouble += [
                    f"{name} does not agree with the first contender: {line}" for line in unlike(run.mart, first)
                ]
        except CommandFailed as failure:
            self.trouble.append(f"{name} failed: {failure}")
            return None
        finally:
            shutil.rmtree(out, ignore_errors=True)
        return run.cost


def _rows(raw: Path) -> int:
    """Rows of all seven files. No field of the generator's holds a newline."""
    rows = 0
    for path in raw.glob("*.csv"):
        with path.open("rb") as file:
            rows += sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b"")) - 1
    return rows


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        median(cost.seconds for cost in costs),
        median(cost.cpu_seconds for cost in costs),
        median(cost.peak_bytes for cost in costs),
    )


def _targets(
    costs: dict[str, Cost], by_scale: dict[float, Cost], rows: dict[float, int]
) -> list[tuple[str, float, bool]]:
    """Each target with what was measured and whether it is met; none of which a figure is lacking."""
    told: list[tuple[str, float, bool]] = []
    if CHAIN in costs and PANDAS in costs:
        faster = costs[PANDAS].seconds / costs[CHAIN].seconds
        memory = costs[CHAIN].peak_bytes / costs[PANDAS].peak_bytes
        told.append(("chain at least 3 times as fast as pandas", faster, faster >= 3))
        told.append(("chain in at most a quarter of pandas' memory", memory, memory <= 0.25))
    if len(by_scale) > 1:
        small, large = min(by_scale), max(by_scale)
        growth = by_scale[large].seconds / rows[large] * rows[small] / by_scale[small].seconds
        told.append(
            (f"cost per row at scale {large:g} at most 1.2 times that at scale {small:g}", growth, growth <= 1.2)
        )
    return told


def _costs_table(costs: dict[str, Cost], rows: int) -> Table:
    table = Table(title=f"The customer mart from {rows:,} rows of CSV", title_justify="left")
    table.add_column("contender")
    for heading in ("seconds", "x floor", "CPU seconds", f"peak {MEMORY_KIND}", "x chain's"):
        table.add_column(heading, justify="right")
    for name, cost in costs.items():
        table.add_row(
            CONTENDERS[name].title,
            f"{cost.seconds:.1f}",
            f"{cost.seconds / costs[FLOOR].seconds:.2f}" if FLOOR in costs else "",
            f"{cost.cpu_seconds:.1f}",
            f"{cost.peak_bytes / 1e9:.2f} GB",
            f"{cost.peak_bytes / costs[CHAIN].peak_bytes:.2f}" if CHAIN in costs else "",
        )
    return table


def _scales_table(by_scale: dict[float, Cost], rows: dict[float, int]) -> Table:
    table = Table(title="Chain, up to the mart's figures: cost per row of CSV", title_justify="left")
    for heading in ("scale", "rows", "seconds", "microseconds a row", f"peak {MEMORY_KIND}"):
        table.add_column(heading, justify="right")
    for scale, cost in sorted(by_scale.items()):
        each = cost.seconds / rows[scale] * 1e6
        table.add_row(
            f"{scale:g}", f"{rows[scale]:,}", f"{cost.seconds:.1f}", f"{each:.2f}", f"{cost.peak_bytes / 1e9:.2f} GB"
        )
    return table


def _targets_table(targets: list[tuple[str, float, bool]]) -> Table:
    table = Table(title="Targets", title_justify="left")
    for heading in ("target", "measured", "verdict"):
        table.add_column(heading)
    for target, measured, met in targets:
        table.add_row(target, f"{measured:.2f}", "[green]met[/]" if met else "[red]missed[/]")
    return table


if __name__ == "__main__":
    typer.run(main)
