"""Deploying to an empty account: a dry run unless asked to apply, and an error or a lost answer in the middle of it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.cli import deploying
from instacart_pipeline.cli.deploying import deploy, deployment
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.aws_account import code
from instacart_pipeline.resources.aws_account.changes import Change, differences
from instacart_pipeline.resources.aws_account.code import GLUE_JOBS
from instacart_pipeline.resources.aws_account.deploy_glue import crawler_definition
from instacart_pipeline.resources.aws_account.errors import AwsDenied
from instacart_pipeline.settings import Settings
from instacart_pipeline.systems import STAGED_TABLES
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.resources.aws_account.deployments import applied, changed, scripts, writes
from instacart_pipeline_tests.resources.aws_site import LAKE, ROLE

STARTED_ONCE = {
    "athena": ["CreateWorkGroup"],
    "glue": ["CreateDatabase", "CreateClassifier", "CreateCrawler", "CreateJob"],
    "databrew": ["CreateRecipe", "PublishRecipe"],
    "kinesis": ["CreateStream"],
    "dynamodb": ["CreateTable"],
}
"""The operations that make something, by service."""


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


def test_answers_lost_on_the_way_do_not_end_a_deployment_and_make_nothing_twice(
    double: AwsDouble, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = [
        double.faults.add("lost_reply", service, operation)
        for service, operations in STARTED_ONCE.items()
        for operation in operations
    ]
    assert all(step["done"] for step in applied(settings, capsys))
    assert [fault.hits for fault in lost] == [1] * len(lost)
    assert changed(applied(settings, capsys)) == {}
    assert double.client("databrew").describe_recipe(Name="instacart-up-features")["RecipeVersion"] == "1.0"


def test_only_the_profile_aws_is_deployed_and_it_says_what_it_needs(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, profile="aws", lake=LAKE, service_role=ROLE)
    with pytest.raises(SettingsInvalid, match="INSTACART_PROFILE=aws"):
        deployment(replace(settings, profile="local"))
    with pytest.raises(SettingsInvalid, match="INSTACART_LAKE and INSTACART_SERVICE_ROLE"):
        deployment(replace(settings, lake="", service_role=""))


def test_people_get_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, applied = Settings(home=tmp_path), list[str]()

    class Crawler:
        def plan(self) -> list[Change]:
            action, differs = ("unchanged", ()) if applied else ("create", ("all of it",))
            return [Change("glue crawler", "raw", action, differs, lambda: applied.append("raw"))]  # type: ignore[arg-type]

    monkeypatch.setattr(deploying, "deployment", lambda _: Crawler())
    assert not deploy(settings, apply=False, as_json=False)
    shown = capsys.readouterr()
    assert all(word in shown.out for word in ("raw", "create", "all of it"))
    assert "This was a dry run" in shown.err
    assert applied == []
    assert deploy(settings, apply=True, as_json=False)
    assert "created" in capsys.readouterr().out
    assert deploy(settings, apply=True, as_json=False)
    assert "All is as it should be." in capsys.readouterr().err
    assert applied == ["raw"]


@pytest.mark.parametrize(("system", "staged"), STAGED_TABLES.items())
def test_a_system_has_one_crawler_with_a_target_for_each_staged_table(system: str, staged: Any) -> None:
    crawler = crawler_definition(system, staged, Zones(LAKE), ROLE)
    paths = [target["Path"] for target in crawler["Targets"]["S3Targets"]]
    assert paths == [f"{LAKE}/raw/{system}/{table.name}/" for table in staged]
    assert (crawler["Name"], crawler["DatabaseName"]) == (f"instacart-{system}-raw", f"{system}_staging")
    assert json.loads(crawler["Configuration"])["Grouping"]["TableLevelConfiguration"] == 4


def test_the_package_is_the_same_bytes_every_time_and_holds_what_scripts_import() -> None:
    made = code._package()
    assert made == code._package()
    names = zipfile.ZipFile(io.BytesIO(made)).namelist()
    assert "instacart_pipeline/engine/ingest.py" in names
    assert "instacart_pipeline/lake/contracts.py" in names
    assert not [name for name in names if "resources" in name or "__pycache__" in name]


@pytest.mark.usefixtures("processes")
def test_scripts_import_nothing_but_the_package_and_what_glue_brings(tmp_path: Path) -> None:
    (tmp_path / "package.zip").write_bytes(code._package())
    for name, content in scripts().items():
        (tmp_path / name).write_bytes(content)
        environment = {"PYTHONPATH": str(tmp_path / "package.zip"), "PATH": ""}
        ended = subprocess.run(
            [sys.executable, str(tmp_path / name), "--help"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("wanted", "there", "named"),
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
def test_differences_are_named_by_place(wanted: dict[str, Any], there: dict[str, Any], named: tuple[str, ...]) -> None:
    assert differences(wanted, there) == named
