"""The commands of the stream: `instacart-pipeline stream send`, `work`, `status`, `replay` and `dead-letters`.

Belongs here: arguments, help and what is printed. What a command needs is imported inside it, so that --help answers at once.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from instacart_pipeline.cli import output

app = typer.Typer(help="Send transactions, work them off, see how far the consumers are.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]
_SHOWN = 10


@app.command()
def send(
    path: Annotated[Path, typer.Argument(help="A CSV file of transactions, or a folder of them.", show_default=False)],
    url: Annotated[str, typer.Option(help="Address of the API.")] = "http://127.0.0.1:8000",
    rate: Annotated[float, typer.Option(min=0, help="Lines a second, at most; 0: as fast as they are taken.")] = 0,
    batch: Annotated[int, typer.Option(min=1, max=50_000, help="Lines a request.")] = 2000,
    patience: Annotated[float, typer.Option(min=0, help="Seconds a server that is away is waited for.")] = 600,
    as_json: Json = False,
) -> None:
    """Send files of transactions to the API, which may restart meanwhile. Sending a file again stores nothing twice.

    The key is the first of INSTACART_API_KEYS. Ends with 1 if a line was refused.
    """
    from instacart_pipeline.cli.stream_sending import Sender, files_of  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    files = files_of(path)
    keys = Settings.from_env().api_keys
    sender = Sender(url.rstrip("/"), keys[0] if keys else "", batch, rate, patience, output.note)
    sizes, done = {file: file.stat().st_size for file in files}, dict.fromkeys(files, 0)
    with output.progress() as bar:
        task = bar.add_task("sending", total=sum(sizes.values()))

        def show(file: Path, read: int) -> None:
            done[file] = read
            bar.update(task, description=file.name, completed=sum(done.values()))

        report = sender.send(files, show)
    if as_json:
        output.json_text({**asdict(report), "lines_per_second": report.lines_per_second})
    else:
        counts = (f"{report.files:,}", f"{report.accepted:,}", f"{report.refused:,}", f"{report.retries:,}")
        timing = (f"{report.seconds:.1f}", f"{report.lines_per_second:,.0f}")
        headers = ("files", "accepted", "refused", "tried again", "seconds", "lines a second")
        output.table(f"Sent to {url}", headers, [(*counts, *timing)], right=range(6))
        if report.refusals:
            first = [(each.file, f"{each.line:,}", each.reason) for each in report.refusals[:_SHOWN]]
            output.table("The first that were refused", ("file", "line", "why"), first, right=(1,))
    if report.refused:
        raise typer.Exit(1)


@app.command()
def work(
    consumer: Annotated[
        list[str] | None, typer.Option(help="raw_zone or lookups; may be given twice. Default: both.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=0, max=64, help="Workers of each consumer, which share the shards; 0: one a core.")
    ] = 0,
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End once nothing is left to read.")] = False,
    metrics_port: Annotated[
        int,
        typer.Option(
            min=0, max=65534, help="Port of the first worker's metrics, on this machine; the next has the next."
        ),
    ] = 0,
) -> None:
    """Work the stream off into the raw zone and the lookup tables, until you press Ctrl-C. May run several times side by side."""
    from instacart_pipeline.cli.stream_working import work as work_off  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    settings = Settings.from_env()
    work_off(settings, consumer or (), processes=processes, until_empty=until_empty, metrics_port=metrics_port)


@app.command()
def status(
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long rates are measured.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Show how far each consumer is behind, how fast it goes, and its dead letters."""
    from instacart_pipeline.cli.stream_working import show_status  # noqa: PLC0415
    from instacart_pipeline.cli.stream_working import status as measured  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    show_status(*measured(Settings.from_env(), seconds), as_json=as_json)


@app.command()
def replay(
    consumer: Annotated[str, typer.Option(help="raw_zone or lookups.", show_default=False)],
    from_start: Annotated[bool, typer.Option("--from-start", help="Read all records again that are kept.")] = False,
    since: Annotated[str, typer.Option(help="Read again what arrived from then on: 2026-11-20T08:30.")] = "",
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Read the dead letters once more.")] = False,
) -> None:
    """Have a consumer read again. Its workers must be stopped, but for dead letters; what is stored already is not doubled."""
    from instacart_pipeline.cli.stream_working import replay as read_again  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    told = read_again(Settings.from_env(), consumer, from_start=from_start, since=since, letters=dead_letters)
    output.note(told)


@app.command("dead-letters")
def dead_letters_command(
    consumer: Annotated[
        list[str] | None, typer.Option(help="raw_zone or lookups; may be given twice. Default: both.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to list; --json lists all.")] = 20,
    as_json: Json = False,
) -> None:
    """List the records that a consumer could make nothing of, and why."""
    from instacart_pipeline.cli.stream_working import show_dead_letters  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    show_dead_letters(Settings.from_env(), consumer or (), limit, as_json=as_json)
