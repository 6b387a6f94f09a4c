"""The commands of `instacart-pipeline`, a function each.

Belongs here: arguments, help and what is printed. Doesn't: a system's own commands (reorder_commands.py and its like), running a job
(running.py), drawing tables (output.py), any work.
What a command needs is imported inside it, so that --help answers at once.
"""

from enum import Enum
from importlib.metadata import version
from typing import Annotated

import typer

from instacart_pipeline.cli import (
    customers_commands,  # noqa: F401  # its commands join their groups
    output,
    reorder_commands,  # noqa: F401  # likewise
    retail_commands,  # noqa: F401  # likewise
    stream,
)
from instacart_pipeline.cli.system_commands import Json, generate_app, run_app, upload_app
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.local_machine.sqlite_file import NOT_WRITABLE, FileUnusable

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(generate_app, name="generate")
app.add_typer(upload_app, name="upload")
app.add_typer(run_app, name="run")
app.add_typer(stream.app, name="stream")


class Format(str, Enum):
    """How the rows of a query are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"instacart-pipeline {version('instacart_pipeline')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """A retail data platform: uploads become catalogued tables, features, a model, its endpoint and its page.

    Everything is kept below INSTACART_HOME: by default .instacart in the clone, or in the working directory if the package was installed.
    """
    del show_version  # its callback has printed it


@app.command()
def sql(
    statement: Annotated[
        str, typer.Argument(help='Athena SQL, such as "SELECT * FROM reorder_curated.orders LIMIT 5".')
    ],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="How to print the rows. Columns of one name are a, a_1, ... in json; in csv a NULL is empty and an empty text is quoted.",
        ),
    ] = Format.TABLE,
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
def sweep(
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Remove them even if they are more than a tenth of the lake on this machine."),
    ] = False,
) -> None:
    """Remove what killed runs left behind, and replaced versions older than INSTACART_RETENTION_DAYS. Runs do so as they go.

    What would be more than a tenth of the lake on this machine is listed only, and the command ends with 1.
    """
    from instacart_pipeline.profiles import sweep as sweep_all  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    swept = sweep_all(Settings.from_env(), apply=apply)
    output.swept(swept)
    if swept.refused:
        raise typer.Exit(1)


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
    """Serve the API and its pages: transactions in, invoices, sales and predictions out, until you press Ctrl-C."""
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
        app(prog_name="instacart-pipeline")
    except PipelineError as error:
        output.error(error)
        raise SystemExit(1) from None
    except OSError as problem:
        if output.terminal_was_closed():
            raise SystemExit(130) from None  # nobody reads any more, and the signal ended what ran
        if problem.errno not in NOT_WRITABLE:
            raise
        output.error(FileUnusable(f"{problem}. Make room on the disk, or let this user read and write there."))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        output.note("Stopped.")
        raise SystemExit(130) from None
