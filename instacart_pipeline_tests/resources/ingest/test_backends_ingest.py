"""Ingest, whichever backend: good rows are published, bad ones kept with their reason, duplicates counted, and nothing is lost."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

import pytest

from instacart_pipeline.lake.contracts import rejects_of
from instacart_pipeline.lake.errors import ColumnsMissing, FileUnreadable, TableNotFound, UploadChanged
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.versions import MixedUploads, Version
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline.retail import tables as retail
from instacart_pipeline_tests.resources.backends import DEEP_ON_AWS, LOCAL_ALONE, Day, Files, packed

ORDERS = "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n"
GOOD_ORDERS = "1,7,prior,1,2,08,\n2,7,prior,2,3,9,30.0\n3,7,train,3,6,23,0\n"
BAD_ORDERS = {
    "4,7,prior,x,2,08,": ("order_number", "order_number 'x' is not a whole number"),
    "4,7,prior,2.7,2,08,": ("order_number", "order_number '2.7' is not a whole number"),
    "9999999999999999999999,7,prior,1,2,08,": (
        "order_id",
        "order_id 9999999999999999999999 is too large for bigint",
    ),
    "4,7,prior,4,2,08,nan": ("days_since_prior_order", "days_since_prior_order 'nan' is not a double"),
    ",7,prior,4,2,08,": ("order_id", "order_id is empty"),
    "4,,prior,4,2,08,": ("user_id", "user_id is empty"),
    "4,7,prior,4,7,08,": ("order_dow", "order_dow 7 is not between 0 and 6"),
    "4,7,prior,4,2,08,30.5": ("days_since_prior_order", "days_since_prior_order 30.5 is not between 0 and 30"),
    '4,7,"a ""b"", c",4,2,08,': ("eval_set", "eval_set 'a \"b\", c' is none of prior, train, test"),
    "4,7,eval,x,2,24,": (
        "eval_set,order_number,order_hour_of_day",
        "eval_set 'eval' is none of prior, train, test; order_number 'x' is not a whole number; "
        "order_hour_of_day 24 is not between 0 and 23",
    ),
    "4,7,prior,4,2": (None, "5 fields where the header has 7"),
    "4,7,prior,4,2,08,,9": (None, "8 fields where the header has 7"),
    '4,7,"pri"or,4,2,08,': (None, "badly quoted: ',' expected after '\"'"),
    "1,8,prior,1,2,08,": ("order_id", "duplicate key (order_id 1) with other values than the row kept"),
    "5,7,prior,1,2,08,": (
        "user_id,order_number",
        "duplicate key (user_id 7, order_number 1) with other values than the row kept",
    ),
}


def facts_of(version: Version) -> tuple[int, int, int]:
    """Rows in, rejects, duplicates; the rows are accounted for on the way."""
    rows_in, rejects, duplicates = (int(version.facts[name]) for name in ("rows_in", "rejects", "duplicates"))
    assert rows_in == version.rows + rejects + duplicates
    return rows_in, rejects, duplicates


def stocked(day: Day) -> Day:
    """The day with three aisles and two departments in it."""
    day.put(t.STAGED_AISLES, "aisle_id,aisle\n1,fruits\n2,tea\n3,cheese\n")
    day.put(t.STAGED_DEPARTMENTS, "department_id,department\n1,produce\n2,dairy\n")
    day.crawl(t.STAGED_AISLES, t.STAGED_DEPARTMENTS)
    day.put_rows(t.AISLES, [{"aisle_id": number, "aisle": str(number)} for number in (1, 2, 3)])
    day.put_rows(t.DEPARTMENTS, [{"department_id": number, "department": str(number)} for number in (1, 2)])
    return day


@DEEP_ON_AWS
def test_bad_rows_are_kept_with_place_reason_and_text_and_good_ones_published(day: Day) -> None:
    published = day.ingest_table(t.STAGED_ORDERS, ORDERS + GOOD_ORDERS + GOOD_ORDERS + "\n".join(BAD_ORDERS) + "\n")
    assert day.tuples(t.ORDERS) == [
        (1, 7, "prior", 1, 2, 8, None),
        (2, 7, "prior", 2, 3, 9, 30.0),
        (3, 7, "train", 3, 6, 23, 0.0),
    ]
    assert facts_of(published.version) == (6 + len(BAD_ORDERS), len(BAD_ORDERS), 3)
    assert day.rejects(t.ORDERS) == [
        {
            "file": f"reorder/orders/dt={day.dt}/orders.csv",
            "line": line,
            "column_name": column,
            "reason": reason,
            "raw": raw,
        }
        for line, (raw, (column, reason)) in enumerate(BAD_ORDERS.items(), start=8)
    ]
    assert day.current(rejects_of(t.ORDERS)).rows == len(BAD_ORDERS)
    assert day.orphaned_files(t.ORDERS, rejects_of(t.ORDERS)) == []


def test_an_admission_is_published_with_its_facts_outcomes_and_lineage(day: Day) -> None:
    published = day.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n1,fruits\n1,fruits\n2,tea\nx,none\n")
    version = published.version
    assert (published.table, published.dt, published.superseded) == (t.AISLES, day.dt, False)
    assert published.seconds > 0
    assert version == day.current(t.AISLES)
    assert version.bytes > 0
    assert dict(version.lineage) == {"reorder_staging.aisles": day.current(t.STAGED_AISLES).name}
    assert dict(version.facts) == {"rows_in": "4", "rejects": "1", "duplicates": "1"}
    assert version.outcomes == (
        Outcome("no_nulls", 0, "Never NULL: aisle_id, aisle."),
        Outcome("unique_aisle_id", 0, "No two rows share (aisle_id)."),
        Outcome("rows_accounted", 0, "4 rows in = 2 published + 1 rejects + 1 duplicates."),
        Outcome("rejects_within_limit", 0, "1 of 4 rows rejected (25.00%; at most 100.00% may be)."),
    )
    assert dict(day.current(rejects_of(t.AISLES)).lineage) == dict(version.lineage)


@DEEP_ON_AWS
def test_foreign_keys_that_are_unknown_are_rejected_under_their_columns_names(day: Day) -> None:
    header = "product_id,product_name,aisle_id,department_id\n"
    lines = "1,ok,3,2\n2,no such aisle,4,2\n3,neither,5,6\n4,none,,1\n"
    version = stocked(day).ingest_table(t.STAGED_PRODUCTS, header + lines).version
    assert facts_of(version) == (4, 3, 0)
    assert day.tuples(t.PRODUCTS) == [(1, "ok", 3, 2)]
    assert [(row["line"], row["column_name"], row["reason"]) for row in day.rejects(t.PRODUCTS)] == [
        (3, "aisle_id", "aisle_id 4 is not in reorder_curated.aisles"),
        (
            4,
            "aisle_id,department_id",
            "aisle_id 5 is not in reorder_curated.aisles; department_id 6 is not in reorder_curated.departments",
        ),
        (5, "aisle_id", "aisle_id is empty"),
    ]
    assert set(version.lineage) == {
        *(f"reorder_{zone}.{table}" for zone in ("staging", "curated") for table in ("aisles", "departments")),
        "reorder_staging.products",
    }


@DEEP_ON_AWS
def test_files_are_read_as_they_are_meant(day: Day) -> None:
    files: Files = {
        "bom and crlf.csv": "\ufeffaisle_id,aisle\r\n1,fruits\r\n\r\n 02 ,Crème 日本\r\n",
        "other order.csv.gz": packed('Aisle , AISLE_ID,shelf\n"two\nlines, ""quoted""",3.0,x\n'),
        "two members.csv.gz": packed("aisle_id,aisle\n4,te") + packed("a\n5,last"),
        "_SUCCESS": "",
        "notes.txt": "none of it",
    }
    version = day.ingest_table(t.STAGED_AISLES, files).version
    assert facts_of(version) == (5, 0, 0)
    assert day.tuples(t.AISLES) == [
        (1, "fruits"),
        (2, "Crème 日本"),
        (3, 'two\nlines, "quoted"'),
        (4, "tea"),
        (5, "last"),
    ]
    assert day.rejects(t.AISLES) == []


@LOCAL_ALONE
def test_a_reject_says_in_which_file_and_line_it_stands_as_an_editor_counts(day: Day) -> None:
    day.ingest_table(
        t.STAGED_AISLES,
        {"a'1.csv": 'aisle_id,aisle\r\n1,"two\r\nlines"\r\n\r\nx,"a\n\nb"\r\n', "b.csv": "aisle,aisle_id\ny,1\nz,z"},
    )
    assert [
        (row["file"].rsplit("/")[-1], row["line"], row["column_name"], row["raw"]) for row in day.rejects(t.AISLES)
    ] == [
        ("a'1.csv", 5, "aisle_id", 'x,"a\n\nb"'),
        ("b.csv", 2, "aisle_id", "y,1"),
        ("b.csv", 3, "aisle_id", "z,z"),
    ]


def test_too_many_rejects_are_published_and_the_good_rows_are_not(day: Day) -> None:
    before = day.put_rows(t.AISLES, [{"aisle_id": 1, "aisle": "before"}])
    with pytest.raises(VersionRefused) as refused:
        day.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n1,fruits\n2,tea\nx,none\n", day.strict_ingest(0.3))
    text = str(refused.value)
    assert f"reorder_curated.aisles dt={day.dt} breaks its contract and was not published" in text
    assert "rejects_within_limit: 1 rows. 1 of 3 rows rejected (33.33%; at most 30.00% may be)." in text
    assert f"SELECT * FROM reorder_curated.aisles_rejects WHERE dt = '{day.dt}'" in text
    assert [outcome.rule for outcome in refused.value.outcomes if not outcome.passed] == ["rejects_within_limit"]
    assert [row["raw"] for row in day.rejects(t.AISLES)] == ["x,none"]
    assert day.current(t.AISLES) == before
    assert day.tuples(t.AISLES) == [(1, "before")]
    assert day.orphaned_files(t.AISLES, rejects_of(t.AISLES)) == []


@LOCAL_ALONE
def test_as_many_rejects_as_allowed_are_no_reason_to_refuse(day: Day) -> None:
    published = day.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n1,a\n2,b\n3,c\nx,d\n", day.strict_ingest(0.25))
    assert (published.version.rows, facts_of(published.version)) == (3, (4, 1, 0))


@DEEP_ON_AWS
def test_admitting_again_replaces_the_day_whole(day: Day) -> None:
    first = day.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n1,fruits\nx,none\n").version
    again = day.ingest_table(t.STAGED_AISLES, "aisle_id,aisle\n2,tea\n").version
    assert day.tuples(t.AISLES) == [(2, "tea")]
    assert day.rejects(t.AISLES) == []
    assert [location for location, _ in again.retired] == [first.location]


def test_files_that_changed_after_the_crawl_are_not_admitted(day: Day) -> None:
    day.put(t.STAGED_AISLES, "aisle_id,aisle\n1,fruits\n")
    day.crawl(t.STAGED_AISLES)
    day.put(t.STAGED_AISLES, "aisle_id,aisle\n1,others\n")
    with pytest.raises(UploadChanged, match=f"The files of reorder_staging.aisles dt={day.dt} changed after they were"):
        day.ingest_table(t.STAGED_AISLES)
    assert day.find(t.AISLES) is None


def test_a_file_without_a_column_is_named_with_what_it_has_instead(day: Day) -> None:
    with pytest.raises(ColumnsMissing) as missing:
        day.ingest_table(t.STAGED_AISLES, {"a.csv": "aisle_id,aisle\n1,x\n", "b.csv": "aisle_id,ilse,shelf\n2,y,z\n"})
    assert str(missing.value) == (
        f"{day.backend.zones.zone('raw')}/reorder/aisles/dt={day.dt}/b.csv lacks aisle (unexpected: ilse, shelf). "
        f"aisles has the columns aisle_id, aisle. Upload the file again with them."
    )
    assert (day.find(t.AISLES), day.find(rejects_of(t.AISLES))) == (None, None)
    assert day.orphaned_files(t.AISLES, rejects_of(t.AISLES)) == []


def long_file() -> bytes:
    """More of a file than a crawl samples, however it is packed."""
    dice = random.Random(7)  # noqa: S311  # makes text that does not pack
    return b"aisle_id,aisle\n" + b"".join(b"%d,%x\n" % (number, dice.getrandbits(4000)) for number in range(1500))


UNREADABLE: Mapping[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "gzip cut short": (".gz", lambda whole: packed(whole)[:-40], r" is not a whole gzip file: it ends in line \d+"),
    "not UTF-8": ("", lambda whole: whole + b"1,caf\xe9\n", r", line 1502: byte \d+ of the file is not UTF-8"),
}


@pytest.mark.parametrize(
    ("backend_double", "case"),
    [("local", "gzip cut short"), ("local", "not UTF-8"), ("aws-deep", "not UTF-8")],
    indirect=["backend_double"],
)
def test_what_can_not_be_read_beyond_the_crawls_sample_is_named_with_its_place(day: Day, case: str) -> None:
    suffix, spoilt, problem = UNREADABLE[case]
    name = f"aisles.csv{suffix}"
    day.put(t.STAGED_AISLES, {name: spoilt(long_file())})
    assert day.crawl(t.STAGED_AISLES).tables["aisles"].change == "new"
    with pytest.raises(FileUnreadable) as unreadable:
        day.ingest_table(t.STAGED_AISLES)
    file = f"{day.backend.zones.zone('raw')}/reorder/aisles/dt={day.dt}/{name}"
    assert re.match(re.escape(file) + problem, str(unreadable.value))
    assert day.find(t.AISLES) is None
    assert day.orphaned_files(t.AISLES, rejects_of(t.AISLES)) == []


def test_a_table_that_was_not_crawled_is_named(day: Day) -> None:
    with pytest.raises(TableNotFound, match=f"reorder_staging.aisles has no partition dt={day.dt}"):
        day.ingest_table(t.STAGED_AISLES)


def test_rows_that_go_back_to_different_uploads_are_not_put_together(day: Day) -> None:
    day.put(t.STAGED_DEPARTMENTS, "department_id,department\n1,produce\n")
    day.crawl(t.STAGED_DEPARTMENTS)
    day.put_rows(t.DEPARTMENTS, [{"department_id": 1, "department": "produce"}])
    lineage = {t.STAGED_AISLES.qualified_name: "20260101T000000000000-000000"}  # an upload before this one
    day.backend.put_rows(t.AISLES, [{"aisle_id": 1, "aisle": "fruits"}], dt=day.dt, lineage=lineage)
    day.put(t.STAGED_AISLES, "aisle_id,aisle\n2,tea\n")
    day.put(t.STAGED_PRODUCTS, "product_id,product_name,aisle_id,department_id\n1,ok,1,1\n")
    day.crawl(t.STAGED_AISLES, t.STAGED_PRODUCTS)
    with pytest.raises(MixedUploads, match=r"reorder_staging\.aisles"):
        day.ingest_table(t.STAGED_PRODUCTS)
    assert day.find(t.PRODUCTS) is None


def test_a_table_that_may_lack_a_day_is_published_without_rows(day: Day) -> None:
    ingest = day.backend.resources.ingest
    published = ingest.ingest_table(retail.STAGED_STREAM, retail.STREAMED_LINES, day.dt, may_lack=True)
    version = day.current(retail.STREAMED_LINES)
    assert version == published.version
    assert facts_of(version) == (0, 0, 0)
    assert all(outcome.passed for outcome in version.outcomes)
    assert dict(version.lineage) == {}
    assert day.rows(retail.STREAMED_LINES) == day.rows(rejects_of(retail.STREAMED_LINES)) == []
    assert day.orphaned_files(retail.STREAMED_LINES, rejects_of(retail.STREAMED_LINES)) == []


def test_a_table_that_may_not_lack_a_day_still_says_that_it_does(day: Day) -> None:
    with pytest.raises(TableNotFound, match=r"retail_staging\.streamed_lines"):
        day.backend.resources.ingest.ingest_table(retail.STAGED_STREAM, retail.STREAMED_LINES, day.dt)


def test_files_that_came_after_a_crawl_found_none_are_not_passed_over(day: Day) -> None:
    day.put(retail.STAGED_STREAM, ",".join(retail.STREAMED_LINES.column_names) + "\n")
    with pytest.raises(UploadChanged, match="changed after they were catalogued"):
        day.backend.resources.ingest.ingest_table(retail.STAGED_STREAM, retail.STREAMED_LINES, day.dt, may_lack=True)
