"""A line of an invoice: reading what a client sent, cleaning it, telling it from every other one, and as a record of the stream.

Belongs here: what a line is, without any service. The same cleaning and identity, for whole days, stand in sql/transactions.sql; a test holds
the two together. Doesn't: where lines go (consumers), HTTP (serving/).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from math import isfinite
from operator import itemgetter
from typing import NamedTuple

import orjson

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.retail.tables import STREAMED_LINES, UNKNOWN

_LONGEST = {column.name: column.longest for column in STREAMED_LINES.columns if column.longest}
_RANGES = {column.name: column.between for column in STREAMED_LINES.columns if column.between}
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)
_PRICE = re.compile(r"([+-]?)(\d{1,14})(?:\.(\d{0,4})0*)?", re.ASCII)
_TIME = re.compile(r"((?:19|20|21)\d\d-\d\d-\d\d)[ T](\d\d:\d\d)(?:(:\d\d)(?:\.0*)?)?", re.ASCII)
_CLEAN_PRICE = re.compile(r"-?\d{1,14}\.\d{4}", re.ASCII)
_FIVE_DIGITS = re.compile(r"[0-9]{5}")
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Control characters but for tabs and line feeds, and halves of characters, which can't be written as UTF-8."""
_LONGEST_NUMBER = 64
"""Characters a number or time may have, so that what is remembered of them stays small."""
_LARGEST_BITS = 1024
"""A whole number beyond has no text: Python refuses to write ones of thousands of digits."""
_SHOWN = 100
"""Characters of a wrong value that an error repeats."""

FIELDS = STREAMED_LINES.column_names
"""The fields of a line as clients name them, but for case and underscores: invoiceno, InvoiceNo and invoice_no are one."""
_HELD = itemgetter(*FIELDS)


class LineInvalid(InputInvalid):
    """A line breaks its contract; the text says every reason."""


class RecordUnreadable(InputInvalid):
    """A record of the stream holds no line."""


class Line(NamedTuple):
    """A clean line. `invoice_time` is written 2010-12-01 08:26:00, `unit_price` with four decimals, an unknown customer UNKNOWN.

    `repeat` tells lines of an invoice that are alike in everything else: 1, 2, ...
    """

    invoice_no: str
    stock_code: str
    description: str | None
    quantity: int
    invoice_time: str
    unit_price: str
    customer_id: str
    country: str
    repeat: int = 1

    @property
    def content_id(self) -> str:
        """A digest of everything but `repeat`: MD5, since that is what all of the lake's engines have; it guards nothing.

        Each text comes after its length, so that no other line, whatever characters it holds, is written the same.
        """
        invoice_no, stock_code, description, quantity, invoice_time, unit_price, customer_id, country, _ = self
        description = description or ""
        said = (
            f"{quantity}|{invoice_time}|{unit_price}|{len(invoice_no)}|{invoice_no}|{len(stock_code)}|{stock_code}"
            f"|{len(customer_id)}|{customer_id}|{len(country)}|{country}|{len(description)}|{description}"
        )
        return hashlib.md5(said.encode(), usedforsecurity=False).hexdigest()

    @property
    def line_id(self) -> str:
        """What tells the line from every other one, however often it is sent: `<content_id>-<repeat>`."""
        return f"{self.content_id}-{self.repeat}"

    @property
    def day(self) -> str:
        """The day it belongs to: 2010-12-01."""
        return self.invoice_time[:10]

    @property
    def is_product(self) -> bool:
        """Whether the stock code is a product's."""
        return _FIVE_DIGITS.match(self.stock_code) is not None

    @property
    def is_cancellation(self) -> bool:
        """Whether the line is of a cancellation."""
        return self.invoice_no.startswith("C")

    def record(self) -> bytes:
        """The line as the data of a record of the stream."""
        return orjson.dumps(dict(zip(FIELDS, self, strict=True)))

    @classmethod
    def of_record(cls, data: bytes) -> Line:
        """The line of a record. Raises RecordUnreadable: somebody else put it, or it was damaged."""
        try:
            line = cls(*_HELD(orjson.loads(data)))
            clean = _is_clean(line)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise RecordUnreadable(f"the record is no line of an invoice: {type(error).__name__}: {error}") from error
        if not clean:
            raise RecordUnreadable("the record's line is not as `read_line` leaves lines")
        return line


def _is_clean(line: Line) -> bool:
    """Whether a line could have come from `read_line`, ranges apart; quick, since every record is looked at several times."""
    invoice_no, stock_code, description, quantity, invoice_time, unit_price, customer_id, country, repeat = line
    texts = "\n".join((invoice_no, stock_code, customer_id, country, description if description is not None else ""))
    return bool(
        0 < len(invoice_no) <= _LONGEST["invoiceno"]
        and 0 < len(stock_code) <= _LONGEST["stockcode"]
        and 0 < len(customer_id) <= _LONGEST["customerid"]
        and 0 < len(country) <= _LONGEST["country"]
        and (description is None or 0 < len(description) <= _LONGEST["description"])
        and type(quantity) is int
        and type(repeat) is int
        and repeat > 0
        and not _UNFIT.search(texts)
        and _is_clean_price(unit_price)
        and _is_clean_time(invoice_time)
    )


@lru_cache(maxsize=4096)
def _is_clean_price(text: str) -> bool:
    return _CLEAN_PRICE.fullmatch(text) is not None


def _is_clean_time(text: str) -> bool:
    return len(text) <= _LONGEST_NUMBER and _time_of(text) == text


def folded(name: str) -> str:
    """A field's name as FIELDS has it, of any spelling of it."""
    return name.replace("_", "").strip().lower()


def read_line(given: Mapping[str, object]) -> Line:
    """The line that a client sent, by folded field names; others are ignored. Raises LineInvalid with every reason.

    Values may be texts, as in CSV, or JSON's own. `repeat` may be left out, for 1; who sends several alike counts them (`counted`).
    """
    problems: list[str] = []
    value = given.get
    line = Line(
        _text("invoiceno", value("invoiceno"), problems, required=True),
        _text("stockcode", value("stockcode"), problems, required=True),
        _text("description", value("description"), problems) or None,
        _whole("quantity", value("quantity"), problems),
        _time(value("invoicedate"), problems),
        _price(value("unitprice"), problems),
        _text("customerid", value("customerid"), problems).removesuffix(".0").rstrip(" ") or UNKNOWN,
        _text("country", value("country"), problems, required=True),
        1 if (repeat := value("repeat")) is None or repeat == "" else _whole("repeat", repeat, problems),
    )
    if problems:
        raise LineInvalid("; ".join(problems))
    return line


def counted(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines that were sent together, those that are alike numbered in their order: the n-th of them is repeat n."""
    seen: dict[Line, int] = {}
    for line in lines:
        seen[line] = seen.get(line, 0) + 1
        yield line if seen[line] == 1 else line._replace(repeat=line.repeat + seen[line] - 1)


def _text(name: str, value: object, problems: list[str], *, required: bool = False) -> str:
    text = value.strip(" ") if type(value) is str else _written(value)
    if text and "\r" in text:
        text = text.replace("\r\n", "\n")
    if text is None:
        problems.append(f"{name} {_shown(value)} is not a text")
    elif len(text) > _LONGEST[name]:
        problems.append(f"{name} has {len(text):,} characters; {_LONGEST[name]:,} at most")
    elif not text.isprintable() and _UNFIT.search(text):
        problems.append(f"{name} holds a control character, or half of a character")
    elif required and not text:
        problems.append(f"{name} is empty")
    return text or ""


def _whole(name: str, value: object, problems: list[str]) -> int:
    text = _number(name, value, problems)
    number = _whole_of(text) if text else None
    if number is None:
        if text:
            problems.append(f"{name} {_shown(value)} is not a whole number")
        return 0
    _in_range(name, number, problems)
    return number


def _price(value: object, problems: list[str]) -> str:
    text = _number("unitprice", value, problems)
    price = _price_of(text) if text else ""
    if price:
        _in_range("unitprice", float(price), problems)
    elif text:
        problems.append(f"unitprice {_shown(value)} is not an amount with at most four decimals")
    return price


def _time(value: object, problems: list[str]) -> str:
    text = _number("invoicedate", value, problems)
    time = _time_of(text) if text and isinstance(value, str) else ""
    if text and not time:
        problems.append(f"invoicedate {_shown(value)} is not a time written as 2010-12-01 08:26:00")
    return time


def _number(name: str, value: object, problems: list[str]) -> str:
    """What is written of a number or time; empty, with its problem, if it can't be one."""
    text = value.strip(" ") if type(value) is str else _written(value)
    if text and len(text) <= _LONGEST_NUMBER:
        return text
    problems.append(f"{name} is empty" if text == "" else f"{name} {_shown(value)} is no number or time")
    return ""


# Lines of one invoice share their time, and prices and quantities are few: what was read of a text is remembered.


@lru_cache(maxsize=4096)
def _whole_of(text: str) -> int | None:
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else None


@lru_cache(maxsize=4096)
def _price_of(text: str) -> str:
    """An amount with four decimals; empty if the text is none."""
    found = _PRICE.fullmatch(text)
    if not found:
        return ""
    price = f"{found[2].lstrip('0') or '0'}.{(found[3] or '').ljust(4, '0')}"
    return f"-{price}" if found[1] == "-" and price != "0.0000" else price


@lru_cache(maxsize=4096)
def _time_of(text: str) -> str:
    """A time with its seconds; empty if the text is none."""
    if found := _TIME.fullmatch(text):
        time = f"{found[1]} {found[2]}{found[3] or ':00'}"
        with suppress(ValueError):  # February 30
            datetime.fromisoformat(time)
            return time
    return ""


def _written(value: object) -> str | None:
    """A value that is no text, as one: empty for none, None for what has no text, such as a list or NaN."""
    if value is None:
        return ""
    if isinstance(value, float):
        # A customer number that some tool made a float of is meant whole.
        return (str(int(value)) if value.is_integer() else str(value)) if isfinite(value) else None
    if isinstance(value, str):
        return str(value).strip(" ")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LARGEST_BITS:
        return str(value)
    return None


def _shown(value: object) -> str:
    """The start of a value, for an error's text."""
    try:
        text = repr(value)
    except ValueError:
        text = "of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _in_range(name: str, number: float, problems: list[str]) -> None:
    low, high = _RANGES[name]
    if not low <= number <= high:
        problems.append(f"{name} {number:g} is not between {low:g} and {high:g}")
