"""Every way in agrees on what a line is: what the API accepts, written by the stream's consumer, comes out of the lake as it went in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from instacart_pipeline.engine.ingest import ingest_table
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import schema_of
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.assets import sql
from instacart_pipeline.retail.consumers.raw_zone import csv_of
from instacart_pipeline.retail.lines import Line, LineInvalid, counted, read_line
from instacart_pipeline_tests.retail.test_lines import SENT
from instacart_pipeline_tests.retail.test_transactions import DAY, as_row, sorted_rows

LIMITS = {
    name: f"{sign}{most}" for name, most, sign in (("quantity", t.MOST_PIECES, ""), ("unitprice", t.MOST_PRICE, "-"))
}
_TEXTS = st.text(st.sampled_from("a|1~\\é,;\"'\n\r\t 0.C\x0b\x1c\x85\u2028\ufeff\U0001f9e6"), max_size=6) | st.text(
    max_size=4
)
_SENT = st.fixed_dictionaries(
    {
        **dict.fromkeys(("invoiceno", "stockcode", "description", "country"), _TEXTS),
        "customerid": _TEXTS | st.sampled_from(["17850.0", "17850 .0", " .0", ".0.0", "unknown", "0"]),
        "quantity": st.integers(-t.MOST_PIECES, t.MOST_PIECES),
        "unitprice": st.sampled_from(["100000", "-100000", "0.0001", "-0"])
        | st.decimals(-t.MOST_PRICE, t.MOST_PRICE, places=4).map(str),
        "invoicedate": st.just(f"{DAY} 08:26") | st.times().map(lambda at: f"{DAY}T{at.isoformat('seconds')}"),
        "repeat": st.sampled_from([1, 2, t.STREAMED_LINES.column("repeat").between[1]]),  # type: ignore[index]  # it has a range
    }
)

_ONE_LAKE = [HealthCheck.function_scoped_fixture, HealthCheck.data_too_large, HealthCheck.large_base_example]
"""Many lines in few files: a file costs far more than a line."""


class Lake:
    """The lake below a folder, of one day: what ingest makes of files, and the transactions of both."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._runs = folder, 0
        self._statement = sql("transactions").bind(dt=DAY).render("duckdb", schema_of([*t.CURATED_TABLES.values()]))

    def of(self, *, uploaded: str = "", streamed: str = "") -> tuple[list[dict[str, Any]], list[str]]:
        """The day's transactions, made of the text of a file that was uploaded and of one that the stream's consumer wrote; the rejects' reasons."""
        self._runs += 1
        reasons = list[str]()
        with duckdb.connect() as connection:
            connection.execute(f"CREATE SCHEMA {t.CURATED}")
            for table, text in ((t.UPLOADED_LINES, uploaded), (t.STREAMED_LINES, streamed)):
                reasons += self._admit(connection, table, text)
            found = connection.sql(self._statement).to_arrow_table().to_pylist()
        return sorted_rows(found), reasons

    def _admit(self, connection: duckdb.DuckDBPyConnection, table: TableContract, text: str) -> list[str]:
        folder = self._folder / f"{self._runs}-{table.name}"
        good, rejects, scratch = (folder / name for name in ("good", "rejects", "scratch"))
        for made in (good, rejects, scratch):
            made.mkdir(parents=True)
        file = folder / "lines.csv"
        file.write_bytes(text.encode())
        with duckdb.connect() as own:
            ingest_table(own, [file] if text else [], table, {}, good, rejects, scratch, folder)
        connection.execute(
            f"CREATE VIEW {table.qualified_name} AS SELECT *, '{DAY}' AS dt FROM read_parquet('{good}/*.parquet')"
        )
        return [found["reason"] for found in parquet.read_table(rejects).to_pylist()]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def uploaded(lines: Sequence[dict[str, Any]]) -> str:
    """The text of a file with lines as a client has them."""
    names = t.UPLOADED_LINES.column_names
    rows = [",".join('"' + str(line[name]).replace('"', '""') + '"' for name in names) for line in lines]
    return "\n".join([",".join(names), *rows]) + "\n"


def _read(sent: dict[str, Any]) -> Line | None:
    try:
        return read_line(sent)
    except LineInvalid:
        return None


@settings(max_examples=5, suppress_health_check=_ONE_LAKE)
@given(st.lists(_SENT, min_size=30, max_size=80))
def test_what_the_api_accepts_comes_out_of_the_stream_as_it_went_in(lake: Lake, given: list[dict[str, Any]]) -> None:
    lines = {line for line in map(_read, given) if line}
    found, reasons = lake.of(streamed=csv_of(sorted(lines, key=lambda line: line.line_id)))
    assert reasons == []
    assert found == sorted_rows(as_row(line, "stream") for line in lines)


@settings(max_examples=5, suppress_health_check=_ONE_LAKE)
@given(st.lists(_SENT, min_size=30, max_size=80))
def test_a_file_is_held_to_just_what_the_api_is(lake: Lake, given: list[dict[str, Any]]) -> None:
    wanted = [{**sent, "repeat": 1} for sent in given]
    lines = list(counted(line for line in map(_read, wanted) if line))
    found, reasons = lake.of(uploaded=uploaded(wanted))
    assert len(reasons) == len(wanted) - len(lines)
    assert found == sorted_rows(as_row(line, "upload") for line in lines)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"invoiceno": "  "}, "invoiceno is empty"),
    ({"country": ""}, "country is empty"),
    ({"description": "a\rb"}, "description holds a control character"),
    ({"stockcode": "\x00"}, "stockcode holds a control character"),
    ({"description": "x" * 1001}, "description has 1,001 characters; 1,000 at most"),
    ({"invoiceno": "x" * 65}, "invoiceno has 65 characters; 64 at most"),
    ({"quantity": 1_000_001}, "quantity 1000001 is not between -1e+06 and 1e+06"),
    ({"unitprice": "-100000.0001"}, "unitprice -100000.0001 is not between -100000 and 100000"),
]


def test_what_is_refused_is_refused_either_way_with_its_reason(lake: Lake) -> None:
    wrong = [{**SENT, **changed} for changed, _ in REFUSED]
    for each, (_, reason) in zip(wrong, REFUSED, strict=True):
        with pytest.raises(LineInvalid, match=reason.split(maxsplit=1)[0]):
            read_line(each)
    found, reasons = lake.of(uploaded=uploaded([SENT, *wrong]))
    assert (len(found), reasons) == (1, [reason for _, reason in REFUSED])


def test_a_file_of_one_line_that_is_refused_has_no_line(lake: Lake) -> None:
    assert lake.of(uploaded=uploaded([{**SENT, "country": ""}])) == ([], ["country is empty"])


def test_line_ends_inside_quotes_are_kept_as_line_feeds_either_way(lake: Lake) -> None:
    kept = {"A\nB": "A\nB", "C\r\nD": "C\nD", " \tA ": "\tA", "x" * 1000: "x" * 1000}
    sent = [{**SENT, "description": given} for given in kept]
    lines = [read_line(each) for each in sent]
    assert [line.description for line in lines] == [*kept.values()]
    found, reasons = lake.of(uploaded=uploaded(sent), streamed=csv_of(lines))
    assert (found, reasons) == (sorted_rows(as_row(line, "both") for line in lines), [])


def test_the_largest_line_there_may_be_comes_through_either_way(lake: Lake) -> None:
    sent: list[dict[str, Any]] = [{**SENT, **LIMITS}, {**SENT, **LIMITS, "quantity": -t.MOST_PIECES}]
    lines = [read_line(each) for each in sent]
    found, reasons = lake.of(uploaded=uploaded(sent), streamed=csv_of(lines))
    assert reasons == []
    assert found == sorted_rows(as_row(line, "both") for line in lines)
    assert {abs(row["amount"]) for row in found} == {t.MOST_PIECES * t.MOST_PRICE}


def test_fields_that_are_told_apart_by_a_bar_alone_are_two_lines(lake: Lake) -> None:
    sent = [{**SENT, "invoiceno": "1|2", "stockcode": "3"}, {**SENT, "invoiceno": "1", "stockcode": "2|3"}]
    found, _ = lake.of(uploaded=uploaded(sent), streamed=csv_of([read_line(each) for each in sent]))
    assert [row["came_by"] for row in found] == ["both", "both"]
    assert len({row["line_id"] for row in found}) == 2
