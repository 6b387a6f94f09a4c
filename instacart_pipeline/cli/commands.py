"""The commands of `instacart-pipeline`, a function each.

Belongs here: arguments, help and what is printed. Doesn't: running a job (running.py), drawing tables (output.py), any work.
What a command needs is imported inside it, so that --help answers at once.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from instacart_pipeline.cli import output, stream
from instacart_pipeline.lake.errors import PipelineError

app = typer.Typer(
    help="A retail data platform: uploads become catalogued tables, features, a model, its endpoint and its page.\n\n"
    "Everything is kept below INSTACART_HOME (default: .instacart in the clone).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
generate_app = typer.Typer(help="Make raw files of a system, to try the platform on.", no_args_is_help=True)
upload_app = typer.Typer(help="Put a folder of files into the raw zone, as a day's upload.", no_args_is_help=True)
run_app = typer.Typer(help="Build a day's tables now, as the schedule or the sensor would.", no_args_is_help=True)
app.add_typer(generate_app, name="generate")
app.add_typer(upload_app, name="upload")
app.add_typer(run_app, name="run")
app.add_typer(stream.app, name="stream")

Day = Annotated[str, typer.Option("--dt", help="The day, as 2026-11-20.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]


class Format(str, Enum):
    """How the rows of a query are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


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

    first = date.fromisoformat(parse_day(first_day)) if first_day else _today() - timedelta(days=days - 1)
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
    from instacart_pipeline.reorder.tables import STAGED, SYSTEM  # noqa: PLC0415

    report = upload_folder(SYSTEM, [table.name for table in STAGED], folder, dt)
    rows = [
        (table, name, f"{size / 1e6:,.1f} MB", "written" if new else "unchanged")
        for table, name, size, new in report.files
    ]
    output.table(f"Uploaded to {report.location}", ("table", "file", "size", ""), rows, right=(2,))
    if report.ignored:
        output.note(f"Ignored, as no table's file: {', '.join(report.ignored)}.")
    if report.missing:
        output.note(f"The day still lacks {', '.join(report.missing)}; it is built once they are there.")


@run_app.command("reorder")
def run_reorder(dt: Day, as_json: Json = False) -> None:
    """Build a day: crawl, admit, join, features, result table. Ends with 1 if anything failed."""
    from instacart_pipeline.reorder.automation import DAILY_JOB  # noqa: PLC0415

    _run(DAILY_JOB, dt, as_json=as_json)


@run_app.command("reorder-model")
def run_reorder_model(dt: Day, as_json: Json = False) -> None:
    """Train the day's model, hold it against the champion, bring it behind the endpoint, predict the open baskets.

    Needs the day's result table. Ends with the model's figures; with 1 if anything failed.
    """
    from instacart_pipeline.cli.modelling import evaluation_of  # noqa: PLC0415
    from instacart_pipeline.reorder.automation import MODEL_JOB  # noqa: PLC0415

    _run(MODEL_JOB, dt, as_json=as_json, evaluation=evaluation_of)


@run_app.command("reorder-baskets")
def run_reorder_baskets(dt: Day, as_json: Json = False) -> None:
    """Predict the day's open baskets by the model in use, when no new one took its place. Ends with 1 if anything failed."""
    from instacart_pipeline.reorder.automation import BASKETS_JOB  # noqa: PLC0415

    _run(BASKETS_JOB, dt, as_json=as_json)


def _run(
    job: str, dt: str, *, as_json: bool, evaluation: Callable[[str], Mapping[str, Any] | None] = lambda _: None
) -> None:
    """Run a job for a day and print what came of it, with the day's `evaluation` if there is one."""
    from instacart_pipeline.cli.running import run_job  # noqa: PLC0415

    report = run_job(job, dt, quiet=as_json)
    output.run_report(report, as_json=as_json, evaluation=evaluation(dt))
    if not report.success:
        raise typer.Exit(1)


@app.command()
def sql(
    statement: Annotated[
        str, typer.Argument(help='Athena SQL, such as "SELECT * FROM reorder_curated.orders LIMIT 5".')
    ],
    form: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.TABLE,
    limit: Annotated[int, typer.Option(help="Most rows a table shows; csv and json print all.")] = 100,
) -> None:
    """Query the lake with Athena SQL. Tables are named database.table; every table has the day in the column dt."""
    from instacart_pipeline.lake.portable import unproven_functions  # noqa: PLC0415
    from instacart_pipeline.lake.sql import Query  # noqa: PLC0415
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    athena = build_resources(Settings.from_env()).athena
    query = Query.parse("statement", statement)
    result = athena.query(query, limit if form is Format.TABLE else None)
    if unproven := unproven_functions(query):
        output.note(f"Not tried on every engine, so may differ from Athena: {', '.join(unproven)}.")
    output.query_result(result, form.value)


@app.command()
def tables(
    name: Annotated[
        str, typer.Argument(help="A table, as database.table, to see its columns and days.", show_default=False)
    ] = "",
    as_json: Json = False,
) -> None:
    """List the tables of the catalog, or describe one."""
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    catalog = build_resources(Settings.from_env()).catalog
    if name:
        database, _, table = name.partition(".")
        output.table_description(catalog.table(database, table), catalog.partitions(database, table), as_json=as_json)
    else:
        output.table_list(
            [(table, catalog.partitions(table.database, table.name)) for table in catalog.tables()], as_json=as_json
        )


@app.command()
def sweep() -> None:
    """Remove what killed runs left behind, and replaced versions older than INSTACART_RETENTION_DAYS. Runs do so as they go."""
    from instacart_pipeline.lake.contracts import rejects_of  # noqa: PLC0415
    from instacart_pipeline.profiles import build_lake, build_resources  # noqa: PLC0415
    from instacart_pipeline.reorder.model_tables import MODEL_TABLES  # noqa: PLC0415
    from instacart_pipeline.reorder.tables import ADMITTED, DERIVED, SYSTEM  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    settings, admitted = Settings.from_env(), tuple(ADMITTED.values())
    tables_ = (*admitted, *(rejects_of(table) for table in admitted), *DERIVED, *MODEL_TABLES)
    removed = [*build_lake(settings).sweep_all(tables_), *build_resources(settings).sagemaker.sweep(SYSTEM)]
    output.note(f"Removed {len(removed)} version folders." if removed else "Nothing to remove.")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say, service by service, what is configured, reachable and permitted, and what to do. Ends with 1 if runs would fail."""
    from instacart_pipeline.profiles import examine  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    settings = Settings.from_env()
    findings = []
    with output.progress() as bar:
        task = bar.add_task("looking", total=None)
        for finding in examine(settings):
            bar.update(task, description=finding.service)
            findings.append(finding)
    output.findings(settings.profile, findings, as_json=as_json)
    if any(finding.health == "bad" for finding in findings):
        raise typer.Exit(1)


@app.command()
def deploy(
    apply: Annotated[bool, typer.Option("--apply", help="Do it. Without, only show what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Bring AWS up to date with this code: Glue jobs, crawlers, recipes, the workgroup. Runs on AWS need it once a change."""
    from instacart_pipeline.cli.deploying import deploy as deploy_all  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    deploy_all(Settings.from_env(), apply=apply, as_json=as_json)


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
) -> None:
    """Start the Dagster UI with its daemon: schedules and sensors run until you press Ctrl-C."""
    from instacart_pipeline.cli.running import serve_dagster  # noqa: PLC0415

    serve_dagster(host, port)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs API keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes of the API, and of the model's server.")] = 1,
    model_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of the model's server. Default: INSTACART_MODEL_URL's.", show_default=False
        ),
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log a line a request.")] = False,
) -> None:
    """Serve predictions and the page to try them on, with the model's server beside them, until you press Ctrl-C."""
    from instacart_pipeline.cli.serving import serve as serve_all  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    serve_all(Settings.from_env(), host, port, workers=workers, model_port=model_port, access_log=access_log)


@app.command()
def predict(
    user: Annotated[int, typer.Argument(min=1, help="A user with an open order.", show_default=False)],
    limit: Annotated[int, typer.Option(min=0, help="How many of the products that aren't predicted to list.")] = 10,
    as_json: Json = False,
) -> None:
    """Predict a user's basket by the deployed model. Needs no server."""
    from instacart_pipeline.cli.serving import predict as predict_basket  # noqa: PLC0415
    from instacart_pipeline.cli.serving import show_basket  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    told = predict_basket(Settings.from_env(), user, limit)
    if as_json:
        print(told.model_dump_json(indent=2))  # noqa: T201
    else:
        show_basket(told)


def main() -> None:
    """Run the command line. An error of ours is printed as its text alone, and ends with 1."""
    try:
        app()
    except PipelineError as error:
        output.error(error)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        output.note("Stopped.")
        raise SystemExit(130) from None


def _today() -> date:
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    return datetime.now(Settings.from_env().zone).date()
