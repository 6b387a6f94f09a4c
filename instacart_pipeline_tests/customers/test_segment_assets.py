"""From customers to segments, as the assets make them: real jobs in child processes, two weeks, here and on AWS.

What the jobs find is proven where their scripts are called in process: model/test_scripts.py.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.customers.assets import sql
from instacart_pipeline.customers.mart_tables import CUSTOMER_SEGMENTS
from instacart_pipeline.customers.model.naming import BOUGHT_NOTHING
from instacart_pipeline.customers.model.segmentation import RULE
from instacart_pipeline.customers.tables import CUSTOMERS
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.customers.mart import customer_row
from instacart_pipeline_tests.customers.model.planted import planted, shop
from instacart_pipeline_tests.customers.segment_weeks import FIRST, SECOND, Week, put, run
from instacart_pipeline_tests.customers.shop import DT
from instacart_pipeline_tests.customers.statements import Statements
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.tiers import costs

MANY = 200


@pytest.fixture(scope="module")
@costs("deep")
def town(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A platform with two weeks of the same half-idle shop."""
    platform = Platform(tmp_path_factory.mktemp("town") / "home", threads=2)
    for dt in (FIRST, SECOND):
        put(platform, dt, shop(MANY))
    return platform


@pytest.fixture(scope="module")
def weeks(town: Platform) -> tuple[Week, Week]:
    """What came of them, one after the other."""
    return run(town, FIRST), run(town, SECOND)


def segments(platform: Platform, dt: str) -> dict[int, Row]:
    return {row["user_id"]: row for row in platform.rows(CUSTOMER_SEGMENTS, dt)}


def test_every_customer_is_in_one_segment_and_dagster_shows_how_they_were_found(
    town: Platform, weeks: tuple[Week, Week]
) -> None:
    first, _ = weeks
    assert first.success, first.error
    assert set(segments(town, FIRST)) == set(shop(MANY).user_id.tolist())
    assert all(check.passed for check in first.checks.values())
    assert first.checks["every_customer_has_one_segment"].description == (
        f"{MANY} of {MANY} customers are in one segment; 0 are in none, 0 in several, and 0 rows are of nobody there is."
    )
    assert first.metadata["customers"] == MANY
    assert "slices of a continuum" in first.metadata["verdict"]
    assert "How much is bought" in first.metadata["features"]
    assert first.metadata["by_number_of_clusters"].count("\n") > 6
    assert BOUGHT_NOTHING in first.metadata["segments"]
    for name in ("silhouette_and_elbow", "profiles", "sizes"):
        assert "data:image/png;base64," in first.metadata[name]
    assert (first.steady.passed, first.steady.severity) == (True, dg.AssetCheckSeverity.WARN)
    assert (first.steady.description or "").startswith("Nothing to compare with")


def test_the_week_after_is_compared_with_the_one_before(town: Platform, weeks: tuple[Week, Week]) -> None:
    _, second = weeks
    assert second.success, second.error
    assert second.steady.passed
    figures = {name: value.value for name, value in second.steady.metadata.items()}
    assert (figures["psi"], figures["moved"], figures["agreement"]) == (0.0, 0, 1.0)
    assert f"By the segments of {FIRST}" in (second.steady.description or "")
    assert segments(town, FIRST) == segments(town, SECOND)


def test_a_customer_without_a_segment_and_a_segment_of_nobody_are_found() -> None:
    tables = Statements()
    tables.put_rows(CUSTOMERS, [customer_row(user) for user in (1, 2, 3)])
    row = {"segment": RULE, "segment_name": BOUGHT_NOTHING, "distance_to_center": None}
    tables.put_rows(CUSTOMER_SEGMENTS, [{"user_id": user, **row} for user in (1, 1, 2, 9)])
    (found,) = tables.query(sql("segment_account").bind(dt=DT)).table.to_pylist()
    assert found == {"customers": 3, "placed_once": 1, "missing": 1, "doubled": 1, "strangers": 1}


def test_segments_that_were_not_found_yet_are_asked_for_by_the_command_that_finds_them(platform: Platform) -> None:
    put(platform, FIRST, shop(30))
    week = run(platform, FIRST, only=asset_key(CUSTOMER_SEGMENTS))
    assert not week.success
    assert f"no segments of {FIRST} yet" in week.error
    assert f"`instacart-pipeline run customers --dt {FIRST}`" in week.error


@pytest.fixture
@costs("deep")
def deployed(aws: AwsDouble, tmp_path: Path) -> AwsPlatform:
    platform = AwsPlatform(tmp_path / "aws", aws.endpoint)
    platform.deploy()
    return platform


@pytest.mark.timeout(900)
def test_the_jobs_on_aws_find_planted_groups_and_hand_last_weeks_segments_on(
    deployed: AwsPlatform, aws: AwsDouble
) -> None:
    customers, _ = planted([60, 40, 20])
    for dt in (FIRST, SECOND):
        put(deployed, dt, customers)
        week = run(deployed, dt)
        assert week.success, week.error
        assert week.steady.passed
        assert week.metadata["groups"] != "none"
    assert week.steady.metadata["moved"].value == 0
    assert deployed.stored(CUSTOMER_SEGMENTS, SECOND) == deployed.stored(CUSTOMER_SEGMENTS, FIRST)
    assert [job for job in aws.jobs() if job.alive] == []
