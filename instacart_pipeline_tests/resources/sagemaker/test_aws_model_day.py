"""A model's day on AWS: from its tables to its endpoint, every call of which is on the page of permissions."""

from __future__ import annotations

from pathlib import Path

import pytest

from instacart_pipeline.profiles import aws_lake
from instacart_pipeline.resources.endpoints import Canary
from instacart_pipeline.resources.endpoints.aws import AwsEndpoints
from instacart_pipeline.resources.model_registry.aws import AwsModelRegistry
from instacart_pipeline.resources.sagemaker import ProcessingJob, Range, TransformJob, TuningJob
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.reorder.test_chain_on_aws import require_permissions_documented
from instacart_pipeline_tests.resources.toy_assets import IMAGE, TRAINING, toy_sagemaker
from instacart_pipeline_tests.resources.toy_model import CODE, DOUBLED, ROWS, SCORES
from instacart_pipeline_tests.tiers import costs


@pytest.fixture
@costs("deep")
def deployed(aws: AwsDouble, tmp_path: Path) -> AwsPlatform:
    """A deployed platform with the rows that the toy learns from."""
    platform = AwsPlatform(tmp_path, aws.endpoint)
    platform.deploy()
    platform.put_rows(ROWS, [{"id": 1, "y": 2.0, "x": None}, {"id": 2, "y": 2.0, "x": 0.5}])
    return platform


def test_a_model_s_day_asks_for_nothing_that_is_not_documented_and_leaves_nothing(
    aws: AwsDouble, deployed: AwsPlatform
) -> None:
    platform = deployed
    lake, sagemaker = aws_lake(platform.settings), toy_sagemaker(platform.settings)
    registry = AwsModelRegistry(lake=lake, image=IMAGE)
    endpoints = AwsEndpoints(lake=lake, image=IMAGE, role=platform.settings.service_role, instance="ml.m5.large")
    aws.requests.clear()

    sagemaker.tune(TuningJob("search", TRAINING, {"rate": Range(0.1, 0.9)}, "loss", trials=2), DT)
    model = sagemaker.train(TRAINING, DT)
    report = sagemaker.process(ProcessingJob("toy", "report", CODE, "double.py", {"rows": ROWS}, {"model": model}), DT)
    sagemaker.process_table(
        ProcessingJob("toy", "doubled", CODE, "double.py", {"rows": ROWS}, {}, {"table": "yes"}), DOUBLED, DT
    )
    version = registry.decide(registry.register("toy", model, {"loss": 0.25}, {"for": "trying"}), "Approved", "better")
    assert registry.champion("toy") == version
    sagemaker.transform(TransformJob("scores", version.artefact, ROWS, ("id",), ("y", "x"), "score"), SCORES, DT)
    endpoints.deploy("toy", version, Canary(b"1,2\n", 1))
    assert endpoints.deployed("toy") == version
    assert list(sagemaker.sweep("toy")) == []

    asked = aws.requests.counts()
    require_permissions_documented({f"{service}:{operation}" for service, operation in asked})
    assert report.lineage["toy_models.model"] == model.version
    assert [job for job in aws.jobs() if job.alive] == []
    assert sum(asked.values()) < 400
    kept = ("work/athena/", "work/code/", "work/locks/")
    keys = [found.key for found in lake.objects.listed(lake.zones.zone("work"))]
    assert [key for key in keys if not key.startswith(kept)] == []
