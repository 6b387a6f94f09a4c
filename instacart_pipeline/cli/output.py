"""What the commands print: tables for people, JSON and CSV for programs. Errors and notes go to standard error."""

import errno
import json
import math
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from dagster import EventLogEntry

    from instacart_pipeline.cli.run_reports import RunReport
    from instacart_pipeline.cli.uploading import Upload
    from instacart_pipeline.resources.athena import QueryResult
    from instacart_pipeline.resources.catalog import CatalogTable, Partition
    from instacart_pipeline.resources.doctor import Finding
    from instacart_pipeline.resources.local_machine.sweep import Swept

_out = Console()
_err = Console(stderr=True)
_SHOWN = 20
"""Most folders of a list that is only a remark."""
_PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where no terminal says how wide it is."""


def table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print a table; `right` are the positions of columns set to the right."""
    drawn = Table(title=escape(title), title_justify="left", header_style="bold")
    for position, header in enumerate(headers):
        drawn.add_column(escape(header), justify="right" if position in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
    console = _out if _out.is_terminal else Console(width=_PIPED_WIDTH)
    console.print(drawn)


def json_text(value: object) -> None:
    """Print JSON, for a program to read."""
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201


def note(text: str) -> None:
    """Print a remark."""
    _err.print(text, markup=False, highlight=False, soft_wrap=True)


def error(problem: Exception) -> None:
    """Print an error: its kind, and its text."""
    _err.print(f"[bold red]{type(problem).__name__}[/]: {escape(str(problem))}", highlight=False, soft_wrap=True)


def terminal_was_closed() -> bool:
    """Whether what this process prints went to a terminal that is gone, so that printing fails."""
    return any(_why_no_terminal(printed) == errno.EIO for printed in (1, 2))


def _why_no_terminal(printed: int) -> int:
    try:
        termios.tcgetattr(printed)
    except termios.error as error:
        why: int = error.args[0]
        return why
    return 0


def progress() -> Progress:
    """A progress bar on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=_err, transient=True)


def uploaded(report: "Upload", what: str) -> None:
    """Print what came of the upload of a day's folder; `what` is what its system calls a day."""
    rows = [
        (of, name, f"{size / 1e6:,.1f} MB", "written" if new else "unchanged") for of, name, size, new in report.files
    ]
    table(f"Uploaded to {report.location}", ("table", "file", "size", ""), rows, right=(2,))
    if report.ignored:
        note(f"Ignored, as no table's file: {', '.join(report.ignored)}.")
    if report.missing:
        note(f"The {what} still lacks {', '.join(report.missing)}; it is built once they are there.")


@contextmanager
def run_progress(job: str, steps: int, *, quiet: bool) -> "Iterator[Callable[[EventLogEntry], None]]":
    """Show the steps of a run as they go; gives the function to call with each event."""
    bar = progress()
    task = bar.add_task(job, total=steps)

    def show(entry: "EventLogEntry") -> None:
        kind = entry.dagster_event.event_type_value if entry.dagster_event else ""
        step = (entry.step_key or "").replace("__", "/")
        if kind == "STEP_START":
            bar.update(task, description=step)
        elif kind in {"STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED"}:
            bar.advance(task)

    if quiet:
        yield lambda _: None
        return
    with bar:
        yield show


def run_report(
    report: "RunReport", *, as_json: bool, also: Mapping[str, Any] = {}, show: Callable[[], None] = lambda: None
) -> None:
    """Print what came of a run, and of what it made: `also` in JSON, what `show` prints for people."""
    if as_json:
        print(json.dumps({**asdict(report), **also}, indent=2, default=_plain))  # noqa: T201
        return
    rows = [
        (
            a.asset,
            _count(a.rows),
            _count(a.rejects),
            _count(a.duplicates),
            f"{a.seconds:.2f}",
            a.location.removeprefix(f"{report.home}/"),
        )
        for a in report.assets
    ]
    headers = ("asset", "rows", "rejects", "duplicates", "seconds", "location")
    table(f"{report.job} {report.dt}, below {report.home}", headers, rows, right=(1, 2, 3, 4))
    show()
    for asset, check, text in report.failed_checks:
        _err.print(f"[yellow]check failed[/] {asset} {check}: {escape(text)}", highlight=False, soft_wrap=True)
    for step, text in report.errors:
        _err.print(
            f"[bold red]{escape(step.replace('__', '/'))} failed[/]: {escape(text)}", highlight=False, soft_wrap=True
        )
    state = "[green]succeeded[/]" if report.success else "[bold red]failed[/]"
    _err.print(
        f"Run {report.run_id} {state} in {report.seconds:.1f} s; {report.checks_passed} checks passed.", highlight=False
    )


def model_figures(evaluation: Mapping[str, Any]) -> None:
    """Print how good a model is, beside what it is held against."""
    rows = []
    for name, told in evaluation["candidates"].items():
        f1, ahead = told["f1"], told["ahead"]
        rest = [f"{told[figure]:.4f}" if figure in told else "" for figure in ("auc", "pr_auc", "log_loss")]
        lead = "" if name == "model" else f"{ahead['mean']:+.4f} ({ahead['low']:+.4f} to {ahead['high']:+.4f})"
        rows.append((name, f"{f1['mean']:.4f}", f"{f1['low']:.4f} to {f1['high']:.4f}", lead, *rest))
    headers = ("", "mean F1", "95 % interval", "model ahead by", "AUC", "PR-AUC", "log-loss")
    title = f"Held-out users: {evaluation['orders']:,} orders, {evaluation['pairs']:,} pairs"
    table(title, headers, rows, right=(1, 4, 5, 6))


def mart_figures(told: Mapping[str, Any]) -> None:
    """Print a week's customer mart in figures: everyone, by profit level, by segment."""

    def row(name: str, of: Mapping[str, Any]) -> tuple[str, ...]:
        customers, everyone = of["customers"], told["all"]["customers"]
        return (
            name,
            f"{customers:,}",
            f"{customers / everyone:.1%}",
            f"{of['buyers'] / customers:.1%}",
            "" if of["return_rate"] is None else f"{of['return_rate']:.1%}",
            f"{of['spend']:,.2f}",
            f"{of['spend'] / customers:,.2f}",
        )

    rows = [
        row("all", told["all"]),
        *(row(f"profit level {each['profit_level']}", each) for each in told["profit_levels"]),
        *(row(f"segment {each['segment']}: {each['segment_name']}", each) for each in told["segments"]),
    ]
    headers = ("", "customers", "share", "bought in the year", "return rate", "spend", "a customer")
    table(f"Customer mart of {told['dt']}", headers, rows, right=(1, 2, 3, 4, 5, 6))


def findings(profile: str, found: "Sequence[Finding]", *, as_json: bool) -> None:
    """Print what a look at the surroundings came to."""
    if as_json:
        print(json.dumps({"profile": profile, "findings": [asdict(finding) for finding in found]}, indent=2))  # noqa: T201
        return
    rows = [(finding.service, finding.health, finding.found, finding.remedy) for finding in found]
    table(f"Profile {profile}", ("service", "", "found", "what to do"), rows)


def swept(swept: "Swept") -> None:
    """Print what a sweep removed, what it only lists, and what it leaves alone."""
    total = sum(swept.folders.values())
    size = f", {total / 1e6:,.1f} MB" if total else ""  # S3 is not asked for sizes
    if swept.unnamed:
        listed = "\n  ".join(swept.unnamed[:_SHOWN])
        note(
            f"The catalog names none of {len(swept.unnamed):,} version folders that were published. It was lost, or restored from before. They "
            f"stay: restore the catalog, or run their days again and remove them by hand.\n  {listed}"
        )
    if swept.refused:
        rows = [(path, f"{bytes_ / 1e6:,.1f} MB") for path, bytes_ in swept.folders.items()]
        table("Would be removed", ("folder", "size"), rows, right=(1,))
        note(
            f"Nothing was removed: {len(rows):,} folders{size}, are more than a tenth of the lake. `instacart-pipeline sweep --apply` removes them."
        )
    else:
        note(f"Removed {len(swept.folders):,} version folders{size}." if swept.folders else "Nothing to remove.")


def query_result(result: "QueryResult", form: str) -> None:
    """Print the rows of a query as a table, CSV or JSON."""
    from pyarrow import types  # noqa: PLC0415

    # Rows are taken by place: columns may share a name.
    names = result.table.column_names
    batches = (
        zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in result.table.to_batches()
    )
    values = (row for batch in batches for row in batch)
    if form == "json":
        keys = [_json(name) for name in _apart(names)]
        objects = (", ".join(f"{key}: {_json(value)}" for key, value in zip(keys, row, strict=True)) for row in values)
        text = ",\n".join(f"  {{{members}}}" for members in objects)
        print(f"[\n{text}\n]" if text else "[]")  # noqa: T201
    elif form == "csv":
        for row in chain([names], values):
            print(",".join(map(_csv, row)))  # noqa: T201
    else:
        rows = [["" if value is None else str(value) for value in row] for row in values]
        kinds = enumerate(result.table.schema.types)
        numbers = [
            place
            for place, kind in kinds
            if types.is_decimal(kind) or types.is_integer(kind) or types.is_floating(kind)
        ]
        table("", names, rows, right=numbers)
        cut = " (there are more; raise --limit, or use --format csv)" if result.truncated else ""
        note(f"{result.table.num_rows:,} rows{cut} in {result.seconds:.2f} s")


def table_list(tables: "Sequence[tuple[CatalogTable, Sequence[Partition]]]", *, as_json: bool) -> None:
    """Print the tables of the catalog with their days, and the rows and bytes of the newest."""
    if as_json:
        listed = [
            {"table": t.qualified_name, "location": t.location, "days": [p.dt for p in partitions]}
            for t, partitions in tables
        ]
        print(json.dumps(listed, indent=2))  # noqa: T201
        return
    rows = []
    for found, partitions in tables:
        newest = partitions[-1] if partitions else None
        version = newest.version if newest else None
        rows.append(
            (
                found.qualified_name,
                str(len(partitions)),
                newest.dt if newest else "",
                _count(version.rows if version and version.rows >= 0 else None),
                f"{version.bytes / 1e6:,.1f} MB" if version else "",
                found.description,
            )
        )
    table("", ("table", "days", "newest", "rows", "size", "what it is"), rows, right=(1, 3, 4))


def table_description(found: "CatalogTable", partitions: "Sequence[Partition]", *, as_json: bool) -> None:
    """Print one table's columns and days."""
    if as_json:
        days = [{"dt": p.dt, "location": p.location, "rows": p.version.rows} for p in partitions]
        shown = {
            "table": found.qualified_name,
            "description": found.description,
            "columns": dict(found.columns),
            "days": days,
        }
        print(json.dumps(shown, indent=2))  # noqa: T201
        return
    keys = [(name, "string", "partition key") for name in found.partition_keys]
    table(found.qualified_name, ("column", "type", ""), [*((n, k, "") for n, k in found.columns), *keys])
    rows = [(p.dt, _count(p.version.rows if p.version.rows >= 0 else None), p.location) for p in partitions]
    table("", ("day", "rows", "location"), rows, right=(1,))


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _apart(names: Sequence[str]) -> list[str]:
    """Names made different: a, a_1, a_2 for the columns that share the name a."""
    made: list[str] = []
    for name in names:
        others = (f"{name}_{number}" for number in count(1))
        made.append(name if name not in made else next(each for each in others if each not in {*made, *names}))
    return made


def _json(value: Any) -> str:
    """A value as JSON: decimals with all their digits, what JSON has no word for (dates, times, NaN, infinity) as a string."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(str(key))}: {_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_json, value)) + "]"
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(str(value))


def _csv(value: object) -> str:
    """A value as CSV: nothing for NULL, "" for an empty text, quotes where they are needed."""
    text = "" if value is None else str(value)
    needs_quotes = (value is not None and not text) or any(character in text for character in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)
