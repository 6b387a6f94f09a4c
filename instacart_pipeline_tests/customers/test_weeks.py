"""The customers system whole, on generated dumps: two weeks, the first again, and a run that is killed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.automation import WEEKLY_JOB
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline_tests.customers.test_mart_assets import rows_of
from instacart_pipeline_tests.faulty_run import run_killed_at
from instacart_pipeline_tests.platform import Platform, Row

LAST, DT = "2026-11-16", "2026-11-23"
SCALE = 0.005
"""500 customers."""
MADE = (*t.DERIVED, *m.MART_TABLES)


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A dump for each of two weeks."""
    folder = tmp_path_factory.mktemp("dumps")
    for dt in (LAST, DT):
        generate_customers(folder / dt, scale=SCALE, as_of=date.fromisoformat(dt))
    return {dt: folder / dt for dt in (LAST, DT)}


def upload(platform: Platform, folder: Path, dt: str, *, without: str = "") -> None:
    for table in t.STAGED:
        if table.name != without:
            platform.storage.put(t.SYSTEM, table.name, dt, [folder / f"{table.name}.csv"])


def everything(platform: Platform, dt: str) -> dict[TableContract, list[Row]]:
    """The rows of all that is made of a week, by table, and those of all weeks in the warehouse."""
    lake = {table: platform.rows(table, dt) for table in MADE}
    return lake | {table: rows_of(platform.resources.warehouse, table) for table in m.WAREHOUSE_TABLES}


@pytest.fixture(scope="module")
def built(dumps: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Two weeks, one after the other."""
    platform = Platform(tmp_path_factory.mktemp("weeks") / "home")
    for dt, folder in dumps.items():
        upload(platform, folder, dt)
        run = platform.run(dt, job=WEEKLY_JOB)
        assert (run.errors, run.success) == ({}, True), dt
    yield platform


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_week_becomes_a_mart_in_lake_and_warehouse_that_agree_with_each_other(built: Platform) -> None:
    for dt in (LAST, DT):
        customers, mart = built.rows(t.CUSTOMERS, dt), built.rows(m.CUSTOMER_MART, dt)
        assert [{name: row[name] for name in t.CUSTOMERS.column_names} for row in mart] == customers
        profiles = built.rows(m.SEGMENT_PROFILES, dt)
        assert sum(row["customers"] for row in profiles) == len(mart) > 400
        assert sum(row["spend"] for row in profiles) == sum(row["spend"] for row in mart) > 0
        in_warehouse = [row for row in rows_of(built.resources.warehouse, m.WAREHOUSE_MART) if row.pop("dt") == dt]
        assert [{**row, "as_of": date.fromisoformat(dt)} for row in mart] == in_warehouse


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_first_week_built_again_changes_nothing_and_neither_does_a_killed_run(built: Platform) -> None:
    before = {dt: everything(built, dt) for dt in (LAST, DT)}
    run_killed_at(built, m.CUSTOMER_MART, "while_writing", LAST, job=WEEKLY_JOB, patience=600)
    assert {dt: everything(built, dt) for dt in (LAST, DT)} == before
    run = built.run(LAST, job=WEEKLY_JOB)
    assert (run.errors, run.success) == ({}, True)
    assert {dt: everything(built, dt) for dt in (LAST, DT)} == before
    assert [built.unpublished(table, LAST) for table in MADE] == [[]] * len(MADE)


@pytest.mark.timeout(300)
def test_a_run_by_hand_of_a_week_that_lacks_a_table_says_which_and_how_to_bring_it(
    dumps: dict[str, Path], tmp_path: Path
) -> None:
    platform = Platform(tmp_path / "home")
    upload(platform, dumps[DT], DT, without="events")
    run = platform.run(DT, job=WEEKLY_JOB)
    assert not run.success
    assert f"customers upload of {DT} lacks events" in run.error
    assert f"instacart-pipeline upload customers DIR --dt {DT}" in run.error
