"""Deploying: a dry run unless told otherwise, once and for all until something changes, and what it makes works."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.cli.deploying import deploy, deployment
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.resources.aws import code
from instacart_pipeline.resources.aws.code import ADMIT_UPLOAD, GLUE_JOBS, SQL_TO_PARQUET, Bundle, glue_code
from instacart_pipeline.resources.aws.differences import differences
from instacart_pipeline.resources.aws.errors import AwsDenied
from instacart_pipeline.settings import Settings
from instacart_pipeline.systems import STAGED_TABLES
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.resources.aws.deployments import applied, changed
from instacart_pipeline_tests.resources.aws.site import LAKE

READS = ("Get", "List", "Describe", "Head")


def writes(double: AwsDouble) -> list[str]:
    return [each.operation for each in double.requests if not each.operation.startswith(READS)]


def test_a_dry_run_tells_everything_and_changes_nothing(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = applied(settings, capsys, apply=False)
    assert {step["action"] for step in steps} == {"create"}
    assert not any(step["done"] for step in steps)
    names = [step["name"] for step in steps]
    assert {"instacart", "instacart-csv", "instacart-reorder-raw", *GLUE_JOBS} <= set(names)
    assert {"instacart-up-features", "instacart-user-features-1", "reorder_staging", "reorder_unpublished"} <= set(
        names
    )
    assert {"instacart-retail-raw", "retail_staging", "retail_curated", "retail_sandbox", "retail_unpublished"} <= set(
        names
    )
    assert "retail_warehouse" not in names  # the warehouse's own, not the catalog's
    tables = ["customers", "invoices", "dead_letters", "requests", "checkpoints"]
    assert names[-6:] == ["instacart-transactions", *(f"instacart-{table}" for table in tables)]
    assert writes(double) == []


def test_applying_twice_changes_nothing_the_second_time(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    first = applied(settings, capsys)
    assert all(step["done"] for step in first)
    double.requests.clear()
    second = applied(settings, capsys)
    assert changed(second) == {}
    assert [step["name"] for step in second] == [step["name"] for step in first]
    assert writes(double) == []


def test_what_somebody_changed_is_named_and_mended(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(settings, capsys)
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
    applied(settings, capsys)
    other = replace(settings, glue_workers=5, athena_scan_limit="1GB")
    assert changed(applied(other, capsys)) == dict.fromkeys(["instacart", *GLUE_JOBS], "update")


def test_a_changed_recipe_is_published_anew_and_only_that_one(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(settings, capsys)
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
    applied(settings, capsys)
    before = double.client("glue").get_job(JobName=ADMIT_UPLOAD)["Job"]["Command"]["ScriptLocation"]
    newer = Bundle({**glue_code().files, "admit_upload.py": b"print('newer')"})
    for module in (code, sys.modules[deployment.__module__], sys.modules["instacart_pipeline.resources.aws.deploy"]):
        monkeypatch.setattr(module, "glue_code", lambda: newer, raising=False)
    monkeypatch.setattr("instacart_pipeline.resources.aws.deploy_glue.glue_code", lambda: newer)
    actions = changed(applied(settings, capsys))
    assert actions == {newer.location(LAKE): "create", **dict.fromkeys(GLUE_JOBS, "update")}
    s3 = double.client("s3")
    kept = s3.get_object(Bucket="lake", Key=before.removeprefix(f"{LAKE}/"))["Body"].read()
    assert kept == glue_code_at_home()["admit_upload.py"]  # a run under way goes on with what it began with


def glue_code_at_home() -> dict[str, bytes]:
    home = Path(code.__file__).parents[1] / "scripts"
    return {name: (home / name).read_bytes() for name in GLUE_JOBS.values()}


def test_a_file_that_was_lost_on_the_way_is_put_again(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(settings, capsys)
    location = glue_code().location(LAKE)
    key = f"{location.removeprefix(f'{LAKE}/')}/{code.PACKAGE}"
    double.client("s3").delete_object(Bucket="lake", Key=key)
    (step,) = [step for step in applied(settings, capsys) if step["action"] != "unchanged"]
    assert (step["name"], step["differs"]) == (location, [code.PACKAGE])


def test_a_refusal_ends_the_deployment_and_says_what_was_done(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    double.faults.add("denied", "glue", "CreateCrawler")
    with pytest.raises(AwsDenied, match="glue create_crawler"):
        deploy(settings, apply=True, as_json=True)
    done = {step["name"] for step in json.loads(capsys.readouterr().out) if step["done"]}
    assert "instacart-csv" in done
    assert not done & set(GLUE_JOBS)
    assert set(changed(applied(settings, capsys))).isdisjoint(done)


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("athena", "CreateWorkGroup"),
        ("glue", "CreateDatabase"),
        ("glue", "CreateClassifier"),
        ("glue", "CreateCrawler"),
        ("glue", "CreateJob"),
        ("databrew", "CreateRecipe"),
        ("databrew", "PublishRecipe"),
        ("kinesis", "CreateStream"),
        ("dynamodb", "CreateTable"),
    ],
)
@pytest.mark.parametrize("fault", ["lost_reply", "lost_request", "throttled"])
def test_an_answer_lost_on_the_way_does_not_end_a_deployment(
    double: AwsDouble,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    service: str,
    operation: str,
    fault: Any,
) -> None:
    double.faults.add(fault, service, operation)
    assert all(step["done"] for step in applied(settings, capsys))
    assert changed(applied(settings, capsys)) == {}
    assert double.client("databrew").describe_recipe(Name="instacart-up-features")["RecipeVersion"] == "1.0"


def test_only_the_profile_aws_is_deployed_and_it_says_what_it_needs(settings: Settings) -> None:
    with pytest.raises(SettingsInvalid, match="INSTACART_PROFILE=aws"):
        deployment(replace(settings, profile="local"))
    with pytest.raises(SettingsInvalid, match="INSTACART_LAKE and INSTACART_SERVICE_ROLE"):
        deployment(replace(settings, lake="", service_role=""))


def test_people_get_a_table(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert not deploy(settings, apply=False, as_json=False)
    told = capsys.readouterr()
    assert "instacart-reorder-raw" in told.out
    assert "This was a dry run" in told.err
    assert deploy(settings, apply=True, as_json=False)
    assert "created" in capsys.readouterr().out
    assert deploy(settings, apply=True, as_json=False)
    assert "All is as it should be." in capsys.readouterr().err


def test_the_crawler_that_is_deployed_enters_a_table_with_commas_inside_quotes(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(settings, capsys)
    key = "raw/reorder/aisles/dt=2026-11-20/aisles.csv"
    double.client("s3").put_object(Bucket="lake", Key=key, Body=b'aisle_id,aisle\n1,"cheeses, soft"\n')
    glue = double.client("glue")
    glue.start_crawler(Name="instacart-reorder-raw")
    while glue.list_crawls(CrawlerName="instacart-reorder-raw")["Crawls"][0]["State"] == "RUNNING":
        pass
    table = glue.get_table(DatabaseName="reorder_staging", Name="aisles")["Table"]
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]] == ["aisle_id", "aisle"]
    assert table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"].endswith("OpenCSVSerde")


@pytest.mark.parametrize(("system", "staged"), STAGED_TABLES.items())
def test_a_system_has_one_crawler_with_a_target_for_each_staged_table(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str], system: str, staged: Any
) -> None:
    applied(settings, capsys)
    crawler = double.client("glue").get_crawler(Name=f"instacart-{system}-raw")["Crawler"]
    paths = [target["Path"] for target in crawler["Targets"]["S3Targets"]]
    assert paths == [f"{LAKE}/raw/{system}/{table.name}/" for table in staged]
    assert crawler["DatabaseName"] == f"{system}_staging"
    assert json.loads(crawler["Configuration"])["Grouping"]["TableLevelConfiguration"] == 4


def test_every_statement_and_recipe_of_every_system_lies_beside_the_code(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(settings, capsys)
    package = Path(code.__file__).parents[2]
    ours = [file for kind in ("*/sql/**/*.sql", "*/recipes/*.json") for file in package.glob(kind)]
    wanted = {file.relative_to(package).as_posix() for file in ours}
    keys = [each["Key"] for each in double.client("s3").list_objects_v2(Bucket="lake", Prefix="work/code/")["Contents"]]
    assert {key.split("/", 3)[3] for key in keys if key.endswith((".sql", ".json"))} == wanted
    assert {"retail/sql/transactions.sql", "retail/sql/analyses/monthly_revenue.sql"} <= wanted


def test_the_package_is_the_same_bytes_every_time_and_holds_what_scripts_import() -> None:
    made = code._package()
    assert made == code._package()
    names = zipfile.ZipFile(io.BytesIO(made)).namelist()
    assert "instacart_pipeline/embedded/admission.py" in names
    assert "instacart_pipeline/lake/contracts.py" in names
    assert not [name for name in names if "resources" in name or "__pycache__" in name]


def test_scripts_import_nothing_but_the_package_and_what_glue_brings(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "package.zip").write_bytes(code._package())
    for name, content in glue_code_at_home().items():
        (tmp_path / name).write_bytes(content)
        environment = {"PYTHONPATH": str(tmp_path / "package.zip"), "PATH": ""}
        told = subprocess.run(
            [sys.executable, str(tmp_path / name), "--help"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    ("wanted", "there", "told"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, ()),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ("a.b: 2 -> 1",)),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 3}]}, ()),
        ({"a": [1, 2]}, {"a": [1]}, ("a: [1] -> [1, 2]",)),
        ({"a": '{"x": 1, "y": 2}'}, {"a": '{"y":2,"x":1}'}, ()),
        ({"a": '{"x": 1}'}, {"a": '{"x": 2}'}, ('a: {"x": 2} -> {"x": 1}',)),
        ({"a": "text"}, {}, ("a: nothing -> text",)),
        ({"a": 0}, {"a": False}, ()),
    ],
)
def test_differences_are_named_by_place(wanted: dict[str, Any], there: dict[str, Any], told: tuple[str, ...]) -> None:
    assert differences(wanted, there) == told
