"""What the commands of every system share: the groups `generate`, `upload` and `run`, common options, and running a job.

Belongs here: what is the same whatever the system. Doesn't: a system's own commands (reorder_commands.py, retail_commands.py).
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instacart_pipeline.cli import output

if TYPE_CHECKING:
    from instacart_pipeline.cli.running import RunReport

generate_app = typer.Typer(help="Make raw files of a system, to try the platform on.", no_args_is_help=True)
upload_app = typer.Typer(help="Put a folder of files into the raw zone, as a day's upload.", no_args_is_help=True)
run_app = typer.Typer(help="Build a day's tables now, as the schedule or the sensor would.", no_args_is_help=True)

Day = Annotated[str, typer.Option("--dt", help="The day, as 2026-11-20.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]


def run(
    job: str,
    dt: str,
    *,
    as_json: bool,
    last: str = "",
    evaluation: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
) -> "RunReport":
    """Run a job for a day, or for each from `dt` to `last`, and print what came of it, with the day's `evaluation` if there is one.

    Ends the command with 1 if anything failed.
    """
    from instacart_pipeline.cli.running import run_job  # noqa: PLC0415

    report = run_job(job, dt, last=last, quiet=as_json)
    output.run_report(report, as_json=as_json, evaluation=evaluation(dt))
    if not report.success:
        raise typer.Exit(1)
    return report


def today() -> date:
    """The day it is where the shop is."""
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    return datetime.now(Settings.from_env().zone).date()
