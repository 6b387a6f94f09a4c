"""The commands of the reorder system: `generate reorder`, `upload reorder`, `run reorder` and what its model takes.

Belongs here: arguments, help and what is printed. What a command needs is imported inside it, so that --help answers at once.
"""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from instacart_pipeline.cli import output
from instacart_pipeline.cli.system_commands import Day, Figures, Json, generate_app, run, run_app, today, upload_app
from instacart_pipeline.lake.errors import ArtefactNotFound


@generate_app.command("reorder")
def generate_reorder_command(
    out: Annotated[
        Path, typer.Option(help="Folder to write to; each day becomes a folder below it.", show_default=False)
    ],
    scale: Annotated[float, typer.Option(help="1 is the full Instacart set: 206,209 users, 33 million lines.")] = 0.01,
    days: Annotated[int, typer.Option(help="Days on end; each day's dump carries the history on.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files, byte for byte.")] = 7,
    first_day: Annotated[
        str, typer.Option(help="The first day. Default: so that the last one is today.", show_default=False)
    ] = "",
) -> None:
    """Generate Instacart-shaped uploads: users with favourites, habits and rhythms, in the six Kaggle files."""
    from instacart_pipeline.datagen.reorder import generate_reorder  # noqa: PLC0415
    from instacart_pipeline.lake.zones import parse_day  # noqa: PLC0415

    first = date.fromisoformat(parse_day(first_day)) if first_day else today() - timedelta(days=days - 1)
    with output.progress() as bar:
        task = bar.add_task("generating", total=1.0)
        uploads = generate_reorder(
            out,
            scale=scale,
            days=days,
            seed=seed,
            first_day=first,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    rows = [
        (u.day.isoformat(), f"{u.users:,}", f"{u.orders:,}", f"{u.prior_lines:,}", f"{u.train_lines:,}", str(u.folder))
        for u in uploads
    ]
    headers = ("day", "users", "orders", "prior lines", "train lines", "folder")
    output.table("Generated", headers, rows, right=(1, 2, 3, 4))


@upload_app.command("reorder")
def upload_reorder(
    folder: Annotated[
        Path, typer.Argument(help="A folder with the Kaggle file names: orders.csv, order_products__prior.csv, ...")
    ],
    dt: Day,
) -> None:
    """Upload the five reorder tables. Files appear whole; the same file again changes nothing."""
    from instacart_pipeline.cli.uploading import upload_folder  # noqa: PLC0415
    from instacart_pipeline.reorder.tables import STAGED  # noqa: PLC0415

    output.uploaded(upload_folder(STAGED, folder, dt), "day")


@run_app.command("reorder")
def run_reorder(dt: Day, as_json: Json = False) -> None:
    """Build a day: crawl, ingest, join, features, result table. Ends with 1 if anything failed."""
    from instacart_pipeline.reorder.automation import DAILY_JOB  # noqa: PLC0415

    run(DAILY_JOB, dt, as_json=as_json)


@run_app.command("reorder-model")
def run_reorder_model(dt: Day, as_json: Json = False) -> None:
    """Train the day's model, hold it against the champion, bring it behind the endpoint, predict the open baskets.

    Needs the day's result table. Ends with the model's figures; with 1 if anything failed.
    """
    from instacart_pipeline.reorder.automation import MODEL_JOB  # noqa: PLC0415

    figures = Figures("evaluation", lambda _: _evaluation_of(dt), output.model_figures)
    run(MODEL_JOB, dt, as_json=as_json, figures=figures)


@run_app.command("reorder-baskets")
def run_reorder_baskets(dt: Day, as_json: Json = False) -> None:
    """Predict the day's open baskets by the model in use, when no new one took its place. Ends with 1 if anything failed."""
    from instacart_pipeline.reorder.automation import BASKETS_JOB  # noqa: PLC0415

    run(BASKETS_JOB, dt, as_json=as_json)


def _evaluation_of(dt: str) -> Mapping[str, Any] | None:
    """The evaluation of a day's model, as reorder/model/evaluation.py made it; None if there is none."""
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # as the definitions
    from instacart_pipeline.reorder.model_jobs import EVALUATION  # noqa: PLC0415
    from instacart_pipeline.reorder.tables import SYSTEM  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    sagemaker = build_resources(Settings.from_env()).sagemaker
    try:
        made = sagemaker.artefact(SYSTEM, EVALUATION, dt)
    except ArtefactNotFound:
        return None
    with sagemaker.unpacked(made) as folder:
        told: Mapping[str, Any] = json.loads((folder / "output" / "evaluation.json").read_text())
        return told
