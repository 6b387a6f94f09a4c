"""Which model is in use: what the registry, the endpoint and the baskets make of an evaluation's verdict. Nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.container.unpacking import pack
from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.artefacts import MODEL, OUTPUT, Artefact, ModelCode
from instacart_pipeline.reorder import model_assets as a
from instacart_pipeline.reorder import model_jobs as jobs
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.automation import MODEL_JOB
from instacart_pipeline.reorder.model.features import FEATURES, ORIGINAL
from instacart_pipeline.resources.endpoints import Canary
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.resources.sagemaker import ProcessingJob
from instacart_pipeline.resources.sagemaker.local import LocalSageMaker
from instacart_pipeline.resources.sagemaker.local.artefacts import Artefacts
from instacart_pipeline_tests.platform import DT, Platform, Run, run_of

DAY_BEFORE = "2026-11-19"
INTERVAL = {"mean": 0.4, "low": 0.3, "high": 0.5}
MODEL_CODE = ModelCode({"inference.py": b"", "train.py": b""})


class Judge(LocalSageMaker):
    """Says of any challenger what it is given to say, without a job; what it was asked is in its artefact's lineage."""

    not_worse: bool = True

    def process(self, job: ProcessingJob, dt: str) -> Artefact:
        figures = dict.fromkeys(("auc", "pr_auc", "log_loss", "calibration_error"), 0.5)
        told = {"orders": 80, "candidates": {"model": {"f1": INTERVAL, "ahead": INTERVAL, **figures}}}
        if "champion" in job.artefacts:
            told["champion"] = {"not_worse": self.not_worse, "ahead": INTERVAL}
        return put(self.artefacts, job.name, dt, {OUTPUT: {"evaluation.json": told}}, inputs=sorted(job.artefacts))


class Trusting(LocalEndpoints):
    """Holds no version to its canary: what that finds is another file's matter."""

    def _try(self, candidate: Path, canary: Canary) -> None:
        assert candidate.exists()
        assert canary.lines == 2


def put(
    artefacts: Artefacts, name: str, dt: str, files: dict[str, dict[str, object]], *, inputs: Sequence[str] = ()
) -> Artefact:
    """Publish an artefact of small JSON files."""
    with artefacts.new(t.SYSTEM, name, dt) as version, artefacts.lake.scratch() as work:
        for archive, content in files.items():
            folder = work / archive
            folder.mkdir()
            for file, told in content.items():
                (folder / file).write_text(json.dumps(told))
            pack(folder, version.path / archive)
        lineage = {f"asked/{each}": version.name for each in inputs}
        return artefacts.made(version, (t.SYSTEM, name, dt), MODEL_CODE, 0.0, lineage=lineage)


class Models:
    """A platform on which models appear and are judged."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        own = platform.resources.sagemaker
        assert isinstance(own, LocalSageMaker)
        self.parts = {"lake": own.lake, "registry": own.registry, "endpoints": own.endpoints}
        self.registry, self.endpoints = platform.resources.model_registry, platform.resources.endpoints

    def judged(self, dt: str = DT, *, not_worse: bool = True) -> Run:
        """A new model of the day, evaluated and perhaps promoted."""
        judge = Judge(**self.parts, not_worse=not_worse)
        model = {"features": FEATURES, "original": ORIGINAL, "slope": 1.0, "intercept": 0.0, "spread": 0.0}
        training = {"pairs": 1, "orders": 1, "rounds": 1, "slope": 1.0, "intercept": 0.0, "spread": 0.0}
        put(judge.artefacts, jobs.FINAL, dt, {MODEL: {"model.json": model}, OUTPUT: {"training.json": training}})
        endpoints = Trusting(home=str(self.platform.home), url="http://127.0.0.1:9")
        definitions = build_defs(self.platform.settings, {"sagemaker": judge, "endpoints": endpoints})
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_job_def(MODEL_JOB).execute_in_process(
                instance=instance, partition_key=dt, asset_selection=[a.EVALUATION, a.CHAMPION], raise_on_error=False
            )
        return run_of(result)

    @property
    def in_use(self) -> tuple[int, int]:
        """The numbers of the registry's champion, and of the version behind the endpoint."""
        champion = self.registry.champion(jobs.GROUP)
        assert champion
        return champion.number, self.endpoints.deployed(jobs.ENDPOINT).number


@pytest.fixture
def models(platform: Platform) -> Models:
    """A model is in use."""
    models = Models(platform)
    run = models.judged()
    assert run.success, run.errors
    assert models.in_use == (1, 1)
    return models


def test_a_worse_model_is_rejected_and_the_one_in_use_stays(models: Models) -> None:
    run = models.judged(not_worse=False)
    assert run.failed_checks == {(jobs.EVALUATION, a.NOT_WORSE)}
    assert not run.success
    assert "champion" not in run.materialized
    newest, *_ = models.registry.versions(jobs.GROUP)
    assert (newest.number, newest.status) == (2, "Rejected")
    assert "against version 1 of" in newest.reason
    assert models.in_use == (1, 1)


def test_a_model_that_is_not_worse_takes_over(models: Models) -> None:
    run = models.judged()
    assert run.success, run.errors
    newest, *_ = models.registry.versions(jobs.GROUP)
    assert (newest.number, newest.status) == (2, "Approved")
    assert models.in_use == (2, 2)


def test_an_earlier_day_built_anew_does_not_take_over(models: Models) -> None:
    run = models.judged(DAY_BEFORE)
    assert run.success, run.errors
    assert models.in_use == (1, 1)


def test_baskets_are_asked_of_the_model_in_use_and_decided_by_its_own_spread(models: Models) -> None:
    models.judged(not_worse=False)
    champion = models.registry.champion(jobs.GROUP)
    assert champion
    transforming, deciding = jobs.transforming(champion), jobs.deciding(champion)
    assert (transforming.model.location, transforming.source) == (champion.artefact.location, m.OPEN_PAIRS)
    assert deciding.arguments == {"spread": str(champion.card["spread"])}
