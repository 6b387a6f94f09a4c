"""What the figures say: the tables on the screen and the verdict on every target.

Belongs here: ratios, targets, layout. Doesn't: running or measuring anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from bench.contenders import CHAIN, CONTENDERS, FLOOR
from bench.measure import MEMORY_KIND, Cost


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured against it; `met` is None where a figure is lacking."""

    target: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class ScaleCost:
    """What the chain cost at one scale."""

    scale: float
    lines: int
    seconds: float

    @property
    def microseconds_per_line(self) -> float:
        """Wall time per order_products line."""
        return self.seconds / self.lines * 1e6


def verdicts(costs: Mapping[str, Cost], scales: list[ScaleCost]) -> list[Verdict]:
    """Every target, with the verdict on it."""
    peak = costs[CHAIN].peak_bytes / 1e9 if CHAIN in costs else None
    smallest, largest = min(scales, key=_scale, default=None), max(scales, key=_scale, default=None)
    growth = (
        largest.microseconds_per_line / smallest.microseconds_per_line
        if smallest and largest and smallest is not largest
        else None
    )
    span = f"scale {largest.scale:g} : scale {smallest.scale:g}" if smallest and largest else "largest : smallest scale"
    return [
        _at_most("chain takes at most 1.5 times the DuckDB script", 1.5, _seconds(costs, CHAIN, FLOOR), "x"),
        _at_least("chain is at least 3 times as fast as pandas", 3, _seconds(costs, "pandas", CHAIN), "x"),
        _at_most("chain takes at most a quarter of pandas' memory", 0.25, _peak(costs, CHAIN, "pandas"), "x"),
        _at_least("chain is at least 5 times as fast as PySpark", 5, _seconds(costs, "pyspark", CHAIN), "x"),
        _at_most("chain's peak memory stays below 2.5 GB", 2.5, peak, "GB"),
        _at_least("chain is at least as fast as Polars", 1, _seconds(costs, "polars", CHAIN), "x"),
        _at_most(f"chain's cost per line grows at most 1.15 times ({span})", 1.15, growth, "x"),
    ]


def contenders_table(costs: Mapping[str, Cost], upload_seconds: float | None, failed: Mapping[str, str]) -> Table:
    """One row a contender."""
    table = Table(title="Feature tables from CSV")
    table.add_column("contender")
    for heading in ("seconds", "x floor", "CPU seconds", f"peak {MEMORY_KIND}", "x chain's"):
        table.add_column(heading, justify="right")
    for name, contender in CONTENDERS.items():
        if name in costs:
            cost = costs[name]
            table.add_row(
                contender.title,
                f"{cost.seconds:.1f}",
                _times(_seconds(costs, name, FLOOR)),
                f"{cost.cpu_seconds:.1f}",
                f"{cost.peak_bytes / 1e9:.2f} GB",
                _times(_peak(costs, name, CHAIN)),
            )
        elif name in failed:
            table.add_row(contender.title, "[red]failed[/]", "", "", "", "")
    if upload_seconds is not None:
        table.caption = f"The chain's upload, which copies the files and isn't counted, took {upload_seconds:.1f} s."
    return table


def scales_table(scales: list[ScaleCost]) -> Table:
    """One row a scale."""
    table = Table(title="Chain: cost per order_products line")
    for heading in ("scale", "lines", "seconds", "microseconds per line"):
        table.add_column(heading, justify="right")
    for cost in sorted(scales, key=_scale):
        table.add_row(f"{cost.scale:g}", f"{cost.lines:,}", f"{cost.seconds:.1f}", f"{cost.microseconds_per_line:.3f}")
    return table


def verdicts_table(of_all: list[Verdict]) -> Table:
    """One row a target."""
    marks = {True: "[green]met[/]", False: "[red]missed[/]", None: "[dim]not measured[/]"}
    table = Table(title="Targets")
    table.add_column("target")
    table.add_column("measured", justify="right")
    table.add_column("verdict")
    for verdict in of_all:
        table.add_row(verdict.target, verdict.measured, marks[verdict.met])
    return table


def _scale(cost: ScaleCost) -> float:
    return cost.scale


def _seconds(costs: Mapping[str, Cost], above: str, below: str) -> float | None:
    return costs[above].seconds / costs[below].seconds if above in costs and below in costs else None


def _peak(costs: Mapping[str, Cost], above: str, below: str) -> float | None:
    return costs[above].peak_bytes / costs[below].peak_bytes if above in costs and below in costs else None


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _at_most(target: str, limit: float, value: float | None, unit: str) -> Verdict:
    return Verdict(target, "" if value is None else f"{value:.2f} {unit}", None if value is None else value <= limit)


def _at_least(target: str, limit: float, value: float | None, unit: str) -> Verdict:
    return Verdict(target, "" if value is None else f"{value:.2f} {unit}", None if value is None else value >= limit)
