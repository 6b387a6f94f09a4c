"""Deploying to a double, for the tests of what is deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.cli.deploying import deploy
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.resources.aws.site import LAKE, ROLE


@pytest.fixture
def settings(double: AwsDouble, tmp_path: Path) -> Settings:
    """The settings of an account that has a bucket and nothing else."""
    place: Any = {"LocationConstraint": REGION}
    double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=place)
    double.requests.clear()
    return Settings(
        home=tmp_path, profile="aws", lake=LAKE, service_role=ROLE, aws_region=REGION, aws_endpoint=double.endpoint
    )


def applied(settings: Settings, capsys: pytest.CaptureFixture[str], *, apply: bool = True) -> list[dict[str, Any]]:
    capsys.readouterr()
    deploy(settings, apply=apply, as_json=True)
    steps: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return steps


def changed(steps: list[dict[str, Any]]) -> dict[str, str]:
    return {step["name"]: step["action"] for step in steps if step["action"] != "unchanged"}
