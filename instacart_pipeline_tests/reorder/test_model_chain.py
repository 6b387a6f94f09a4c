"""From the result table to the predicted baskets: a real training, a registry, an endpoint, and what happens when a model is worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from instacart_pipeline.datagen.reorder import generate_reorder
from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.reorder import model_jobs as jobs
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.automation import BASKETS_JOB, MODEL_JOB
from instacart_pipeline.reorder.model.baskets import by_decision
from instacart_pipeline.resources.local.sagemaker import LocalSageMaker
from instacart_pipeline.resources.sagemaker import TrainingJob
from instacart_pipeline_tests.platform import DT, Platform, Run

pytestmark = pytest.mark.slow

DAY_BEFORE = (date.fromisoformat(DT) - timedelta(days=1)).isoformat()


@pytest.fixture(scope="module", autouse=True)
def short_trainings_that_can_be_repeated() -> Iterator[None]:
    """Trials side by side end in no set order, so each training would come out a little different."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "DEFAULTS", {**jobs.DEFAULTS, "rounds": 60, "eta": 0.1})
        patch.setattr(jobs, "TRIALS", 2)
        patch.setattr(jobs, "TRIALS_AT_ONCE", 1)
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A platform whose result table of DT is built, from a generated shop."""
    folder = tmp_path_factory.mktemp("shop")
    (upload,) = generate_reorder(
        folder / "uploads", scale=0.003, days=1, seed=7, first_day=date.fromisoformat(DT), progress=lambda *_: None
    )
    platform = Platform(folder / "home", training_pairs=0)
    for dt in (DT, DAY_BEFORE):
        platform.upload(upload.folder, dt)
        run = platform.run(dt)
        assert run.success, run.errors
    return platform


@pytest.fixture(scope="module")
def first(shop: Platform) -> Run:
    """The first run of the model's job."""
    return shop.run(job=MODEL_JOB)


class HastyTraining(LocalSageMaker):
    """Gives the final model a single shallow round."""

    def train(self, job: TrainingJob, dt: str) -> Artefact:
        if job.name == jobs.FINAL:
            spoilt: Mapping[str, Any] = {**job.hyperparameters, "rounds": 1, "max_depth": 1, "eta": 0.01}
            job = TrainingJob(job.system, job.name, job.code, spoilt, job.channels, job.metrics)
        return super().train(job, dt)


def hasty(shop: Platform) -> HastyTraining:
    own = shop.resources.sagemaker
    assert isinstance(own, LocalSageMaker)
    return HastyTraining(lake=own.lake, registry=own.registry, endpoints=own.endpoints)


def test_a_result_table_becomes_a_model_an_endpoint_and_baskets(shop: Platform, first: Run) -> None:
    assert first.success, first.errors
    assert first.failed_checks == set()
    tables = {table.name for table in m.MODEL_TABLES}
    assert first.materialized == tables | {jobs.SAMPLE, jobs.TUNED, jobs.FINAL, jobs.EVALUATION, "champion"}
    (version,) = shop.resources.model_registry.versions(jobs.GROUP)
    assert (version.number, version.status, version.artefact.dt) == (1, "Approved", DT)
    assert version.metrics["auc"] > 0.7
    assert shop.resources.endpoints.deployed(jobs.ENDPOINT).number == 1


def test_the_evaluation_shows_the_baselines_and_its_pictures(shop: Platform, first: Run) -> None:
    assert first.success
    made = shop.resources.sagemaker.artefact(t.SYSTEM, jobs.EVALUATION, DT)
    with shop.resources.sagemaker.unpacked(made) as folder:
        found = {path.name for path in (folder / "output").iterdir()}
    pictures = {f"{name}.png" for name in ("precision_recall", "calibration", "importance", "f1_by_basket_size")}
    assert found == pictures | {"evaluation.json"}


def test_every_open_order_has_the_basket_that_its_probabilities_decide(shop: Platform, first: Run) -> None:
    assert first.success
    rows = shop.rows(m.PREDICTED_BASKETS)
    asked = {(row["order_id"], row["product_id"]) for row in shop.rows(m.OPEN_PAIRS)}
    assert {(row["order_id"], row["product_id"]) for row in rows} == asked
    order_id, said = np.array([row["order_id"] for row in rows]), np.array([row["probability"] for row in rows])
    starts = np.flatnonzero(np.r_[True, order_id[1:] != order_id[:-1]])
    champion = shop.resources.model_registry.champion(jobs.GROUP)
    assert champion
    chosen, _ = by_decision((starts, np.diff(np.r_[starts, len(rows)])), said, champion.card["spread"])
    assert [row["in_basket"] for row in rows] == chosen.astype(int).tolist()
    assert 0 < sum(row["in_basket"] for row in rows) < len(rows)


def test_a_worse_model_is_not_promoted_and_baskets_come_from_the_one_in_use(shop: Platform, first: Run) -> None:
    assert first.success
    before = shop.rows(m.PREDICTED_BASKETS)
    run = shop.run(job=MODEL_JOB, overrides={"sagemaker": hasty(shop)})
    assert (jobs.EVALUATION, "not_worse_than_the_champion") in run.failed_checks
    assert not run.success
    assert "champion" not in run.materialized
    newest, *_ = shop.resources.model_registry.versions(jobs.GROUP)
    assert newest.status == "Rejected"
    assert "against version 1 of" in newest.reason
    champion = shop.resources.model_registry.champion(jobs.GROUP)
    assert champion is not None
    assert champion.number == 1
    assert shop.resources.endpoints.deployed(jobs.ENDPOINT).number == 1
    again = shop.run(job=BASKETS_JOB)
    assert again.success, again.errors
    assert shop.rows(m.PREDICTED_BASKETS) == before


def test_the_same_data_trained_again_is_not_worse_and_takes_over(shop: Platform, first: Run) -> None:
    assert first.success
    run = shop.run(job=MODEL_JOB)
    assert run.success, run.errors
    newest, *_ = shop.resources.model_registry.versions(jobs.GROUP)
    assert newest.status == "Approved"
    assert shop.resources.endpoints.deployed(jobs.ENDPOINT).number == newest.number


def test_an_earlier_day_built_anew_does_not_take_over(shop: Platform, first: Run) -> None:
    assert first.success
    in_use = shop.resources.endpoints.deployed(jobs.ENDPOINT).number
    run = shop.run(DAY_BEFORE, job=MODEL_JOB)
    assert run.success, run.errors
    assert shop.resources.endpoints.deployed(jobs.ENDPOINT).number == in_use


def test_baskets_without_a_model_say_how_to_get_one(platform: Platform) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = platform.run(job=BASKETS_JOB, instance=instance)
    assert f"instacart-pipeline run reorder-model --dt {DT}" in run.error


def test_too_few_users_end_the_run_with_what_is_missing(platform: Platform, upload_folder: Path) -> None:
    platform.upload(upload_folder)
    assert platform.run().success
    run = platform.run(job=MODEL_JOB)
    assert "nothing can be learnt from these" in run.error
    assert "train orders of more users" in run.error
