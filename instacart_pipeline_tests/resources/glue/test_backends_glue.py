"""Glue, whichever backend: what a job publishes, in how many files, and what it refuses. On AWS a job is a Spark session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from instacart_pipeline.lake.errors import TableNotFound, UnsupportedSql
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline_tests.resources.backends import DEEP_ON_AWS, Day
from instacart_pipeline_tests.resources.result_rows import EXPECTED, JOB, pair, put_inputs

RESULT = t.RESULT_TABLE


@pytest.fixture
def shop(day: Day) -> Day:
    """A day with the inputs of the job."""
    put_inputs(day.put_rows)
    return day


@DEEP_ON_AWS
def test_a_job_publishes_its_rows_in_as_many_files_as_asked_with_lineage_and_outcomes(shop: Day) -> None:
    published = shop.backend.resources.glue.run(JOB, RESULT, shop.dt)
    assert shop.tuples(RESULT) == EXPECTED
    version = shop.current(RESULT)
    assert (published.version, published.superseded, version.rows) == (version, False, 3)
    assert dict(version.lineage) == {
        table.qualified_name: shop.current(table).name
        for table in (t.UP_FEATURES, t.USER_FEATURES_1, t.USER_FEATURES_2, t.PRD_FEATURES)
    }
    assert [(outcome.rule, outcome.violations) for outcome in version.outcomes] == [
        ("no_nulls", 0),
        ("in_range", 0),
        ("unique_user_id_product_id", 0),
    ]
    assert [name.endswith(".parquet") for name in shop.backend.files(version)] == [True, True]
    assert version.bytes > 0
    assert shop.orphaned_files(RESULT) == []


@DEEP_ON_AWS
def test_a_result_that_breaks_its_contract_leaves_readers_with_the_version_before(shop: Day) -> None:
    before = shop.put_rows(RESULT, [])
    shop.put_rows(t.UP_FEATURES, [pair(7, 10, 5), pair(8, 10, 2)], name="20260102T000000000000-000000")
    with pytest.raises(VersionRefused) as refused:
        shop.backend.resources.glue.run(JOB, RESULT, shop.dt)
    assert "in_range: 1 rows." in str(refused.value)
    assert "up_orders_since_last_order: 1 rows." in str(refused.value)
    assert shop.current(RESULT) == before
    assert shop.orphaned_files(RESULT) == []


def test_an_input_without_the_day_is_named_before_anything_starts(shop: Day, jobs_started: Callable[[], int]) -> None:
    shop.backend.catalog.drop_partition(t.PRD_FEATURES.database, t.PRD_FEATURES.name, shop.dt)
    before = jobs_started()
    with pytest.raises(TableNotFound) as missing:
        shop.backend.resources.glue.run(JOB, RESULT, shop.dt)
    assert str(missing.value) == (
        f"result_table reads reorder_features.prd_features, which has no partition dt={shop.dt}. "
        f"Build it with `instacart-pipeline run reorder --dt {shop.dt}`."
    )
    assert jobs_started() == before


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("SELECT nowhere FROM reorder_features.up_features WHERE dt = :dt", "Column 'nowhere' could not be resolved"),
        ("SELECT user_id FROM up_features WHERE dt = :dt", "up_features lacks its database"),
        ("SELECT user_id FROM reorder_features.up_features", r"takes parameters \[\], was given \['dt'\]"),
    ],
)
def test_sql_that_is_not_supported_is_refused_before_anything_starts(
    shop: Day, jobs_started: Callable[[], int], statement: str, problem: str
) -> None:
    before = jobs_started()
    with pytest.raises(UnsupportedSql, match=f"wrong: {problem}"):
        shop.backend.resources.glue.run(GlueJob("wrong", Query.parse("wrong", statement)), RESULT, shop.dt)
    assert jobs_started() == before
    assert shop.find(RESULT) is None
