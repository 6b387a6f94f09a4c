"""CSV as Athena's serdes read it: line by line, so that a line break inside quotes ends the record all the same.

OpenCSVSerde knows quotes and has no NULL: a text that is no number, the empty one too, fails the query in a numeric
column. LazySimpleSerDe knows no quotes and makes NULL of whatever does not fit.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from instacart_pipeline_tests.aws_double.athena_values import duckdb_type
from instacart_pipeline_tests.aws_double.jobs import JobFailure

_FORMS = {
    "bigint": r"[+-]?\d+",
    "int": r"[+-]?\d+",
    "smallint": r"[+-]?\d+",
    "tinyint": r"[+-]?\d+",
    "double": r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|NaN|[+-]?Infinity",
    "float": r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*",
    "boolean": r"(?i)true|false",
    "date": r"\d{4}-\d{2}-\d{2}",
    "timestamp": r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?",
}


@dataclass(frozen=True)
class CsvSerde:
    """How a table's CSV files are read."""

    strict: bool
    separator: str
    quote: str | None
    escape: str | None
    skip: int

    def expression(self, column: str, kind: str) -> str:
        """The text column as the table's type."""
        base = kind.partition("(")[0]
        if base not in _FORMS:
            return column if base in ("string", "varchar", "char") else f"TRY_CAST({column} AS {duckdb_type(kind)})"
        return f"CASE WHEN regexp_full_match({column}, '{_FORMS[base]}') THEN TRY_CAST({column} AS {duckdb_type(kind)}) END"

    def hold(self, connection: DuckDBPyConnection, source: str, place: int, kind: str) -> None:
        """Raise JobFailure if a text of the column does not fit its type."""
        if kind.partition("(")[0] not in _FORMS:
            return
        column = f"c{place}"
        sql = f"SELECT {column} FROM {source} WHERE {column} IS NOT NULL AND ({self.expression(column, kind)}) IS NULL LIMIT 1"
        if bad := connection.execute(sql).fetchone():
            raise JobFailure(
                f"HIVE_BAD_DATA: Error parsing field value '{bad[0]}' for field {place}: For input string: \"{bad[0]}\""
            )


def csv_serde(storage: dict[str, Any], table: dict[str, Any]) -> CsvSerde:
    """The serde of a table or partition. Raises JobFailure for one the double does not know."""
    info = storage.get("SerdeInfo", {})
    library, parameters = info.get("SerializationLibrary", ""), info.get("Parameters") or {}
    facts = {**(table.get("Parameters") or {}), **(storage.get("Parameters") or {})}
    skip = int(facts.get("skip.header.line.count", 0))
    if library.endswith("OpenCSVSerde"):
        lenient = facts.get("use.null.for.invalid.data", "").lower() == "true"
        separator, quote = parameters.get("separatorChar", ","), parameters.get("quoteChar", '"')
        return CsvSerde(not lenient, separator, quote, parameters.get("escapeChar", "\\"), skip)
    if library.endswith("LazySimpleSerDe"):
        separator = parameters.get("field.delim") or parameters.get("serialization.format") or "\x01"
        return CsvSerde(False, separator, None, parameters.get("escape.delim"), skip)
    raise JobFailure(f"HIVE_UNSUPPORTED_FORMAT: Output format {library or 'unknown'} with SerDe is not supported.")


def read_rows(path: Path, uri: str, serde: CsvSerde, width: int) -> list[list[str | None]]:
    """The texts of a file, column by column; None where a record is too short. Raises JobFailure on a damaged gzip."""
    columns: list[list[str | None]] = [[] for _ in range(width)]
    try:
        for fields in _records(path, serde):
            for place in range(width):
                value = fields[place] if place < len(fields) else None
                columns[place].append(None if value == "\\N" and serde.quote is None else value)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise JobFailure(f"HIVE_CURSOR_ERROR: Failed to read file: {uri}: {error}") from error
    return columns


def _records(path: Path, serde: CsvSerde) -> Iterator[list[str]]:
    opened: Any = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines):
            if number < serde.skip:
                continue
            text = line.removesuffix("\n")
            if (serde.quote not in (None, "") and (serde.quote or '"') in text) or (serde.escape or "\0") in text:
                options: dict[str, Any] = {"quotechar": serde.quote} if serde.quote else {"quoting": csv.QUOTE_NONE}
                yield next(
                    csv.reader([text], delimiter=serde.separator, escapechar=serde.escape or None, **options), [""]
                )
            else:
                yield text.split(serde.separator)
