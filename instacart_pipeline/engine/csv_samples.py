"""Inferring a table's columns from samples of its files.

Belongs here: names and types, as a crawl finds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from instacart_pipeline.engine.csv_files import CsvFile
from instacart_pipeline.engine.csv_records import Record

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
