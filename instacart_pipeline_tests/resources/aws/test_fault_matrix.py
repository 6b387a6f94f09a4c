"""The fault matrix: whatever strikes whichever service, the run ends as it should, one job is alive at most and none is left,
and a reader sees the version before or the new one.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform, RunElsewhere
from instacart_pipeline_tests.faulty_run import eventually
from instacart_pipeline_tests.platform import Run
from instacart_pipeline_tests.resources.aws.fault_stages import STAGES, Stage, prepared


@dataclass(frozen=True)
class Strike:
    """A fault: how it is brought about, and what the run says of it; nothing if it goes through all the same."""

    bring_about: Callable[[AwsDouble, Stage], None]
    error: str = ""
    settings: tuple[tuple[str, Any], ...] = ()


def _call(kind: str, which: str, times: int = 1, after: int = 0) -> Callable[[AwsDouble, Stage], None]:
    def bring_about(double: AwsDouble, stage: Stage) -> None:
        service = "glue" if stage.service == "crawler" else stage.service
        double.faults.add(kind, service, getattr(stage, which), times=times, after=after)  # type: ignore[arg-type]

    return bring_about


def _outcome(kind: str, **given: Any) -> Callable[[AwsDouble, Stage], None]:
    def bring_about(double: AwsDouble, stage: Stage) -> None:
        getattr(double.outcomes, kind)(stage.service, containing=stage.job, **given)

    return bring_about


def _slow_s3(double: AwsDouble, _: Stage) -> None:
    double.faults.add("throttled", "s3", "PutObject", times=2)
    double.faults.add("throttled", "s3", "ListObjectsV2", times=2)


SHORT = (("job_deadline", 0.02),)
FAULTS = {
    "start throttled": Strike(_call("throttled", "start", times=3)),
    "looks throttled": Strike(_call("throttled", "look", times=3)),
    "service fails inside": Strike(_call("server_error", "look", times=2)),
    "start done, answer lost": Strike(_call("lost_reply", "start")),
    "start lost on the way": Strike(_call("lost_request", "start")),
    "start denied": Strike(_call("denied", "start", times=9), "AccessDenied"),
    "start refused": Strike(_call("refused", "start", times=9), "not valid|failed validation"),
    "job fails": Strike(_outcome("failed", error="Worker lost: out of memory"), "Worker lost: out of memory"),
    "job times out": Strike(_outcome("timed_out"), "(?i)time"),
    "somebody stops it": Strike(_outcome("stopped"), "stopped"),
    "state unknown": Strike(_outcome("unknown"), "HIBERNATING"),
    "stuck until the deadline": Strike(_outcome("stuck"), r"was still \w+ after .* s and was stopped", SHORT),
    "credentials expire in the middle": Strike(_call("expired", "look", after=1)),
    "S3 slows down": Strike(_slow_s3),
    "as many jobs as may run": Strike(_call("limit", "start", times=3)),
}


@pytest.fixture(params=list(STAGES))
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[str(request.param)]


@pytest.mark.parametrize("strike", FAULTS.values(), ids=FAULTS)
def test_a_fault_doubles_nothing_and_leaves_nothing(
    stage: Stage, strike: Strike, aws: AwsDouble, tmp_path: Path
) -> None:
    platform = prepared(stage, AwsPlatform(tmp_path, aws.endpoint, **dict(strike.settings)))
    before = stage.read(platform)
    strike.bring_about(aws, stage)
    run = platform.materialize(stage.table)
    aws.faults.clear()
    _hold_ended_well(run, stage, strike, platform, aws, before)
    assert aws.most_alive_at_once(lambda job: job in stage.jobs(aws)) <= 1
    assert [job for job in aws.jobs() if job.alive] == []
    assert stage.litter(platform) == []


def _hold_ended_well(
    run: Run, stage: Stage, strike: Strike, platform: AwsPlatform, aws: AwsDouble, before: object
) -> None:
    if strike.error:
        assert not run.success
        assert re.search(strike.error, run.error), run.error
        assert stage.read(platform) == before
        assert len(stage.jobs(aws)) <= 1
        return
    assert run.errors == {}
    assert run.success
    assert len(stage.jobs(aws)) == 1
    seen = stage.read(platform)
    assert seen if stage.service == "crawler" else seen == stage.expected


@pytest.mark.parametrize("kind", ["throttled", "expired"])
def test_a_fault_that_does_not_pass_ends_the_run_within_bounds(
    stage: Stage, kind: str, aws: AwsDouble, tmp_path: Path
) -> None:
    platform = prepared(stage, AwsPlatform(tmp_path, aws.endpoint))
    before = stage.read(platform)
    service = "glue" if stage.service == "crawler" else stage.service
    aws.faults.add(kind, service, stage.start, times=None)  # type: ignore[arg-type]  # one of the kinds
    began = time.monotonic()
    run = platform.materialize(stage.table)
    aws.faults.clear()
    assert not run.success
    assert time.monotonic() - began < 30
    assert stage.jobs(aws) == []
    assert stage.read(platform) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["cancelled", "terminated"])
def test_a_run_that_is_ended_stops_its_job(
    stage: Stage, number: signal.Signals, aws: AwsDouble, tmp_path: Path
) -> None:
    platform = prepared(stage, AwsPlatform(tmp_path, aws.endpoint))
    before = stage.read(platform)
    aws.outcomes.stuck(stage.service, containing=stage.job)  # type: ignore[arg-type]  # a service of the double
    run = RunElsewhere(platform, aws, stage.table)
    eventually(lambda: any(job.running for job in stage.jobs(aws)), within=30, what="the job runs")
    run.signal(number)
    assert [job for job in aws.jobs() if job.alive] == []
    assert [run.status.value for run in run.runs()] != ["SUCCESS"]
    assert stage.read(platform) == before
    assert stage.litter(platform) == []


def test_a_run_whose_process_is_killed_finds_its_job_again_when_retried(
    stage: Stage, aws: AwsDouble, tmp_path: Path
) -> None:
    platform = prepared(stage, AwsPlatform(tmp_path, aws.endpoint))
    before = stage.read(platform)
    aws.outcomes.slow(stage.service, 4, containing=stage.job)  # type: ignore[arg-type]  # a service of the double
    killed = RunElsewhere(platform, aws, stage.table)
    eventually(lambda: any(job.running for job in stage.jobs(aws)), within=30, what="the job runs")
    time.sleep(0.2)  # until its id is noted
    killed.signal(signal.SIGKILL)
    assert stage.read(platform) == before
    (first,) = killed.runs()
    retry = RunElsewhere(platform, aws, stage.table, retry_of=first.run_id)
    retry.wait()
    assert retry.runs()[-1].is_success
    assert len(stage.jobs(aws)) == 1
    assert [job for job in aws.jobs() if job.alive] == []
    assert stage.service == "crawler" or stage.read(platform) == stage.expected
    assert stage.litter(platform) == []


def test_what_a_killed_run_left_is_stopped_when_nobody_retries_it(stage: Stage, aws: AwsDouble, tmp_path: Path) -> None:
    platform = prepared(stage, AwsPlatform(tmp_path, aws.endpoint))
    aws.outcomes.stuck(stage.service, containing=stage.job)  # type: ignore[arg-type]  # a service of the double
    killed = RunElsewhere(platform, aws, stage.table)
    eventually(lambda: any(job.running for job in stage.jobs(aws)), within=30, what="the job runs")
    time.sleep(0.2)  # until its id is noted
    killed.signal(signal.SIGKILL)
    (run,) = killed.runs()
    assert len(platform.resources.leftovers.stop(run.run_id)) == 1
    assert [job for job in aws.jobs() if job.alive] == []
    assert list(platform.resources.leftovers.stop(run.run_id)) == []


def test_steps_run_side_by_side_and_all_their_jobs_end_with_the_run(aws: AwsDouble, tmp_path: Path) -> None:
    features = (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES)
    platform = prepared(STAGES["databrew"], AwsPlatform(tmp_path, aws.endpoint, concurrent_steps=4))
    aws.outcomes.stuck("databrew", times=4)
    run = RunElsewhere(platform, aws, *features)
    eventually(lambda: len([job for job in aws.jobs("databrew") if job.running]) == 4, within=60, what="four jobs run")
    run.signal(signal.SIGTERM)
    assert [job for job in aws.jobs() if job.alive] == []
    again = RunElsewhere(platform, aws, *features)
    again.wait()
    assert again.runs()[-1].is_success
    assert len(aws.jobs("databrew")) == 8
