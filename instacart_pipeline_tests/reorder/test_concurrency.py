"""Runs at the same time: of two days, of one day twice, of one day whose upload is replaced in between."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.faulty_run import RunAside, run_held_at, run_killed_at
from instacart_pipeline_tests.platform import DT, Platform, Row, write_upload

NEXT_DAY = "2026-11-21"
MADE = (*t.ADMITTED.values(), *t.DERIVED)
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
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, Tables]:
    """What a run makes that nothing else runs beside: of the upload, and of its replacement."""
    folder = tmp_path_factory.mktemp("alone")
    made = []
    for upload in (write_upload(folder / "x"), replace_upload(write_upload(folder / "y"))):
        platform = Platform(folder / f"home_{upload.name}")
        platform.upload(upload)
        assert platform.run().success
        made.append(tables(platform))
    assert made[0]["result_table"] != made[1]["result_table"]
    return made[0], made[1]


@pytest.fixture
def replacement(tmp_path: Path) -> Path:
    return replace_upload(write_upload(tmp_path / "replacement"))


def cli_run(home: Path, dt: str = DT, **settings: str) -> subprocess.Popen[str]:
    """`instacart-pipeline run reorder`, under way."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("INSTACART_", "DAGSTER_"))}
    program = Path(sys.executable).with_name("instacart-pipeline")
    return subprocess.Popen(
        [program, "run", "reorder", "--dt", dt, "--json"],
        env={**environment, "INSTACART_HOME": str(home), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def succeeded(run: subprocess.Popen[str]) -> str:
    """Wait for the run; its output, if it succeeded."""
    output, errors = run.communicate(timeout=200)
    assert run.returncode == 0, output + errors
    return output


def litter(platform: Platform) -> Iterator[Path]:
    for table in (*MADE, *map(rejects_of, t.ADMITTED.values())):
        yield from (path for dt in (DT, NEXT_DAY) for path in platform.lake.leftovers(table, dt))
    yield from (platform.home / "scratch").iterdir()
    yield from (platform.home / "lake").rglob(".writing")


def current_folder(platform: Platform, table: TableContract) -> Path:
    return Path(platform.catalog.current(table, DT).location)


@pytest.mark.slow
def test_two_days_at_once_are_both_right(
    platform: Platform, upload_folder: Path, replacement: Path, alone: tuple[Tables, Tables]
) -> None:
    platform.upload(upload_folder)
    platform.upload(replacement, NEXT_DAY)
    for run in [cli_run(platform.home), cli_run(platform.home, NEXT_DAY)]:
        succeeded(run)
    assert tables(platform) == alone[0]
    assert tables(platform, NEXT_DAY) == alone[1]
    assert list(litter(platform)) == []


@pytest.mark.slow
def test_one_day_twice_at_once_is_as_right_as_once(
    platform: Platform, upload_folder: Path, alone: tuple[Tables, Tables]
) -> None:
    platform.upload(upload_folder)
    runs = [RunAside(platform) for _ in range(3)]
    for run in runs:
        outcome = run.result()
        assert outcome.success, outcome.errors
    assert tables(platform) == alone[0]
    assert [len(platform.catalog.partitions(table.database, table.name)) for table in MADE] == [1] * len(MADE)
    assert list(litter(platform)) == []


def test_two_crawls_of_one_upload_agree_on_its_version(platform: Platform, upload_folder: Path) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, t.STAGED[0], "before_publish") as late_crawl:
        assert platform.run().success
        versions = [platform.catalog.current(table, DT).name for table in t.STAGED]
        assert late_crawl.result().success
    assert [platform.catalog.current(table, DT).name for table in t.STAGED] == versions


@pytest.mark.parametrize(
    "table", [t.ORDERS, t.ORDER_PRODUCTS_PRIOR, t.UP_FEATURES, t.RESULT_TABLE], ids=lambda t: str(t.name)
)
def test_an_older_run_that_ends_last_leaves_the_newer_result(
    platform: Platform, upload_folder: Path, replacement: Path, alone: tuple[Tables, Tables], table: TableContract
) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, table, "before_publish") as older:
        platform.upload(replacement)
        assert platform.run().success
        folder = current_folder(platform, table)
        older.result()
    assert current_folder(platform, table) == folder
    assert tables(platform) == alone[1]
    assert list(litter(platform)) == []


def test_a_superseded_run_says_so_and_drops_its_work(
    platform: Platform, upload_folder: Path, replacement: Path
) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, t.RESULT_TABLE, "before_publish") as older:
        platform.upload(replacement)
        assert platform.run().success
        outcome = older.result()
    assert outcome.success
    assert list(current_folder(platform, t.RESULT_TABLE).parent.iterdir()) == [current_folder(platform, t.RESULT_TABLE)]


def test_tables_of_different_uploads_are_not_joined(platform: Platform, upload_folder: Path, replacement: Path) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, t.ORDER_PRODUCTS, "after_publish") as older:
        platform.upload(replacement)
        run_killed_at(
            platform, t.ORDERS, "after_publish"
        )  # orders are the new upload's, order_products still the old one's
        outcome = older.result()
    assert not outcome.success
    assert (
        "come from different uploads of reorder_staging.orders"
        in outcome.errors["reorder__curated__order_products_prior"]
    )
    assert "Run the whole day once more." in outcome.errors["reorder__curated__order_products_prior"]
    assert platform.catalog.find(t.ORDER_PRODUCTS_PRIOR, DT) is None


def test_a_table_replaced_after_it_was_looked_up_is_not_joined_with_the_old_ones(
    platform: Platform, upload_folder: Path, replacement: Path, alone: tuple[Tables, Tables]
) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, t.ORDER_PRODUCTS_PRIOR, "before_writing") as older:
        platform.upload(replacement)
        run_killed_at(platform, t.ORDERS, "after_publish")
        older.result()
    assert platform.rows(t.ORDER_PRODUCTS_PRIOR) == alone[0]["order_products_prior"]


def test_lines_of_a_new_upload_are_not_admitted_beside_orders_of_the_old_one(
    platform: Platform, upload_folder: Path, replacement: Path
) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, t.ORDERS, "after_publish") as older:
        platform.upload(replacement)
        run_killed_at(platform, t.STAGED[-1], "after_publish")  # the new upload is in the catalog, none of it admitted
        outcome = older.result()
    assert "come from different uploads of reorder_staging.orders" in outcome.errors["reorder__curated__order_products"]
    assert platform.catalog.find(t.ORDER_PRODUCTS_PRIOR, DT) is None


def test_a_file_replaced_while_it_is_read_is_refused(
    platform: Platform, upload_folder: Path, replacement: Path
) -> None:
    platform.upload(upload_folder)
    with run_held_at(platform, t.ORDERS, "while_writing") as run:
        platform.upload(replacement)
        outcome = run.result()
    assert not outcome.success
    assert platform.catalog.find(t.ORDERS, DT) is None


@pytest.mark.slow
def test_steps_at_once_make_the_same_tables(
    platform: Platform, upload_folder: Path, alone: tuple[Tables, Tables]
) -> None:
    platform.upload(upload_folder)
    succeeded(cli_run(platform.home, INSTACART_CONCURRENT_STEPS="3"))
    assert tables(platform) == alone[0]
    assert list(litter(platform)) == []
