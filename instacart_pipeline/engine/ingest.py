"""Admitting the files of a table: good rows to Parquet, the others to its rejects.

An upload is nearly always good, so it is first read as if it were: typed, straight to Parquet, and verified whole. Only if
anything at all is wrong is it read a second time, as text, and validated row by row (validation.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.engine.connection import duckdb_type
from instacart_pipeline.engine.csv_files import CsvFile
from instacart_pipeline.engine.csv_records import opened
from instacart_pipeline.engine.parquet import write
from instacart_pipeline.engine.validation import EXACT_IN_DOUBLE, ValidatedRows, parsed, validate_rows
from instacart_pipeline.engine.verification import verify
from instacart_pipeline.lake.contracts import MONEY, TableContract, rejects_of
from instacart_pipeline.lake.errors import ColumnsMissing
from instacart_pipeline.lake.rules import Outcome, outcome_of, rules_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CHUNK = 1 << 20
_DIGITS = b"0123456789,\r"
_WHOLE = ("int", "bigint")


@dataclass(frozen=True)
class IngestedRows:
    """What became of the rows of some files: all that were read, and where they went. `outcomes` are of the good ones."""

    rows_in: int
    rows: int
    rejects: int
    duplicates: int
    outcomes: tuple[Outcome, ...]


def ingest_table(
    connection: DuckDBPyConnection,
    paths: Sequence[Path],
    target: TableContract,
    references: Mapping[str, str],
    to: Path,
    rejects_to: Path,
    scratch: Path,
    root: Path,
) -> IngestedRows:
    """Read CSV files and write the good rows of `target` to the folder `to`, the others to `rejects_to`.

    `references` gives the folder of each table that a foreign key points to, by qualified name. Files are named in the rejects
    by their path below `root`. `scratch` is for what is spilled, and is not cleaned up. No files at all are no rows.

    Raises ColumnsMissing; FileUnreadable, naming file and line, on what can't be read at all.
    """
    files = [CsvFile.open(path) for path in paths]
    _require_columns(target, files)
    validated, rows, outcomes = _read(connection, files, target, references, to, scratch, root)
    write(connection, validated.rejected, rejects_of(target), rejects_to)
    return IngestedRows(validated.rows_in, rows, validated.rejects, validated.duplicates, outcomes)


def _require_columns(target: TableContract, files: Sequence[CsvFile]) -> None:
    for file in files:
        missing = [name for name in target.column_names if name not in file.header]
        unexpected = [name for name in file.header if name not in target.column_names]
        if missing:
            raise ColumnsMissing(
                f"{file.path} lacks {', '.join(missing)} (unexpected: {', '.join(unexpected) or 'none'}). "
                f"{target.name} has the columns {', '.join(target.column_names)}. Upload the file again with them."
            )


def _read(
    connection: DuckDBPyConnection,
    files: Sequence[CsvFile],
    target: TableContract,
    references: Mapping[str, str],
    to: Path,
    scratch: Path,
    root: Path,
) -> tuple[ValidatedRows, int, tuple[Outcome, ...]]:
    import duckdb  # noqa: PLC0415  # engines are loaded where they are used

    if not files:
        nothing = ", ".join(f'NULL AS "{name}"' for name in target.column_names)
        write(connection, f"SELECT {nothing} WHERE false", target, to)
        return ValidatedRows(rows_in=0), 0, tuple(outcome_of(rule, {}) for rule in rules_of(target))
    surveys = [survey(file.path) for file in files]
    # Whatever goes wrong with the quick reading, the validating finds out what it was and says it in better words.
    with suppress(duckdb.Error):
        selects = (_typed(file, target, found.digits_only) for file, found in zip(files, surveys, strict=True))
        write(connection, " UNION ALL ".join(selects), target, to)
        rows, outcomes = verify(connection, target, to, references)
        if all(outcome.passed for outcome in outcomes) and rows == sum(found.records for found in surveys):
            return ValidatedRows(rows_in=rows), rows, outcomes
    validated = validate_rows(connection, files, target, references, scratch, root)
    write(connection, validated.good, target, to)
    rows, outcomes = verify(connection, target, to, references)
    return validated, rows, outcomes


@dataclass(frozen=True)
class Survey:
    """What a file's bytes alone say: its records below the header, and whether those are digits and commas only."""

    records: int
    digits_only: bool


def survey(path: Path) -> Survey:
    """Look at every byte of a file once: line ends outside quotes are counted, a blank line too."""
    count, digits_only, quoted, last = 0, True, False, b"\n"
    with opened(path) as stream:
        header = stream.readline()
        while chunk := stream.read(_CHUNK):
            rest = chunk.translate(None, _DIGITS) if digits_only else chunk
            digits_only = digits_only and rest.count(b"\n") == len(rest)
            if not quoted and b'"' not in rest:
                count += rest.count(b"\n")
            else:
                for position, part in enumerate(chunk.split(b'"')):
                    quoted = quoted if position == 0 else not quoted
                    count += 0 if quoted else part.count(b"\n")
            last = chunk[-1:]
    return Survey(count + (last != b"\n"), digits_only and header.endswith(b"\n"))


def _typed(file: CsvFile, target: TableContract, digits_only: bool) -> str:
    """A SELECT of the file's rows in their types that fails on the first value that isn't of its type.

    Whole numbers are read as doubles and narrowed here: the reader itself would round 2.7 to 3 without a word. A file of
    digits alone holds nothing to round, and is spared the detour. Amounts are read as text for the same reason, and times
    since it would drop their zone. What is
    demanded of a text beyond its column (validate.parsed) is demanded here too: no rule of a version says it.
    """
    whole = () if digits_only else _WHOLE
    read_as = {**dict.fromkeys(whole, "DOUBLE"), MONEY: "VARCHAR", "timestamp": "VARCHAR"}
    types = {c.name: read_as.get(c.type, duckdb_type(c.type)) for c in target.columns}
    columns = []
    for column in target.columns:
        name = f'"{column.name}"'
        if column.type in whole:
            fits = f"{name} = floor({name}) AND abs({name}) < {EXACT_IN_DOUBLE}"
            columns.append(
                f"CASE WHEN {fits} THEN {name}::{column.type} WHEN {name} IS NOT NULL THEN error('not whole') END AS {name}"
            )
        elif column.type in (MONEY, "timestamp") or (column.type == "string" and (column.required or column.longest)):
            value = parsed(column)
            columns.append(
                f"CASE WHEN {name} IS NOT NULL THEN coalesce({value}, error('not as demanded')) END AS {name}"
            )
        elif column.type in ("double", "date"):
            columns.append(
                f"CASE WHEN isfinite({name}) THEN {name} WHEN {name} IS NOT NULL THEN error('not finite') END AS {name}"
            )
        else:
            columns.append(name)
    return f"SELECT {', '.join(columns)} FROM {file.relation(types)}"
