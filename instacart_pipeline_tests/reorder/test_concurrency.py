"""Runs at the same time: of two days, of one day twice, of one day whose upload is replaced in between."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.engine import ingest, parquet
from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.lake.errors import PipelineError, UploadChanged
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline_tests.faulty_run import RunAside, run_held_at
from instacart_pipeline_tests.platform import DT, Platform, Row, write_upload
from instacart_pipeline_tests.reorder.building import MADE, build, make
from instacart_pipeline_tests.tiers import costs

NEXT_DAY = "2026-11-21"
Tables = dict[str, list[Row]]


def tables(platform: Platform, dt: str = DT) -> Tables:
    """Every row of every table that a run makes."""
    return {table.name: platform.rows(table, dt) for table in MADE}


def replace_upload(folder: Path) -> Path:
    """The upload with every product moved on in the carts by one place, and all orders on another weekday."""
    for path in sorted(folder.glob("order_products__*.csv")):
        header, *lines = path.read_text().splitlines()
        cells = [line.split(",") for line in lines]
        path.write_text("\n".join([header, *(f"{o},{p},{int(place) + 1},{r}" for o, p, place, r in cells)]) + "\n")
    header, *lines = (folder / "orders.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    shifted = [",".join([*row[:4], str((int(row[4]) + 1) % 7), *row[5:]]) for row in cells]
    (folder / "orders.csv").write_text("\n".join([header, *shifted]) + "\n")
    return folder


@pytest.fixture(scope="module")
@costs("deep")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, Tables]:
    """What is made where no run goes on beside: of the upload, and of its replacement. Compared with runs in other processes."""
    folder = tmp_path_factory.mktemp("alone")
    uploads = write_upload(folder / "x"), replace_upload(write_upload(folder / "y"))
    x, y = (tables(build(Platform(folder / f"home_{upload.name}"), upload)) for upload in uploads)
    assert x["result_table"] != y["result_table"]
    return x, y


@pytest.fixture
def replacement(tmp_path: Path) -> Path:
    return replace_upload(write_upload(tmp_path / "replacement"))


def orphaned(platform: Platform) -> Iterator[Path]:
    """Whatever a run should have cleared away."""
    for table in (*MADE, *map(rejects_of, t.CURATED_TABLES.values())):
        yield from (path for dt in (DT, NEXT_DAY) for path in platform.lake.orphaned(table, dt))
    yield from (platform.home / "scratch").iterdir()
    yield from (platform.home / "lake").rglob(".writing")


# Whole runs, in processes of their own.


def test_two_days_and_one_of_them_twice_at_once_are_all_right(
    platform: Platform, upload_folder: Path, replacement: Path, alone: tuple[Tables, Tables]
) -> None:
    platform.upload(upload_folder)
    platform.upload(replacement, NEXT_DAY)
    for run in [RunAside(platform), RunAside(platform, NEXT_DAY), RunAside(platform)]:
        outcome = run.result()
        assert outcome.success, outcome.errors
    assert tables(platform) == alone[0]
    assert tables(platform, NEXT_DAY) == alone[1]
    assert [len(platform.catalog.partitions(table.database, table.name)) for table in MADE] == [2] * len(MADE)
    assert list(orphaned(platform)) == []


def test_an_older_run_that_ends_last_leaves_the_newer_result_and_drops_its_own(
    platform: Platform, upload_folder: Path, replacement: Path, alone: tuple[Tables, Tables]
) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, t.RESULT_TABLE, "before_publish") as older:
        platform.upload(replacement)
        assert platform.run().success
        current = Path(platform.catalog.current(t.RESULT_TABLE, DT).location)
        outcome = older.result()
    assert outcome.success, outcome.errors
    assert list(current.parent.iterdir()) == [current]
    assert tables(platform) == alone[1]
    assert list(orphaned(platform)) == []


def test_steps_at_once_make_the_same_tables(
    platform: Platform, upload_folder: Path, alone: tuple[Tables, Tables]
) -> None:
    platform.upload(upload_folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("INSTACART_", "DAGSTER_"))}
    program = Path(sys.executable).with_name("instacart-pipeline")
    ran = subprocess.run(
        [program, "run", "reorder", "--dt", DT, "--json"],
        env={**environment, "INSTACART_HOME": str(platform.home), "INSTACART_CONCURRENT_STEPS": "3"},
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert tables(platform) == alone[0]
    assert list(orphaned(platform)) == []


# What two runs may do to each other's tables, one step after the other.


@pytest.fixture
def with_x(platform: Platform, upload_folder: Path) -> Platform:
    """The upload, catalogued and ingested."""
    return build(platform, upload_folder, tables=t.CURATED_TABLES.values())


def replaced(platform: Platform, replacement: Path, *ingested: TableContract) -> None:
    """Another run catalogues the replacement, and gets as far as some of its tables."""
    build(platform, replacement, tables=ingested)


def test_tables_of_different_uploads_are_not_joined(with_x: Platform, replacement: Path) -> None:
    replaced(with_x, replacement, t.ORDERS)  # the lines of orders are still the old upload's
    with pytest.raises(
        PipelineError,
        match=r"come from different uploads of reorder_staging\.orders(?s:.*)Run the whole day once more\.",
    ):
        make(with_x, t.ORDER_PRODUCTS_PRIOR)
    assert with_x.catalog.find(t.ORDER_PRODUCTS_PRIOR, DT) is None


def test_lines_of_a_new_upload_are_not_admitted_beside_orders_of_the_old_one(
    with_x: Platform, replacement: Path
) -> None:
    before = with_x.catalog.current(t.ORDER_PRODUCTS, DT)
    replaced(with_x, replacement)
    with pytest.raises(PipelineError, match=r"come from different uploads of reorder_staging\.orders"):
        make(with_x, t.ORDER_PRODUCTS)
    assert with_x.catalog.current(t.ORDER_PRODUCTS, DT) == before


def test_a_table_replaced_after_it_was_looked_up_is_not_joined_with_the_old_ones(
    with_x: Platform, replacement: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_version = LocalLake.new_version

    def in_between(lake: LocalLake, table: TableContract, dt: str) -> Any:
        if table == t.ORDER_PRODUCTS_PRIOR:
            replaced(with_x, replacement, t.ORDERS)
        return new_version(lake, table, dt)

    monkeypatch.setattr(LocalLake, "new_version", in_between)
    orders = with_x.rows(t.ORDERS)
    make(with_x, t.ORDER_PRODUCTS_PRIOR)
    monkeypatch.undo()
    assert with_x.rows(t.ORDERS) != orders
    undisturbed = build(
        Platform(tmp_path / "undisturbed"),
        write_upload(tmp_path / "again"),
        tables=(*t.CURATED_TABLES.values(), t.ORDER_PRODUCTS_PRIOR),
    )
    assert with_x.rows(t.ORDER_PRODUCTS_PRIOR) == undisturbed.rows(t.ORDER_PRODUCTS_PRIOR)


def test_a_file_replaced_while_it_is_read_is_refused(
    platform: Platform, upload_folder: Path, replacement: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_between(connection: Any, select: str, target: TableContract, *more: Any, **named: Any) -> None:
        parquet.write(connection, select, target, *more, **named)
        if target == t.ORDERS:
            platform.upload(replacement)

    monkeypatch.setattr(ingest, "write", in_between)
    with pytest.raises(UploadChanged):
        build(platform, upload_folder, tables=t.CURATED_TABLES.values())
    assert platform.catalog.find(t.ORDERS, DT) is None
