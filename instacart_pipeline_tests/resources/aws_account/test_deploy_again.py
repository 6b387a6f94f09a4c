"""Deploying again, to an account that has been deployed to: what differs is named and mended, and all else is let be.

The tests share one account. Each leaves it as it found it: as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.cli.deploying import deploy
from instacart_pipeline.resources.aws_account import code
from instacart_pipeline.resources.aws_account.code import GLUE_JOBS, INGEST_UPLOAD, SQL_TO_PARQUET, Bundle, glue_code
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.aws_double import AwsDouble, opened
from instacart_pipeline_tests.aws_double.support import eventually
from instacart_pipeline_tests.resources.aws_account.deployments import applied, changed, scripts, settings_of, writes
from instacart_pipeline_tests.resources.aws_site import LAKE
from instacart_pipeline_tests.tiers import costs


@pytest.fixture(scope="module")
@costs("contract")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwsDouble, Settings]]:
    """An account that everything was deployed to."""
    with opened(AwsDouble()) as double:
        settings = settings_of(double, tmp_path_factory.mktemp("home"))
        assert deploy(settings, apply=True, as_json=True)
        yield double, settings


@pytest.fixture
def double(account: tuple[AwsDouble, Settings]) -> AwsDouble:
    account[0].requests.clear()
    return account[0]


@pytest.fixture
def settings(account: tuple[AwsDouble, Settings]) -> Settings:
    return account[1]


def test_nothing_is_changed_the_second_time(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = applied(settings, capsys)
    assert len(steps) > 30
    assert changed(steps) == {}
    assert all(step["done"] for step in steps)
    assert writes(double) == []


def test_what_somebody_changed_is_named_and_mended(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    glue, athena = double.client("glue"), double.client("athena")
    glue.update_crawler(Name="instacart-reorder-raw", RecrawlPolicy={"RecrawlBehavior": "CRAWL_EVERYTHING"})
    glue.update_classifier(CsvClassifier={"Name": "instacart-csv", "QuoteSymbol": "'"})
    updates: Any = {"EnforceWorkGroupConfiguration": True, "RemoveBytesScannedCutoffPerQuery": True}
    athena.update_work_group(WorkGroup="instacart", ConfigurationUpdates=updates)
    update = glue.get_job(JobName=SQL_TO_PARQUET)["Job"]
    update = {name: update[name] for name in ("Role", "Command", "GlueVersion", "DefaultArguments")}
    glue.update_job(JobName=SQL_TO_PARQUET, JobUpdate={**update, "MaxRetries": 3})
    glue.update_database(Name="reorder_features", DatabaseInput={"Name": "reorder_features", "Parameters": {"a": "b"}})
    steps = applied(settings, capsys)
    assert changed(steps) == dict.fromkeys(
        ["instacart", "reorder_features", "instacart-csv", "instacart-reorder-raw", SQL_TO_PARQUET], "update"
    )
    differs = {step["name"]: step["differs"] for step in steps}
    assert "MaxRetries: 3 -> 0" in differs[SQL_TO_PARQUET]
    assert differs["instacart-csv"] == ["QuoteSymbol: ' -> \""]
    assert differs["instacart-reorder-raw"] == [
        "RecrawlPolicy.RecrawlBehavior: CRAWL_EVERYTHING -> CRAWL_NEW_FOLDERS_ONLY"
    ]
    assert "Configuration.BytesScannedCutoffPerQuery: nothing -> 200000000000" in differs["instacart"]
    kept = glue.get_database(Name="reorder_features")["Database"]["Parameters"]
    assert kept == {"a": "b", "created_by": "instacart_pipeline"}
    assert changed(applied(settings, capsys)) == {}


def test_another_setting_is_a_change_of_what_it_is_about(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(settings, glue_workers=5, athena_scan_limit="1GB")
    assert changed(applied(other, capsys, apply=False)) == dict.fromkeys(["instacart", *GLUE_JOBS], "update")


def test_a_changed_recipe_is_published_anew_and_only_that_one(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    databrew = double.client("databrew")
    others = databrew.describe_recipe(Name="instacart-prd-features")["Steps"]
    databrew.update_recipe(Name="instacart-up-features", Steps=others)
    assert changed(applied(settings, capsys)) == {}  # the working copy of somebody is none of a run's business
    databrew.publish_recipe(Name="instacart-up-features")
    assert changed(applied(settings, capsys)) == {"instacart-up-features": "update"}
    assert databrew.describe_recipe(Name="instacart-up-features")["RecipeVersion"] == "3.0"


def test_changed_code_goes_to_a_place_of_its_own_and_the_jobs_to_it(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = double.client("glue").get_job(JobName=INGEST_UPLOAD)["Job"]["Command"]["ScriptLocation"]
    newer = Bundle({**glue_code().files, "ingest_upload.py": b"print('newer')"})
    with monkeypatch.context() as patched:
        for module in ("code", "deploy", "deploy_glue"):
            patched.setattr(f"instacart_pipeline.resources.aws_account.{module}.glue_code", lambda: newer)
        actions = changed(applied(settings, capsys))
    assert actions == {newer.location(LAKE): "create", **dict.fromkeys(GLUE_JOBS, "update")}
    s3 = double.client("s3")
    kept = s3.get_object(Bucket="lake", Key=before.removeprefix(f"{LAKE}/"))["Body"].read()
    assert kept == scripts()["ingest_upload.py"]  # a run under way goes on with what it began with
    assert changed(applied(settings, capsys)) == dict.fromkeys(GLUE_JOBS, "update")


def test_a_file_that_was_lost_on_the_way_is_put_again(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    location = glue_code().location(LAKE)
    key = f"{location.removeprefix(f'{LAKE}/')}/{code.PACKAGE}"
    double.client("s3").delete_object(Bucket="lake", Key=key)
    (step,) = [step for step in applied(settings, capsys) if step["action"] != "unchanged"]
    assert (step["name"], step["differs"]) == (location, [code.PACKAGE])


def test_the_crawler_that_is_deployed_enters_a_table_with_commas_inside_quotes(double: AwsDouble) -> None:
    key = "raw/reorder/aisles/dt=2026-11-20/aisles.csv"
    double.client("s3").put_object(Bucket="lake", Key=key, Body=b'aisle_id,aisle\n1,"cheeses, soft"\n')
    glue = double.client("glue")
    glue.start_crawler(Name="instacart-reorder-raw")
    eventually(
        lambda: glue.list_crawls(CrawlerName="instacart-reorder-raw")["Crawls"][0]["State"] != "RUNNING", timeout=120
    )
    table = glue.get_table(DatabaseName="reorder_staging", Name="aisles")["Table"]
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]] == ["aisle_id", "aisle"]
    assert table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"].endswith("OpenCSVSerde")


def test_every_statement_and_recipe_of_every_system_lies_beside_the_code(double: AwsDouble) -> None:
    package = Path(code.__file__).parents[2]
    ours = [file for kind in ("*/sql/**/*.sql", "*/recipes/*.json") for file in package.glob(kind)]
    wanted = {file.relative_to(package).as_posix() for file in ours}
    keys = [each["Key"] for each in double.client("s3").list_objects_v2(Bucket="lake", Prefix="work/code/")["Contents"]]
    assert {key.split("/", 3)[3] for key in keys if key.endswith((".sql", ".json"))} == wanted
    assert {"retail/sql/transactions.sql", "retail/sql/analyses/monthly_revenue.sql"} <= wanted
