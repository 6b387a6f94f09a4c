"""Reading the CSV files of an upload with DuckDB.

Belongs here: the files of a raw folder, their headers, and the one set of reader options, so that the crawler, ingest
and a query read a file alike. Doesn't: judging values (ingest.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from instacart_pipeline.engine.connection import duckdb_type, quoted
from instacart_pipeline.engine.csv_records import Record, Records, is_gzip, opened, opened_head
from instacart_pipeline.lake.errors import FileUnreadable


@dataclass(frozen=True)
class CsvFile:
    """A CSV file and the column names of its header: lower case, trimmed, as Glue names columns; `col3` if it has no name."""

    path: Path
    header: tuple[str, ...]
    header_line: int = 1

    @classmethod
    def open(cls, path: Path) -> CsvFile:
        """The file with its header. Raises FileUnreadable if it is empty, not UTF-8 or not readable as gzip."""
        return cls.sample(path, 0)[0]

    @classmethod
    def sample(cls, path: Path, limit: int) -> tuple[CsvFile, list[Record]]:
        """The file and at most `limit` of its records from the start on; no more than is needed is read. Raises as `open`."""
        with opened(path) as stream:
            return cls._sampled(path, stream, limit)

    @classmethod
    def sample_of_head(cls, path: Path, head: bytes, limit: int, *, whole: bool) -> tuple[CsvFile, list[Record]]:
        """As `sample`, of a file that lies elsewhere, from its first bytes. `whole` says that these are all of it."""
        with opened_head(path, head, whole=whole) as stream:
            return cls._sampled(path, stream, limit)

    @classmethod
    def _sampled(cls, path: Path, stream: BinaryIO, limit: int) -> tuple[CsvFile, list[Record]]:
        records = iter(Records(path, stream))
        first = next(records, None)
        if first is None:
            raise FileUnreadable(f"{path} holds nothing at all, not even a header. Upload it again.")
        header = tuple(name.strip().lower() or f"col{i}" for i, name in enumerate(first.fields))
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice or first.fault:
            what = f"names the column {twice[0]} twice" if twice else f"is {first.fault}"
            raise FileUnreadable(f"{path}, line {first.line}: the header {what}. Upload the file again.")
        return cls(path, header, first.line), list(islice(records, limit))

    def relation(self, types: str | dict[str, str] = "VARCHAR") -> str:
        """DuckDB's read_csv of the file: each column in the file's order, all of one type or each of its own."""
        columns = ", ".join(
            f"{quoted(name)}: '{types if isinstance(types, str) else types.get(name, 'VARCHAR')}'"
            for name in self.header
        )
        options = f"compression = '{'gzip' if is_gzip(self.path) else 'none'}'"
        if self.header_line > 1:
            options += f", skip = {self.header_line - 1}"
        return (
            f"read_csv({quoted(str(self.path))}, columns = {{{columns}}}, header = true, auto_detect = false,"
            f" delim = ',', quote = '\"', escape = '\"', {options})"
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


_SAMPLED_ROWS = 1000
_SAMPLED_OF_A_DAY = 200_000
_LEAST_ROWS = 2
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def sampled_rows(files: int) -> int:
    """Rows of each file that a crawl looks at, if the day has so many files: they are all held in memory at once."""
    return max(_LEAST_ROWS, min(_SAMPLED_ROWS, _SAMPLED_OF_A_DAY // max(1, files)))


def infer_type(values: Iterable[str]) -> str:
    """The narrowest of bigint, double and string that holds every non-empty text; string if there is none."""
    filled = [value.strip() for value in values if value.strip()]
    if filled and all(_WHOLE.fullmatch(value) for value in filled):
        return "bigint"
    if filled and all(_NUMBER.fullmatch(value) for value in filled):
        return "double"
    return "string"


def inferred_columns(samples: Iterable[tuple[CsvFile, list[Record]]]) -> tuple[tuple[str, str], ...]:
    """Column names and inferred types over the samples of all files, in the order they are first met."""
    values: dict[str, list[str]] = {}
    for file, records in samples:
        for position, name in enumerate(file.header):
            column = values.setdefault(name, [])
            column.extend(record.fields[position] for record in records if position < len(record.fields))
    return tuple((name, infer_type(column)) for name, column in values.items())
