"""Deploying to a double, for the tests of what is deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.cli.deploying import deploy
from instacart_pipeline.resources.aws_account import code
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.resources.aws_site import LAKE, ROLE

_READS = ("Get", "List", "Describe", "Head")


def settings_of(double: AwsDouble, home: Path) -> Settings:
    """The settings of an account that has a bucket and nothing else, which is made."""
    place: Any = {"LocationConstraint": REGION}
    double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=place)
    double.requests.clear()
    return Settings(
        home=home, profile="aws", lake=LAKE, service_role=ROLE, aws_region=REGION, aws_endpoint=double.endpoint
    )


@pytest.fixture
def settings(double: AwsDouble, tmp_path: Path) -> Settings:
    """The settings of an account that has a bucket and nothing else."""
    return settings_of(double, tmp_path)


def writes(double: AwsDouble) -> list[str]:
    """The operations that were asked for and are more than a look."""
    return [each.operation for each in double.requests if not each.operation.startswith(_READS)]


def scripts() -> dict[str, bytes]:
    """The scripts of Glue jobs as they lie in the package."""
    home = Path(code.__file__).parents[1] / "glue" / "scripts"
    return {name: (home / name).read_bytes() for name in code.GLUE_JOBS.values()}


def applied(settings: Settings, capsys: pytest.CaptureFixture[str], *, apply: bool = True) -> list[dict[str, Any]]:
    capsys.readouterr()
    deploy(settings, apply=apply, as_json=True)
    steps: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return steps


def changed(steps: list[dict[str, Any]]) -> dict[str, str]:
    return {step["name"]: step["action"] for step in steps if step["action"] != "unchanged"}
