"""Lines: whatever is sent is read or refused with its reasons; what is said alike is one line, whatever it is spelt like."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instacart_pipeline.retail.lines import FIELDS, Line, LineInvalid, RecordUnreadable, counted, folded, read_line
from instacart_pipeline.retail.tables import UNKNOWN

SENT = {
    "invoiceno": "536365",
    "stockcode": "85123A",
    "description": "WHITE HANGING HEART T-LIGHT HOLDER",
    "quantity": "6",
    "invoicedate": "2010-12-01 08:26:00",
    "unitprice": "2.55",
    "customerid": "17850.0",
    "country": "United Kingdom",
}
CLEAN = Line(*("536365", "85123A", SENT["description"], 6, SENT["invoicedate"], "2.5500", "17850", "United Kingdom"))

# What a line may hold: texts with no blank at their ends; the signs that tell fields apart, and line ends, more often than by chance.
TEXTS = (
    st.text(st.sampled_from('|0123456789 ,"\n\t') | st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
    | st.text(st.sampled_from("|12a"), max_size=5)
).map(lambda text: text.strip(" "))
NAMES = TEXTS.filter(bool)
LINES = st.builds(
    Line,
    invoice_no=NAMES,
    stock_code=NAMES,
    description=TEXTS.map(lambda text: text or None),
    quantity=st.integers(-1_000_000, 1_000_000),
    invoice_time=st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)).map(
        lambda time: time.isoformat(sep=" ", timespec="seconds")
    ),
    unit_price=st.decimals(-100_000, 100_000, places=4).map(
        lambda price: f"{price + 0:.4f}".replace("-0.0000", "0.0000")
    ),
    customer_id=NAMES.filter(lambda text: not text.endswith(".0")),
    country=NAMES,
    repeat=st.integers(1, 1_000_000),
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(
        [1e300, "\uff19", "\u0967", "1\n", "1_0", "0x1", "1e3", "+1", "-0", "\u0663.\u0665", "\ud800", "\x00"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def sent(line: Line) -> dict[str, object]:
    """A line as a client sends it that found it so."""
    return dict(zip(FIELDS, line, strict=True))


def reasons(**changed: object) -> str:
    """Why a line is refused that is good but for these fields."""
    with pytest.raises(LineInvalid) as refused:
        read_line({**SENT, **changed})
    return str(refused.value)


# Reading.


def test_a_line_of_the_original_files_is_read_clean() -> None:
    assert read_line(SENT) == CLEAN
    assert (CLEAN.day, CLEAN.is_product, CLEAN.is_cancellation) == ("2010-12-01", True, False)
    other = read_line({**SENT, "invoiceno": "C536379", "stockcode": "POST", "customerid": "", "description": "  "})
    assert (other.is_product, other.is_cancellation) == (False, True)
    assert (other.customer_id, other.description) == (UNKNOWN, None)


@pytest.mark.parametrize("name", ["InvoiceNo", "invoice_no", " INVOICENO ", "invoiceno"])
def test_a_field_may_be_spelt_with_capitals_and_underscores(name: str) -> None:
    assert folded(name) == "invoiceno"


@given(st.dictionaries(st.sampled_from([*FIELDS, "more"]), ANYTHING))
def test_reading_anything_gives_a_line_or_its_reasons(changed: dict[str, object]) -> None:
    try:
        line = read_line({**SENT, **changed})
    except LineInvalid as refused:
        assert str(refused)
        assert len(str(refused)) < 2000
        str(refused).encode()
    else:
        assert Line.of_record(line.record()) == line
        assert line.line_id


@given(LINES)
def test_a_clean_line_is_read_as_it_is_and_comes_back_from_its_record(line: Line) -> None:
    assert read_line(sent(line)) == line
    assert Line.of_record(line.record()) == line


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("quantity", [" 6", "6 ", "+6", "06", "6.", "6.0", "6.000", 6, 6.0]),
        ("unitprice", ["2.55", " 2.550 ", "2.5500", "2.55000", "02.55", "+2.55", 2.55]),
        (
            "invoicedate",
            ["2010-12-01 08:26:00", "2010-12-01T08:26:00", "2010-12-01 08:26", " 2010-12-01 08:26:00.000 "],
        ),
        ("customerid", ["17850", "17850.0", " 17850 ", "17850 .0", 17850, 17850.0]),
        ("invoiceno", ["536365", " 536365 ", 536365, 536365.0]),
        ("description", [SENT["description"], f"  {SENT['description']} "]),
        ("country", ["United Kingdom", "United Kingdom  "]),
        ("repeat", [None, "", 1, "1", "1.0", 1.0]),
    ],
)
def test_however_a_value_is_spelt_the_line_is_the_same(field: str, values: list[object]) -> None:
    assert {read_line({**SENT, field: value}).line_id for value in values} == {CLEAN.line_id}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("quantity", "\uff16", "quantity '\uff16' is not a whole number"),
        ("quantity", "6.5", "quantity '6.5' is not a whole number"),
        ("quantity", "", "quantity is empty"),
        ("quantity", None, "quantity is empty"),
        ("quantity", True, "quantity True is no number or time"),
        ("quantity", [6], "quantity [6] is no number or time"),
        ("quantity", float("nan"), "quantity nan is no number or time"),
        ("quantity", 10**5000, "quantity of thousands of digits is no number or time"),
        ("quantity", [10**5000], "quantity of thousands of digits is no number or time"),
        ("country", -(10**5000), "country of thousands of digits is not a text"),
        ("quantity", "9" * 5000, f"quantity '{'9' * 99}... is no number or time"),
        ("quantity", 1_000_001, "quantity 1e+06 is not between -1e+06 and 1e+06"),
        ("unitprice", "100000.0001", "unitprice 100000 is not between -100000 and 100000"),
        ("repeat", 0, "repeat 0 is not between 1 and 1e+06"),
        ("repeat", False, "repeat False is no number or time"),
        ("unitprice", "2.55555", "unitprice '2.55555' is not an amount with at most four decimals"),
        ("unitprice", "\u0662.\u0665", "unitprice '\u0662.\u0665' is not an amount with at most four decimals"),
        ("unitprice", "1e3", "unitprice '1e3' is not an amount with at most four decimals"),
        ("unitprice", "£2.55", "unitprice '£2.55' is not an amount with at most four decimals"),
        ("unitprice", " ", "unitprice is empty"),
        (
            "invoicedate",
            "2010-02-30 08:26:00",
            "invoicedate '2010-02-30 08:26:00' is not a time written as 2010-12-01 08:26:00",
        ),
        ("invoicedate", "0000-01-01 00:00:00", "invoicedate '0000-01-01 00:00:00' is not a time"),
        ("invoicedate", "0001-01-01 00:00:00", "invoicedate '0001-01-01 00:00:00' is not a time"),
        ("invoicedate", "9999-01-01 00:00:00", "invoicedate '9999-01-01 00:00:00' is not a time"),
        ("invoicedate", "2010-12-01 24:00:00", "invoicedate '2010-12-01 24:00:00' is not a time"),
        ("invoicedate", "12/1/2010 8:26", "invoicedate '12/1/2010 8:26' is not a time"),
        ("invoicedate", "2010-12-01 08:26:00.5", "invoicedate '2010-12-01 08:26:00.5' is not a time"),
        ("invoicedate", 20101201, "invoicedate 20101201 is not a time"),
        ("invoiceno", "", "invoiceno is empty"),
        ("invoiceno", {"a": 1}, "invoiceno {'a': 1} is not a text"),
        ("customerid", float("nan"), "customerid nan is not a text"),
        ("customerid", float("inf"), "customerid inf is not a text"),
        ("description", "a\rb", "description holds a control character, or half of a character"),
        ("stockcode", "a\x00b", "stockcode holds a control character, or half of a character"),
        ("country", "\ud83c", "country holds a control character, or half of a character"),
        ("description", "x" * 1001, "description has 1,001 characters; 1,000 at most"),
    ],
    ids=lambda value: ascii(value)[:40] if isinstance(value, str) else type(value).__name__,
)
def test_a_value_that_is_none_is_refused_with_its_reason(field: str, value: object, reason: str) -> None:
    assert reasons(**{field: value}).startswith(reason)


def test_every_reason_is_given_at_once() -> None:
    assert reasons(quantity="many", country="", unitprice=None) == (
        "quantity 'many' is not a whole number; unitprice is empty; country is empty"
    )


# Identity.


@given(LINES, st.sampled_from(Line._fields), LINES)
def test_lines_that_differ_in_anything_have_different_ids(line: Line, field: str, other: Line) -> None:
    changed = line._replace(**{field: getattr(other, field)})
    assert (changed.line_id == line.line_id) == (changed == line)
    assert (changed.content_id == line.content_id) == (changed._replace(repeat=1) == line._replace(repeat=1))


@given(st.lists(st.text(st.sampled_from("|12a"), min_size=1, max_size=4), min_size=5, max_size=5), st.data())
def test_no_text_moved_to_its_neighbour_gives_the_same_id(texts: list[str], data: st.DataObject) -> None:
    def line(invoice_no: str, stock_code: str, customer_id: str, country: str, description: str) -> Line:
        return CLEAN._replace(
            invoice_no=invoice_no,
            stock_code=stock_code,
            customer_id=customer_id,
            country=country,
            description=description,
        )

    whole = "|".join(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=4, max_size=4)))
    others = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert (line(*others).line_id == line(*texts).line_id) == (others == texts)


def test_the_id_of_a_line_stays_what_it_was() -> None:
    assert CLEAN.line_id == "a022d9781dfd993401682b3b947a1545-1"


def test_a_line_end_in_a_text_is_a_line_feed() -> None:
    assert read_line({**SENT, "description": "A\r\nB"}) == read_line({**SENT, "description": "A\nB"})


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_lines_that_are_alike_are_numbered_in_their_order(countries: list[str]) -> None:
    numbered = list(counted(CLEAN._replace(country=country) for country in countries))
    assert [line.country for line in numbered] == countries
    for country in set(countries):
        mine = [line.repeat for line in numbered if line.country == country]
        assert mine == list(range(1, len(mine) + 1))


# Records.


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": "6"},
        {"quantity": True},
        {"quantity": 6.0},
        {"repeat": 0},
        {"unitprice": 2.55},
        {"unitprice": "2.55"},
        {"unitprice": ["2.5500"]},
        {"invoicedate": "2010-12-01"},
        {"invoicedate": None},
        {"invoicedate": "2010-02-30 08:26:00"},
        {"invoiceno": ""},
        {"invoiceno": 536365},
        {"country": None},
        {"description": ""},
        {"stockcode": "x" * 65},
        {"stockcode": "\x00"},
        {"stockcode": "\r"},
        {"customerid": {}},
    ],
    ids=str,
)
def test_a_record_that_reading_could_not_have_left_is_unreadable(changed: dict[str, object]) -> None:
    held: dict[str, Any] = json.loads(CLEAN.record())
    with pytest.raises(RecordUnreadable):
        Line.of_record(json.dumps({**held, **changed}).encode())


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value, default=str).encode()))
def test_what_is_no_record_of_a_line_is_unreadable(data: bytes) -> None:
    with pytest.raises(RecordUnreadable):
        Line.of_record(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_record_is_unreadable_or_another_clean_line(place: int, byte: int) -> None:
    data = bytearray(CLEAN.record())
    data[place % len(data)] = byte
    try:
        line = Line.of_record(bytes(data))
    except RecordUnreadable:
        return
    assert Line.of_record(line.record()) == line


def test_a_deeply_nested_record_is_unreadable() -> None:
    for data in (b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"null", b"", b"\xff"):
        with pytest.raises(RecordUnreadable):
            Line.of_record(data)
