"""The daily chain, whole, on small and on real uploads."""

from pathlib import Path

import pytest

from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.checks import COMPARED
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.reorder.building import build


def test_a_days_upload_becomes_every_table_and_leaps_of_row_counts_only_warn(
    platform: Platform, upload_folder: Path
) -> None:
    day_before = "2026-11-19"
    for table in COMPARED:
        platform.put_rows(table, [], dt=day_before)
    platform.upload(upload_folder)
    run = platform.run()
    assert run.success, run.errors
    assert run.failed_checks == {(table.name, "row_count_near_the_day_before") for table in COMPARED}
    assert run.materialized == {table.name for table in t.TABLES}
    assert platform.rows(t.PRODUCTS)[2]["product_name"] == 'Product 3, 3" wide'
    assert platform.orphaned_files() == []


def test_real_baskets_give_the_known_figures(platform: Platform, real_data: Path) -> None:
    build(platform, real_data / "retail_baskets")

    def figures(table: str, *columns: str) -> list[float]:
        (row,) = platform.sql(f"SELECT count(*) AS n, {', '.join(columns)} FROM {table} WHERE dt = '{DT}'")
        return list(row.values())

    prior = figures(
        "reorder_curated.order_products_prior",
        "count(DISTINCT user_id)",
        "count(DISTINCT product_id)",
        "sum(reordered)",
        "sum(add_to_cart_order)",
    )
    assert prior == [253_857, 1_496, 3_549, 98_893, 6_349_304]
    assert figures(
        "reorder_features.user_features_1", "sum(user_orders)", "sum(user_period)", "avg(user_mean_days_since_prior)"
    ) == [1_496, 12_233, 230_084, pytest.approx(23.472226, abs=5e-7)]
    assert figures(
        "reorder_features.user_features_2",
        "sum(user_total_products)",
        "sum(user_distinct_products)",
        "avg(user_reorder_ratio)",
    ) == [1_496, 253_857, 154_964, pytest.approx(0.343069, abs=5e-7)]
    assert figures(
        "reorder_features.up_features",
        "sum(up_orders)",
        "sum(up_first_order)",
        "sum(up_last_order)",
        "avg(up_average_cart_position)",
    ) == [154_964, 253_857, 1_135_462, 1_673_910, pytest.approx(23.380384, abs=5e-7)]
    assert figures(
        "reorder_features.prd_features",
        "sum(prod_orders)",
        "sum(prod_reorders)",
        "sum(prod_first_orders)",
        "sum(prod_second_orders)",
    ) == [3_549, 253_857, 98_893, 154_964, 46_495]
    assert figures("reorder_sandbox.result_table", "count(DISTINCT user_id)") == [154_964, 1_496]
    assert figures("reorder_curated.order_products_train", "count(DISTINCT order_id)") == [21_245, 977]
