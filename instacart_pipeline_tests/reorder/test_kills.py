"""A run killed with SIGKILL in the middle of any step: what a reader sees then, and what the next run makes of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.faulty_run import Point, run_killed_at
from instacart_pipeline_tests.platform import DT, Platform, write_upload

MADE = (*t.ADMITTED.values(), *map(rejects_of, t.ADMITTED.values()), *t.DERIVED)
Tables = dict[str, list[dict[str, Any]]]

STEPS = (t.STAGED[2], *t.ADMITTED.values(), rejects_of(t.PRODUCTS), *t.DERIVED)
"""A table of every step of the job: of the crawl's five, the middle one."""


class Shop:
    """A platform on which upload X is built and upload Y lies in the raw zone, to be built next."""

    def __init__(self, platform: Platform, x: Tables, y: Tables) -> None:
        self.platform, self.x, self.y = platform, x, y

    def tables(self) -> Tables:
        """Every row a reader finds by way of the catalog, sorted."""
        return {
            table.name: sorted(pq.read_table(self.platform.catalog.current(table, DT).location).to_pylist(), key=str)
            for table in MADE
        }

    def litter(self) -> list[Path]:
        """Whatever a run should have cleared away."""
        home = self.platform.home
        return [*self.platform.leftovers(), *(home / "lake").rglob(".v=*"), *(home / "scratch").iterdir()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Path]:
    """The shop, and a copy of its home. What never-killed runs make of X and of Y differs in every table."""
    tmp_path = tmp_path_factory.mktemp("kills")
    x, y = write_upload(tmp_path / "x"), changed(write_upload(tmp_path / "y"))
    with (x / "products.csv").open("a") as products:
        products.write("a product without a number,Rejected of X,1,1\n")
    never_killed = Shop(Platform(tmp_path / "never_killed", max_rejected=0.5), {}, {})
    never_killed.platform.upload(y)
    assert never_killed.platform.run().success
    shop = Shop(Platform(tmp_path / "home", max_rejected=0.5), {}, never_killed.tables())
    shop.platform.upload(x)
    assert shop.platform.run().success
    shop.x = shop.tables()
    alike = {name for name in shop.x if shop.x[name] == shop.y[name]}
    assert alike == {rejects_of(table).name for table in t.ADMITTED.values()} - {"products_rejects"}
    shop.platform.upload(y)
    copy = tmp_path / "copy"
    shutil.copytree(shop.platform.home, copy, symlinks=True)
    return shop, copy


@pytest.fixture
def shop(built: tuple[Shop, Path]) -> Iterator[Shop]:
    """The shop with X built and Y uploaded, whatever the test before did to it."""
    shop, copy = built
    shutil.rmtree(shop.platform.home)
    shutil.copytree(copy, shop.platform.home, symlinks=True)
    yield shop


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


def points_of(table: TableContract) -> tuple[Point, ...]:
    """The points a run is killed at in the making of a table. A crawl writes no files; one table of a kind moves its pointer."""
    if table.zone == "staging":
        return "before_publish", "after_publish"
    return "while_writing", "before_publish", *(("after_publish",) if table in (t.ORDERS, t.RESULT_TABLE) else ())


@pytest.mark.parametrize("table", STEPS, ids=lambda table: str(table.qualified_name))
def test_a_run_killed_anywhere_shows_whole_tables_and_the_next_run_completes(shop: Shop, table: TableContract) -> None:
    for point in points_of(table):
        run_killed_at(shop.platform, table, point)

        seen = shop.tables()
        torn = {name for name, rows in seen.items() if rows not in (shop.x[name], shop.y[name])}
        assert torn == set()
        if table in MADE:
            assert seen[table.name] == (shop.y if point == "after_publish" else shop.x)[table.name]
            assert len(shop.platform.lake.leftovers(table, DT)) == (0 if point == "after_publish" else 1)

    assert shop.platform.run().success
    assert shop.tables() == shop.y
    assert shop.litter() == []
