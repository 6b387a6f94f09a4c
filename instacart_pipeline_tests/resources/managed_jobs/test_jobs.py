"""The managed-job core by itself: every fault, on a service of the test's own, records in memory and a clock that doesn't wait.

What it takes to find, look at and stop the jobs of a real service is proven by each service's own tests, and for two faults
each by test_fault_matrix.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from dagster import DagsterExecutionInterruptedError

from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.resources.aws_account.errors import (
    AwsBusy,
    AwsDenied,
    AwsError,
    AwsExpired,
    AwsRefused,
    AwsThrottled,
    AwsUnavailable,
)
from instacart_pipeline.resources.aws_account.objects import Held
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs import jobs as core
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, JobEntry, Work
from instacart_pipeline.resources.managed_jobs.job_service import (
    DeadlinePassed,
    JobService,
    JobStatus,
    JobSucceeded,
    State,
    StateUnknown,
)
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs, noted_interrupts

BASE = "s3://lake/work"
WORK = Work("run-1", "reorder_features.up_features", "2026-11-20", "digest")
HOUR = 3600.0


@dataclass
class Clock:
    """Time that passes only in sleep."""

    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Drawer:
    """Objects of S3 in memory, as records use them."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.troubles: list[AwsError] = []

    def held(self, uri: str) -> Held | None:
        return Held(self.files[uri], json.dumps(self.files[uri]), 0.0) if uri in self.files else None

    def swap(self, uri: str, content: dict[str, Any], held: Held | None) -> str | None:
        if self.held(uri) != held:
            return None
        self._write(uri, content)
        return json.dumps(content)

    def put(self, uri: str, content: bytes) -> None:
        self._write(uri, json.loads(content))

    def remove(self, uri: str) -> None:
        self._fail()
        self.files.pop(uri, None)

    def listed(self, prefix: str) -> Iterator[SimpleNamespace]:
        return (SimpleNamespace(key=uri.removeprefix("s3://lake/")) for uri in list(self.files) if prefix in uri)

    def _write(self, uri: str, content: dict[str, Any]) -> None:
        self._fail()
        self.files[uri] = json.loads(json.dumps(content))

    def _fail(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)


@dataclass
class FakeJobService:
    """What a service of the test's own has done, and what goes wrong with it: the troubles of a call are raised one after another.

    Jobs are known by their tokens; a start that `loses_answers` happens all the same.
    """

    clock: Clock
    takes: float = 10.0
    ends: str = "DONE"
    stops_within: float = 0.0
    jobs: dict[str, float] = field(default_factory=dict)
    looks: list[float] = field(default_factory=list)
    stopped: dict[str, float] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    starts: int = 0
    troubles: list[BaseException] = field(default_factory=list)
    look_troubles: list[BaseException] = field(default_factory=list)
    stop_troubles: list[BaseException] = field(default_factory=list)
    log_troubles: list[BaseException] = field(default_factory=list)
    loses_answers: int = 0
    unanswered: BaseException = field(default_factory=lambda: unanswered()[0])

    def start(self, token: str) -> str:
        self.starts += 1
        _raise_next(self.troubles)
        self.jobs[token] = self.clock.now
        if self.loses_answers:
            self.loses_answers -= 1
            raise self.unanswered
        return token

    def find(self, token: str) -> str | None:
        return token if token in self.jobs else None

    def state(self, job: str) -> str:
        if job in self.stopped and self.clock.now >= self.stopped[job] + self.stops_within:
            return "OFF"
        return self.ends if self.clock.now - self.jobs[job] >= self.takes else "COOKING"

    @property
    def alive(self) -> list[str]:
        return [job for job in self.jobs if self.state(job) in ("COOKING", "SIMMERING")]


def _raise_next(troubles: list[BaseException]) -> None:
    if troubles:
        raise troubles.pop(0)


class Cooking(JobService):
    """Jobs of the kitchen."""

    name = "Cooking"
    states: ClassVar[dict[str, State]] = {
        "COOKING": "running",
        "DONE": "succeeded",
        "BURNT": "failed",
        "COLD": "timed out",
        "OFF": "stopped",
    }

    def __init__(self, fake: FakeJobService) -> None:
        super().__init__(AwsSession())
        self.fake = fake

    def look(self, job: str) -> JobStatus:
        _raise_next(self.fake.look_troubles)
        self.fake.looks.append(self.fake.clock.now)
        return JobStatus(self.fake.state(job), error="too hot")

    def stop(self, job: str) -> None:
        _raise_next(self.fake.stop_troubles)
        self.fake.stopped.setdefault(job, self.fake.clock.now)

    def link(self, job: str) -> str:
        return f"https://kitchen.example/{job}"

    def log_tail(self, job: str) -> list[str]:
        del job
        _raise_next(self.fake.log_troubles)
        return ["smoke", "fire"]

    def left(self, work: Work, token: str) -> str | None:
        del work
        return self.fake.find(token)

    def remove(self, work: Work, token: str) -> None:
        del work
        self.fake.removed.append(token)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeJobService:
    clock = Clock()
    monkeypatch.setattr(core, "time", SimpleNamespace(sleep=clock.sleep, monotonic=lambda: clock.now))
    return FakeJobService(clock)


@pytest.fixture
def drawer(monkeypatch: pytest.MonkeyPatch) -> Drawer:
    drawer = Drawer()
    monkeypatch.setattr(core, "Objects", lambda _: drawer)
    return drawer


@pytest.fixture
def jobs(drawer: Drawer, fake: FakeJobService) -> ManagedJobs:
    """The core with the default pace and a deadline of two hours."""
    del drawer, fake  # they are all it meets
    return ManagedJobs(session=AwsSession(), base=BASE, deadline_seconds=2 * HOUR, poll_seconds=2)


@pytest.fixture
def cook(jobs: ManagedJobs, fake: FakeJobService) -> Callable[[], JobSucceeded]:
    """Does the one piece of work there is."""
    service = Cooking(fake)

    def make(attempt: Attempt) -> JobSucceeded:
        return jobs.run(attempt, "dinner", service, fake.start, fake.find)

    return lambda: jobs.run_or_reattach(WORK, make)


def throttled(times: int) -> list[BaseException]:
    return [AwsThrottled("kitchen", "call", "SlowDown", "please") for _ in range(times)]


def unanswered(times: int = 1) -> list[BaseException]:
    return [AwsUnavailable("kitchen", "call", "ReadTimeout", "no answer") for _ in range(times)]


def busy(times: int) -> list[BaseException]:
    return [AwsBusy("kitchen", "start", "Full", "all stoves are in use") for _ in range(times)]


DENIED = AwsDenied("kitchen", "call", "AccessDenied", "no")
REFUSED = AwsRefused("kitchen", "call", "ValidationException", "no such dish")
EXPIRED = AwsExpired("kitchen", "call", "ExpiredToken", "past its time")


@dataclass(frozen=True)
class Passing:
    """A fault that a run gets over: what goes wrong, and how often the start is called then."""

    fake: dict[str, Any]
    starts: int = 1


PASSING = {
    "the start is throttled": lambda: Passing({"troubles": throttled(7)}, starts=8),
    "the start is lost on the way": lambda: Passing({"troubles": unanswered(7)}, starts=8),
    "the start is done, its answer lost": lambda: Passing({"loses_answers": 1}),
    "no place is free for an hour": lambda: Passing({"troubles": busy(100)}, starts=101),
    "starts fail in every way": lambda: Passing({"troubles": [*busy(9), *throttled(3), *unanswered(3)]}, starts=16),
    "looks are throttled": lambda: Passing({"look_troubles": throttled(7)}),
    "looks are not answered": lambda: Passing({"look_troubles": unanswered(7)}),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_makes_one_job_and_leaves_no_record(
    fault: Callable[[], Passing], fake: FakeJobService, drawer: Drawer, cook: Callable[[], JobSucceeded]
) -> None:
    passing = fault()
    vars(fake).update(passing.fake)
    ended = cook()
    assert list(fake.jobs) == [ended.id]
    assert (fake.starts, fake.stopped, drawer.files) == (passing.starts, {}, {})


@dataclass(frozen=True)
class Ending:
    """A fault that ends a run: what goes wrong, the error, how many jobs there were, and how often the start was called.

    `left` says that a job may be alive all the same, which the record then says too.
    """

    fake: dict[str, Any]
    error: type[BaseException]
    says: str = ""
    jobs: int = 1
    starts: int = 1
    stopped: bool = True
    left: bool = False


ENDING = {
    "the start is throttled for good": lambda: Ending(
        {"troubles": throttled(20)}, AwsThrottled, "SlowDown", jobs=0, starts=8
    ),
    "the start is never answered": lambda: Ending(
        {"troubles": unanswered(20)}, AwsUnavailable, "ReadTimeout", jobs=0, starts=8, left=True
    ),
    "the start is denied": lambda: Ending({"troubles": [DENIED, DENIED]}, AwsDenied, "AccessDenied", jobs=0),
    "the start is refused": lambda: Ending({"troubles": [REFUSED]}, AwsRefused, "no such dish", jobs=0),
    "credentials expire before the start": lambda: Ending({"troubles": [EXPIRED]}, AwsExpired, "Renew", jobs=0),
    "no place is free until the deadline": lambda: Ending(
        {"troubles": busy(10_000)}, AwsBusy, "wait for one to end, or raise the service's limit", jobs=0, starts=-1
    ),
    "it fails": lambda: Ending({"ends": "BURNT"}, JobFailed, "failed: too hot", stopped=False),
    "it times out": lambda: Ending({"ends": "COLD"}, JobFailed, "timed out: too hot", stopped=False),
    "somebody stops it": lambda: Ending({"ends": "OFF"}, JobFailed, "stopped: too hot", stopped=False),
    "it fails and its log is not to be read": lambda: Ending(
        {"ends": "BURNT", "log_troubles": [DENIED]}, JobFailed, "too hot(.|\n)*The log can't be read", stopped=False
    ),
    "its state is unknown": lambda: Ending(
        {"ends": "SIMMERING"}, StateUnknown, "'SIMMERING', which is none of COOKING, DONE, BURNT, COLD, OFF"
    ),
    "it is stuck until the deadline": lambda: Ending(
        {"takes": 3 * HOUR}, DeadlinePassed, "still running after 7200 s and was stopped.*INSTACART_JOB_DEADLINE"
    ),
    "looks are throttled for good": lambda: Ending({"look_troubles": throttled(8)}, AwsThrottled, "SlowDown"),
    "looks are never answered": lambda: Ending({"look_troubles": unanswered(8)}, AwsUnavailable, "ReadTimeout"),
    "a look is denied": lambda: Ending({"look_troubles": [DENIED]}, AwsDenied, "AccessDenied"),
    "credentials expire while it runs": lambda: Ending({"look_troubles": [EXPIRED]}, AwsExpired, "Renew"),
    "the run is cancelled while it runs": lambda: Ending({"look_troubles": [KeyboardInterrupt()]}, KeyboardInterrupt),
    "the run is cancelled in a start that happened": lambda: Ending(
        {"loses_answers": 1, "unanswered": KeyboardInterrupt()}, KeyboardInterrupt
    ),
    "the run is cancelled in a start that did not happen": lambda: Ending(
        {"troubles": [KeyboardInterrupt()]}, KeyboardInterrupt, jobs=0, left=True
    ),
    "the stop is throttled": lambda: Ending(
        {"look_troubles": [KeyboardInterrupt()], "stop_troubles": throttled(7)}, KeyboardInterrupt
    ),
    "it takes two minutes to stop": lambda: Ending(
        {"look_troubles": [KeyboardInterrupt()], "takes": HOUR, "stops_within": 120}, KeyboardInterrupt
    ),
    "it takes an hour to stop": lambda: Ending(
        {"look_troubles": [KeyboardInterrupt()], "takes": HOUR, "stops_within": HOUR}, KeyboardInterrupt, left=True
    ),
    "the stop is denied": lambda: Ending(
        {"takes": 3 * HOUR, "stop_troubles": [DENIED]}, DeadlinePassed, stopped=False, left=True
    ),
    "credentials expire for good": lambda: Ending(
        {"look_troubles": [EXPIRED], "stop_troubles": [EXPIRED]}, AwsExpired, stopped=False, left=True
    ),
}


@pytest.mark.parametrize("fault", ENDING.values(), ids=ENDING)
def test_a_fault_that_does_not_pass_ends_the_run_and_leaves_no_job_or_says_so(
    fault: Callable[[], Ending], fake: FakeJobService, drawer: Drawer, cook: Callable[[], JobSucceeded]
) -> None:
    ending = fault()
    vars(fake).update(ending.fake)
    with pytest.raises(ending.error) as raised:
        cook()
    assert type(raised.value) is ending.error
    assert re.search(ending.says, str(raised.value))
    assert len(fake.jobs) == ending.jobs
    assert ending.starts in (fake.starts, -1)
    assert list(fake.stopped) == (list(fake.jobs) if ending.stopped else [])
    assert fake.alive == [] or ending.left
    (record,) = drawer.files.values()
    assert (record["open"], record["left"]) == (False, ending.left)
    assert fake.clock.now <= 2 * HOUR + 300


def test_an_hours_job_is_looked_at_seldom_and_ever_more_so(
    fake: FakeJobService, cook: Callable[[], JobSucceeded]
) -> None:
    fake.takes = HOUR
    cook()
    first_minute = [look for look in fake.looks if look <= 60]
    last_minute = [look for look in fake.looks if look > HOUR - 60]
    assert len(first_minute) <= 10
    assert len(last_minute) <= 5  # until the end is seen, up to half a minute later
    assert len(fake.looks) <= 170


def test_looks_of_many_jobs_keep_no_step(fake: FakeJobService, cook: Callable[[], JobSucceeded]) -> None:
    fake.takes = 600
    cook()
    first, fake.looks = [look - fake.looks[0] for look in fake.looks], []
    cook()
    second = [look - fake.looks[0] for look in fake.looks]
    assert first[1:6] != second[1:6]


def test_a_job_that_ends_well_is_reported_by_its_link(cook: Callable[[], JobSucceeded]) -> None:
    ended = cook()
    assert ended.link == f"https://kitchen.example/{ended.id}"


def test_a_failure_carries_the_reason_the_link_and_the_end_of_the_log(
    fake: FakeJobService, cook: Callable[[], JobSucceeded]
) -> None:
    fake.ends = "BURNT"
    with pytest.raises(
        JobFailed, match=r"failed: too hot\nhttps://kitchen.example/\w+\nThe end of its log:\nsmoke\nfire"
    ):
        cook()


def test_the_next_try_after_a_failure_is_a_job_of_its_own(
    fake: FakeJobService, cook: Callable[[], JobSucceeded]
) -> None:
    fake.ends = "BURNT"
    with pytest.raises(JobFailed):
        cook()
    fake.ends = "DONE"
    cook()
    assert len(fake.jobs) == 2


def test_records_that_can_not_be_written_start_nothing(
    fake: FakeJobService, drawer: Drawer, cook: Callable[[], JobSucceeded]
) -> None:
    drawer.troubles = [DENIED]
    with pytest.raises(AwsDenied):
        cook()
    assert (fake.starts, drawer.files) == (0, {})


def test_a_job_whose_id_can_not_be_noted_is_stopped(fake: FakeJobService, drawer: Drawer, jobs: ManagedJobs) -> None:
    def start(token: str) -> str:
        drawer.troubles = [DENIED]
        return fake.start(token)

    with pytest.raises(AwsDenied):
        jobs.run_or_reattach(WORK, lambda attempt: jobs.run(attempt, "dinner", Cooking(fake), start, fake.find))
    assert list(fake.stopped) == list(fake.jobs)
    assert len(fake.jobs) == 1


def test_a_record_that_can_not_be_removed_hides_no_result(
    fake: FakeJobService, drawer: Drawer, jobs: ManagedJobs
) -> None:
    def make(attempt: Attempt) -> JobSucceeded:
        ended = jobs.run(attempt, "dinner", Cooking(fake), fake.start, fake.find)
        drawer.troubles = [DENIED]
        return ended

    assert jobs.run_or_reattach(WORK, make).id in fake.jobs


def test_a_signal_stops_the_job_even_if_its_exception_was_dropped(
    fake: FakeJobService, cook: Callable[[], JobSucceeded], monkeypatch: pytest.MonkeyPatch
) -> None:
    look, before = Cooking.look, signal.signal(signal.SIGTERM, lambda *_: None)

    def signalled(service: Cooking, job: str) -> JobStatus:
        if not fake.looks:
            os.kill(os.getpid(), signal.SIGTERM)
        return look(service, job)

    monkeypatch.setattr(Cooking, "look", signalled)
    try:
        with pytest.raises(DagsterExecutionInterruptedError):
            cook()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(fake.stopped) == list(fake.jobs)


# What a killed process leaves.


Killed = Callable[..., str]


@pytest.fixture
def killed(jobs: ManagedJobs, fake: FakeJobService) -> Killed:
    """Leaves what a process leaves that was killed before the start, or before or after it noted the id. Gives the token."""

    def left(when: str) -> str:
        attempt = jobs.records.claim(WORK)
        token = attempt.token("dinner")
        if when != "before the start":
            fake.start(token)
        attempt.jobs["dinner"] = JobEntry(Cooking.name, token, token if when == "after it noted the id" else "")
        jobs.records.write(attempt)
        return token

    return left


STARTED = ("before it noted the id", "after it noted the id")


@pytest.mark.parametrize("since", [1, HOUR], ids=["it still runs", "it has ended"])
@pytest.mark.parametrize("when", STARTED)
def test_a_retry_takes_over_the_job_of_a_killed_process(
    when: str, since: float, killed: Killed, fake: FakeJobService, drawer: Drawer, cook: Callable[[], JobSucceeded]
) -> None:
    token = killed(when)
    fake.clock.sleep(since)
    assert cook().id == token
    assert (fake.starts, drawer.files) == (1, {})


def test_a_retry_starts_the_job_that_a_killed_process_was_about_to(
    killed: Killed, fake: FakeJobService, cook: Callable[[], JobSucceeded]
) -> None:
    token = killed("before the start")
    assert cook().id == token
    assert fake.starts == 1


@pytest.mark.parametrize("when", STARTED)
@pytest.mark.parametrize("ends", ["BURNT", "COLD", "OFF"])
def test_a_retry_starts_anew_if_the_job_of_a_killed_process_ended_badly_meanwhile(
    ends: str, when: str, killed: Killed, fake: FakeJobService, drawer: Drawer, cook: Callable[[], JobSucceeded]
) -> None:
    fake.ends = ends
    token = killed(when)
    fake.clock.sleep(HOUR)

    def recovered(token: str) -> str:
        fake.ends = "DONE"
        return start(token)

    start, fake.start = fake.start, recovered  # type: ignore[method-assign]
    assert cook().id != token
    assert (fake.starts, drawer.files) == (2, {})


def test_a_job_taken_over_that_fails_later_fails_the_retry(
    killed: Killed, fake: FakeJobService, cook: Callable[[], JobSucceeded]
) -> None:
    killed(STARTED[1])
    fake.ends = "BURNT"
    with pytest.raises(JobFailed, match="too hot"):
        cook()
    assert fake.starts == 1


@pytest.mark.parametrize("when", STARTED)
def test_what_a_killed_process_left_is_stopped_and_removed_once(
    when: str, killed: Killed, fake: FakeJobService, drawer: Drawer, jobs: ManagedJobs
) -> None:
    token = killed(when)
    service = Cooking(fake)
    assert jobs.stop_left("another run", [service]) == []
    assert jobs.stop_left(WORK.run, [service]) == [token]
    assert (list(fake.stopped), fake.removed) == ([token], [token])
    assert jobs.stop_left(WORK.run, [service]) == []
    (record,) = drawer.files.values()
    assert (record["open"], record["left"]) == (False, False)


@pytest.mark.parametrize("when", ["before the start", "after it noted the id"])
def test_what_has_ended_or_never_began_is_removed_and_not_stopped(
    when: str, killed: Killed, fake: FakeJobService, jobs: ManagedJobs
) -> None:
    token = killed(when)
    fake.clock.sleep(HOUR)
    assert jobs.stop_left(WORK.run, [Cooking(fake)]) == []
    assert (fake.stopped, fake.removed) == ({}, [token])


@pytest.mark.parametrize(
    ("trouble", "says", "ends_by_itself"),
    [
        ({"stop_troubles": [DENIED]}, "Cooking .*: .*AccessDenied", False),
        ({"stops_within": 60.0}, "it was told to stop, and has not within 20 s", True),
        ({"look_troubles": unanswered(8)}, "no answer", False),
    ],
    ids=["the stop is denied", "it takes a minute to stop", "it is not to be looked at"],
)
def test_what_can_not_be_stopped_yet_is_named_and_stopped_the_next_time(
    trouble: dict[str, Any], says: str, ends_by_itself: bool, killed: Killed, fake: FakeJobService, jobs: ManagedJobs
) -> None:
    fake.takes = HOUR
    token = killed(STARTED[1])
    vars(fake).update(trouble)
    with pytest.raises(JobFailed, match=f"may still be running:\n.*{says}"):
        jobs.stop_left(WORK.run, [Cooking(fake)])
    fake.stops_within = 0
    assert jobs.stop_left(WORK.run, [Cooking(fake)]) == ([] if ends_by_itself else [token])
    assert fake.alive == []
    assert jobs.stop_left(WORK.run, [Cooking(fake)]) == []


def test_what_a_run_could_not_stop_itself_is_stopped_later(
    fake: FakeJobService, jobs: ManagedJobs, cook: Callable[[], JobSucceeded]
) -> None:
    fake.takes, fake.stop_troubles = 3 * HOUR, [DENIED]
    fake.look_troubles = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        cook()
    assert jobs.stop_left(WORK.run, [Cooking(fake)]) == list(fake.jobs)
    assert fake.alive == []


def test_a_service_that_nobody_knows_any_more_keeps_no_other_job_running(
    killed: Killed, fake: FakeJobService, jobs: ManagedJobs
) -> None:
    token = killed(STARTED[1])
    attempt = jobs.records.claim(WORK)
    attempt.jobs = {"a": JobEntry("Smoking", "t", "id"), **attempt.jobs}
    jobs.records.write(attempt)
    with pytest.raises(JobFailed, match="Smoking id: no service is called Smoking; look for it by hand"):
        jobs.stop_left(WORK.run, [Cooking(fake)])
    assert list(fake.stopped) == [token]


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
