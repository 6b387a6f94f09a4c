"""Transactions as callers send them: JSON or CSV in, clean lines and the reasons of those that are none out.

Belongs here: reading a body and refusing it as a whole. Doesn't: what a line may hold (retail/lines.py), storing lines (ingest.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from instacart_pipeline.retail.days import LineDays
from instacart_pipeline.retail.lines import FIELDS, Line, LineInvalid, counted, folded, read_line
from instacart_pipeline.serving.errors import Refused
from instacart_pipeline.serving.requests import JSON, text_of

MOST_LINES = 50_000
MOST_LISTED = 1_000
"""How many of the lines that were not accepted an answer lists."""
_LONGEST_REASON = 500
_REPEAT = "repeat"
_COLUMNS = tuple(name for name in FIELDS if name != _REPEAT)


class Rejection(NamedTuple):
    """A line that is not accepted: its number, from 1 on, and why."""

    line: int
    reason: str


class Sent(NamedTuple):
    """What a body holds. `rejected` are the first MOST_LISTED of `rejected_lines`."""

    lines: Sequence[Line]
    rejected: Sequence[Rejection]
    rejected_lines: int


def read_body(body: bytes, kind: str, days: LineDays | None = None) -> Sent:
    """The lines of a body of type `kind`, alike ones that don't say which repeat they are counted. Raises Refused.

    With `days`, lines of other days than those are rejected.
    """
    bounds = days.bounds() if days else None
    given = _of_json(body) if kind == JSON else _of_csv(text_of(body))
    good: list[tuple[Line, bool]] = []
    rejected: list[Rejection] = []
    count = 0
    for number, fields in given:
        line = fields if isinstance(fields, str) else _line_of(fields, bounds)
        if isinstance(line, Line):
            good.append((line, not isinstance(fields, str) and fields.get(_REPEAT) not in (None, "")))
            continue
        count += 1
        if count <= MOST_LISTED:
            rejected.append(Rejection(number, _shortened(line)))
    alike = counted(line for line, numbered in good if not numbered)
    return Sent([line if numbered else next(alike) for line, numbered in good], rejected, count)


_Given = Iterator[tuple[int, Mapping[str, object] | str]]
"""Lines by number, as the values of folded field names, or why there are none."""


def _line_of(fields: Mapping[str, object], bounds: tuple[str, str] | None) -> Line | str:
    try:
        line = read_line(fields)
    except LineInvalid as error:
        return str(error)
    if bounds and not bounds[0] <= line.day <= bounds[1]:
        return f"invoicedate {line.invoice_time} is on no day that is taken, {bounds[0]} to {bounds[1]}"
    return line


def _of_json(body: bytes) -> _Given:
    try:
        told = orjson.loads(text_of(body))
    except ValueError as error:
        raise Refused(400, "malformed_json", f"The body is no JSON: {_shortened(str(error))}.") from None
    if isinstance(told, dict):
        told = told.get("lines", [told])
    if not isinstance(told, list):
        raise Refused(
            422,
            "invalid",
            'Send one line as an object, several as a list of objects, or as {"lines": [...]}. '
            f"A line's fields are {', '.join(FIELDS)}; {_REPEAT} may be left out.",
        )
    _require_number(len(told))
    names: dict[str, str] = {}
    for number, line in enumerate(told, start=1):
        if not isinstance(line, dict):
            yield number, "it is no object"
            continue
        fields = {names.get(name) or names.setdefault(name, folded(name)): value for name, value in line.items()}
        yield number, fields if len(fields) == len(line) else "a field is given twice, in two spellings"


def _of_csv(text: str) -> _Given:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [folded(name) for name in _next(rows, 0) or ()]
    missing = [name for name in _COLUMNS if name not in header]
    twice = [name for name in FIELDS if header.count(name) > 1]
    if missing or twice:
        what = "; ".join(
            f"{told}: {', '.join(names)}" for told, names in (("missing", missing), ("given twice", twice)) if names
        )
        raise Refused(
            400,
            "columns",
            f"The first row must name the columns {', '.join(_COLUMNS)}, in any order, case and with underscores or without ({what}). "
            f"{_REPEAT} may be added; other columns are ignored.",
        )
    number = 0
    while (row := _next(rows, number + 1)) is not None:
        number += 1
        _require_number(number)
        if len(row) == len(header):
            yield number, dict(zip(header, row, strict=True))
        elif row:  # an empty row is none
            yield number, f"it has {len(row)} fields, not {len(header)} as the header"


def _next(rows: Iterator[list[str]], number: int) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise Refused(
            400,
            "malformed_csv",
            f"The body is no CSV: {f'row {number} below the header' if number else 'the header'}: {error}. Nothing was stored.",
        ) from None


def _require_number(lines: int) -> None:
    if lines > MOST_LINES:
        raise Refused(
            413,
            "too_many_lines",
            f"The body holds more than {MOST_LINES:,} lines. Send them in several requests, all lines of an invoice in one, or number "
            f"lines that are alike in everything by {_REPEAT}.",
        )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."
