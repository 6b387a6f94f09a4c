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
from instacart_pipeline.reorder.tables import ORDER_PRODUCTS_TRAIN
from instacart_pipeline_tests.platform import DT, Platform, shared_instance

DAY_BEFORE = "2026-11-19"
ROW_COUNT = "row_count_near_the_day_before"


def publish(platform: Platform, rows: Mapping[TableContract, int], dt: str) -> None:
    """Enter versions of so many rows in the catalog, without any data."""
    for table, count in rows.items():
        platform.catalog.publish(table.database, table.name, dt, Version(f"{dt}-{count}", f"{dt}/{count}", count, 1))


def row_count_checks(platform: Platform, *tables: TableContract) -> dict[str, dg.AssetCheckEvaluation]:
    """What comes of the row count checks when assets that do nothing stand in for the tables."""
    days = daily(platform.settings.first_day, platform.settings.timezone)
    checks = build_checks(
        days, tolerance=platform.settings.row_count_tolerance, max_rejected=platform.settings.max_rejected
    )

    def idle(table: TableContract) -> dg.AssetsDefinition:
        @dg.asset(key=asset_key(table), partitions_def=days)
        def nothing() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult()

        return nothing

    result = dg.materialize(
        [*map(idle, {*COMPARED, ORDER_PRODUCTS_TRAIN}), *checks],
        selection=dg.AssetSelection.checks(*(dg.AssetCheckKey(asset_key(table), ROW_COUNT) for table in tables))
        | dg.AssetSelection.assets(*map(asset_key, tables)).without_checks(),
        instance=shared_instance(),
        partition_key=DT,
        resources={"catalog": platform.catalog, "athena": platform.resources.athena},
    )
    return {check.asset_key.path[-1]: check for check in result.get_asset_check_evaluations()}


@pytest.mark.parametrize(
    ("max_rejected", "passes", "told"),
    [
        (0.01, False, "Upload order_products__prior.csv and order_products__train.csv whole; or, if this is a sample"),
        (0.95, True, "It is taken for a sample, as INSTACART_MAX_REJECTED=0.95 allows."),
    ],
)
def test_orders_without_lines_stop_the_day_unless_it_is_a_sample_on_purpose(
    tmp_path: Path, upload_folder: Path, max_rejected: float, passes: bool, told: str
) -> None:
    lines = (upload_folder / "order_products__prior.csv").read_text().splitlines()
    (upload_folder / "order_products__prior.csv").write_text("\n".join(lines[:4]) + "\n")
    platform = Platform(tmp_path / "home", max_rejected=max_rejected)
    platform.upload(upload_folder)
    result = (
        build_defs(platform.settings)
        .resolve_job_def("reorder_daily")
        .execute_in_process(instance=shared_instance(), partition_key=DT, raise_on_error=False)
    )
    assert result.success == passes
    (check,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert check.check_name == "every_order_has_lines"
    assert check.description
    assert told in check.description
    assert (platform.catalog.find(t.UP_FEATURES, DT) is not None) == passes


# The rows of the day before and of the day, whether that passes, and what is said.
Case = tuple[int, int, bool, str]
CASES: list[dict[TableContract, Case]] = [
    {
        t.ORDERS: (1000, 1500, True, f"1,500 rows, +50.0% against {DAY_BEFORE}."),
        t.ORDER_PRODUCTS: (1000, 1501, False, f"1,501 rows, +50.1% against {DAY_BEFORE}."),
        t.ORDER_PRODUCTS_PRIOR: (1000, 500, True, f"500 rows, -50.0% against {DAY_BEFORE}."),
        t.UP_FEATURES: (1000, 499, False, f"499 rows, -50.1% against {DAY_BEFORE}."),
        t.RESULT_TABLE: (1000, 1000, True, f"1,000 rows, +0.0% against {DAY_BEFORE}."),
    },
    {
        t.ORDERS: (0, 0, True, f"0 rows, +0.0% against {DAY_BEFORE}."),
        t.ORDER_PRODUCTS: (0, 1000, False, f"1,000 rows, +inf% against {DAY_BEFORE}."),
        t.ORDER_PRODUCTS_PRIOR: (1000, 0, False, f"0 rows, -100.0% against {DAY_BEFORE}."),
    },
]


@pytest.mark.parametrize("cases", CASES, ids=["around half as many", "none"])
def test_a_row_count_far_from_the_same_tables_of_the_day_before_warns(
    platform: Platform, cases: dict[TableContract, Case]
) -> None:
    publish(platform, {table: before for table, (before, *_) in cases.items()}, DAY_BEFORE)
    publish(platform, {table: now for table, (_, now, *_) in cases.items()}, DT)
    checks = row_count_checks(platform, *cases)
    for table, (before, now, passed, said) in cases.items():
        check = checks[table.name]
        assert (check.passed, check.description) == (passed, said)
        assert (check.severity, check.blocking) == (dg.AssetCheckSeverity.WARN, False)
        metadata = {name: value.value for name, value in check.metadata.items()}
        assert metadata == {"rows": now, "rows_the_day_before": before}


def test_the_tolerance_is_a_setting_and_a_first_day_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "home", row_count_tolerance=0.05)
    publish(platform, {t.ORDERS: 1000}, DAY_BEFORE)
    publish(platform, {t.ORDERS: 1100, t.RESULT_TABLE: 400}, DT)
    checks = row_count_checks(platform, t.ORDERS, t.RESULT_TABLE)
    assert not checks["orders"].passed
    first = checks["result_table"]
    assert first.passed
    assert first.description == f"400 rows; nothing to compare with, as {DAY_BEFORE} was not built."


def test_lines_of_test_orders_stop_the_day_before_its_features(platform: Platform, upload_folder: Path) -> None:
    orders = [line.split(",") for line in (upload_folder / "orders.csv").read_text().splitlines()]
    first, second = (fields[0] for fields in orders if fields[2] == "test")
    with (upload_folder / "order_products__train.csv").open("a") as lines:
        lines.write(f"{first},1,1,0\n{first},2,2,0\n{second},3,1,0\n")
    platform.upload(upload_folder)

    defs = build_defs(platform.settings)
    result = defs.resolve_job_def("reorder_daily").execute_in_process(
        instance=shared_instance(), partition_key=DT, raise_on_error=False
    )

    assert not result.success
    (check,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (check.check_name, check.blocking) == ("every_line_is_prior_or_train", True)
    assert check.description
    assert check.description.endswith(" + 3 of test orders, whose baskets must not be in the upload")
    assert platform.catalog.find(t.ORDER_PRODUCTS_PRIOR, DT)
    features = (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES, t.RESULT_TABLE)
    assert [table.name for table in features if platform.catalog.find(table, DT)] == []
