"""From the result table to the predicted baskets: a real training, a registry, an endpoint, on one small day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from instacart_pipeline.datagen.reorder import generate_reorder
from instacart_pipeline.reorder import model_jobs as jobs
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.automation import BASKETS_JOB, MODEL_JOB
from instacart_pipeline.reorder.model.baskets import by_decision
from instacart_pipeline_tests.platform import DT, Platform, Run
from instacart_pipeline_tests.reorder.short_trainings import shorten
from instacart_pipeline_tests.tiers import costs


@pytest.fixture(scope="module", autouse=True)
def short_trainings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        yield


@pytest.fixture(scope="module")
@costs("e2e")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A platform whose result table of DT is built, from a generated shop."""
    folder = tmp_path_factory.mktemp("shop")
    (upload,) = generate_reorder(
        folder / "uploads", scale=0.002, days=1, seed=7, first_day=date.fromisoformat(DT), progress=lambda *_: None
    )
    platform = Platform(folder / "home", training_pairs=0, threads=1)
    platform.upload(upload.folder)
    run = platform.run()
    assert run.success, run.errors
    return platform


@pytest.fixture(scope="module")
def first(shop: Platform) -> Run:
    """The first run of the model's job."""
    return shop.run(job=MODEL_JOB)


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


def test_baskets_without_a_model_say_how_to_get_one(platform: Platform) -> None:
    run = platform.run(job=BASKETS_JOB)
    assert f"instacart-pipeline run reorder-model --dt {DT}" in run.error
