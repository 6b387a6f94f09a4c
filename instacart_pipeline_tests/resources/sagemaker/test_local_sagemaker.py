"""SageMaker on this machine beyond what both backends promise: processes, orphaned jobs, retention, the search, CSV.

What both promise is in test_backends_sagemaker.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from instacart_pipeline.container.contract import MAX_BODY
from instacart_pipeline.container.csv_body import as_csv
from instacart_pipeline.container.training import Script
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.resources.endpoints import Canary
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.resources.sagemaker import Range, TrainingJob, TransformJob, TuningJob
from instacart_pipeline.resources.sagemaker.local import LocalSageMaker
from instacart_pipeline.resources.sagemaker.local import transform as sagemaker_transform
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.container.servers import is_alive
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.resources import toy_model
from instacart_pipeline_tests.resources.streams import eventually
from instacart_pipeline_tests.resources.toy_model import CODE, METRICS, ROWS, SCORES
from instacart_pipeline_tests.tiers import costs

TOO_SLOW = 0.1
TRAINING = TrainingJob("toy", "model", CODE, {"rate": 0.5, "rounds": 3}, {"train": ROWS}, METRICS)


def sagemaker_of(settings: Settings) -> LocalSageMaker:
    found = build_resources(settings).sagemaker
    assert isinstance(found, LocalSageMaker)
    return found


@pytest.fixture
@costs("contract")
def shop(tmp_path: Path) -> Platform:
    """A platform that keeps no replaced version, with three rows."""
    made = Platform(tmp_path / "home", retention_days=0, threads=2)
    made.put_rows(ROWS, [{"id": number, "y": 2.0 * number, "x": None} for number in (1, 2, 3)])
    return made


@pytest.fixture
def sagemaker(shop: Platform) -> LocalSageMaker:
    return sagemaker_of(shop.settings)


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings are done in this process: what toy_model/train.py does, to the lines that it prints. A rate below 0.1 is refused."""

    def run(script: Script, on_line: Callable[[str], None], _stop: threading.Event | None = None) -> None:
        given = json.loads(script.environment["SM_HPS"])
        if given["rate"] < TOO_SLOW:
            raise JobFailed(f"{script.name}: too slow")
        truth, guess = 4.0, 0.0
        for number in range(given["rounds"]):
            guess += given["rate"] * (truth - guess)
            on_line(f"[{number}] loss={abs(truth - guess):.6f}")
        Path(script.environment["SM_MODEL_DIR"], "model.json").write_text(json.dumps({"mean": guess}))

    monkeypatch.setattr(Script, "run", run)


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Whatever a test does, no script is running at its end."""
    yield
    assert [
        child.cmdline() for child in psutil.Process().children() if "script_child.py" in " ".join(child.cmdline())
    ] == []


def training(**hyperparameters: str | int | float) -> TrainingJob:
    return replace(TRAINING, hyperparameters={**TRAINING.hyperparameters, **hyperparameters})


def versions(sagemaker: LocalSageMaker, name: str = "model") -> set[str]:
    day = Path(sagemaker.lake.zones.zone("models"), "toy", name, f"dt={DT}")
    return {path.name for path in day.glob("v=*")}


def _train(settings: Settings) -> None:
    sagemaker_of(settings).train(training(rounds=1000, pause=0.1), DT)


def test_a_killed_training_leaves_no_child_and_nothing_published_and_the_next_sweeps_its_folder(
    shop: Platform, sagemaker: LocalSageMaker, child_processes: ForkServerContext
) -> None:
    parent = child_processes.Process(target=_train, args=(shop.settings,))
    parent.start()
    assert parent.pid

    def scripts() -> list[int]:
        return [child.pid for child in psutil.Process(parent.pid).children() if "train.py" in " ".join(child.cmdline())]

    eventually(scripts)
    running = scripts()
    assert sagemaker.artefacts.orphaned("toy", "model", DT) == []  # its writer is alive
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    eventually(lambda: not any(map(is_alive, running)))
    with pytest.raises(ArtefactNotFound):
        sagemaker.artefact("toy", "model", DT)
    assert len(sagemaker.artefacts.orphaned("toy", "model", DT)) == 1
    made = sagemaker.train(TRAINING, DT)
    assert versions(sagemaker) == {f"v={made.version}"}
    assert list((Path(sagemaker.lake.home) / "scratch").iterdir()) == []


@pytest.mark.usefixtures("no_process")
def test_what_a_killed_writer_left_is_swept_by_name(shop: Platform, sagemaker: LocalSageMaker) -> None:
    made = sagemaker.train(TRAINING, DT)
    orphaned = Path(made.location).parent / "v=20200101T000000000000-000000"
    orphaned.mkdir()
    assert list(sagemaker.sweep("toy")) == [str(orphaned)]
    assert versions(sagemaker) == {f"v={made.version}"}
    assert shop.resources.sagemaker.artefact("toy", "model", DT) == made


@pytest.mark.usefixtures("no_process")
def test_replaced_versions_go_after_the_retention_but_not_those_in_the_registry_or_behind_an_endpoint(
    shop: Platform, sagemaker: LocalSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        LocalEndpoints, "_try", lambda *_: None
    )  # whether a version passes its canary is not asked here
    registered = sagemaker.train(TRAINING, DT)
    version = shop.resources.model_registry.register("toy", registered, {}, {})
    deployed = sagemaker.train(training(rounds=4), DT)
    shop.resources.endpoints.deploy("toy", replace(version, number=2, artefact=deployed), Canary(b"1\n", 1))
    forgotten = sagemaker.train(training(rounds=5), DT)
    current = sagemaker.train(training(rounds=6), DT)
    assert list(sagemaker.sweep("toy")) == [forgotten.location]
    assert versions(sagemaker) == {f"v={each.version}" for each in (registered, deployed, current)}
    assert list(sagemaker.sweep("toy")) == []
    with pytest.raises(ArtefactNotFound, match="replaced longer ago"), sagemaker.unpacked(forgotten):
        pass


@pytest.mark.usefixtures("no_process")
def test_what_was_computed_from_newer_rows_stays(shop: Platform, sagemaker: LocalSageMaker) -> None:
    newer = sagemaker.train(TRAINING, DT)
    shop.catalog.drop_partition(ROWS.database, ROWS.name, DT)
    shop.put_rows(ROWS, [{"id": 1, "y": 1.0, "x": None}], name="20250101T000000000000-000000")
    assert sagemaker.train(TRAINING, DT) == newer
    assert versions(sagemaker) == {f"v={newer.version}"}


def test_a_training_without_a_model_is_refused(sagemaker: LocalSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Script, "run", lambda *_: None)
    with pytest.raises(JobFailed, match="wrote no model to SM_MODEL_DIR"):
        sagemaker.train(TRAINING, DT)
    assert versions(sagemaker) == set()


# The search.


def search(**changes: Any) -> TuningJob:
    return replace(
        TuningJob("tuned", training(rounds=12), {"rate": Range(TOO_SLOW, 0.95)}, "loss", at_once=1), **changes
    )


@pytest.mark.usefixtures("no_process")
def test_one_trial_at_a_time_the_search_is_the_same_every_time(sagemaker: LocalSageMaker) -> None:
    tried = [[dict(trial.hyperparameters) for trial in sagemaker.tune(search(), DT).trials] for _ in range(2)]
    assert tried[0] == tried[1]
    assert len({given["rate"] for given in tried[0]}) == search().trials


@pytest.mark.usefixtures("no_process")
def test_the_values_at_hand_are_tried_first(sagemaker: LocalSageMaker) -> None:
    assert sagemaker.tune(search(trials=2), DT).trials[0].hyperparameters["rate"] == 0.5


@pytest.mark.usefixtures("no_process")
def test_a_search_may_look_for_the_greatest_instead(sagemaker: LocalSageMaker) -> None:
    tuned = sagemaker.tune(search(maximize=True), DT)
    reached = [trial.objective for trial in tuned.trials if trial.objective is not None]
    assert len(set(reached)) == search().trials
    assert tuned.metrics["loss"] == max(reached)


@pytest.mark.usefixtures("no_process")
def test_a_search_none_of_whose_trials_reports_the_objective_fails(sagemaker: LocalSageMaker) -> None:
    blind = replace(TRAINING, metrics={"loss": "never printed=([0-9.]+)"})
    with pytest.raises(JobFailed, match="reported"):
        sagemaker.tune(search(training=blind, trials=2), DT)
    with pytest.raises(ArtefactNotFound):
        sagemaker.artefact("toy", "tuned", DT)
    assert versions(sagemaker, "tuned") == set()


@pytest.mark.usefixtures("no_process")
def test_a_trial_that_falls_behind_is_ended_early(sagemaker: LocalSageMaker) -> None:
    good = training(rate=0.95, rounds=60)
    tuned = sagemaker.tune(search(training=good, trials=3), DT)
    assert [trial.state for trial in tuned.trials] == ["Completed", "Stopped", "Stopped"]
    assert tuned.hyperparameters["rate"] == 0.95


@pytest.mark.usefixtures("no_process")
def test_trials_that_fail_are_told_and_the_others_count(sagemaker: LocalSageMaker) -> None:
    job = search(training=training(rounds=3), ranges={"rate": Range(0.0, 2 * TOO_SLOW)}, trials=8)
    tuned = sagemaker.tune(job, DT)
    assert {trial.state for trial in tuned.trials} == {"Completed", "Failed"}
    assert float(tuned.hyperparameters["rate"]) > TOO_SLOW
    with pytest.raises(JobFailed, match="too slow"):
        sagemaker.tune(replace(job, ranges={"rate": Range(0.0, 0.9 * TOO_SLOW)}, trials=2), DT)


@pytest.mark.usefixtures("child_processes")
def test_an_interrupted_search_leaves_no_child(sagemaker: LocalSageMaker) -> None:
    def interrupt() -> None:
        eventually(lambda: [child for child in psutil.Process().children() if "train.py" in " ".join(child.cmdline())])
        os.kill(os.getpid(), signal.SIGINT)

    slow = training(rounds=1000, pause=0.1)
    striking = threading.Thread(target=interrupt)
    striking.start()
    with pytest.raises(KeyboardInterrupt):
        sagemaker.tune(search(training=slow, at_once=2, trials=4), DT)
    striking.join()
    assert versions(sagemaker, "tuned") == set()


# Batch transform.


@pytest.mark.usefixtures("no_process")
def test_many_requests_at_once_keep_the_order_of_rows_and_none_is_too_large(
    shop: Platform, sagemaker: LocalSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sagemaker.train(TRAINING, DT)
    rows = [{"id": number, "y": float(number), "x": None} for number in range(5000)]
    shop.put_rows(ROWS, rows, name="20260102T000000000000-000000")
    monkeypatch.setattr(sagemaker_transform, "_ROWS_A_REQUEST", 700)
    monkeypatch.setattr(sagemaker_transform, "MAX_BODY", 2000)  # each batch has to be split
    job = TransformJob("scoring", model, ROWS, ("id",), ("y", "x"), "score")
    version = sagemaker.transform(job, SCORES, DT).version
    read = parquet.read_table(next(Path(version.location).glob("*.parquet")))
    assert read.column("id").to_pylist() == list(range(5000))
    assert read.column("score").to_pylist() == [3.5 + number for number in range(5000)]


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize("changes", [{"features": ("y", "nowhere")}, {"ids": ("y",)}, {"score": "other"}])
def test_columns_that_don_t_fit_are_named_before_a_server_starts(
    sagemaker: LocalSageMaker, changes: dict[str, Any]
) -> None:
    job = TransformJob("scoring", sagemaker.train(TRAINING, DT), ROWS, ("id",), ("y", "x"), "score")
    with pytest.raises(JobFailed, match=r"toy_features\.rows lacks|makes the columns"):
        sagemaker.transform(replace(job, **changes), SCORES, DT)


_SPEC = importlib.util.spec_from_file_location("toy_inference", Path(toy_model.__file__).parent / "inference.py")
assert _SPEC
assert _SPEC.loader
inference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(inference)


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**53), 2**53),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.booleans(),
            st.none() | st.integers(-(2**31), 2**31 - 1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_the_model_reads_the_very_values_that_the_table_holds(rows: list[tuple[Any, ...]]) -> None:
    kinds = (pa.int64(), pa.float64(), pa.bool_(), pa.int32())
    arrays = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    body = as_csv(pa.record_batch(arrays, names=list("abcd")))
    assert len(body) < MAX_BODY
    read = inference.input_fn(body, "text/csv")
    assert read == [[None if value is None else float(value) for value in row] for row in rows]


@given(st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=20))
def test_so_it_does_where_there_is_one_column_alone(values: list[float | None]) -> None:
    body = as_csv(pa.record_batch([pa.array(values, pa.float64())], names=["a"]))
    assert inference.input_fn(body, "text/csv") == [[value] for value in values]
