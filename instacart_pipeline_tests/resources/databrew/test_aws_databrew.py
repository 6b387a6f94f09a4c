"""DataBrew on AWS: recipes published when they change, one run a piece of work, and nothing left in the service."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.errors import JobFailed, SettingsInvalid, TableNotFound, UnsupportedStep
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.resources.aws_account.errors import AwsDenied
from instacart_pipeline.resources.databrew.aws import AwsDataBrew, DataBrewRuns, made_for
from instacart_pipeline.resources.managed_jobs.attempts import JobEntry, Work
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.aws_double.support import eventually
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws_site import ROLE, Opened, Site

NEXT = "2026-11-21"
LINES = TableContract(
    "shop_curated",
    "lines",
    "What was bought.",
    [Column("line_id", "bigint", key=True), Column("user_id", "bigint", nullable=False)],
)
TOTALS = TableContract(
    "shop_features",
    "user_totals",
    "How much a user buys.",
    [Column("user_id", "bigint", key=True), Column("lines", "bigint", nullable=False, between=(1, 3))],
)
ROWS = [{"line_id": 1, "user_id": 7}, {"line_id": 2, "user_id": 7}, {"line_id": 3, "user_id": 8}]


def counting(function: str = "COUNT", target: str = "lines", kind: str = "long") -> Recipe:
    """Groups lines by user."""
    aggregate = {
        "sourceColumnName": "line_id",
        "targetColumnName": target,
        "targetColumnDataType": kind,
        "functionName": function,
    }
    parameters = {
        "sourceColumns": '["user_id"]',
        "groupByAggFunctionOptions": json.dumps([aggregate]),
        "useNewDataFrame": "true",
    }
    return Recipe.parse("user_totals", json.dumps([{"Action": {"Operation": "GROUP_BY", "Parameters": parameters}}]))


def brew(site: Site, recipe: Recipe | None = None, dt: str = DT) -> Any:
    databrew = AwsDataBrew(lake=site.lake, role=ROLE, nodes=3)
    return databrew.run(recipe or counting(), LINES, TOTALS, dt)


def in_the_service(site: Site) -> list[str]:
    client = site.aws.client("databrew")
    return [each["Name"] for each in [*client.list_jobs()["Jobs"], *client.list_datasets()["Datasets"]]]


def published_versions(site: Site) -> list[str]:
    client = site.aws.client("databrew")
    versions = client.list_recipe_versions(Name="instacart-user-totals")["Recipes"]
    return sorted(each["RecipeVersion"] for each in versions)


def assert_clean(site: Site) -> None:
    assert in_the_service(site) == []
    assert site.left_behind() == []
    assert site.unpublished(TOTALS) == []


@pytest.fixture(scope="module")
def stocked(opened_double: Opened) -> Snapshot:
    return opened_double.kept(lambda site: site.fill(LINES, ROWS))


@pytest.fixture
def shop(opened_double: Opened, stocked: Snapshot) -> Site:
    return Site(opened_double.holding(stocked))


def test_a_recipe_makes_a_table_of_the_very_version_of_its_source(shop: Site) -> None:
    published = brew(shop)
    assert shop.rows(TOTALS) == [{"user_id": 7, "lines": 2}, {"user_id": 8, "lines": 1}]
    source = shop.catalog.current(LINES, DT)
    assert published.version.lineage == {"shop_curated.lines": source.name}
    (run,) = shop.aws.jobs("databrew")
    assert published.service["job_id"] == f"{run.name}/{run.id}"
    assert run.name.startswith("instacart-shop-features-user-totals-2026-11-20-")
    (dataset,) = shop.aws.requests.of("databrew", "CreateDataset")
    place = dataset.parameters["Input"]["S3InputDefinition"]
    assert f"s3://{place['Bucket']}/{place['Key']}" == f"{source.location}/"
    assert_clean(shop)


def test_a_job_is_bounded_and_writes_one_file(shop: Site) -> None:
    brew(shop)
    (made,) = shop.aws.requests.of("databrew", "CreateRecipeJob")
    assert {name: made.parameters[name] for name in ("MaxCapacity", "MaxRetries", "Timeout", "RoleArn")} == {
        "MaxCapacity": 3,
        "MaxRetries": 0,
        "Timeout": 1,
        "RoleArn": ROLE,
    }
    assert made.parameters["RecipeReference"] == {"Name": "instacart-user-totals", "RecipeVersion": "1.0"}
    assert len([key for key in shop.keys("features/") if ".parquet" in key]) == 1


def test_what_a_run_costs_is_its_nodes_and_time(shop: Site) -> None:
    shop.aws.outcomes.slow("databrew", 1.2)
    facts = brew(shop).service
    assert facts["node_hours"] == pytest.approx(3 / 3600, rel=0.01)
    assert float(facts["estimated_cost_usd"]) >= 3 / 3600 * 0.48


def test_a_recipe_is_published_once_for_many_runs_and_again_when_it_changes(shop: Site) -> None:
    shop.fill(LINES, ROWS, NEXT)
    brew(shop)
    brew(shop, dt=NEXT)
    assert published_versions(shop) == ["1.0"]
    brew(shop, counting("MAX"))
    assert published_versions(shop) == ["1.0", "2.0"]
    used = [each.parameters["RecipeReference"] for each in shop.aws.requests.of("databrew", "CreateRecipeJob")]
    assert [each["RecipeVersion"] for each in used] == ["1.0", "1.0", "2.0"]
    assert shop.aws.requests.count("databrew", "PublishRecipe") == 2


def test_many_days_at_once_publish_the_recipe_once_and_do_not_race(shop: Site) -> None:
    days = [f"2026-11-{day}" for day in range(21, 24)]
    for day in days:
        shop.fill(LINES, [{"line_id": 1, "user_id": int(day[-2:])}], day)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda day: brew(shop, dt=day), days))
    assert [shop.rows(TOTALS, day)[0]["user_id"] for day in days] == [21, 22, 23]
    assert published_versions(shop) == ["1.0"]
    assert_clean(shop)


@pytest.mark.parametrize("fault", ["lost_reply", "lost_request"])
def test_answers_that_are_lost_on_the_way_to_a_run_never_make_two(shop: Site, fault: Any) -> None:
    operations = ("PublishRecipe", "CreateDataset", "CreateRecipeJob", "StartJobRun")
    lost = [shop.aws.faults.add(fault, "databrew", operation) for operation in operations]
    brew(shop)
    assert [each.hits for each in lost] == [1, 1, 1, 1]
    assert len(shop.aws.jobs("databrew")) == 1
    assert len(shop.rows(TOTALS)) == 2
    assert_clean(shop)


def test_a_failed_run_tells_its_reason_and_its_log(shop: Site) -> None:
    shop.aws.outcomes.failed("databrew", error="Column line_id is not there")
    with pytest.raises(JobFailed) as failed:
        brew(shop)
    text = str(failed.value)
    assert "failed: Column line_id is not there" in text
    assert "The end of its log:\nERROR Column line_id is not there" in text
    assert shop.catalog.find(TOTALS, DT) is None
    assert_clean(shop)


def test_a_run_that_ends_badly_after_it_wrote_publishes_nothing(shop: Site) -> None:
    shop.aws.outcomes.timed_out("databrew", after_work=True)
    with pytest.raises(JobFailed, match="timed out"):
        brew(shop)
    assert shop.catalog.find(TOTALS, DT) is None
    assert_clean(shop)


def test_a_result_that_breaks_its_contract_is_not_published(shop: Site) -> None:
    shop.fill(LINES, [{"line_id": number, "user_id": 7} for number in range(4)])
    with pytest.raises(VersionRefused, match="lines"):
        brew(shop)
    assert_clean(shop)


@pytest.mark.parametrize("noted", [True, False], ids=["its id noted", "killed before the answer"])
def test_what_a_killed_process_left_is_stopped_and_removed(shop: Site, noted: bool) -> None:
    shop.aws.outcomes.stuck("databrew")
    work = Work("run-1", TOTALS.qualified_name, DT, "digest")
    attempt = shop.jobs.records.claim(work)
    token = attempt.token("recipe")
    run = _started_by_hand(shop, made_for(work, token))
    attempt.jobs["recipe"] = JobEntry(DataBrewRuns.name, token, run if noted else "")
    shop.jobs.records.write(attempt)
    assert shop.jobs.stop_left("run-1", [DataBrewRuns(shop.session)]) == [run]
    assert [each.state for each in shop.aws.jobs("databrew")] == ["STOPPED"]
    assert in_the_service(shop) == []


def test_a_run_whose_job_was_removed_counts_as_stopped(shop: Site) -> None:
    runs = DataBrewRuns(shop.session)
    job = _started_by_hand(shop, "by-hand")
    client = shop.aws.client("databrew")
    assert runs.states[runs.look(job).state] in ("queued", "running", "succeeded")
    assert runs.look("by-hand/nobody").state == "STOPPED"
    runs.stop("by-hand/nobody")
    run = job.split("/")[1]
    eventually(lambda: client.describe_job_run(Name="by-hand", RunId=run)["State"] == "SUCCEEDED", timeout=120)
    runs.stop(job)


def test_what_cannot_be_removed_hides_no_error(shop: Site, caplog: pytest.LogCaptureFixture) -> None:
    shop.aws.outcomes.failed("databrew", error="the reason")
    shop.aws.faults.add("denied", "databrew", "DeleteJob", times=None)
    with pytest.raises(JobFailed, match="the reason"):
        brew(shop)
    assert "stays behind" in caplog.text


def test_what_is_wrong_beforehand_starts_and_makes_nothing(shop: Site) -> None:
    with pytest.raises(UnsupportedStep, match="it gives total bigint, and the contract wants lines bigint"):
        brew(shop, counting(target="total"))
    with pytest.raises(UnsupportedStep, match="it gives lines double, and the contract wants lines bigint"):
        brew(shop, counting("MEAN", kind="double"))
    with pytest.raises(TableNotFound, match="no partition"):
        brew(shop, dt=NEXT)
    with pytest.raises(SettingsInvalid, match="INSTACART_SERVICE_ROLE"):
        AwsDataBrew(lake=shop.lake, role="", nodes=2).run(counting(), LINES, TOTALS, DT)
    assert shop.aws.requests.count("databrew") == 0


def test_a_refusal_is_no_reason_to_try_again(shop: Site) -> None:
    shop.aws.faults.add("denied", "databrew", "CreateRecipeJob", times=None)
    with pytest.raises(AwsDenied, match="databrew create_recipe_job"):
        brew(shop)
    assert shop.aws.requests.count("databrew", "CreateRecipeJob") == 1
    assert_clean(shop)


def test_a_run_costs_few_requests(shop: Site) -> None:
    brew(shop)
    shop.aws.requests.clear()
    brew(shop)
    asked = [each for each in shop.aws.requests.of("databrew") if not each.is_poll]
    assert len(asked) <= 6


def _started_by_hand(site: Site, name: str) -> str:
    client = site.aws.client("databrew")
    source = site.catalog.current(LINES, DT).location.removeprefix("s3://lake/")
    place: Any = {"S3InputDefinition": {"Bucket": "lake", "Key": f"{source}/"}}
    client.create_dataset(Name=name, Format="PARQUET", Input=place)
    client.create_recipe(Name=f"of-{name}"[:40], Steps=[dict(step) for step in counting().definition])
    client.publish_recipe(Name=f"of-{name}"[:40])
    client.create_recipe_job(
        Name=name,
        DatasetName=name,
        RoleArn=ROLE,
        RecipeReference={"Name": f"of-{name}"[:40], "RecipeVersion": "1.0"},
        Outputs=[{"Location": {"Bucket": "lake", "Key": "by-hand/"}, "Format": "PARQUET"}],
    )
    return f"{name}/{client.start_job_run(Name=name)['RunId']}"
