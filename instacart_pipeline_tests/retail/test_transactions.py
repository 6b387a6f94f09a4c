"""Where both ways in meet: the statement of transactions against retail/lines.py, line by line, on DuckDB and on Spark."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.assets import sql
from instacart_pipeline.retail.lines import Line, counted, folded, read_line
from instacart_pipeline_tests.on_spark import on_spark
from instacart_pipeline_tests.platform import Platform, Row

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = "2010-12-01"
REAL_DAYS = ("2010-12-01", "2010-12-09", "2011-08-30", "2011-12-09")
"""The first; one with an invoice of several times; one with a bad debt; the last."""
SENT: dict[str, str] = {
    "invoiceno": "536365",
    "stockcode": "85123A",
    "description": "WHITE HANGING HEART",
    "quantity": "6",
    "invoicedate": f"{DAY} 08:26:00",
    "unitprice": "2.55",
    "customerid": "17850.0",
    "country": "United Kingdom",
}


def sent(**changes: str) -> dict[str, str]:
    """A line as a client sends it."""
    return {**SENT, **changes}


def given(
    platform: Platform, uploaded: Iterable[Mapping[str, str]] = (), streamed: Iterable[Line] = (), dt: str = DAY
) -> None:
    """Put what was ingested of a day's file and of the stream into the lake."""
    platform.put_rows(t.UPLOADED_LINES, [_typed(line) for line in uploaded], dt=dt)
    fields = t.STREAMED_LINES.column_names
    rows = [_typed({**dict(zip(fields, map(_text, line), strict=True))}) for line in streamed]
    platform.put_rows(t.STREAMED_LINES, rows, dt=dt)


def transactions(platform: Platform, dt: str = DAY) -> list[Row]:
    """The day's transactions, made anew by the Glue job."""
    platform.resources.glue.run(GlueJob("retail_transactions", sql("transactions")), t.TRANSACTIONS, dt)
    return platform.rows(t.TRANSACTIONS, dt)


def as_row(line: Line, came_by: str) -> Row:
    """The transaction that a line makes."""
    return {
        "line_id": line.line_id,
        "invoice_no": line.invoice_no,
        "stock_code": line.stock_code,
        "description": line.description,
        "quantity": line.quantity,
        "invoice_time": datetime.fromisoformat(line.invoice_time),
        "unit_price": Decimal(line.unit_price),
        "amount": line.quantity * Decimal(line.unit_price),
        "customer_id": line.customer_id,
        "country": line.country,
        "is_product": line.is_product,
        "is_cancellation": line.is_cancellation,
        "repeat": line.repeat,
        "came_by": came_by,
    }


QUIRKS = [
    sent(),
    sent(description="  POPPY'S PLAYHOUSE BEDROOM "),
    sent(description=""),
    sent(description="   "),
    sent(customerid=""),
    sent(customerid="  "),
    sent(customerid=".0"),
    sent(customerid="12.0.0"),
    sent(customerid="17851 .0"),
    sent(customerid=" .0"),
    sent(customerid="17850"),
    sent(invoiceno=" C536379 ", quantity="-1", unitprice="27.5"),
    sent(invoiceno="A563185", stockcode="B", unitprice="-11062.06", customerid=""),
    sent(stockcode="POST", description="POSTAGE"),
    sent(stockcode="8512A"),
    sent(stockcode="85123a", country="EIRE"),
    sent(invoiceno="1|2", stockcode="3"),
    sent(invoiceno="1", stockcode="2|3"),
    sent(invoiceno="1|1|2", stockcode="3"),
    sent(country="EIRE|1|a", description="b"),
    sent(country="EIRE", description="1|a|b"),
    sent(description="\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 |1|"),
    sent(quantity="1000000", unitprice="100000"),
    sent(quantity="-1000000", unitprice="99999.9999"),
    sent(description='té|pipe "quoted" \'n\ttab'),
    sent(unitprice="0.0"),
    sent(unitprice="0.0001"),
    sent(invoicedate=f"{DAY} 23:59:59"),
]


def test_every_quirk_gives_the_very_line_that_the_api_makes_of_it(platform: Platform) -> None:
    given(platform, QUIRKS)
    lines = list(counted(read_line(line) for line in QUIRKS))
    assert transactions(platform) == sorted_rows(as_row(line, "upload") for line in lines)


def test_lines_alike_in_everything_are_counted_and_the_streams_doubles_are_not(platform: Platform) -> None:
    line = read_line(SENT)
    given(platform, [SENT, sent(customerid="17850"), SENT], [line, line, line._replace(repeat=2), line])
    found = transactions(platform)
    assert [(row["repeat"], row["came_by"]) for row in sorted(found, key=lambda row: row["repeat"])] == [
        (1, "both"),
        (2, "both"),
        (3, "upload"),
    ]


@pytest.mark.parametrize(("by_file", "by_stream", "came_by"), [(1, 0, "upload"), (0, 1, "stream"), (1, 1, "both")])
def test_a_line_is_the_same_whichever_way_it_came(
    platform: Platform, by_file: int, by_stream: int, came_by: str
) -> None:
    given(platform, QUIRKS * by_file, list(counted(map(read_line, QUIRKS))) * by_stream)
    lines = counted(map(read_line, QUIRKS))
    assert transactions(platform) == sorted_rows(as_row(line, came_by) for line in lines)


def test_lines_of_another_day_are_left_out(platform: Platform) -> None:
    other = sent(invoicedate="2010-12-02 00:00:00")
    given(platform, [SENT, other], [read_line(other)])
    assert [row["invoice_time"] for row in transactions(platform)] == [datetime(2010, 12, 1, 8, 26)]


def test_spark_gives_the_same_transactions_as_duckdb(platform: Platform, spark: SparkSession) -> None:
    given(platform, [*QUIRKS, *QUIRKS[:3]], counted(map(read_line, QUIRKS[5:])))
    assert on_spark(spark, platform, sql("transactions"), t.TRANSACTIONS, DAY) == transactions(platform)


@pytest.mark.timeout(600)
def test_real_days_give_the_lines_that_the_api_makes_of_them(platform: Platform, real_data: Path) -> None:
    for dt in REAL_DAYS:
        file = real_data / "online_retail" / "by-day" / f"{dt}.csv"
        platform.storage.put(t.SYSTEM, t.STAGED_UPLOADS.name, dt, [file])
        platform.resources.crawler.crawl(t.STAGED, dt)
        for staged, ingested in t.CURATED_TABLES.items():
            platform.resources.ingest.ingest_table(staged, ingested, dt, may_lack=True)
        with file.open(encoding="utf-8", newline="") as opened:
            reader = csv.reader(opened)
            names = [folded(name) for name in next(reader)]
            lines = list(counted(read_line(dict(zip(names, row, strict=True))) for row in reader))
        assert transactions(platform, dt) == sorted_rows(as_row(line, "upload") for line in lines)
        assert Counter(row["repeat"] > 1 for row in transactions(platform, dt))[True] == sum(
            line.repeat > 1 for line in lines
        )


@pytest.mark.timeout(900)
def test_spark_and_duckdb_agree_on_a_real_day(platform: Platform, real_data: Path, spark: SparkSession) -> None:
    dt = REAL_DAYS[1]
    with (real_data / "online_retail" / "by-day" / f"{dt}.csv").open(encoding="utf-8", newline="") as opened:
        reader = csv.reader(opened)
        names = [folded(name) for name in next(reader)]
        given(platform, [dict(zip(names, row, strict=True)) for row in reader], dt=dt)
    assert on_spark(spark, platform, sql("transactions"), t.TRANSACTIONS, dt) == transactions(platform, dt)


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order that Platform.rows has them."""
    return sorted(rows, key=lambda row: row["line_id"])


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _typed(line: Mapping[str, str]) -> dict[str, Any]:
    """A line as ingest leaves it."""
    made: dict[str, Any] = {name: text or None for name, text in line.items()}
    made["quantity"] = int(line["quantity"])
    made["invoicedate"] = datetime.fromisoformat(line["invoicedate"])
    made["unitprice"] = Decimal(line["unitprice"]).quantize(Decimal("0.0001"))
    return {**made, "repeat": int(line["repeat"])} if "repeat" in line else made
