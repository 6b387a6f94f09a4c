"""What the commands of every system share: the groups `generate`, `upload` and `run`, common options, and running a job.

Belongs here: what is the same whatever the system. Doesn't: a system's own commands (reorder_commands.py and its like).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instacart_pipeline.cli import output

if TYPE_CHECKING:
    from instacart_pipeline.cli.run_reports import RunReport

generate_app = typer.Typer(help="Make raw files of a system, to try the platform on.", no_args_is_help=True)
upload_app = typer.Typer(help="Put a folder of files into the raw zone, as a day's upload.", no_args_is_help=True)
run_app = typer.Typer(help="Build a day's tables now, as the schedule or the sensor would.", no_args_is_help=True)

Day = Annotated[str, typer.Option("--dt", help="The day, as 2026-11-20.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]


@dataclass(frozen=True)
class Figures:
    """What is told of a run's result, besides what the run did: called `name` in JSON, printed by `show`. `of` gives None if there is nothing."""

    name: str
    of: "Callable[[RunReport], Mapping[str, Any] | None]"
    show: Callable[[Mapping[str, Any]], None]


def run(job: str, dt: str, *, as_json: bool, last: str = "", figures: Figures | None = None) -> "RunReport":
    """Run a job for a day, or for each from `dt` to `last`, and print what came of it, with its `figures`.

    Ends the command with 1 if anything failed.
    """
    from instacart_pipeline.cli.running import run_job  # noqa: PLC0415

    report = run_job(job, dt, last=last, quiet=as_json)
    told = figures.of(report) if figures else None
    if figures is None or told is None:
        output.run_report(report, as_json=as_json)
    else:
        output.run_report(report, as_json=as_json, also={figures.name: told}, show=partial(figures.show, told))
    if not report.success:
        raise typer.Exit(1)
    return report


def today() -> date:
    """The day it is where the shop is."""
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    return datetime.now(Settings.from_env().zone).date()
