"""The crawler on this machine: how types are inferred from samples, and what is left alone.

What a crawl says of a day on whichever backend is in test_backends_crawler.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from instacart_pipeline.engine.csv_files import infer_type, sampled_rows
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.crawler import Crawl
from instacart_pipeline_tests.platform import DT, Platform, write_upload
from instacart_pipeline_tests.tiers import skip_without


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


def test_files_that_are_written_again_are_changed(site: Site) -> None:
    assert site.changes() == all_tables("new")
    assert site.changes() == all_tables("unchanged")
    os.utime(site.file("aisles.csv"), ns=(1, 1))
    assert site.changes() == all_tables("unchanged", aisles="changed")


def test_a_crawl_changes_no_file(site: Site) -> None:
    files = [path for path in sorted(site.platform.raw.rglob("*")) if path.is_file()]
    before = [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    site.crawl()
    assert [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


def bytes_read() -> int:
    """What this process has read of files so far."""
    try:
        counted = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    except OSError:
        skip_without("Linux")
    return int(counted["rchar"])


def test_a_large_file_is_sampled_not_read(site: Site) -> None:
    site.crawl()
    path = site.file("orders.csv")
    with path.open("r+b") as file:
        # What lies beyond the sample is a gap of 20 GB that takes no space, and takes minutes to read.
        file.seek(0, os.SEEK_END)
        for number in range(1_000_000, 1_003_000):
            file.write(b"%d,1,prior,1,1,1,\n" % number)
        file.truncate(20_000_000_000)
    before = bytes_read()
    found = site.crawl().tables["orders"]
    assert bytes_read() - before < 100_000_000
    assert (found.change, found.bytes, len(found.columns)) == ("changed", 20_000_000_000, 7)


@pytest.mark.parametrize(("files", "rows"), [(0, 1000), (1, 1000), (200, 1000), (400, 500), (50_000, 4), (10**6, 2)])
def test_of_many_files_fewer_rows_each_are_looked_at(files: int, rows: int) -> None:
    assert sampled_rows(files) == rows
