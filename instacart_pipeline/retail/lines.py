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
from operator import itemgetter
from typing import NamedTuple

import orjson

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.retail.tables import STREAMED_LINES, UNKNOWN

_LONGEST = {"invoiceno": 64, "stockcode": 64, "description": 1000, "customerid": 64, "country": 64}
"""Characters a text may have: what is part of a key must fit in one."""
_RANGES = {column.name: column.between for column in STREAMED_LINES.columns if column.between}
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)
_PRICE = re.compile(r"([+-]?)(\d{1,14})(?:\.(\d{0,4})0*)?", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(?:(:\d\d)(?:\.0*)?)?", re.ASCII)
_CLEAN_PRICE = re.compile(r"-?\d{1,14}\.\d{4}", re.ASCII)
_FIVE_DIGITS = re.compile(r"[0-9]{5}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

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
        """A digest of everything but `repeat`: MD5, since that is what all of the lake's engines have; it guards nothing."""
        said = (
            f"{self.invoice_no}|{self.stock_code}|{self.quantity}|{self.invoice_time}|{self.unit_price}"
            f"|{self.customer_id}|{self.country}|{self.description or ''}"
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
        and not _CONTROL.search(texts)
        and _is_clean_price(unit_price)
        and _is_clean_time(invoice_time)
    )


@lru_cache(maxsize=4096)
def _is_clean_price(text: str) -> bool:
    return _CLEAN_PRICE.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _is_clean_time(text: str) -> bool:
    return _time(text, []) == text


def folded(name: str) -> str:
    """A field's name as FIELDS has it, of any spelling of it."""
    return name.replace("_", "").strip().lower()


def read_line(given: Mapping[str, object]) -> Line:
    """The line that a client sent, by folded field names; others are ignored. Raises LineInvalid with every reason.

    Values may be texts, as in CSV, or JSON's own. `repeat` may be left out, for 1; who sends several alike counts them (`counted`).
    """
    problems: list[str] = []
    texts = {name: _text(name, given.get(name), problems) for name in _LONGEST}
    quantity = _whole("quantity", given.get("quantity"), problems)
    repeat = _whole("repeat", given.get("repeat") or 1, problems)
    time = _time(given.get("invoicedate"), problems)
    price = _price(given.get("unitprice"), problems)
    problems += [f"{name} is empty" for name in ("invoiceno", "stockcode", "country") if not texts[name]]
    if problems:
        raise LineInvalid("; ".join(dict.fromkeys(problems)))
    customer = texts["customerid"].removesuffix(".0") or UNKNOWN
    return Line(
        texts["invoiceno"],
        texts["stockcode"],
        texts["description"] or None,
        quantity,
        time,
        price,
        customer,
        texts["country"],
        repeat,
    )


def counted(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines that were sent together, those that are alike numbered in their order: the n-th of them is repeat n."""
    seen: dict[Line, int] = {}
    for line in lines:
        seen[line] = seen.get(line, 0) + 1
        yield line if seen[line] == 1 else line._replace(repeat=line.repeat + seen[line] - 1)


def _text(name: str, value: object, problems: list[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, list, dict)):
        problems.append(f"{name} {value!r} is not a text")
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a customer number that some tool made a float of
    text = str(value).strip(" ")
    if len(text) > _LONGEST[name]:
        problems.append(f"{name} has {len(text):,} characters; {_LONGEST[name]:,} at most")
    elif _CONTROL.search(text):
        problems.append(f"{name} holds a control character")
    return text


def _whole(name: str, value: object, problems: list[str]) -> int:
    text = str(value).strip(" ")
    if isinstance(value, bool) or value is None or not _WHOLE.fullmatch(text):
        problems.append(f"{name} is empty" if value in (None, "") else f"{name} {value!r} is not a whole number")
        return 0
    number = int(text.split(".")[0])
    _in_range(name, number, problems)
    return number


def _price(value: object, problems: list[str]) -> str:
    text = str(value).strip(" ")
    found = None if isinstance(value, bool) or value is None else _PRICE.fullmatch(text)
    if not found:
        problems.append(
            "unitprice is empty"
            if value in (None, "")
            else f"unitprice {value!r} is not an amount with at most four decimals"
        )
        return "0.0000"
    sign, pounds, pence = found[1], found[2].lstrip("0") or "0", (found[3] or "").ljust(4, "0")
    _in_range("unitprice", float(f"{sign}{pounds}.{pence}"), problems)
    negative = "-" if sign == "-" and (pounds != "0" or pence != "0000") else ""
    return f"{negative}{pounds}.{pence}"


def _time(value: object, problems: list[str]) -> str:
    text = str(value).strip(" ")
    if found := _TIME.fullmatch(text) if isinstance(value, str) else None:
        with suppress(ValueError):  # February 30
            return datetime.fromisoformat(f"{found[1]} {found[2]}{found[3] or ':00'}").strftime("%Y-%m-%d %H:%M:%S")
    what = "is empty" if value in (None, "") else f"{value!r} is not a time written as 2010-12-01 08:26:00"
    problems.append(f"invoicedate {what}")
    return ""


def _in_range(name: str, number: float, problems: list[str]) -> None:
    low, high = _RANGES[name]
    if not low <= number <= high:
        problems.append(f"{name} {number:g} is not between {low:g} and {high:g}")
