"""Reading the CSV files of an upload with DuckDB.

Belongs here: the files of a raw folder, their headers, and the one set of reader options, so that the crawler, the intake
and a query read a file alike. Doesn't: judging values (intake.py).
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from instacart_pipeline.lake.errors import FileUnreadable
from instacart_pipeline.resources.local.duckdb_sql import duckdb_type, quoted
from instacart_pipeline.resources.storage import RawObject

_SAMPLE = 1 << 20
"""Bytes of a file that are read to learn its columns; whole files are never read for that."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file and the column names of its header: lower case, trimmed, as Glue names columns."""

    path: Path
    header: tuple[str, ...]

    @classmethod
    def open(cls, path: Path) -> CsvFile:
        """The file with its header. Raises FileUnreadable if it is empty, not UTF-8 or not readable as gzip."""
        rows = sample_rows(path, 1)
        if not rows:
            raise FileUnreadable(f"{path} is empty: not even a header. Upload it again.")
        return cls(path, tuple(name.strip().lower() for name in rows[0]))

    def relation(self, types: str | dict[str, str] = "VARCHAR", *, options: str = "") -> str:
        """DuckDB's read_csv of the file: each column in the file's order, all of one type or each of its own."""
        columns = ", ".join(
            f"{quoted(name)}: '{types if isinstance(types, str) else types.get(name, 'VARCHAR')}'"
            for name in self.header
        )
        return (
            f"read_csv({quoted(str(self.path))}, columns = {{{columns}}}, header = true, auto_detect = false,"
            f" delim = ',', quote = '\"', escape = '\"'{options})"
        )


def csv_files(folder: Path) -> list[Path]:
    """The CSV files of a raw folder, by name. Hidden and underscored files are uploads under way or markers, not data."""
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name[0] not in "._" and path.name.lower().endswith((".csv", ".csv.gz"))
    ]


def raw_objects(folder: Path, raw_zone: Path) -> list[RawObject]:
    """The CSV files of a raw folder as the raw zone lists them."""
    states = ((path, path.stat()) for path in csv_files(folder))
    return [RawObject(str(path.relative_to(raw_zone)), state.st_size, state.st_mtime_ns) for path, state in states]


def sample_rows(path: Path, limit: int) -> list[list[str]]:
    """At most `limit` records from the file's first MiB, the header first. Raises FileUnreadable."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            head = stream.read(_SAMPLE)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileUnreadable(f"{path} is not a whole gzip file ({error}). Upload it again.") from error
    whole = len(head) < _SAMPLE
    if not whole:
        head = head[: head.rfind(b"\n") + 1]
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = head[: error.start].count(b"\n") + 1
        raise FileUnreadable(
            f"{path}, line {line}: byte {error.start + 1} of the file is not UTF-8 ({error.reason}). Save the file as UTF-8 and upload it again."
        ) from error
    records = csv.reader(io.StringIO(text, newline=""), strict=False)
    rows: list[list[str]] = []
    for record in records:
        if record:
            rows.append(record)
        if len(rows) == limit:
            break
    return rows


def csv_relation(folder: str, columns: Sequence[tuple[str, str]]) -> str:
    """A SELECT of the catalogued `columns` from every CSV file of a folder; what does not convert is NULL."""
    selects = []
    for path in csv_files(Path(folder)):
        file = CsvFile.open(path)
        wanted = ", ".join(
            f'TRY_CAST("{name}" AS {duckdb_type(kind)}) AS "{name}"' if name in file.header else f'NULL AS "{name}"'
            for name, kind in columns
        )
        selects.append(f"SELECT {wanted} FROM {file.relation()}")
    empty = ", ".join(f'NULL AS "{name}"' for name, _ in columns)
    return " UNION ALL ".join(selects) if selects else f"SELECT {empty} WHERE false"
