"""From customers to segments, as the assets make them: real jobs in child processes, week after week, here and on AWS."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.customers import segment_jobs as jobs
from instacart_pipeline.customers.assets import sql
from instacart_pipeline.customers.mart_tables import CUSTOMER_SEGMENTS
from instacart_pipeline.customers.model.naming import BOUGHT_NOTHING, BOUGHT_SOMETHING
from instacart_pipeline.customers.model.segmentation import RULE
from instacart_pipeline.customers.tables import SYSTEM
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.customers.model.planted import changed, planted, shop
from instacart_pipeline_tests.customers.segment_weeks import FIRST, SECOND, THIRD, Week, put, run
from instacart_pipeline_tests.platform import Platform, Row


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A platform with two weeks of the same half-idle shop."""
    platform = Platform(tmp_path_factory.mktemp("town") / "home", threads=2)
    for dt in (FIRST, SECOND):
        put(platform, dt, shop(600))
    return platform


@pytest.fixture(scope="module")
def first(town: Platform) -> Week:
    return run(town, FIRST)


@pytest.fixture(scope="module")
def second(town: Platform, first: Week) -> Week:
    assert first.success, first.error
    return run(town, SECOND)


def segments(platform: Platform, dt: str) -> dict[int, Row]:
    return {row["user_id"]: row for row in platform.rows(CUSTOMER_SEGMENTS, dt)}


def test_every_customer_is_in_one_segment_and_the_week_says_all_of_how(town: Platform, first: Week) -> None:
    assert first.success, first.error
    placed, customers = segments(town, FIRST), shop(600)
    assert set(placed) == set(customers.user_id.tolist())
    idle = {user for user, bought in zip(customers.user_id.tolist(), customers.bought, strict=True) if not bought}
    assert {user for user, row in placed.items() if row["segment"] == RULE} == idle
    assert {row["segment_name"] for user, row in placed.items() if user in idle} == {BOUGHT_NOTHING}
    assert all((row["distance_to_center"] is None) == (user in idle) for user, row in placed.items())
    names = {(row["segment"], row["segment_name"]) for row in placed.values()}
    assert len(names) == first.metadata["k"] + 1 == len({name for _, name in names})
    assert all(check.passed for check in first.checks.values())
    account = first.checks["every_customer_has_one_segment"].description
    assert (
        account
        == "600 of 600 customers are in one segment; 0 are in none, 0 in several, and 0 rows are of nobody there is."
    )
    assert (first.metadata["customers"], first.metadata["buyers"]) == (600, 600 - len(idle))
    assert first.metadata["groups"] == "none"
    assert "slices of a continuum" in first.metadata["verdict"]
    assert "How much is bought" in first.metadata["features"]
    assert "no distance for K-means" in first.metadata["features"]
    assert first.metadata["by_number_of_clusters"].count("\n") > 6
    assert BOUGHT_NOTHING in first.metadata["segments"]
    for name in ("silhouette_and_elbow", "profiles", "sizes"):
        assert "data:image/png;base64," in first.metadata[name]


def test_the_first_week_says_there_is_none_to_compare_with(first: Week) -> None:
    assert first.steady.passed
    assert first.steady.description == "Nothing to compare with: there are no segments of the week before."
    assert first.steady.severity == dg.AssetCheckSeverity.WARN


def test_a_week_like_the_one_before_is_steady_and_its_model_is_the_same_to_the_byte(
    town: Platform, second: Week
) -> None:
    assert second.success, second.error
    assert second.steady.passed
    figures = {name: value.value for name, value in second.steady.metadata.items()}
    assert (figures["psi"], figures["moved"], figures["agreement"]) == (0.0, 0, 1.0)
    assert f"By the segments of {FIRST}" in (second.steady.description or "")
    assert segments(town, FIRST) == segments(town, SECOND)
    made = []
    for dt in (FIRST, SECOND):
        artefact = town.resources.sagemaker.artefact(SYSTEM, jobs.SEGMENTATION, dt)
        with town.resources.sagemaker.unpacked(artefact) as folder:
            made.append({path.name: path.read_bytes() for path in (folder / "output").iterdir()})
    reports = [json.loads(files.pop("report.json")) for files in made]
    assert made[0] == made[1]
    assert reports[0] | {"drift": 0, "drift_unknown": 0} == reports[1] | {"drift": 0, "drift_unknown": 0}


def test_a_week_whose_customers_spend_another_way_warns_and_says_who_moved_where(town: Platform, second: Week) -> None:
    assert second.success, second.error
    before = shop(600)
    values = {name: before.values[name][::-1].copy() for name in ("spend", "orders", "days_since_order", "return_rate")}
    put(town, THIRD, changed(before, items=before.values["items"][::-1].copy(), **values))
    third = run(town, THIRD)
    assert third.success, third.error  # a warning stops nothing
    assert not third.steady.passed
    moved = third.steady.metadata["moved"].value
    assert isinstance(moved, int)
    assert moved > 60
    assert f"{moved:,} of 600 customers" in third.metadata["drift"]
    assert "| from | to | customers |" in third.metadata["drift"]


def test_few_customers_are_one_segment_beside_those_who_bought_nothing(platform: Platform) -> None:
    put(platform, FIRST, shop(30))
    week = run(platform, FIRST)
    assert week.success, week.error
    assert {row["segment_name"] for row in platform.rows(CUSTOMER_SEGMENTS, FIRST)} == {
        BOUGHT_NOTHING,
        BOUGHT_SOMETHING,
    }
    assert "too few" in week.metadata["verdict"]


def test_a_week_in_which_nobody_buys_is_told_so_and_the_next_is_held_against_it(platform: Platform) -> None:
    everyone = shop(60)
    idle = everyone.where(~everyone.bought)
    put(platform, FIRST, idle)
    quiet = run(platform, FIRST)
    assert quiet.success, quiet.error
    assert "Nobody bought anything" in quiet.metadata["verdict"]
    assert {row["segment_name"] for row in platform.rows(CUSTOMER_SEGMENTS, FIRST)} == {BOUGHT_NOTHING}
    put(platform, SECOND, everyone)
    after = run(platform, SECOND)
    assert after.success, after.error
    assert after.metadata["drift"]


def test_a_customer_without_a_segment_and_a_segment_of_nobody_are_found(platform: Platform) -> None:
    put(platform, FIRST, shop(3))
    row = {"segment": RULE, "segment_name": BOUGHT_NOTHING, "distance_to_center": None}
    platform.put_rows(CUSTOMER_SEGMENTS, [{"user_id": user, **row} for user in (1, 1, 2, 9)], dt=FIRST)
    (found,) = platform.resources.athena.query(sql("segment_account").bind(dt=FIRST)).table.to_pylist()
    assert found == {"customers": 3, "placed_once": 1, "missing": 1, "doubled": 1, "strangers": 1}


def test_segments_that_were_not_found_yet_are_asked_for_by_the_command_that_finds_them(platform: Platform) -> None:
    put(platform, FIRST, shop(30))
    week = run(platform, FIRST, only=asset_key(CUSTOMER_SEGMENTS))
    assert not week.success
    assert f"no segments of {FIRST} yet" in week.error
    assert f"`instacart-pipeline run customers --dt {FIRST}`" in week.error


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_jobs_on_aws_give_the_segments_they_give_here(aws: AwsDouble, tmp_path: Path, platform: Platform) -> None:
    deployed = AwsPlatform(tmp_path / "aws", aws.endpoint)
    deployed.deploy()
    customers, _ = planted([120, 80, 40])
    for each, dt in ((platform, FIRST), (deployed, FIRST), (deployed, SECOND)):
        put(each, dt, customers)
        week = run(each, dt)
        assert week.success, week.error
        assert week.steady.passed
        assert week.metadata["groups"] != "none"
    assert week.steady.metadata["moved"].value == 0
    here = sorted(platform.rows(CUSTOMER_SEGMENTS, FIRST), key=lambda row: int(row["user_id"]))
    for dt in (FIRST, SECOND):  # the second week is the first one's customers again
        assert deployed.stored(CUSTOMER_SEGMENTS, dt) == here
    assert [job for job in aws.jobs() if job.alive] == []
