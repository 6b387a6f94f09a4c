"""SageMaker, whichever backend: what the four kinds of job publish, what they refuse, and what they leave when they fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed, TableNotFound
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline.resources.sagemaker import ProcessingJob, Range, SageMaker, TrainingJob, TransformJob, TuningJob
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.resources.backends import DEEP_ON_AWS, ONLY_DEEP_ON_AWS, Day
from instacart_pipeline_tests.resources.toy_model import CODE, DOUBLED, METRICS, ROWS, SCORES

TRAINING = TrainingJob("toy", "model", CODE, {"rate": 0.5, "rounds": 3}, {"train": ROWS}, METRICS)
PROCESSING = ProcessingJob("toy", "report", CODE, "double.py", {"rows": ROWS})
NEWER = "20260102T000000000000-000000"
TO_TABLE = replace(PROCESSING, name="doubling", arguments={"table": "yes"})


def rows(*values: float, x: float | None = None) -> list[Row]:
    return [{"id": number, "y": float(value), "x": x} for number, value in enumerate(values, 1)]


@pytest.fixture
def shop(day: Day) -> Day:
    """A day with three rows, whose mean of y is 4."""
    day.put_rows(ROWS, rows(2, 4, 6))
    return day


@pytest.fixture
def sagemaker(backend: Platform) -> SageMaker:
    return backend.resources.sagemaker


@pytest.fixture(scope="module")
def school(backend: Platform, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day on which the model was trained."""
    made = Day(backend, "2025-12-31", tmp_path_factory.mktemp("school"))
    made.put_rows(ROWS, rows(2, 4, 6))
    return made


@pytest.fixture(scope="module")
def model(backend: Platform, school: Day) -> Artefact:
    """The toy that learnt 3.5, trained once for all tests: it answers with that plus the row's first number."""
    return backend.resources.sagemaker.train(TRAINING, school.dt)


def training(**hyperparameters: str | int | float) -> TrainingJob:
    return replace(TRAINING, hyperparameters={**TRAINING.hyperparameters, **hyperparameters})


# Training.


def test_a_training_publishes_model_reports_and_code_with_what_is_known_of_them(
    sagemaker: SageMaker, school: Day, model: Artefact
) -> None:
    assert (model.system, model.name, model.dt, model.code) == ("toy", "model", school.dt, CODE.digest)
    assert dict(model.hyperparameters) == {"rate": 0.5, "rounds": 3}
    assert model.metrics["loss"] == pytest.approx(0.5)  # the last of 2, 1 and 0.5
    assert dict(model.lineage) == {ROWS.qualified_name: school.current(ROWS).name}
    assert model.seconds > 0
    with sagemaker.unpacked(model) as folder:
        assert json.loads((folder / "model" / "model.json").read_text()) == {"mean": 3.5}
        assert json.loads((folder / "output" / "report.json").read_text()) == {"rows": 3}
        assert {path.name: path.read_bytes() for path in (folder / "code").iterdir()} == CODE.files
    assert not folder.exists()


def test_a_training_replaces_what_was_published_and_one_that_fails_does_not(sagemaker: SageMaker, shop: Day) -> None:
    first = sagemaker.train(training(rounds=1), shop.dt)
    assert sagemaker.artefact("toy", "model", shop.dt) == first
    shop.put_rows(ROWS, rows(10, 10), name=NEWER)
    second = sagemaker.train(training(rate=1, rounds=1), shop.dt)
    assert sagemaker.artefact("toy", "model", shop.dt) == second
    assert second.version != first.version
    for made, mean in ((first, 2.0), (second, 10.0)):  # the readers of the first need not hurry
        with sagemaker.unpacked(made) as folder:
            assert json.loads((folder / "model" / "model.json").read_text()) == {"mean": mean}
    with pytest.raises(JobFailed) as failed:
        sagemaker.train(training(fail="the rows make no sense"), shop.dt)
    assert "the rows make no sense" in str(failed.value)
    assert "about to fail" in str(failed.value)
    assert sagemaker.artefact("toy", "model", shop.dt) == second
    assert list(sagemaker.sweep("toy")) == []


def test_what_was_never_made_is_not_found_and_says_how_to_make_it(sagemaker: SageMaker, day: Day) -> None:
    with pytest.raises(ArtefactNotFound, match=rf"dt={day.dt} .*Build the asset toy/models/nothing of that day first"):
        sagemaker.artefact("toy", "nothing", day.dt)


def test_a_training_on_a_day_without_rows_is_refused_before_anything_starts(
    sagemaker: SageMaker, jobs_started: Callable[[], int]
) -> None:
    before = jobs_started()
    with pytest.raises(TableNotFound, match=r"toy_features\.rows has no partition dt=1999-01-01"):
        sagemaker.train(TRAINING, "1999-01-01")
    assert jobs_started() == before


# Tuning.


def tuning(**changes: object) -> TuningJob:
    found = TuningJob("tuned", TRAINING, {"rate": Range(0.1, 1.0), "rounds": Range(2, 6, "integer")}, "loss", trials=2)
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_tuning_tells_the_hyperparameters_of_the_trial_that_reached_the_least_objective(
    sagemaker: SageMaker, shop: Day
) -> None:
    tuned = sagemaker.tune(tuning(), shop.dt)
    assert [trial.number for trial in tuned.trials] == [1, 2]
    for trial in tuned.trials:
        rate, rounds = trial.hyperparameters["rate"], trial.hyperparameters["rounds"]
        assert 0.1 <= float(rate) <= 1.0
        assert isinstance(rounds, int)
        assert 2 <= rounds <= 6
    reached = [trial for trial in tuned.trials if trial.objective is not None]
    best = min(reached, key=lambda trial: trial.objective or 0)
    assert dict(tuned.hyperparameters) == dict(best.hyperparameters)
    assert tuned.metrics["loss"] == pytest.approx(best.objective)
    assert sagemaker.artefact("toy", "tuned", shop.dt) == tuned
    assert dict(tuned.lineage) == {ROWS.qualified_name: shop.current(ROWS).name}


@ONLY_DEEP_ON_AWS
def test_a_tuning_may_look_for_the_greatest_instead(sagemaker: SageMaker, shop: Day) -> None:
    tuned = sagemaker.tune(tuning(maximize=True), shop.dt)
    assert tuned.metrics["loss"] == max(trial.objective or 0 for trial in tuned.trials)


@ONLY_DEEP_ON_AWS
def test_a_tuning_none_of_whose_trials_reports_the_objective_fails(sagemaker: SageMaker, shop: Day) -> None:
    blind = replace(TRAINING, metrics={"loss": "never printed=([0-9.]+)"})
    with pytest.raises(JobFailed, match="reported"):
        sagemaker.tune(tuning(training=blind, trials=1), shop.dt)
    with pytest.raises(ArtefactNotFound):
        sagemaker.artefact("toy", "tuned", shop.dt)
    assert list(sagemaker.sweep("toy")) == []


# Processing.


def test_a_processing_publishes_what_its_script_wrote(sagemaker: SageMaker, shop: Day, model: Artefact) -> None:
    job = replace(PROCESSING, artefacts={"model": model}, arguments={"depth": "3", "note": "two words"})
    made = sagemaker.process(job, shop.dt)
    with sagemaker.unpacked(made) as folder:
        report = json.loads((folder / "output" / "report.json").read_text())
        assert list((folder / "model").iterdir()) == []
    assert report == {"arguments": ["--depth", "3", "--note", "two words"], "rows": 3, "mean": 3.5}
    assert dict(made.lineage) == {ROWS.qualified_name: shop.current(ROWS).name, "toy_models.model": model.version}
    assert sagemaker.artefact("toy", "report", shop.dt) == made


def test_a_processing_may_publish_a_table(sagemaker: SageMaker, shop: Day) -> None:
    published = sagemaker.process_table(TO_TABLE, DOUBLED, shop.dt)
    assert shop.tuples(DOUBLED) == [(1, 4.0), (2, 8.0), (3, 12.0)]
    version = shop.current(DOUBLED)
    assert (published.version, version.rows, published.superseded) == (version, 3, False)
    assert dict(version.lineage) == {ROWS.qualified_name: shop.current(ROWS).name}
    assert [name.endswith(".parquet") for name in shop.backend.files(version)] == [True]
    assert shop.orphaned_files(DOUBLED) == []


@DEEP_ON_AWS
def test_a_table_that_breaks_its_contract_is_not_published(sagemaker: SageMaker, shop: Day) -> None:
    before = shop.put_rows(DOUBLED, [{"id": 1, "y": 1.0}])
    shop.put_rows(ROWS, rows(2, 501), name=NEWER)
    with pytest.raises(VersionRefused, match="in_range: 1 rows"):
        sagemaker.process_table(TO_TABLE, DOUBLED, shop.dt)
    assert shop.current(DOUBLED) == before
    assert shop.orphaned_files(DOUBLED) == []


def test_a_processing_that_fails_tells_its_own_words(sagemaker: SageMaker, shop: Day) -> None:
    with pytest.raises(JobFailed, match=r"nowhere\.py"):
        sagemaker.process(replace(PROCESSING, script="nowhere.py"), shop.dt)
    with pytest.raises(ArtefactNotFound):
        sagemaker.artefact("toy", "report", shop.dt)


# Batch transform.


def scoring(model: Artefact) -> TransformJob:
    return TransformJob("scoring", model, ROWS, ("id",), ("y", "x"), "score")


def test_a_transform_publishes_a_prediction_for_every_row_in_the_sources_order(
    sagemaker: SageMaker, shop: Day, model: Artefact
) -> None:
    # NULL goes to the model as an empty field, and numbers as they are.
    shop.put_rows(ROWS, [*rows(2), {"id": 2, "y": 1.0, "x": 1 / 3}, {"id": 3, "y": 1.0, "x": 1e-15}], name=NEWER)
    published = sagemaker.transform(replace(scoring(model), features=("x", "y")), SCORES, shop.dt)
    assert shop.tuples(SCORES) == [(1, 3.5), (2, 3.5 + 1 / 3), (3, 3.5 + 1e-15)]
    version = shop.current(SCORES)
    assert published.version == version
    assert dict(version.lineage) == {ROWS.qualified_name: shop.current(ROWS).name, "toy_models.model": model.version}
    assert shop.orphaned_files(SCORES) == []


def test_a_row_that_the_model_refuses_fails_the_transform_with_its_reason(
    sagemaker: SageMaker, shop: Day, model: Artefact
) -> None:
    before = shop.put_rows(SCORES, [{"id": 1, "score": 1.0}])
    shop.put_rows(ROWS, rows(5, -1), name=NEWER)
    with pytest.raises(JobFailed, match="-1 can't be predicted"):
        sagemaker.transform(scoring(model), SCORES, shop.dt)
    assert shop.current(SCORES) == before
    assert shop.orphaned_files(SCORES) == []


@DEEP_ON_AWS
def test_an_empty_table_is_transformed_to_an_empty_one(sagemaker: SageMaker, shop: Day, model: Artefact) -> None:
    shop.put_rows(ROWS, [], name=NEWER)
    sagemaker.transform(scoring(model), SCORES, shop.dt)
    assert shop.tuples(SCORES) == []
    assert shop.current(SCORES).rows == 0
