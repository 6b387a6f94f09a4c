"""The crawler, whichever backend: what a day's files tell of their tables, and what became of them since the last crawl."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.crawler import Crawl, CrawledTable
from instacart_pipeline_tests.resources.backends import DEEP_ON_AWS, LOCAL_ALONE, Day, packed

AISLES = 'aisle_id,aisle\n1,"cheeses, specialty"\n2,"the ""good"" tea"\n'


def aisles(day: Day) -> CrawledTable:
    return day.crawl(t.STAGED_AISLES).tables["aisles"]


def path(day: Day, name: str, table: str = "aisles") -> str:
    return f"reorder/{table}/dt={day.dt}/{name}"


def test_a_new_day_is_entered_and_reported_in_every_field(day: Day) -> None:
    day.put(t.STAGED_AISLES, AISLES)
    found = aisles(day)
    version = day.current(t.STAGED_AISLES)
    assert found == CrawledTable(
        t.STAGED_AISLES,
        day.dt,
        "new",
        columns=(("aisle_id", "bigint"), ("aisle", "string")),
        files=(path(day, "aisles.csv"),),
        bytes=len(AISLES),
        version=version,
    )
    assert (version.rows, version.bytes, set(version.facts), dict(version.lineage)) == (
        -1,
        len(AISLES),
        {"listing"},
        {},
    )
    assert version.location == day.backend.zones.raw_partition("reorder", "aisles", day.dt)


def test_the_catalogs_table_is_what_was_found_in_the_files(day: Day) -> None:
    day.put(t.STAGED_AISLES, "aisle_id,aisle,shelf\n1,tea,2.5\n")
    found = aisles(day)
    table = day.backend.catalog.table("reorder_staging", "aisles")
    assert table.columns == found.columns == (("aisle_id", "bigint"), ("aisle", "string"), ("shelf", "double"))
    assert table.location == day.backend.zones.raw_table("reorder", "aisles")
    assert table.description == t.STAGED_AISLES.description
    assert table.partition_keys == ("dt",)
    assert (
        dict(table.parameters).items()
        >= {
            "classification": "csv",
            "delimiter": ",",
            "skip.header.line.count": "1",
        }.items()
    )


def test_files_that_are_the_same_are_unchanged_and_keep_their_version(day: Day) -> None:
    day.put(t.STAGED_AISLES, AISLES)
    first, again = aisles(day), aisles(day)
    assert (first.change, again.change) == ("new", "unchanged")
    assert first.version == again.version == day.current(t.STAGED_AISLES)


@DEEP_ON_AWS
def test_files_that_are_others_are_changed_and_get_a_new_version(day: Day) -> None:
    day.put(t.STAGED_AISLES, AISLES)
    before = aisles(day).version
    for files in (
        {"aisles.csv": AISLES.replace("good", "best")},  # of the same size
        {"aisles.csv": AISLES, "more.csv": "aisle_id,aisle\n3,fruits\n"},
        {"renamed.csv": AISLES},
    ):
        day.put(t.STAGED_AISLES, files)
        changed = aisles(day)
        assert (changed.change, changed.files) == ("changed", tuple(path(day, name) for name in sorted(files)))
        assert before
        assert changed.version
        assert before.name < changed.version.name == day.current(t.STAGED_AISLES).name
        before = changed.version


@DEEP_ON_AWS
def test_a_day_whose_files_are_gone_is_gone_from_the_catalog_and_missing_from_then_on(day: Day) -> None:
    day.put(t.STAGED_AISLES, AISLES)
    aisles(day)
    day.put(t.STAGED_AISLES, {})
    assert aisles(day) == CrawledTable(t.STAGED_AISLES, day.dt, "gone")
    assert day.find(t.STAGED_AISLES) is None
    assert aisles(day) == CrawledTable(t.STAGED_AISLES, day.dt, "missing")


def test_one_crawl_is_of_many_tables_and_names_the_one_that_is_missing(day: Day) -> None:
    day.put(t.STAGED_AISLES, AISLES)
    day.put(t.STAGED_DEPARTMENTS, "department_id,department\n1,produce\n")
    day.put(t.STAGED_ORDER_PRODUCTS, dict.fromkeys(("train.csv", "prior.csv"), "order_id,product_id\n1,2\n"))
    crawl = day.crawl(*t.STAGED)
    assert {name: found.change for name, found in crawl.tables.items()} == {
        **{"aisles": "new", "departments": "new", "products": "missing", "orders": "missing"},
        "order_products": "new",
    }
    assert crawl.tables["order_products"].files == tuple(
        path(day, f"{side}.csv", "order_products") for side in ("prior", "train")
    )
    assert crawl.service["files"] == 4
    assert crawl.seconds > 0


@DEEP_ON_AWS
def test_many_days_are_crawled_together_and_each_is_told_as_if_alone(day: Day) -> None:
    later = replace(day, dt="2027-01-03")
    for each in (day, later):
        each.put(t.STAGED_AISLES, AISLES)
    crawls = day.backend.resources.crawler.crawl_days([t.STAGED_AISLES], [day.dt, "2027-01-02", later.dt])
    told = {dt: crawl.tables["aisles"] for dt, crawl in crawls.items() if isinstance(crawl, Crawl)}
    assert {dt: found.change for dt, found in told.items()} == {day.dt: "new", "2027-01-02": "missing", later.dt: "new"}
    assert (told[day.dt].version, told[later.dt].version) == tuple(
        each.current(t.STAGED_AISLES) for each in (day, later)
    )
    assert aisles(later).change == aisles(day).change == "unchanged"
    assert day.backend.resources.crawler.crawl_days([t.STAGED_AISLES], []) == {}
    later.clear()


@DEEP_ON_AWS
def test_a_crawl_leaves_other_tables_and_days_alone(day: Day) -> None:
    later = replace(day, dt="2027-01-01")
    for each in (day, later):
        each.put(t.STAGED_AISLES, AISLES)
        each.put(t.STAGED_DEPARTMENTS, "department_id,department\n1,produce\n")
    later.crawl(t.STAGED_AISLES, t.STAGED_DEPARTMENTS)
    before = [later.current(t.STAGED_AISLES), later.current(t.STAGED_DEPARTMENTS)]
    for each in (day, later):
        each.put(t.STAGED_AISLES, "aisle_id,aisle\n9,another\n")
    aisles(day)
    assert [later.current(t.STAGED_AISLES), later.current(t.STAGED_DEPARTMENTS)] == before
    assert day.find(t.STAGED_DEPARTMENTS) is None
    later.clear()


@LOCAL_ALONE
def test_missing_columns_are_named_with_their_files_and_extra_ones_reported(day: Day) -> None:
    day.put(t.STAGED_AISLES, {"a.csv": "shelf,AISLE_ID, aisle\n9,1,tea\n", "b.csv": "aisle_id,ilse\n2,fruits\n"})
    found = aisles(day)
    assert found.missing_columns == (f"aisle ({path(day, 'b.csv')})",)
    assert found.extra_columns == ("ilse", "shelf")
    assert (found.change, found.problem) == ("new", "")


@LOCAL_ALONE
def test_a_columns_type_holds_for_every_file(day: Day) -> None:
    day.put(
        t.STAGED_AISLES,
        {"a.csv": "aisle_id,aisle,shelf\n1,tea,7\n", "b.csv.gz": packed("aisle,aisle_id,shelf\n2,2.5,x\n")},
    )
    assert aisles(day).columns == (("aisle_id", "double"), ("aisle", "string"), ("shelf", "string"))


@LOCAL_ALONE
def test_commas_and_line_ends_in_quotes_belong_to_the_value(day: Day) -> None:
    day.put(t.STAGED_AISLES, '\ufeffaisle_id,aisle\r\n1,"a, b"\r\n2,"two\r\nlines, 3"\r\n')
    found = aisles(day)
    assert (found.columns, found.problem) == ((("aisle_id", "bigint"), ("aisle", "string")), "")


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "empty": ("b.csv", b"", " holds nothing at all, not even a header. Upload it again."),
    "header only": ("b.csv", b"aisle_id,aisle\n", " holds only a header. Upload it again with its rows, or remove it."),
    "no gzip": ("b.csv.gz", AISLES.encode(), " is not a whole gzip file"),
    "gzip cut short": ("b.csv.gz", gzip.compress(AISLES.encode())[:-12], " is not a whole gzip file: it ends in line "),
    "not UTF-8": ("b.csv", b"aisle_id,aisle\n1,caf\xe9\n", ", line 2: byte 21 of the file is not UTF-8"),
    "a column named twice": ("b.csv", b"aisle_id,Aisle,aisle\n1,a,b\n", ", line 1: the header names the column aisle "),
}


@pytest.mark.parametrize(
    ("backend_double", "case"),
    [*(("local", case) for case in UNREADABLE), ("aws", "no gzip"), ("aws", "not UTF-8")],
    indirect=["backend_double"],
)
def test_a_file_that_can_not_be_read_is_named_with_the_place_and_nothing_is_entered(day: Day, case: str) -> None:
    name, content, problem = UNREADABLE[case]
    day.put(t.STAGED_AISLES, {"a.csv": AISLES, name: content})
    found = aisles(day)
    assert (found.change, found.version, found.columns) == ("unreadable", None, ())
    assert (found.files, found.bytes) == ((path(day, "a.csv"), path(day, name)), len(AISLES) + len(content))
    assert found.problem.startswith(f"{day.backend.zones.zone('raw')}/{path(day, name)}{problem}")
    assert day.find(t.STAGED_AISLES) is None


@DEEP_ON_AWS
def test_a_day_that_can_not_be_read_any_more_keeps_its_entry(day: Day) -> None:
    day.put(t.STAGED_AISLES, AISLES)
    before = aisles(day).version
    day.put(t.STAGED_AISLES, "aisle_id,aisle\n")
    assert aisles(day).change == "unreadable"
    assert day.find(t.STAGED_AISLES) == before
