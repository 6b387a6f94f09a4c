"""The crawler: finds tables, days, columns and types by looking at samples, and says what changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from instacart_pipeline.embedded.csv_samples import infer_type, sampled_rows
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.crawler import Crawl
from instacart_pipeline_tests.platform import DT, Platform, write_upload

NEXT = "2026-11-21"


class Site:
    """A platform with one whole upload, and crawls of it."""

    def __init__(self, home: Path, upload: Path) -> None:
        self.platform, self.folder = Platform(home), upload
        self.platform.upload(upload)

    def crawl(self, dt: str = DT) -> Crawl:
        return self.platform.resources.crawler.crawl(t.STAGED, dt)

    def changes(self) -> dict[str, str]:
        return {name: found.change for name, found in self.crawl().tables.items()}

    def file(self, name: str) -> Path:
        return self.platform.raw / "reorder" / name.removesuffix(".csv") / f"dt={DT}" / name


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "home", write_upload(tmp_path / "upload"))


def all_tables(change: str, **others: str) -> dict[str, str]:
    return {**{table.name: change for table in t.STAGED}, **others}


def test_one_crawl_enters_every_table_and_its_day(site: Site) -> None:
    crawl = site.crawl()
    catalog = site.platform.catalog
    assert [table.name for table in catalog.tables("reorder_staging")] == sorted(table.name for table in t.STAGED)
    assert crawl.service == {"files": 6}
    for table in t.STAGED:
        (partition,) = catalog.partitions(table.database, table.name)
        assert (partition.dt, partition.location) == (DT, str(site.platform.raw / "reorder" / table.name / f"dt={DT}"))
    assert crawl.tables["order_products"].files == tuple(
        f"reorder/order_products/dt={DT}/order_products__{side}.csv" for side in ("prior", "train")
    )
    assert crawl.tables["aisles"].bytes == site.file("aisles.csv").stat().st_size


def test_columns_and_types_are_inferred_from_the_rows(site: Site) -> None:
    site.crawl()
    catalog = site.platform.catalog
    assert catalog.table("reorder_staging", "orders").columns == (
        ("order_id", "bigint"),
        ("user_id", "bigint"),
        ("eval_set", "string"),
        ("order_number", "bigint"),
        ("order_dow", "bigint"),
        ("order_hour_of_day", "bigint"),
        ("days_since_prior_order", "double"),
    )
    assert dict(catalog.table("reorder_staging", "products").columns)["product_name"] == "string"


def test_a_type_holds_for_every_file_of_a_table(site: Site) -> None:
    site.file("aisles.csv").with_name("more.csv").write_text("AISLE,Aisle_ID,shelf\ntea,4.5,x\n")
    assert site.crawl().tables["aisles"].columns == (("aisle_id", "double"), ("aisle", "string"), ("shelf", "string"))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "+3", "007", " 4 ", ""], "bigint"),
        (["1", "2.5"], "double"),
        (["1.", ".5", "-1e-3", "2E+10"], "double"),
        (["9" * 18], "bigint"),
        (["9" * 19], "double"),
        (["1", "x"], "string"),
        (["1", "nan"], "string"),
        (["inf"], "string"),
        (["0x1F"], "string"),
        (["1 000"], "string"),
        (["1e"], "string"),
        (["-"], "string"),
        (["2026-11-20"], "string"),
        (["", "  "], "string"),
        ([], "string"),
    ],
)
def test_the_narrowest_type_that_holds_every_value_is_inferred(values: list[str], kind: str) -> None:
    assert infer_type(values) == kind


def test_what_a_crawl_finds_is_new_then_unchanged(site: Site) -> None:
    assert site.changes() == all_tables("new")
    assert site.changes() == all_tables("unchanged")


def test_a_day_gets_a_new_version_only_when_its_files_changed(site: Site) -> None:
    first = site.crawl().tables
    again = site.crawl().tables
    assert [found.version for found in again.values()] == [found.version for found in first.values()]

    site.file("aisles.csv").write_text("aisle_id,aisle\n1,another\n")
    changed = site.crawl().tables
    assert {name: found.change for name, found in changed.items()} == all_tables("unchanged", aisles="changed")
    new, old = changed["aisles"].version, first["aisles"].version
    assert new
    assert old
    assert new.name > old.name
    assert changed["orders"].version == first["orders"].version


@pytest.mark.parametrize("change", ["grown", "added to", "one file fewer", "written again"])
def test_any_change_to_a_days_files_counts(site: Site, change: str) -> None:
    prior = site.platform.raw / "reorder" / "order_products" / f"dt={DT}" / "order_products__prior.csv"
    site.crawl()
    if change == "grown":
        prior.write_text(prior.read_text() + "1,12,9,0\n")
    elif change == "added to":
        prior.with_name("late.csv").write_text(prior.read_text())
    elif change == "one file fewer":
        prior.unlink()
    else:
        os.utime(prior, ns=(1, 1))
    assert site.changes() == all_tables("unchanged", order_products="changed")


def test_a_day_whose_files_are_gone_is_dropped_from_the_catalog(site: Site) -> None:
    site.crawl()
    site.file("aisles.csv").unlink()
    assert site.changes() == all_tables("unchanged", aisles="gone")
    assert site.platform.catalog.find(t.STAGED_AISLES, DT) is None
    assert site.changes() == all_tables("unchanged", aisles="missing")


def test_a_days_crawl_leaves_other_days_alone(site: Site) -> None:
    site.crawl()
    site.platform.upload(site.folder, NEXT)
    site.crawl(NEXT)
    assert [p.dt for p in site.platform.catalog.partitions("reorder_staging", "orders")] == [DT, NEXT]
    assert site.changes() == all_tables("unchanged")


def test_a_table_that_cannot_be_read_keeps_its_entry(site: Site) -> None:
    before = site.crawl().tables["aisles"].version
    site.file("aisles.csv").write_text("")
    found = site.crawl().tables["aisles"]
    assert (found.change, found.version) == ("unreadable", None)
    assert site.platform.catalog.find(t.STAGED_AISLES, DT) == before


def test_a_crawl_changes_no_file(site: Site) -> None:
    files = [path for path in sorted(site.platform.raw.rglob("*")) if path.is_file()]
    before = [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    site.crawl()
    assert [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


def test_a_large_file_is_sampled_not_read(site: Site) -> None:
    site.crawl()
    path = site.file("orders.csv")
    with path.open("r+b") as file:
        # What lies beyond the sample is a gap of 20 GB that takes no space, and takes minutes to read.
        file.seek(0, os.SEEK_END)
        for number in range(1_000_000, 1_003_000):
            file.write(b"%d,1,prior,1,1,1,\n" % number)
        file.truncate(20_000_000_000)
    started = time.perf_counter()
    found = site.crawl().tables["orders"]
    assert time.perf_counter() - started < 5
    assert (found.change, found.bytes, len(found.columns)) == ("changed", 20_000_000_000, 7)


@pytest.mark.parametrize(("files", "rows"), [(0, 1000), (1, 1000), (200, 1000), (400, 500), (50_000, 4), (10**6, 2)])
def test_of_many_files_fewer_rows_each_are_looked_at(files: int, rows: int) -> None:
    assert sampled_rows(files) == rows
