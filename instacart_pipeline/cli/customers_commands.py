"""The commands of the customers system: `generate customers`.

Belongs here: arguments, help and what is printed. What a command needs is imported inside it, so that --help answers at once.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from instacart_pipeline.cli import output
from instacart_pipeline.cli.system_commands import generate_app, today


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

    monday = date.fromisoformat(parse_day(as_of)) if as_of else None
    if monday is None and beside is None:
        monday = today() - timedelta(days=today().weekday())
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
