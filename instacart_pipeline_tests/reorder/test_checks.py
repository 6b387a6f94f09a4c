"""Checks across tables and days: row counts that leap, and lines that belong to no order they may belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.orchestration.partitions import daily
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.checks import COMPARED, build_checks
from instacart_pipeline.reorder.tables import ORDER_PRODUCTS_TRAIN, ORDERS, RESULT_TABLE
from instacart_pipeline_tests.platform import DT, Platform

DAY_BEFORE = "2026-11-19"
ROW_COUNT = "row_count_near_the_day_before"


def publish(platform: Platform, rows: Mapping[TableContract, int], dt: str) -> None:
    """Enter versions of so many rows in the catalog, without any data."""
    for table, count in rows.items():
        platform.catalog.publish(table.database, table.name, dt, Version(f"{dt}-{count}", f"{dt}/{count}", count, 1))


def row_count_checks(platform: Platform, *tables: TableContract) -> dict[str, dg.AssetCheckEvaluation]:
    """What comes of the row count checks when assets that do nothing stand in for the tables."""
    days = daily(platform.settings.first_day, platform.settings.timezone)
    checks = build_checks(days, tolerance=platform.settings.row_count_tolerance)

    def idle(table: TableContract) -> dg.AssetsDefinition:
        @dg.asset(key=asset_key(table), partitions_def=days)
        def nothing() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult()

        return nothing

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [*map(idle, {*COMPARED, ORDER_PRODUCTS_TRAIN}), *checks],
            selection=dg.AssetSelection.checks(*(dg.AssetCheckKey(asset_key(table), ROW_COUNT) for table in tables))
            | dg.AssetSelection.assets(*map(asset_key, tables)).without_checks(),
            instance=instance,
            partition_key=DT,
            resources={"catalog": platform.catalog},
        )
    return {check.asset_key.path[-1]: check for check in result.get_asset_check_evaluations()}


def row_count_check(platform: Platform, now: int, before: int | None) -> dg.AssetCheckEvaluation:
    """The row count check of the orders, of which there are `now` and were `before`."""
    if before is not None:
        publish(platform, {ORDERS: before}, DAY_BEFORE)
    publish(platform, {ORDERS: now}, DT)
    return row_count_checks(platform, ORDERS)["orders"]


@pytest.mark.parametrize(
    ("before", "now", "passed"),
    [
        (1000, 1000, True),
        (1000, 1100, True),
        (1000, 1500, True),
        (1000, 500, True),
        (1000, 1501, False),
        (1000, 499, False),
        (1000, 0, False),
        (0, 0, True),
        (0, 1000, False),
    ],
)
def test_a_row_count_far_from_the_day_befores_warns(platform: Platform, before: int, now: int, passed: bool) -> None:
    check = row_count_check(platform, now, before)
    assert (check.passed, check.severity, check.blocking) == (passed, dg.AssetCheckSeverity.WARN, False)
    assert {name: value.value for name, value in check.metadata.items()} == {"rows": now, "rows_the_day_before": before}


def test_a_row_count_check_says_by_how_much(platform: Platform) -> None:
    assert row_count_check(platform, 400, 1000).description == f"400 rows, -60.0% against {DAY_BEFORE}."


def test_a_first_day_has_nothing_to_be_compared_with(platform: Platform) -> None:
    check = row_count_check(platform, 400, None)
    assert check.passed
    assert check.description == f"400 rows; nothing to compare with, as {DAY_BEFORE} was not built."


@pytest.mark.parametrize(("tolerance", "passed"), [(0.05, False), (0.2, True)])
def test_the_tolerance_is_a_setting(tmp_path: Path, tolerance: float, passed: bool) -> None:
    platform = Platform(tmp_path / "home", row_count_tolerance=tolerance)
    assert row_count_check(platform, 1100, 1000).passed is passed


def test_each_table_is_compared_with_itself(platform: Platform) -> None:
    publish(platform, dict.fromkeys(COMPARED, 1000), DAY_BEFORE)
    publish(platform, {**dict.fromkeys(COMPARED, 1000), RESULT_TABLE: 10}, DT)
    checks = row_count_checks(platform, *COMPARED)
    assert {name for name, check in checks.items() if not check.passed} == {"result_table"}
    assert len(checks) == len(COMPARED)


def test_a_leap_of_the_row_count_warns_and_stops_nothing(platform: Platform, upload_folder: Path) -> None:
    publish(platform, dict.fromkeys(COMPARED, 10_000), DAY_BEFORE)
    platform.upload(upload_folder)
    run = platform.run()
    assert run.success, run.errors
    assert run.failed_checks == {(table.name, ROW_COUNT) for table in COMPARED}
    assert platform.catalog.find(t.RESULT_TABLE, DT)


def test_lines_of_test_orders_stop_the_day_before_its_features(platform: Platform, upload_folder: Path) -> None:
    orders = [line.split(",") for line in (upload_folder / "orders.csv").read_text().splitlines()]
    first, second = (fields[0] for fields in orders if fields[2] == "test")
    with (upload_folder / "order_products__train.csv").open("a") as lines:
        lines.write(f"{first},1,1,0\n{first},2,2,0\n{second},3,1,0\n")
    platform.upload(upload_folder)

    defs = build_defs(platform.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("reorder_daily").execute_in_process(
            instance=instance, partition_key=DT, raise_on_error=False
        )

    assert not result.success
    (check,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (check.check_name, check.blocking) == ("every_line_is_prior_or_train", True)
    assert check.description
    assert check.description.endswith(" + 3 of test orders, whose baskets must not be in the upload")
    assert platform.catalog.find(t.ORDER_PRODUCTS_PRIOR, DT)
    features = (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES, t.RESULT_TABLE)
    assert [table.name for table in features if platform.catalog.find(table, DT)] == []
