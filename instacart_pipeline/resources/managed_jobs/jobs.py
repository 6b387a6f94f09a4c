"""The managed-job core: how any AWS job is started once, watched, and ended.

Belongs here: starting or finding again, polling, deadlines, end states, stopping. Doesn't: what a service's job is made of
(athena/aws.py, glue/aws.py, ...), and what is remembered of it (attempts.py).
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from dagster import ConfigurableResource, DagsterExecutionInterruptedError, ResourceDependency, get_dagster_logger

from instacart_pipeline.lake.errors import JobFailed, PipelineError
from instacart_pipeline.resources.aws_account.errors import (
    AwsBusy,
    AwsError,
    AwsThrottled,
    AwsUnavailable,
    log_cleanup_errors,
)
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, JobEntry, Records, Work
from instacart_pipeline.resources.managed_jobs.job_service import (
    DeadlinePassed,
    JobService,
    JobStatus,
    JobSucceeded,
    State,
    StateUnknown,
)

Made = TypeVar("Made")

_ENDED = ("succeeded", "failed", "timed out", "stopped")
_GROWTH = 1.5
_MOST_GROWN = 15
"""The pause between two looks grows by half each time, up to this many times the first one."""
_TRIES = 8
"""Calls in a row that may be throttled or unanswered before the job is given up."""
_LOOKS_AFTER_A_LOST_ANSWER = 3
_STOP_SECONDS = 180.0
"""How long a job that was told to stop is watched until it has."""
_LEFT_SECONDS = 20.0
"""The same for a job that a dead run left: the sensor that sees to it has a minute, and comes again."""
_LOG_LINES = 30


class _EndedBefore(Exception):
    """The job that a killed process left behind had ended badly before anybody looked."""


class ManagedJobs(ConfigurableResource[Any]):
    """Runs jobs on AWS. What is remembered of them lies below the prefix `base`.

    A piece of work has at most one job of a kind alive. A retry, of the step or of the run, finds it again. A job outlives
    neither its step nor its deadline: it is stopped on cancellation, on SIGTERM and on any error. Only a process that is
    killed outright leaves its job running, until the retry takes it over or `stop_left` stops it.
    """

    session: ResourceDependency[AwsSession]
    base: str
    deadline_seconds: float
    poll_seconds: float

    @property
    def records(self) -> Records:
        """What is remembered of attempts."""
        return Records(Objects(self.session), f"{self.base}/attempts")

    def run_or_reattach(self, work: Work, make: Callable[[Attempt], Made]) -> Made:
        """Do a piece of work by `make`, which calls `run` for each of its jobs. Raises what it raises.

        An attempt that a killed process left open is gone on with, unless its job has failed meanwhile: then a new one is made.
        """
        while True:
            attempt = self.records.claim(work)
            try:
                made = make(attempt)
            except _EndedBefore as ended:
                get_dagster_logger().warning(f"{ended} Starting again.")
                self._close(attempt)
            except BaseException:
                self._close(attempt)
                raise
            else:
                with log_cleanup_errors(f"The record of {work.name}"):
                    self.records.forget(attempt)
                return made

    def run(
        self,
        attempt: Attempt,
        name: str,
        service: JobService,
        start: Callable[[str], str],
        find: Callable[[str], str | None],
    ) -> JobSucceeded:
        """Run the job `name` of an attempt to its end.

        `start(token)` starts it and gives its id; `find(token)` gives the id of a job that was started with the token. Both
        make calls that are tried once.

        Raises JobFailed with the service's own error and the end of the log; DeadlinePassed and StateUnknown, the job being
        stopped; AwsError if AWS refused or did not answer for too long.
        """
        with noted_interrupts() as interrupted:
            return self._run(attempt, name, service, start, find, interrupted)

    def _run(
        self,
        attempt: Attempt,
        name: str,
        service: JobService,
        start: Callable[[str], str],
        find: Callable[[str], str | None],
        interrupted: Callable[[], None],
    ) -> JobSucceeded:
        deadline = time.monotonic() + self.deadline_seconds
        entry, resumed = attempt.jobs.get(name), True
        if entry is None:
            entry, resumed = JobEntry(service.name, attempt.token(name)), False
            attempt.jobs[name] = entry
            self.records.write(attempt)
        if not entry.id:
            entry.id = (self._found(find, entry.token) if resumed else None) or self._start(
                attempt, service, start, find, entry.token, deadline
            )
        try:
            self.records.write(attempt)
            get_dagster_logger().info(
                f"{service.name} {entry.id} {'found again' if resumed else 'started'}: {service.link(entry.id)}"
            )
            return self._watch(service, entry.id, deadline, interrupted, resumed=resumed)
        except (JobFailed, _EndedBefore) as ended:
            if isinstance(ended, (DeadlinePassed, StateUnknown)):
                self._stop(attempt, service, entry.id)
            raise
        except BaseException:
            self._stop(attempt, service, entry.id)
            raise

    def stop_left(self, run: str, services: Sequence[JobService]) -> list[str]:
        """Stop the jobs that a run, which is over, left behind. Returns their ids.

        Raises JobFailed naming those that could not be stopped, or have not ended yet; they are found again next time.
        """
        by_name = {service.name: service for service in services}
        stopped: list[str] = []
        problems: list[str] = []
        for attempt in self.records.open_of(run):
            left = False
            for entry in attempt.jobs.values():
                try:
                    service = by_name.get(entry.service)
                    if service is None:
                        raise JobFailed(f"no service is called {entry.service}; look for it by hand")
                    stopped += self._stopped_left(attempt.work, entry, service)
                except PipelineError as problem:  # noqa: PERF203  # one job that can't be stopped keeps no other running
                    left = True
                    problems.append(f"{entry.service} {entry.id or 'of unknown id'}: {problem}")
            attempt.left = left
            self._close(attempt)
        if problems:
            raise JobFailed(f"What the run {run} left may still be running:\n" + "\n".join(problems))
        return stopped

    def _stopped_left(self, work: Work, entry: JobEntry, service: JobService) -> list[str]:
        entry.id = entry.id or self._patiently(lambda: service.left(work, entry.token)) or ""
        alive = entry.id and not self._has_ended(service, entry.id)
        if alive:
            self._stop_and_wait(service, entry.id, _LEFT_SECONDS)
        service.remove(work, entry.token)
        return [entry.id] if alive else []

    def _start(
        self,
        attempt: Attempt,
        service: JobService,
        start: Callable[[str], str],
        find: Callable[[str], str | None],
        token: str,
        deadline: float,
    ) -> str:
        tries, pause = 0, self.poll_seconds
        while True:
            try:
                started = start(token)
            except AwsBusy as busy:
                # A place becomes free when another job ends, which takes as long as a job takes.
                if time.monotonic() + pause > deadline:
                    raise
                get_dagster_logger().info(f"{service.name} waits for a place: {busy.message}")
            except AwsThrottled:
                tries += 1
                if tries == _TRIES:
                    raise
            except AwsUnavailable:
                # It may have been started all the same: only if it can't be found is it started again.
                attempt.left = True  # until it is found, a job of unknown id may be alive
                if found := self._found(find, token):
                    attempt.left = False
                    return found
                tries += 1
                if tries == _TRIES:
                    raise
            except Exception:
                raise
            except BaseException:
                # Stopped from outside in the middle of the call.
                attempt.left = True
                if found := self._found(find, token):
                    attempt.left = False
                    self._stop(attempt, service, found)
                raise
            else:
                attempt.left = False
                return started
            pause = self._pause(pause)

    def _found(self, find: Callable[[str], str | None], token: str) -> str | None:
        for _ in range(_LOOKS_AFTER_A_LOST_ANSWER):
            if found := self._patiently(lambda: find(token)):
                return found
            time.sleep(self.poll_seconds)
        return None

    def _watch(
        self, service: JobService, job: str, deadline: float, interrupted: Callable[[], None], *, resumed: bool
    ) -> JobSucceeded:
        pause, first = self.poll_seconds, True
        while True:
            interrupted()
            look = self._patiently(lambda: service.look(job))
            state = service.states.get(look.state)
            if state is None:
                known = ", ".join(service.states)
                raise StateUnknown(
                    f"{service.name} {job} is in the state {look.state!r}, which is none of {known}. It was stopped, and nothing "
                    f"was published. Look at {service.link(job)}; if the state is a new one, it belongs in {service.name}'s table."
                )
            if state == "succeeded":
                return JobSucceeded(job, service.link(job), look)
            if state in _ENDED:
                text = self._failure(service, job, state, look)
                if resumed and first:
                    raise _EndedBefore(text)
                raise JobFailed(text)
            if time.monotonic() > deadline:
                raise DeadlinePassed(
                    f"{service.name} {job} was still {state} after {self.deadline_seconds:.0f} s and was stopped; nothing was "
                    f"published. Look at {service.link(job)}, and raise INSTACART_JOB_DEADLINE if it needs longer."
                )
            pause, first = self._pause(pause), False

    def _failure(self, service: JobService, job: str, state: State, look: JobStatus) -> str:
        try:
            lines = list(service.log_tail(job))[-_LOG_LINES:]
        except AwsError as error:
            lines = [f"(The log can't be read: {error})"]
        log = "\nThe end of its log:\n" + "\n".join(lines) if lines else ""
        return f"{service.name} {job} {state}: {look.error or 'the service gives no reason'}\n{service.link(job)}{log}"

    def _stop(self, attempt: Attempt, service: JobService, job: str) -> None:
        """Stop a job and wait until it has ended. What goes wrong is logged: the error that led here is the one to raise."""
        try:
            self._stop_and_wait(service, job, _STOP_SECONDS)
        except PipelineError as error:
            attempt.left = True
            get_dagster_logger().error(
                f"{service.name} {job} may still be running: {error} Stop it by hand: {service.link(job)}"
            )

    def _stop_and_wait(self, service: JobService, job: str, seconds: float) -> None:
        deadline, pause = time.monotonic() + seconds, self.poll_seconds
        self._patiently(lambda: service.stop(job))
        while not self._has_ended(service, job):
            if time.monotonic() > deadline:
                raise JobFailed(f"it was told to stop, and has not within {seconds:.0f} s.")
            pause = self._pause(pause)

    def _has_ended(self, service: JobService, job: str) -> bool:
        return service.states.get(self._patiently(lambda: service.look(job)).state) in _ENDED

    def _patiently(self, call: Callable[[], Made]) -> Made:
        """`call`, tried again within bounds while it is throttled or unanswered. For calls that do no harm twice."""
        pause = self.poll_seconds
        for _ in range(_TRIES - 1):
            with suppress(AwsThrottled, AwsUnavailable):
                return call()
            pause = self._pause(pause)
        return call()

    def _pause(self, seconds: float) -> float:
        """Sleep about so long, and give the next pause. No two callers keep step."""
        time.sleep(seconds * random.uniform(0.75, 1.25))  # noqa: S311  # spreads calls, guards nothing
        return min(seconds * _GROWTH, self.poll_seconds * _MOST_GROWN)

    def _close(self, attempt: Attempt) -> None:
        attempt.open = False
        try:
            self.records.write(attempt)
        except AwsError as error:
            get_dagster_logger().warning(f"The record of {attempt.work.name} can't be closed: {error}")


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def noted_interrupts() -> Iterator[Callable[[], None]]:
    """Gives a function that raises DagsterExecutionInterruptedError if a signal came since the block began.

    Dagster turns SIGINT and SIGTERM into an exception wherever the program is. Inside a callback of the garbage collector Python drops
    that exception, and whoever waits for a job would wait on. So the signal is noted as well.

    The handlers that are there are called as before, and a signal without one does what it did. Outside of the main thread,
    where no signal arrives, it never raises.
    """
    came: list[int] = []

    def check() -> None:
        if came:
            raise DagsterExecutionInterruptedError

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    handlers = {number: handler for number in _SIGNALS if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
