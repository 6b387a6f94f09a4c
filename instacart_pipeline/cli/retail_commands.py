"""The commands of the retail system: `generate retail`, `upload retail`, `run retail`.

Belongs here: arguments, help and what is printed. What a command needs is imported inside it, so that --help answers at once.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from instacart_pipeline.cli import output
from instacart_pipeline.cli.system_commands import Json, generate_app, run, run_app, today, upload_app
from instacart_pipeline.lake.errors import InputInvalid

_SHOWN = 12


@generate_app.command("retail")
def generate_retail(
    out: Annotated[Path, typer.Option(help="Folder to write to; a file a day.", show_default=False)],
    days: Annotated[int, typer.Option(min=1, help="Days on end.")] = 1,
    lines_a_day: Annotated[int, typer.Option(min=1, help="About so many lines a day.")] = 1800,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files, byte for byte.")] = 7,
    first_day: Annotated[
        str, typer.Option(help="The first day. Default: so that the last one is today.", show_default=False)
    ] = "",
) -> None:
    """Generate files of invoices as UCI Online Retail has them, cancellations, unknown customers, fees and repeats among them."""
    from instacart_pipeline.datagen.retail import generate_retail as generate  # noqa: PLC0415
    from instacart_pipeline.lake.zones import parse_day  # noqa: PLC0415

    first = date.fromisoformat(parse_day(first_day)) if first_day else today() - timedelta(days=days - 1)
    with output.progress() as bar:
        task = bar.add_task("generating", total=days)
        made = []
        for file in generate(out, days=days, lines_a_day=lines_a_day, seed=seed, first_day=first):
            made.append(file)
            bar.update(task, description=file.path.name, advance=1)
    lines = sum(file.lines for file in made)
    output.note(f"{lines:,} lines on {len(made):,} days, from {made[0].path} to {made[-1].path.name}.")


@upload_app.command("retail")
def upload_retail(
    source: Annotated[
        Path,
        typer.Argument(help="A folder of files named by day: 2010-12-01.csv. With --dt, the day's file or folder."),
    ],
    dt: Annotated[
        str, typer.Option("--dt", help="The day of all the files, whatever their names.", show_default=False)
    ] = "",
) -> None:
    """Upload files of invoices, a day each. Files appear whole; the same file again changes nothing."""
    from instacart_pipeline.cli.uploading import upload_days  # noqa: PLC0415
    from instacart_pipeline.retail.days import LineDays  # noqa: PLC0415
    from instacart_pipeline.retail.tables import STAGED_UPLOADS  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    settings = Settings.from_env()
    with output.progress() as bar:
        task = bar.add_task("uploading", total=None)
        report = upload_days(
            STAGED_UPLOADS,
            source,
            dt,
            days=LineDays(settings.retail_first_day, settings.zone),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    new = sum(written for _, _, _, written in report.files)
    size = sum(size for _, _, size, _ in report.files)
    days = sorted({day for day, _, _, _ in report.files})
    if len(report.files) <= _SHOWN:
        rows = [
            (day, name, f"{size / 1e6:,.1f} MB", "written" if new else "unchanged")
            for day, name, size, new in report.files
        ]
        output.table(f"Uploaded to {report.location}", ("day", "file", "size", ""), rows, right=(2,))
    output.note(
        f"{len(report.files):,} files of {len(days):,} days ({size / 1e6:,.1f} MB), {days[0]} to {days[-1]}: "
        f"{new:,} written, {len(report.files) - new:,} unchanged, below {report.location}."
    )
    if report.ignored:
        named = ", ".join(report.ignored[:_SHOWN])
        more = f" and {len(report.ignored) - _SHOWN:,} more" if len(report.ignored) > _SHOWN else ""
        output.note(f"Ignored, as no day's file (named as 2010-12-01.csv or .csv.gz): {named}{more}.")


@run_app.command("retail")
def run_retail(
    dt: Annotated[str, typer.Option("--dt", help="The day, as 2010-12-01.", show_default=False)] = "",
    first: Annotated[str, typer.Option("--from", help="The first day of a range.", show_default=False)] = "",
    last: Annotated[str, typer.Option("--to", help="The last day of a range.", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """Build a day, or the days of a range in one run: lake and warehouse, and the analyses as of the last of them.

    If a later day is in the warehouse already, the analyses as of the latest are published too, which the dashboard shows. Days of a
    range without files are passed over. Waits for other runs of the system. Ends with 1 if anything failed.
    """
    from instacart_pipeline.cli.running import uploaded_between  # noqa: PLC0415
    from instacart_pipeline.retail.automation import ANALYSES_JOB, DAILY_JOB, DAYS_JOB  # noqa: PLC0415
    from instacart_pipeline.retail.tables import STAGED  # noqa: PLC0415

    if bool(dt) == bool(first or last) or bool(first) != bool(last):
        raise InputInvalid("Name the day with --dt, or a range of days with --from and --to.")
    if dt:
        run(DAILY_JOB, dt, as_json=as_json)
    else:
        there = uploaded_between(STAGED, first, last)
        dt = there[-1]
        run(DAYS_JOB, there[0], last=dt, as_json=as_json)
        run(ANALYSES_JOB, dt, as_json=as_json)
    if (newest := _newest_loaded()) > dt:
        run(ANALYSES_JOB, newest, as_json=as_json)


def _newest_loaded() -> str:
    """The newest day in the warehouse; a run has just loaded one."""
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # as the definitions
    from instacart_pipeline.retail.warehouse_tables import SALES_LINES  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    return max(build_resources(Settings.from_env()).warehouse.days(SALES_LINES))
