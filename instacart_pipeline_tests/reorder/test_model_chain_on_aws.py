"""The model's own scripts on AWS: trained, tuned, evaluated, registered, deployed and asked, on the double."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.datagen.reorder import generate_reorder
from instacart_pipeline.definitions import build_defs
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.reorder import model_assets as a
from instacart_pipeline.reorder import model_jobs as jobs
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder.automation import BASKETS_JOB, MODEL_JOB
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT, Platform, run_of
from instacart_pipeline_tests.reorder.building import build
from instacart_pipeline_tests.reorder.rhythm import build_pairs
from instacart_pipeline_tests.reorder.short_trainings import shorten
from instacart_pipeline_tests.reorder.test_chain_on_aws import require_permissions_documented
from instacart_pipeline_tests.tiers import costs


@pytest.fixture
@costs("deep")
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform that holds the pairs of a generated shop; what is trained on them is trained shortly."""
    shorten(monkeypatch)
    (upload,) = generate_reorder(
        tmp_path / "uploads", scale=0.002, days=1, seed=7, first_day=date.fromisoformat(DT), progress=lambda *_: None
    )
    platform = build(Platform(tmp_path / "here"), upload.folder)
    build_pairs(platform, windows=0)
    return platform


@pytest.mark.timeout(1800)
def test_the_model_s_jobs_run_on_aws_as_they_do_here(aws: AwsDouble, tmp_path: Path, pairs: Platform) -> None:
    deployed = AwsPlatform(tmp_path / "aws", aws.endpoint)
    deployed.deploy()
    for table in (m.TRAINING_PAIRS, m.OPEN_PAIRS):
        deployed.put_rows(table, pairs.rows(table))
    aws.requests.clear()
    selection = [a.SAMPLE_MODEL, a.TUNED, a.FINAL_MODEL, a.EVALUATION, a.CHAMPION]
    baskets = [asset_key(table) for table in (m.BASKET_PROBABILITIES, m.PREDICTED_BASKETS)]
    definitions = build_defs(deployed.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        for name, keys in ((MODEL_JOB, selection), (BASKETS_JOB, baskets)):
            run = run_of(
                definitions.resolve_job_def(name).execute_in_process(
                    instance=instance, partition_key=DT, asset_selection=keys, raise_on_error=False
                )
            )
            assert run.errors == {}
            assert run.success

    version = deployed.resources.model_registry.champion(jobs.GROUP)
    assert version
    assert version.metrics["auc"] > 0.7
    assert deployed.resources.endpoints.deployed(jobs.ENDPOINT).number == version.number
    probabilities = deployed.stored_rows(m.BASKET_PROBABILITIES)
    assert probabilities.num_rows == pairs.catalog.current(m.OPEN_PAIRS, DT).rows
    assert deployed.stored_rows(m.PREDICTED_BASKETS).num_rows > 0
    require_permissions_documented({f"{service}:{operation}" for service, operation in aws.requests.counts()})
    assert [job for job in aws.jobs() if job.alive] == []
