"""The commands of the customers system: `generate customers`, `upload customers`, `run customers`.

Belongs here: arguments, help and what is printed. What a command needs is imported inside it, so that --help answers at once.
"""

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from instacart_pipeline.cli import output
from instacart_pipeline.cli.system_commands import Figures, Json, generate_app, run, run_app, upload_app

Monday = Annotated[
    str, typer.Option("--dt", help="The Monday that it is told as of, as 2026-11-23.", show_default=False)
]


@generate_app.command("customers")
def generate_customers_command(
    out: Annotated[Path, typer.Option(help="Folder to write the seven files to; new or empty.", show_default=False)],
    scale: Annotated[
        float, typer.Option(help="1 is thelook's size: 100,000 users, 2.4 million events. Without --beside.")
    ] = 0.02,
    as_of: Annotated[
        str,
        typer.Option(
            help="The Monday of the dump. Default: the last one up to today; with --beside, the first after its last order.",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same files, byte for byte.")] = 7,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="A folder of thelook's own orders.csv, products.csv and distribution_centers.csv: the other tables are made for them.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Generate a dump of the thelook shop: customers who differ in habits, what they order and send back, and their visits."""
    from instacart_pipeline.datagen.customers import generate_customers  # noqa: PLC0415
    from instacart_pipeline.lake.zones import parse_day  # noqa: PLC0415
    from instacart_pipeline.orchestration.partitions import mondays_around  # noqa: PLC0415

    monday = date.fromisoformat(parse_day(as_of)) if as_of else None
    if monday is None and beside is None:
        monday = date.fromisoformat(mondays_around(_today().isoformat())[0])
    with output.progress() as bar:
        task = bar.add_task("generating", total=1.0)
        dump = generate_customers(
            out,
            scale=scale,
            as_of=monday,
            seed=seed,
            beside=beside,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    rows = [(table, f"{count:,}", str(dump.folder / f"{table}.csv")) for table, count in dump.rows.items()]
    output.table(f"Generated as of {dump.as_of}", ("table", "rows", "file"), rows, right=(1,))
    output.note(f"Upload it with `instacart-pipeline upload customers {out} --dt {dump.as_of}`.")


@upload_app.command("customers")
def upload_customers(
    folder: Annotated[
        Path, typer.Argument(help="A folder with the shop's seven tables: users.csv, orders.csv, order_items.csv, ...")
    ],
    dt: Monday,
) -> None:
    """Upload the seven tables of the thelook shop as a week's dump. Files appear whole; the same file again changes nothing."""
    from instacart_pipeline.cli.uploading import upload_folder  # noqa: PLC0415
    from instacart_pipeline.customers.tables import STAGED, SYSTEM  # noqa: PLC0415
    from instacart_pipeline.lake.zones import parse_day  # noqa: PLC0415
    from instacart_pipeline.orchestration.partitions import require_partition, weekly  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415
    from instacart_pipeline.systems import FIRST_DAYS  # noqa: PLC0415

    settings = Settings.from_env()
    weeks = weekly(settings.customers_first_day)
    require_partition(weeks, parse_day(dt), FIRST_DAYS[SYSTEM])
    output.uploaded(upload_folder(STAGED, folder, dt), "week")


@run_app.command("customers")
def run_customers(dt: Monday, as_json: Json = False) -> None:
    """Build a week: crawl, ingest, features, segments, mart, warehouse. Ends with the mart in figures; with 1 if anything failed.

    Waits for other runs of the system. A week that is there already is built anew, from its upload as it is now.
    """
    from instacart_pipeline.cli.mart import mart_of  # noqa: PLC0415
    from instacart_pipeline.customers.automation import WEEKLY_JOB  # noqa: PLC0415

    run(WEEKLY_JOB, dt, as_json=as_json, figures=Figures("mart", mart_of, output.mart_figures))


def _today() -> date:
    """The day it is in UTC, in which weeks begin."""
    return datetime.now(timezone.utc).date()
