"""What becomes of uploads that are not as they should be: nothing is dropped in silence, and nothing bad gets through."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instacart_pipeline.engine import csv_records
from instacart_pipeline.lake.contracts import Column, TableContract, rejects_of
from instacart_pipeline.lake.errors import ColumnsMissing, FileUnreadable, UploadChanged
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.crawler import CrawledTable
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline_tests.platform import DT, Platform, Row
from instacart_pipeline_tests.reorder.building import build
from instacart_pipeline_tests.tiers import costs

ORDERS_HEADER = "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n"
A_GOOD_ORDER = "1,7,prior,1,2,08,\n"
LATIN_1 = "café".encode("latin-1")

Files = Mapping[str, str | bytes]


def packed(content: bytes) -> bytes:
    """The content gzipped, the same bytes every time."""
    return gzip.compress(content, mtime=0)


class IngestHarness:
    """The raw zone, the crawler and ingest of a platform: as much of a run as one table needs."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.crawler, self.ingest = platform.resources.crawler, platform.resources.ingest

    def put(self, staged: TableContract, files: Files) -> None:
        """Make `files` the day's files of a table."""
        folder = self.platform.raw / staged.system / staged.name / f"dt={DT}"
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, content in files.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def crawl(self, staged: TableContract) -> CrawledTable:
        return self.crawler.crawl([staged], DT).tables[staged.name]

    def ingest_table(self, staged: TableContract, files: Files | str | bytes) -> Version:
        """Upload, crawl and ingest; the rows are accounted for on the way."""
        self.put(staged, files if isinstance(files, Mapping) else {f"{staged.name}.csv": files})
        self.crawl(staged)
        version = self.ingest.ingest_table(staged, t.CURATED_TABLES.get(staged) or ingested(staged), DT).version
        facts = {name: int(value) for name, value in version.facts.items()}
        assert facts["rows_in"] == version.rows + facts["rejects"] + facts["duplicates"]
        return version

    def rows(self, table: TableContract) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.platform.rows(table)]

    def rejects(self, table: TableContract) -> list[Row]:
        return self.platform.rejects(table)


def ingested(staged: TableContract) -> TableContract:
    return staged.moved_to(staged.database.replace("staging", "curated"))


def facts_of(version: Version) -> tuple[int, int, int]:
    """Rows in, rejects, duplicates."""
    return int(version.facts["rows_in"]), int(version.facts["rejects"]), int(version.facts["duplicates"])


@pytest.fixture
@costs("contract")
def harness(tmp_path: Path) -> IngestHarness:
    """A platform that lets any share of rows be rejected, with nothing in it."""
    return IngestHarness(Platform(tmp_path / "home", max_rejected=1.0))


@pytest.fixture
def stocked_door(harness: IngestHarness) -> IngestHarness:
    """The same with three aisles and two departments in it."""
    harness.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n1,fruits\n2,tea\n3,cheese\n")
    harness.ingest_table(t.STAGED_DEPARTMENTS, "department_id,department\n1,produce\n2,dairy\n")
    return harness


def damage(path: Path, old: str, new: str) -> None:
    """Replace a text that the file holds."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def unpublished(platform: Platform, *tables: TableContract) -> bool:
    return all(platform.catalog.find(table, DT) is None for table in tables)


DOWNSTREAM = (t.ORDERS, t.ORDER_PRODUCTS, *t.DERIVED)


# A table is missing.


def test_a_run_without_any_upload_says_that_nothing_is_there(platform: Platform) -> None:
    run = platform.run()
    assert not run.success
    assert "lacks aisles, departments, products, orders, order_products (found nothing under" in run.error


def test_a_run_without_two_tables_names_them_and_what_there_is(platform: Platform, upload_folder: Path) -> None:
    (upload_folder / "aisles.csv").unlink()
    (upload_folder / "products.csv").unlink()
    platform.upload(upload_folder)
    run = platform.run()
    assert (
        f"reorder upload of {DT} lacks aisles, products (found departments, orders, order_products__prior.csv, order_products__train.csv under"
        in run.error
    )
    assert f"instacart-pipeline upload reorder DIR --dt {DT}" in run.error
    assert unpublished(platform, *t.CURATED_TABLES.values(), *t.DERIVED)


# Columns.


def test_a_missing_column_stops_the_run_before_anything_downstream(platform: Platform, upload_folder: Path) -> None:
    damage(upload_folder / "products.csv", "product_name", "title")
    platform.upload(upload_folder)
    run = platform.run()
    assert not run.success
    assert f"lacks product_name (reorder/products/dt={DT}/products.csv); unexpected: title." in run.error
    assert run.failed_checks == {("products", "columns_as_contracted")}
    assert unpublished(platform, *t.CURATED_TABLES.values(), *t.DERIVED)


def test_one_of_two_files_without_a_column_is_the_one_named(harness: IngestHarness) -> None:
    harness.put(t.STAGED_AISLES, {"a.csv": "aisle_id,aisle\n1,x\n", "b.csv": "aisle_id,ilse\n2,y\n"})
    found = harness.crawl(t.STAGED_AISLES)
    assert found.missing_columns == (f"aisle (reorder/aisles/dt={DT}/b.csv)",)
    assert found.extra_columns == ("ilse",)
    with pytest.raises(ColumnsMissing, match=r"b\.csv lacks aisle \(unexpected: ilse\)"):
        harness.ingest.ingest_table(t.STAGED_AISLES, t.AISLES, DT)


def test_an_extra_column_is_reported_and_ignored(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_AISLES, "colour,aisle_id,aisle\nred,1,x\n,2,y\n")
    assert harness.crawl(t.STAGED_AISLES).extra_columns == ("colour",)
    assert (facts_of(version), harness.rows(t.AISLES)) == ((2, 0, 0), [(1, "x"), (2, "y")])


def test_rows_that_differ_in_an_extra_column_only_are_exact_duplicates(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_AISLES, "colour,aisle_id,aisle\nred,1,x\nblue,1,x\n")
    assert (facts_of(version), harness.rows(t.AISLES)) == ((2, 0, 1), [(1, "x")])


def test_a_column_without_a_name_is_an_extra_one(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_AISLES, ",aisle_id,aisle\n0,1,x\n1,zwei,y\n")
    assert harness.crawl(t.STAGED_AISLES).extra_columns == ("col0",)
    assert (facts_of(version), harness.rejects(t.AISLES)[0]["raw"]) == ((2, 1, 0), "1,zwei,y")


def test_a_column_named_twice_is_an_error(harness: IngestHarness) -> None:
    harness.put(t.STAGED_AISLES, {"aisles.csv": "aisle_id,aisle,Aisle\n1,x,y\n"})
    assert "aisles.csv, line 1: the header names the column aisle twice" in harness.crawl(t.STAGED_AISLES).problem


@pytest.mark.parametrize(
    ("files", "rows"),
    [
        ({"a.csv": "aisle_id,aisle\n1,x\n", "b.csv": "aisle,aisle_id\ny,2\n"}, [(1, "x"), (2, "y")]),
        (
            {"a.csv": "aisle_id,aisle\n1,x\n", "b.csv.gz": packed(b"zz,aisle,aisle_id\n,y,2\n")},
            [(1, "x"), (2, "y")],
        ),
    ],
    ids=["columns in another order", "one of them gzipped, with an extra column"],
)
def test_a_table_may_come_in_several_files(harness: IngestHarness, files: Files, rows: list[tuple[Any, ...]]) -> None:
    version = harness.ingest_table(t.STAGED_AISLES, files)
    assert (facts_of(version), harness.rows(t.AISLES)) == ((2, 0, 0), rows)


# Files with nothing in them.


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "holds nothing at all"),
        (b"\xef\xbb\xbf", "holds nothing at all"),
        (b"\n\r\n\n", "holds nothing at all"),
        (packed(b""), "holds nothing at all"),
        (b"aisle_id,aisle", "holds only a header"),
        (b"aisle_id,aisle\r\n\r\n\n", "holds only a header"),
    ],
)
def test_an_empty_file_is_an_error(harness: IngestHarness, content: bytes, what: str) -> None:
    name = "aisles.csv.gz" if content.startswith(b"\x1f\x8b") else "aisles.csv"
    harness.put(t.STAGED_AISLES, {"good.csv": "aisle_id,aisle\n1,x\n", name: content})
    found = harness.crawl(t.STAGED_AISLES)
    assert found.change == "unreadable"
    assert f"{name} {what}" in found.problem


# Rows that break the contract.

BAD_ORDERS = {
    "1,7,prior,x,2,08,": ("order_number", "order_number 'x' is not a whole number"),
    "1,7,prior,2.7,2,08,": ("order_number", "order_number '2.7' is not a whole number"),
    "1,7,prior,9999999999999999999999,2,08,": (
        "order_number",
        "order_number 9999999999999999999999 is too large for int",
    ),
    "9999999999999999999999,7,prior,1,2,08,": ("order_id", "order_id 9999999999999999999999 is too large for bigint"),
    "1,7,prior,nan,2,08,": ("order_number", "order_number 'nan' is not a whole number"),
    "1,7,prior,2,2,08,nan": ("days_since_prior_order", "days_since_prior_order 'nan' is not a double"),
    "1,7,prior,2,2,08,inf": ("days_since_prior_order", "days_since_prior_order 'inf' is not a double"),
    "1,7,prior,2,2,8 o'clock,": ("order_hour_of_day", "order_hour_of_day '8 o'clock' is not a whole number"),
    ",7,prior,1,2,08,": ("order_id", "order_id is empty"),
    '"",7,prior,1,2,08,': ("order_id", "order_id is empty"),
    "1,,prior,1,2,08,": ("user_id", "user_id is empty"),
    "1,7,prior,1,7,08,": ("order_dow", "order_dow 7 is not between 0 and 6"),
    "1,7,prior,1,-1,08,": ("order_dow", "order_dow -1 is not between 0 and 6"),
    "1,7,prior,1,2,08,30.5": ("days_since_prior_order", "days_since_prior_order 30.5 is not between 0 and 30"),
    "1,7,Prior,1,2,08,": ("eval_set", "eval_set 'Prior' is none of prior, train, test"),
    '1,7,"a ""b"", c",1,2,08,': ("eval_set", "eval_set 'a \"b\", c' is none of prior, train, test"),
    "1,7,eval,x,2,24,": (
        "eval_set,order_number,order_hour_of_day",
        "eval_set 'eval' is none of prior, train, test; order_number 'x' is not a whole number; "
        "order_hour_of_day 24 is not between 0 and 23",
    ),
    "1,7,prior,1,2": (None, "5 fields where the header has 7"),
    "1": (None, "1 field where the header has 7"),
    "1,7,prior,1,2,08,,9": (None, "8 fields where the header has 7"),
    '1,7,"pri"or,1,2,08,': (None, "badly quoted: ',' expected after '\"'"),
}


def test_each_bad_row_is_kept_with_its_place_its_reason_and_its_text(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_ORDERS, ORDERS_HEADER + A_GOOD_ORDER + "\n".join(BAD_ORDERS) + "\n")
    assert harness.rows(t.ORDERS) == [(1, 7, "prior", 1, 2, 8, None)]
    assert facts_of(version) == (len(BAD_ORDERS) + 1, len(BAD_ORDERS), 0)
    assert sorted(harness.rejects(t.ORDERS), key=lambda row: int(row["line"])) == [
        {
            "file": f"reorder/orders/dt={DT}/orders.csv",
            "line": line,
            "column_name": column,
            "reason": reason,
            "raw": raw,
        }
        for line, (raw, (column, reason)) in enumerate(BAD_ORDERS.items(), start=3)
    ]


@pytest.mark.parametrize(
    "row",
    [
        "1,7,prior,2.7,2,08,",
        "9999999999999999999999,7,prior,1,2,08,",
        "1,7,prior,2,2,08,nan",
        '"",7,prior,1,2,08,',
        "1,7,prior,1,7,08,",
        "1,7,Prior,1,2,08,",
        "1,7,prior,1,2",
        "1,7,prior,1,2,08,,9",
        '1,7,"pri"or,1,2,08,',
    ],
    ids=["rounded", "too large", "no number", "empty", "out of range", "unknown", "short", "long", "badly quoted"],
)
def test_a_bad_row_is_found_by_itself_too(harness: IngestHarness, row: str) -> None:
    assert row in BAD_ORDERS
    version = harness.ingest_table(t.STAGED_ORDERS, f"{ORDERS_HEADER}{A_GOOD_ORDER}{row}\n")
    assert (facts_of(version), version.rows) == ((2, 1, 0), 1)
    assert [reject["raw"] for reject in harness.rejects(t.ORDERS)] == [row]


def test_a_line_is_counted_as_an_editor_counts_it(harness: IngestHarness) -> None:
    harness.ingest_table(t.STAGED_AISLES, 'aisle_id,aisle\r\n1,"two\r\nlines"\r\n\r\nx,"a\n\nb"\r\ny,z')
    assert [(row["line"], row["raw"]) for row in harness.rejects(t.AISLES)] == [(5, 'x,"a\n\nb"'), (8, "y,z")]


def test_a_reject_says_which_of_several_files_it_stands_in(harness: IngestHarness) -> None:
    harness.ingest_table(t.STAGED_AISLES, {"b.csv": "aisle_id,aisle\n1,b\n", "a'1.csv": "aisle,aisle_id\na,1\nz,x\n"})
    assert harness.rows(t.AISLES) == [(1, "a")]
    assert [(row["file"].rsplit("/")[-1], row["line"], row["raw"]) for row in harness.rejects(t.AISLES)] == [
        ("a'1.csv", 3, "z,x"),
        ("b.csv", 2, "1,b"),
    ]


def test_an_unclosed_quote_costs_its_own_line_only(harness: IngestHarness) -> None:
    rows = "".join(f"{number},aisle {number}\n" for number in range(10, 5000))
    version = harness.ingest_table(t.STAGED_AISLES, f'aisle_id,aisle\n1,fruits\n2,"tea\n{rows}3,"cheese"\n')
    assert (facts_of(version), version.rows) == ((4993, 1, 0), 4992)
    assert [(row["line"], row["raw"]) for row in harness.rejects(t.AISLES)] == [(3, '2,"tea')]


def test_an_unknown_foreign_key_is_rejected_under_its_columns_name(stocked_door: IngestHarness) -> None:
    header = "product_id,product_name,aisle_id,department_id\n"
    version = stocked_door.ingest_table(
        t.STAGED_PRODUCTS, f"{header}1,ok,3,2\n2,no such aisle,4,2\n3,neither,5,6\n4,none,,1\n"
    )
    assert (facts_of(version), stocked_door.rows(t.PRODUCTS)) == ((4, 3, 0), [(1, "ok", 3, 2)])
    assert [(row["line"], row["column_name"], row["reason"]) for row in stocked_door.rejects(t.PRODUCTS)] == [
        (3, "aisle_id", "aisle_id 4 is not in reorder_curated.aisles"),
        (
            4,
            "aisle_id,department_id",
            "aisle_id 5 is not in reorder_curated.aisles; department_id 6 is not in reorder_curated.departments",
        ),
        (5, "aisle_id", "aisle_id is empty"),
    ]


def test_of_rows_that_share_a_key_the_first_is_kept_and_the_others_are_rejected(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n2,zebra\n1,first\n1,second\n01,third\n")
    assert (facts_of(version), harness.rows(t.AISLES)) == ((4, 2, 0), [(1, "first"), (2, "zebra")])
    assert [(row["line"], row["column_name"], row["reason"], row["raw"]) for row in harness.rejects(t.AISLES)] == [
        (4, "aisle_id", "duplicate key (aisle_id 1) with other values than the row kept", "1,second"),
        (5, "aisle_id", "duplicate key (aisle_id 1) with other values than the row kept", "01,third"),
    ]


def test_two_orders_of_a_user_with_one_number_are_no_exact_duplicates(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_ORDERS, ORDERS_HEADER + "1,7,prior,1,2,08,\n2,7,prior,1,2,08,\n")
    assert (facts_of(version), version.rows) == ((2, 1, 0), 1)
    assert harness.rejects(t.ORDERS)[0]["column_name"] == "user_id,order_number"


def test_exact_duplicates_are_dropped_and_counted(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_ORDERS, ORDERS_HEADER + A_GOOD_ORDER * 3)
    assert (facts_of(version), version.rows, harness.rejects(t.ORDERS)) == ((3, 0, 2), 1, [])


def test_whole_numbers_too_large_for_a_double_keep_every_digit(harness: IngestHarness) -> None:
    ids = [9007199254740993, -9007199254740993, 9223372036854775807]
    harness.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n" + "".join(f"{number},x\n" for number in ids))
    assert {row[0] for row in harness.rows(t.AISLES)} == set(ids)


# The chain with bad rows in it.


def test_few_bad_rows_are_set_aside_and_the_chain_goes_on(harness: IngestHarness, upload_folder: Path) -> None:
    damage(upload_folder / "order_products__prior.csv", "\n1,", "\n1,x,1,0\n999,1,1,0\n1,")
    platform = build(harness.platform, upload_folder)
    assert {row["raw"] for row in platform.rejects(t.ORDER_PRODUCTS)} == {"1,x,1,0", "999,1,1,0"}
    version = platform.catalog.current(t.ORDER_PRODUCTS, DT)
    accounts = version.outcome("rows_accounted")
    assert accounts
    assert accounts.detail == f"{version.rows + 2} rows in = {version.rows} published + 2 rejects + 0 duplicates."
    assert platform.rows(t.RESULT_TABLE)


def test_too_many_rejects_leave_readers_with_the_version_before(platform: Platform, upload_folder: Path) -> None:
    build(platform, upload_folder)
    before = {table.name: platform.catalog.current(table, DT) for table in DOWNSTREAM}

    damage(upload_folder / "orders.csv", ",prior,", ",previous,")
    damage(upload_folder / "orders.csv", ",train,", ",training,")
    platform.upload(upload_folder)
    run = platform.run()

    assert not run.success
    assert "2 of 30 rows rejected (6.67%; at most 1.00% may be)." in run.error
    assert "SELECT * FROM reorder_curated.orders_rejects" in run.error
    assert run.failed_checks == {("orders", "rejects_within_limit")}
    assert {table.name: platform.catalog.current(table, DT) for table in DOWNSTREAM} == before
    assert [row["reason"] for row in platform.rejects(t.ORDERS)] == [
        "eval_set 'previous' is none of prior, train, test",
        "eval_set 'training' is none of prior, train, test",
    ]
    assert platform.orphaned_files() == []


@pytest.mark.parametrize(("max_rejected", "accepted"), [(0.0, False), (0.24, False), (0.25, True), (1.0, True)])
def test_the_share_that_may_be_rejected_is_a_setting(tmp_path: Path, max_rejected: float, accepted: bool) -> None:
    harness = IngestHarness(Platform(tmp_path / "home", max_rejected=max_rejected))
    upload = "aisle_id,aisle\n1,a\n2,b\n3,c\nx,d\n"
    if accepted:
        assert harness.ingest_table(t.STAGED_AISLES, upload).rows == 3
        return
    with pytest.raises(VersionRefused, match="1 of 4 rows rejected"):
        harness.ingest_table(t.STAGED_AISLES, upload)
    assert unpublished(harness.platform, t.AISLES)
    assert len(harness.rejects(t.AISLES)) == 1


def test_rows_that_are_all_rejected_leave_an_empty_table_if_that_is_allowed(harness: IngestHarness) -> None:
    version = harness.ingest_table(t.STAGED_ORDERS, ORDERS_HEADER + "x,7,prior,1,2,08,\n")
    assert (facts_of(version), harness.rows(t.ORDERS)) == ((1, 1, 0), [])


# Files that are unusual but right.

AS_MEANT = "aisle_id,aisle\n1,fruits\n2,tea\n"


@pytest.mark.parametrize(
    "files",
    [
        {"a.csv": "\ufeff" + AS_MEANT},
        {"a.csv": AS_MEANT.replace("\n", "\r\n")},
        {"a.csv": "\ufeff" + AS_MEANT.replace("\n", "\r\n")},
        {"a.csv": AS_MEANT.replace("1,fruits\n", "1,fruits\r\n")},
        {"a.csv": AS_MEANT.replace("\n", "\r")},
        {"a.csv.gz": packed(AS_MEANT.encode())},
        {"a.CSV.GZ": packed(b"\xef\xbb\xbf" + AS_MEANT.encode())},
        {"a.csv.gz": packed(b"aisle_id,aisle\n1,fru") + packed(b"its\n2,tea\n")},
        {"a.csv": AS_MEANT.rstrip("\n")},
        {"a.csv": AS_MEANT + "\n\n\r\n"},
        {"a.csv": "\n\n" + AS_MEANT},
        {"a.csv": AS_MEANT.replace("1,", "\n1,")},
        {"a.csv": AS_MEANT.replace("aisle_id,aisle", "AISLE_ID,Aisle")},
        {"a.csv": AS_MEANT.replace("aisle_id,aisle", ' "aisle_id" , aisle ')},
        {"a.csv": '\ufeff"aisle_id","aisle"\n"1","fruits"\n"2","tea"\n'},
        {"a.csv": AS_MEANT.replace("1,", " 01 ,").replace("2,", "2.0,")},
        {"a.csv": "aisle_id,aisle,\n1,fruits,\n2,tea,\n"},
        {"a.csv": "aisle_id,aisle\n1,fruits,\n2,tea,,\n"},
        {"a.csv": AS_MEANT, "_SUCCESS": "", ".b.csv.part": "x", "notes.txt": "none of it"},
    ],
    ids=[
        "BOM",
        "CRLF",
        "BOM and CRLF",
        "mixed line ends",
        "CR",
        "gzip",
        "gzip in capitals with a BOM",
        "gzip in two members",
        "no line end at the end",
        "blank lines at the end",
        "blank lines at the start",
        "blank line in the middle",
        "upper-case header",
        "spaces in the header",
        "everything quoted, with a BOM",
        "spaces, zeros and a decimal point at numbers",
        "commas at every line's end",
        "commas at rows' ends",
        "files beside it that are no data",
    ],
)
def test_a_file_is_read_as_it_is_meant(harness: IngestHarness, files: Files) -> None:
    version = harness.ingest_table(t.STAGED_AISLES, files)
    assert (facts_of(version), harness.rows(t.AISLES)) == ((2, 0, 0), [(1, "fruits"), (2, "tea")])


NAMES_AS_WRITTEN = [
    "a, b",
    'the "best"',
    "two\nlines",
    "two\r\nlines",
    '"',
    ",",
    " spaces ",
    "Crème Brûlée 日本 🍵",
    "O'Brien",
    "a\\b",
    "NULL",
    "x" * 50_000,
]


@pytest.mark.parametrize("damaged", [False, True], ids=["by themselves", "beside a bad row"])
@pytest.mark.parametrize(
    "names",
    [NAMES_AS_WRITTEN, ["a, b"], ["two\r\nlines"], ['"']],
    ids=["all", "a comma", "two lines", "a quote"],
)
def test_names_arrive_as_they_were_written(harness: IngestHarness, names: list[str], damaged: bool) -> None:
    text = io.StringIO(newline="")
    rows = [["aisle_id", "aisle"], *enumerate(names), *([["x", "bad"]] if damaged else [])]
    csv.writer(text).writerows(rows)
    version = harness.ingest_table(t.STAGED_AISLES, text.getvalue())
    assert (facts_of(version)[1], harness.rows(t.AISLES)) == (int(damaged), list(enumerate(names)))


@pytest.mark.parametrize("damaged", [False, True], ids=["by itself", "beside a bad row"])
def test_a_quote_inside_an_unquoted_name_is_part_of_it(harness: IngestHarness, damaged: bool) -> None:
    names = ['5" wide', 'o"n"e']
    lines = "".join(f"{number},{name}\n" for number, name in enumerate(names))
    harness.ingest_table(t.STAGED_AISLES, f"aisle_id,aisle\n{lines}" + ("x,bad\n" if damaged else ""))
    assert harness.rows(t.AISLES) == list(enumerate(names))


def test_hours_are_read_padded_or_not(harness: IngestHarness) -> None:
    harness.ingest_table(
        t.STAGED_ORDERS, ORDERS_HEADER + "1,7,prior,1,2,08,\n2,7,prior,2,2,8,7.0\n3,7,prior,3,2,00,7\n"
    )
    assert [row[5:] for row in harness.rows(t.ORDERS)] == [(8, None), (8, 7.0), (0, 7.0)]


# Files that can't be read.


def rows_up_to(last: int) -> bytes:
    """A file of aisles 1 to `last`: a line each, below the header."""
    return b"aisle_id,aisle\n" + b"".join(b"%d,aisle %d\n" % (number, number) for number in range(1, last + 1))


FAR_DOWN = len(rows_up_to(100_000)) + len(b"0,caf?")
UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "gzip cut short": (
        "a.csv.gz",
        packed(rows_up_to(9))[:-9],
        r"a\.csv\.gz is not a whole gzip file: it ends in line 11",
    ),
    "large gzip cut short": (
        "a.csv.gz",
        packed(rows_up_to(200_000))[:-100_000],
        r"a\.csv\.gz is not a whole gzip file: it ends in line 1\d\d\d\d\d ",
    ),
    "no gzip at all": ("a.csv.gz", rows_up_to(9), r"a\.csv\.gz is not a whole gzip file: it ends in line 1 "),
    "not UTF-8": (
        "a.csv",
        rows_up_to(9) + b"10," + LATIN_1 + b"\n",
        r"a\.csv, line 11: byte 112 of the file is not UTF-8",
    ),
    "not UTF-8 far down": (
        "a.csv",
        rows_up_to(100_000) + b"0," + LATIN_1 + b"\n" + rows_up_to(100_000),
        rf"a\.csv, line 100002: byte {FAR_DOWN} of the file is not UTF-8",
    ),
    "not UTF-8, gzipped": (
        "a.csv.gz",
        packed(rows_up_to(100_000) + b"0," + LATIN_1 + b"\n"),
        rf"a\.csv\.gz, line 100002: byte {FAR_DOWN} of the file is not UTF-8",
    ),
    "not UTF-8 in a quoted row": ("a.csv", rows_up_to(9) + b'10,"x\n' + LATIN_1 + b'"\n', r"a\.csv, line 12: byte "),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_an_error_naming_file_and_place(harness: IngestHarness, case: str) -> None:
    name, content, message = UNREADABLE[case]
    harness.put(t.STAGED_AISLES, {name: content})
    problem = harness.crawl(t.STAGED_AISLES).problem  # a crawl reads the first part only
    if not problem:
        with pytest.raises(FileUnreadable) as error:
            harness.ingest.ingest_table(t.STAGED_AISLES, t.AISLES, DT)
        problem = str(error.value)
    assert re.search(message, problem), problem


@pytest.mark.parametrize("case", ["large gzip cut short", "not UTF-8"])
def test_a_run_ends_with_the_error_of_an_unreadable_file(platform: Platform, upload_folder: Path, case: str) -> None:
    name, content, message = UNREADABLE[case]
    (upload_folder / "aisles.csv").unlink()
    (upload_folder / f"aisles{name[1:]}").write_bytes(content)
    platform.upload(upload_folder)
    run = platform.run()
    assert not run.success
    assert re.search(message.replace("a\\.csv", r"aisles\.csv"), run.error)
    assert unpublished(platform, t.AISLES, t.PRODUCTS, *t.DERIVED)


# Files that change.


@pytest.mark.parametrize(
    "files",
    [
        {"aisles.csv": "aisle_id,aisle\n1,other\n"},
        {"aisles.csv": "aisle_id,aisle\n1,fruits\n", "more.csv": "aisle_id,aisle\n2,tea\n"},
        {},
        {"aisles.csv": "quite,another\n1,file\n"},
    ],
    ids=["replaced", "added to", "removed", "replaced by another table's"],
)
def test_files_that_changed_since_the_crawl_are_not_read_as_those(stocked_door: IngestHarness, files: Files) -> None:
    before = stocked_door.rows(t.AISLES)
    stocked_door.put(t.STAGED_AISLES, {"aisles.csv": "aisle_id,aisle\n1,fruits\n"})
    stocked_door.crawl(t.STAGED_AISLES)
    stocked_door.put(t.STAGED_AISLES, files)
    with pytest.raises(UploadChanged, match=f"The files of reorder_staging.aisles dt={DT} changed"):
        stocked_door.ingest.ingest_table(t.STAGED_AISLES, t.AISLES, DT)
    assert stocked_door.rows(t.AISLES) == before
    assert stocked_door.platform.orphaned_files() == []


# Whatever comes: against a plain reading of the contract, row by row.

OWNERS = TableContract("reorder_staging", "owners", "Who parts belong to.", [Column("owner_id", "bigint", key=True)])
PARTS = TableContract(
    database="reorder_staging",
    name="parts",
    description="A table with a bit of everything.",
    columns=[
        Column("id", "bigint", key=True),
        Column("name", "string", nullable=False),
        Column("size", "int", between=(0, 10)),
        Column("weight", "double"),
        Column("line", "string", one_of=("a", "b")),
        Column("owner", "bigint", references=ingested(OWNERS)["owner_id"]),
    ],
    unique=(("name", "line"),),
)
KNOWN_OWNERS = (1, 2, 3)
NAMES = ["x", "y", " x", "a,b", 'say "so"', "two\nlines", "é", "O'B", ""]
TEXTS = {
    "id": ["1", "2", "3", "03", " 4 ", "5.0", "6e0", "7", "8", "9", "-1", "+10", "2.7", "x", "", "nan", "9" * 22],
    "name": NAMES,
    "size": ["0", "10", "007", "", "11", "-1", "1.5", "ten", "99999999999"],
    "weight": ["0", "1.5", "-2e3", "", ".5", "nan", "inf", "heavy", "1e999"],
    "line": ["a", "b", "", "c", "A", " a"],
    "owner": ["1", "2", "3", "", "4", "one"],
}


@dataclass
class Upload:
    """A file of parts: its columns in some order, and records as lists of texts, not all as many as there are columns."""

    columns: list[str]
    records: list[list[str]]
    quote_all: bool
    line_end: str
    blanks: set[int]
    final_line_end: bool
    bom: bool

    def text(self) -> str:
        lines = [self._line(record) for record in [self.columns, *self.records]]
        for position in sorted(self.blanks, reverse=True):
            if position <= len(lines):
                lines.insert(position, "")
        text = self.line_end.join(lines)
        return ("\ufeff" if self.bom else "") + text + (self.line_end if self.final_line_end else "")

    def _line(self, record: list[str]) -> str:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="", quoting=csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL).writerow(
            record
        )
        return text.getvalue()


@st.composite
def uploads(draw: st.DrawFn) -> Upload:
    columns = draw(st.permutations([*PARTS.column_names, *draw(st.sampled_from([[], ["extra"]]))]))
    mostly_right = {name: st.sampled_from(texts[: max(3, len(texts) // 2)]) for name, texts in TEXTS.items()}
    anything = {name: st.sampled_from(texts) for name, texts in TEXTS.items()}
    records: list[list[str]] = []
    for _ in range(draw(st.integers(1, 12))):
        if records and draw(st.integers(0, 5)) == 0:
            records.append(list(draw(st.sampled_from(records))))
            continue
        pool = draw(st.sampled_from([mostly_right, mostly_right, anything]))
        record = [draw(pool[name]) if name in pool else "q" for name in columns]
        kind = draw(st.integers(0, 11))
        records.append(
            record[:-2] if kind == 0 else [*record, "more"] if kind == 1 else [*record, ""] if kind == 2 else record
        )
    return Upload(
        columns=list(columns),
        records=records,
        quote_all=draw(st.booleans()),
        line_end=draw(st.sampled_from(["\n", "\r\n"])),
        blanks=set(draw(st.lists(st.integers(0, 12), max_size=2))),
        final_line_end=draw(st.booleans()),
        bom=draw(st.booleans()),
    )


@dataclass
class Reading:
    """What a plain reading of uploads comes to; rejects are (file, line)."""

    rows_in: int = 0
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: set[tuple[str, int]] = field(default_factory=set)
    duplicates: int = 0


def read_plainly(files: Mapping[str, str]) -> Reading:
    """The contract of PARTS, carried out a row at a time."""
    reading = Reading()
    standing: list[tuple[str, int, dict[str, Any]]] = []
    for name, text in sorted(files.items()):
        for line, fields, columns in numbered(text):
            reading.rows_in += 1
            row = row_of(columns, fields)
            if row is None or (row["owner"] is not None and row["owner"] not in KNOWN_OWNERS):
                reading.rejects.add((name, line))
            else:
                standing.append((name, line, row))
    for names in PARTS.unique_sets:
        seen: dict[tuple[Any, ...], dict[str, Any]] = {}
        kept = []
        for name, line, row in standing:
            key = tuple(row[column] for column in names)
            first = seen.setdefault(key, row) if None not in key else row
            if first is row:
                kept.append((name, line, row))
            elif first == row:
                reading.duplicates += 1
            else:
                reading.rejects.add((name, line))
        standing = kept
    reading.rows = [tuple(row.values()) for _, _, row in standing]
    return reading


def numbered(text: str) -> Iterable[tuple[int, list[str], list[str]]]:
    """(line, fields, columns) of each record below the header."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    columns: list[str] = []
    line = 1
    for fields in reader:
        if fields and columns:
            yield line, fields, columns
        columns = columns or fields
        line = reader.line_num + 1


def row_of(columns: Sequence[str], fields: Sequence[str]) -> dict[str, Any] | None:
    """The typed row, or None if it breaks the contract by itself."""
    if len(fields) < len(columns) or any(fields[len(columns) :]):
        return None
    texts = dict(zip(columns, fields, strict=False))
    parse: dict[str, Callable[[str], Any]] = {
        "bigint": whole(1 << 63),
        "int": whole(1 << 31),
        "double": finite,
        "string": str,
    }
    row = {}
    for column in PARTS.columns:
        try:
            value = parse[column.type](texts[column.name]) if texts[column.name] else None
        except ValueError:
            return None
        if value is None and column.required:
            return None
        if value is not None and column.between and not column.between[0] <= value <= column.between[1]:
            return None
        if value is not None and column.one_of and value not in column.one_of:
            return None
        row[column.name] = value
    return row


def whole(limit: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            if not finite(text).is_integer():
                raise
            value = int(float(text))
        if abs(value) >= limit:
            raise ValueError(text)
        return value

    return parse


def finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(text)
    return value


@pytest.fixture(scope="module")
@costs("contract")
def parts_door(tmp_path_factory: pytest.TempPathFactory) -> IngestHarness:
    harness = IngestHarness(Platform(tmp_path_factory.mktemp("parts"), max_rejected=1.0, retention_days=0))
    harness.ingest_table(OWNERS, "owner_id\n" + "".join(f"{owner}\n" for owner in KNOWN_OWNERS))
    return harness


@given(
    files=st.lists(uploads(), min_size=1, max_size=2), chunk=st.sampled_from([7, 64, 1 << 20]), gzipped=st.booleans()
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_uploaded_no_row_is_lost_and_the_contract_is_kept(
    parts_door: IngestHarness, files: list[Upload], chunk: int, gzipped: bool
) -> None:
    texts = {f"{number}.csv{'.gz' * gzipped}": upload.text() for number, upload in enumerate(files)}
    contents = {name: packed(text.encode()) if gzipped else text.encode() for name, text in texts.items()}
    with mock.patch.object(csv_records, "CHUNK", chunk):
        version = parts_door.ingest_table(PARTS, contents)
    plain = read_plainly(texts)
    assert facts_of(version) == (plain.rows_in, len(plain.rejects), plain.duplicates)
    assert sorted(contents_of(version), key=repr) == sorted(plain.rows, key=repr)
    rejected = parts_door.platform.catalog.current(rejects_of(ingested(PARTS)), DT)
    assert {(file.rsplit("/")[-1], line) for file, line, *_ in contents_of(rejected)} == plain.rejects


def contents_of(version: Version) -> list[tuple[Any, ...]]:
    """The rows of a version, straight from its files."""
    rows: list[tuple[Any, ...]] = []
    for path in Path(version.location).glob("*.parquet"):
        rows += [tuple(row.values()) for row in pq.ParquetFile(path).read().to_pylist()]
    return rows
