"""The managed-job core by itself, on a service of the test's own and a clock that doesn't wait."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import pytest
from dagster import DagsterExecutionInterruptedError

from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.resources.aws import jobs as core
from instacart_pipeline.resources.aws.attempts import Attempt, Work
from instacart_pipeline.resources.aws.errors import AwsBusy, AwsDenied, AwsThrottled, AwsUnavailable
from instacart_pipeline.resources.aws.interrupts import noted_interrupts
from instacart_pipeline.resources.aws.job_service import DeadlinePassed, Ended, JobService, Look, State, StateUnknown
from instacart_pipeline.resources.aws.jobs import ManagedJobs
from instacart_pipeline_tests.resources.aws.site import Site

WORK = Work("run-1", "reorder_features.up_features", "2026-11-20", "digest")
HOUR = 3600.0


@dataclass
class Clock:
    """Time that passes only in sleep."""

    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Kitchen:
    """What a service of the test's own has done: jobs by token, the time of each look, what was stopped."""

    clock: Clock
    takes: float = 10.0
    ends: str = "DONE"
    jobs: dict[str, float] = field(default_factory=dict)
    looks: list[float] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    troubles: list[Exception] = field(default_factory=list)
    loses_answers: int = 0

    def start(self, token: str) -> str:
        if self.troubles:
            raise self.troubles.pop(0)
        self.jobs[token] = self.clock.now
        if self.loses_answers:
            self.loses_answers -= 1
            raise AwsUnavailable("kitchen", "start", "ReadTimeout", "no answer")
        return token

    def find(self, token: str) -> str | None:
        return token if token in self.jobs else None


class Cooking(JobService):
    """Jobs of the kitchen."""

    name = "Cooking"
    states: ClassVar[dict[str, State]] = {
        "COOKING": "running",
        "DONE": "succeeded",
        "BURNT": "failed",
        "OFF": "stopped",
    }

    def __init__(self, site: Site, kitchen: Kitchen) -> None:
        super().__init__(site.session)
        self.kitchen = kitchen

    def look(self, job: str) -> Look:
        self.kitchen.looks.append(self.kitchen.clock.now)
        if job in self.kitchen.stopped:
            return Look("OFF")
        lived = self.kitchen.clock.now - self.kitchen.jobs[job]
        return Look(self.kitchen.ends if lived >= self.kitchen.takes else "COOKING", error="too hot")

    def stop(self, job: str) -> None:
        self.kitchen.stopped.add(job)

    def link(self, job: str) -> str:
        return f"https://kitchen.example/{job}"

    def log_tail(self, job: str) -> list[str]:
        del job
        return ["smoke", "fire"]


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    clock = Clock()
    monkeypatch.setattr(core, "time", SimpleNamespace(sleep=clock.sleep, monotonic=lambda: clock.now))
    return Kitchen(clock)


@pytest.fixture
def cook(site: Site, kitchen: Kitchen) -> Callable[[], Ended]:
    """Does the one piece of work there is, with the default pace and a deadline of two hours."""
    jobs = ManagedJobs(session=site.session, base=site.jobs.base, deadline_seconds=2 * HOUR, poll_seconds=2)
    service = Cooking(site, kitchen)

    def make(attempt: Attempt) -> Ended:
        return jobs.run(attempt, "dinner", service, kitchen.start, kitchen.find)

    return lambda: jobs.carry_out(WORK, make)


def test_an_hours_job_is_looked_at_seldom_and_ever_more_so(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.takes = HOUR
    cook()
    first_minute = [look for look in kitchen.looks if look <= 60]
    last_minute = [look for look in kitchen.looks if look > HOUR - 60]
    assert len(first_minute) <= 10
    assert len(last_minute) <= 5  # until the end is seen, up to half a minute later
    assert len(kitchen.looks) <= 170


def test_looks_of_many_jobs_keep_no_step(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.takes = 600
    cook()
    first, kitchen.looks = [look - kitchen.looks[0] for look in kitchen.looks], []
    cook()
    second = [look - kitchen.looks[0] for look in kitchen.looks]
    assert first[1:6] != second[1:6]


def test_a_job_that_ends_well_leaves_no_record(site: Site, cook: Callable[[], Ended]) -> None:
    ended = cook()
    assert ended.link == f"https://kitchen.example/{ended.id}"
    assert list(site.jobs.records.open_of(WORK.run)) == []
    assert list(site.jobs.records.objects.listed(f"{site.jobs.base}/attempts")) == []


def test_a_failure_carries_the_reason_the_link_and_the_end_of_the_log(
    kitchen: Kitchen, cook: Callable[[], Ended]
) -> None:
    kitchen.ends = "BURNT"
    with pytest.raises(
        JobFailed, match=r"failed: too hot\nhttps://kitchen.example/\w+\nThe end of its log:\nsmoke\nfire"
    ):
        cook()


def test_the_next_try_after_a_failure_is_a_job_of_its_own(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.ends = "BURNT"
    with pytest.raises(JobFailed):
        cook()
    kitchen.ends = "DONE"
    cook()
    assert len(kitchen.jobs) == 2


def test_a_job_whose_answer_was_lost_is_found_and_not_started_again(
    kitchen: Kitchen, cook: Callable[[], Ended]
) -> None:
    kitchen.loses_answers = 1
    cook()
    assert len(kitchen.jobs) == 1


def test_a_start_that_nobody_answers_is_remembered_as_maybe_alive(
    site: Site, kitchen: Kitchen, cook: Callable[[], Ended]
) -> None:
    kitchen.troubles = [AwsUnavailable("kitchen", "start", "ReadTimeout", "no answer") for _ in range(20)]
    with pytest.raises(AwsUnavailable):
        cook()
    (attempt,) = site.jobs.records.open_of(WORK.run)
    assert (attempt.open, attempt.left) == (False, True)


def test_a_throttled_start_is_tried_eight_times_and_no_more(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.troubles = [AwsThrottled("kitchen", "start", "SlowDown", "please") for _ in range(20)]
    with pytest.raises(AwsThrottled):
        cook()
    assert len(kitchen.troubles) == 12
    assert kitchen.jobs == {}


def test_a_denied_start_is_never_tried_again(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.troubles = [AwsDenied("kitchen", "start", "AccessDenied", "no") for _ in range(2)]
    with pytest.raises(AwsDenied):
        cook()
    assert len(kitchen.troubles) == 1


def test_a_place_is_waited_for_until_the_deadline(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.troubles = [AwsBusy("kitchen", "start", "Full", "all stoves are in use") for _ in range(100)]
    cook()
    assert kitchen.jobs
    kitchen.troubles = [AwsBusy("kitchen", "start", "Full", "all stoves are in use") for _ in range(10_000)]
    began = kitchen.clock.now
    with pytest.raises(AwsBusy, match=r"wait for one to end, or raise the service's limit"):
        cook()
    assert kitchen.clock.now - began <= 2 * HOUR + 60


def test_a_job_past_its_deadline_is_stopped(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.takes = 3 * HOUR
    with pytest.raises(DeadlinePassed, match=r"still running after 7200 s and was stopped.*INSTACART_JOB_DEADLINE"):
        cook()
    assert kitchen.stopped == set(kitchen.jobs)


def test_a_state_that_nobody_knows_is_an_error_and_stops_the_job(kitchen: Kitchen, cook: Callable[[], Ended]) -> None:
    kitchen.ends = "SIMMERING"
    with pytest.raises(StateUnknown, match=r"'SIMMERING', which is none of COOKING, DONE, BURNT, OFF"):
        cook()
    assert kitchen.stopped == set(kitchen.jobs)


def test_tokens_are_the_same_for_whoever_goes_on_and_differ_for_all_else() -> None:
    first = Attempt(WORK, 1, "v1")
    again = Attempt(WORK, 1, "v1", resumed=True)
    others = [
        Attempt(WORK, 2, "v2"),
        Attempt(Work("run-2", WORK.table, WORK.dt, WORK.digest), 1, "v1"),
        Attempt(Work(WORK.run, WORK.table, "2026-11-21", WORK.digest), 1, "v1"),
        Attempt(Work(WORK.run, WORK.table, WORK.dt, "other inputs"), 1, "v1"),
    ]
    assert first.token("dinner") == again.token("dinner")
    tokens = {first.token("dinner"), first.token("verify"), *(other.token("dinner") for other in others)}
    assert len(tokens) == 6
    assert all(32 <= len(token) <= 128 for token in tokens)  # what Athena takes


def test_a_signal_whose_exception_was_dropped_still_interrupts() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with noted_interrupts() as interrupted:
            interrupted()
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(DagsterExecutionInterruptedError):
                interrupted()
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
