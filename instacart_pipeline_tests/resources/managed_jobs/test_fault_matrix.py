"""The fault matrix through the double: for each service a start whose answer is lost and jobs that end badly; for one of them,
runs whose process is ended. All other faults are proven at the managed-job core, in test_jobs.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.aws_platform import RunElsewhere
from instacart_pipeline_tests.faulty_run import eventually
from instacart_pipeline_tests.resources.aws_site import GATED
from instacart_pipeline_tests.resources.managed_jobs.fault_stages import STAGES, Scene, staged
from instacart_pipeline_tests.tiers import costs

PATIENCE = 300.0
"""Seconds for what takes a few, on a machine that has a lot else to do."""


@pytest.fixture(scope="module", params=list(STAGES))
@costs("deep")
def shared_scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A stage that is prepared once, for all runs that meet a fault."""
    with staged(str(request.param), tmp_path_factory.mktemp("home")) as scene:
        yield scene


@pytest.fixture
def scene(shared_scene: Scene) -> Iterator[Scene]:
    """The stage, with faults of the test's own."""
    yield shared_scene
    shared_scene.aws.faults.clear()
    shared_scene.aws.outcomes.clear()


only_databrew = pytest.mark.parametrize("shared_scene", ["databrew"], indirect=True)


def test_a_start_whose_answer_is_lost_makes_one_job_and_one_version(scene: Scene) -> None:
    jobs, written = len(scene.jobs()), scene.written()
    service = "glue" if scene.stage.service == "crawler" else scene.stage.service
    lost = scene.aws.faults.add("lost_reply", service, scene.stage.start)
    run = scene.platform.materialize(scene.stage.table)
    assert (run.errors, run.success, lost.hits) == ({}, True, 1)
    assert len(scene.jobs()) == jobs + 1
    assert scene.alive() == []
    assert scene.read() if scene.stage.service == "crawler" else scene.read() == scene.stage.expected
    assert len(scene.written() - written) <= 1


def test_a_job_that_fails_says_why_and_publishes_nothing(scene: Scene) -> None:
    scene.aws.outcomes.failed(scene.stage.service, "Worker lost: out of memory", containing=scene.stage.job)
    _ends_badly(scene, "Worker lost: out of memory")


def test_a_job_in_a_state_nobody_knows_is_stopped_and_publishes_nothing(scene: Scene) -> None:
    scene.aws.outcomes.unknown(scene.stage.service, containing=scene.stage.job)
    _ends_badly(scene, "HIBERNATING")


def _ends_badly(scene: Scene, says: str) -> None:
    jobs, before = len(scene.jobs()), (scene.read(), scene.written())
    run = scene.platform.materialize(scene.stage.table)
    assert not run.success
    assert says in run.error
    assert len(scene.jobs()) == jobs + 1
    assert scene.alive() == []
    assert (scene.read(), scene.written()) == before


@only_databrew
def test_a_run_that_is_terminated_stops_its_job(scene: Scene, tmp_path: Path) -> None:
    before = (scene.read(), scene.written())
    scene.aws.outcomes.stuck(scene.stage.service)
    run = RunElsewhere(scene.elsewhere(tmp_path), scene.aws, scene.stage.table)
    eventually(lambda: [job for job in scene.alive() if job.running], within=PATIENCE, what="the job runs")
    run.signal(signal.SIGTERM)
    assert scene.alive() == []
    assert [run.status.value for run in run.runs()] != ["SUCCESS"]
    assert (scene.read(), scene.written()) == before


@only_databrew
def test_a_run_whose_process_is_killed_finds_its_job_again_when_retried(
    scene: Scene, gate: Callable[[], None], tmp_path: Path
) -> None:
    jobs, before = len(scene.jobs()), scene.read()
    platform = scene.elsewhere(tmp_path)
    scene.aws.outcomes.slow(scene.stage.service, GATED)
    killed = RunElsewhere(platform, scene.aws, scene.stage.table)
    eventually(lambda: len(scene.jobs()) > jobs, within=PATIENCE, what="the job is started")
    (first,) = killed.runs()

    def noted() -> bool:
        attempts = platform.aws_lake.jobs.records.open_of(first.run_id)
        return any(job.id for attempt in attempts for job in attempt.jobs.values())

    eventually(noted, within=PATIENCE, what="its id is noted")
    killed.signal(signal.SIGKILL)
    assert len(scene.alive()) == 1
    assert scene.read() == before
    retry = RunElsewhere(platform, scene.aws, scene.stage.table, retry_of=first.run_id)
    eventually(lambda: len(killed.runs()) == 2, within=PATIENCE, what="the retry begins")
    gate()
    retry.wait()
    assert retry.runs()[-1].is_success
    assert len(scene.jobs()) == jobs + 1
    assert scene.alive() == []
    assert scene.read() == scene.stage.expected


@only_databrew
def test_steps_run_side_by_side_and_all_their_jobs_end_with_the_run(scene: Scene, tmp_path: Path) -> None:
    features = (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES)
    jobs, platform = len(scene.jobs()), scene.elsewhere(tmp_path, concurrent_steps=4)
    scene.aws.outcomes.stuck("databrew", times=4)
    run = RunElsewhere(platform, scene.aws, *features)
    eventually(
        lambda: len([job for job in scene.alive() if job.running]) == 4, within=PATIENCE, what="four jobs run at once"
    )
    run.signal(signal.SIGTERM)
    assert scene.alive() == []
    assert len(scene.jobs()) == jobs + 4
