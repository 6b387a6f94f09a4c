"""What ingest makes of files of lines: amounts to the last decimal, and whatever the API accepts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from instacart_pipeline.engine.ingest import ingest_table
from instacart_pipeline.retail.lines import FIELDS, Line, LineInvalid, read_line
from instacart_pipeline.retail.tables import STREAMED_LINES

LINE = {
    "invoiceno": "536365",
    "stockcode": "85123A",
    "description": "WHITE HANGING HEART",
    "quantity": "6",
    "invoicedate": "2010-12-01 08:26:00",
    "unitprice": "2.55",
    "customerid": "17850.0",
    "country": "United Kingdom",
    "repeat": "1",
}
_SPACES = st.sampled_from(["", " ", "  "])
_AMOUNT = st.from_regex(r"[+-]?[0-9]{1,10}(\.[0-9]{0,6})?", fullmatch=True) | st.sampled_from(
    ["", "1e3", ".5", "5.", "abc", "2.55550", "2.55555", "-0.0000", "99999999999999.9999", "٣", "1,5", "nan", "inf"]
)
_TIMES = st.from_regex(
    r"201[01]-(0[1-9]|1[0-3])-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.0*)?)?", fullmatch=True
)
_TEXTS = st.text(st.sampled_from("aé|,\"'\n\r 0.C"), max_size=8)
_GIVEN = st.fixed_dictionaries(
    {
        "invoiceno": _TEXTS,
        "stockcode": _TEXTS,
        "description": _TEXTS,
        "quantity": st.from_regex(r"[+-]?[0-9]{1,8}(\.0{0,2})?", fullmatch=True) | st.sampled_from(["2.5", "", "x"]),
        "invoicedate": _TIMES,
        "unitprice": _AMOUNT,
        "customerid": _TEXTS,
        "country": _TEXTS,
        "repeat": st.sampled_from(["1", "2", "3.0", "0", "-1", "1000001"]),
    }
)


class Ingest:
    """Ingest over one file at a time, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._runs = folder, 0

    def read(self, rows: Sequence[dict[str, str]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows ingested of a file with `rows`, and its rejects."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        good, rejects, scratch = (folder / name for name in ("good", "rejects", "scratch"))
        for made in (good, rejects, scratch):
            made.mkdir(parents=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        file = folder / "lines.csv"
        file.write_text(text.getvalue(), encoding="utf-8")
        with duckdb.connect() as connection:
            ingest_table(connection, [file], STREAMED_LINES, {}, good, rejects, scratch, folder)
        return parquet.read_table(good).to_pylist(), parquet.read_table(rejects).to_pylist()


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    return Ingest(tmp_path)


AMOUNTS = {
    "2.55": "2.5500",
    "2.5": "2.5000",
    "-11062.06": "-11062.0600",
    "0.0001": "0.0001",
    "2.55550": "2.5555",
    "+7": "7.0000",
    "5.": "5.0000",
    "-0.00": "0.0000",
    "99999.9999": "99999.9999",
    "-100000": "-100000.0000",
}
"""As they are written, and as they are read."""
NO_AMOUNTS = ("2.55555", "1e3", "2.5E1", ".5", "nan", "inf", "2,55", "£2", "100000000000000")


@pytest.mark.parametrize("beside_a_bad_row", [False, True], ids=["read quickly", "read row by row"])
def test_an_amount_is_read_to_the_last_decimal(ingest: Ingest, *, beside_a_bad_row: bool) -> None:
    bad = [{**LINE, "quantity": "many"}] if beside_a_bad_row else []
    rows, rejects = ingest.read([*({**LINE, "unitprice": written} for written in AMOUNTS), *bad])
    assert [row["unitprice"] for row in rows] == [Decimal(value) for value in AMOUNTS.values()]
    assert len(rejects) == len(bad)


def test_what_is_no_amount_is_rejected_with_its_reason_and_never_rounded(ingest: Ingest) -> None:
    rows, rejects = ingest.read([LINE, *({**LINE, "unitprice": written} for written in NO_AMOUNTS)])
    assert [row["unitprice"] for row in rows] == [Decimal("2.5500")]
    assert [(found["line"], found["column_name"], found["reason"]) for found in rejects] == [
        (line, "unitprice", f"unitprice '{written}' is not an amount of at most 14 digits and four decimals")
        for line, written in enumerate(NO_AMOUNTS, 3)
    ]


def test_an_amount_that_is_empty_or_out_of_range_is_rejected_saying_so(ingest: Ingest) -> None:
    _, rejects = ingest.read([{**LINE, "unitprice": ""}, {**LINE, "unitprice": "100000.01"}])
    assert [found["reason"] for found in rejects] == [
        "unitprice is empty",
        "unitprice 100000.01 is not between -100000 and 100000",
    ]


# Many lines in few files: a file costs far more than a line.
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large])
@given(st.lists(_GIVEN, min_size=10, max_size=40))
def test_what_the_api_accepts_the_intake_accepts_with_equal_values(ingest: Ingest, lines: list[dict[str, str]]) -> None:
    accepted = [(sent, line) for sent in lines if (line := _read(sent))]
    if not accepted:
        return
    rows, rejects = ingest.read([sent for sent, _ in accepted])
    assert rejects == []
    for row, (_, line) in zip(rows, accepted, strict=True):
        assert (row["quantity"], row["repeat"]) == (line.quantity, line.repeat)
        assert row["invoicedate"] == datetime.fromisoformat(line.invoice_time)
        assert row["unitprice"] == Decimal(line.unit_price)
        texts = [(row[name] or "").strip(" ") for name in ("invoiceno", "stockcode", "description", "country")]
        assert texts == [line.invoice_no, line.stock_code, line.description or "", line.country]


def _read(sent: dict[str, str]) -> Line | None:
    """The line as the API reads it; None if it doesn't accept it."""
    try:
        return read_line(sent)
    except LineInvalid:
        return None
