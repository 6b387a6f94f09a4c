"""A run killed with SIGKILL in the middle of a step: what a reader sees then, and what the next run makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.faulty_run import Point, run_killed_at
from instacart_pipeline_tests.platform import DT, Platform, write_upload
from instacart_pipeline_tests.reorder.building import build
from instacart_pipeline_tests.tiers import costs

MADE = (*t.CURATED_TABLES.values(), *map(rejects_of, t.CURATED_TABLES.values()), *t.DERIVED)
Tables = dict[str, list[dict[str, Any]]]

KILLS: tuple[tuple[TableContract, Point], ...] = (
    (t.STAGED[2], "before_publish"),
    (t.PRODUCTS, "while_writing"),
    (rejects_of(t.PRODUCTS), "after_publish"),
    (t.ORDERS, "after_publish"),
    (t.ORDER_PRODUCTS_PRIOR, "before_publish"),
    (t.UP_FEATURES, "while_writing"),
    (t.RESULT_TABLE, "before_publish"),
    (t.RESULT_TABLE, "after_publish"),
)
"""One point of each kind of step: a crawl, an ingest, its rejects, a CTAS, a recipe, a Glue job. Further on each time."""


class Shop:
    """A platform on which upload X is built and upload Y lies in the raw zone, to be built next."""

    def __init__(self, platform: Platform, x: Tables, y: Tables) -> None:
        self.platform, self.x, self.y = platform, x, y

    def orphaned(self) -> list[Path]:
        """Whatever a run should have cleared away."""
        home = self.platform.home
        return [*self.platform.orphaned_files(), *(home / "lake").rglob(".v=*"), *(home / "scratch").iterdir()]


def tables(platform: Platform) -> Tables:
    """Every row a reader finds by way of the catalog, sorted."""
    return {
        table.name: sorted(pq.read_table(platform.catalog.current(table, DT).location).to_pylist(), key=str)
        for table in MADE
    }


@pytest.fixture
@costs("deep")
def shop(tmp_path: Path) -> Shop:
    """What never-killed runs make of X and of Y differs in every table."""
    x, y = write_upload(tmp_path / "x"), changed(write_upload(tmp_path / "y"))
    with (x / "products.csv").open("a") as products:
        products.write("a product without a number,Rejected of X,1,1\n")
    never_killed = build(Platform(tmp_path / "never_killed", max_rejected=0.5), y)
    platform = build(Platform(tmp_path / "home", max_rejected=0.5), x)
    shop = Shop(platform, tables(platform), tables(never_killed))
    alike = {name for name in shop.x if shop.x[name] == shop.y[name]}
    assert alike == {rejects_of(table).name for table in t.CURATED_TABLES.values()} - {"products_rejects"}
    platform.upload(y)
    return shop


def changed(upload: Path) -> Path:
    """The upload with a change in every table, which changes every table made from it."""

    def edit(name: str, old: str, new: str) -> None:
        path = upload / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    edit("aisles.csv", "3,tea", "3,tea and coffee")
    edit("departments.csv", "1,produce", "1,fresh produce")
    edit("products.csv", "Product", "Article")
    edit("orders.csv", ".0\n", ".5\n")
    for name in ("order_products__prior.csv", "order_products__train.csv"):
        lines = (upload / name).read_text().splitlines()
        (upload / name).write_text("\n".join(lines[:-1]) + "\n")
    with (upload / "products.csv").open("a") as products:
        products.write("no number either,Rejected of Y,1,1\n")
    return upload


def test_runs_killed_anywhere_show_whole_tables_and_the_next_run_completes(shop: Shop) -> None:
    for table, point in KILLS:
        run_killed_at(shop.platform, table, point)

        seen = tables(shop.platform)
        torn = {name for name, rows in seen.items() if rows not in (shop.x[name], shop.y[name])}
        assert torn == set(), (table.name, point)
        if table in MADE:
            published = point == "after_publish"
            assert seen[table.name] == (shop.y if published else shop.x)[table.name], (table.name, point)
            assert len(shop.platform.lake.orphaned(table, DT)) == (0 if published else 1), (table.name, point)

    assert shop.platform.run().success
    assert tables(shop.platform) == shop.y
    assert shop.orphaned() == []
