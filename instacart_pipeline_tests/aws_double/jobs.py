"""Jobs: work that a service does in the background, from its start to its end.

Belongs here: phases, stopping, outcomes, threads, and what tests may ask about them. Doesn't: what a job does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from instacart_pipeline_tests.aws_double.outcomes import Outcome, Outcomes

UNKNOWN_STATE = "HIBERNATING"
ENDED = ("succeeded", "failed", "stopped", "timed_out")
_OF_THREADS = ("stop_asked", "done", "lock", "on_stop")


class JobFailure(Exception):
    """The work can't be done; the text is what the service says."""


class JobCancelled(Exception):
    """The service itself ends the work without calling it a failure; the text is what it says."""


@dataclass
class JobTiming:
    """How long the phases of a job last, in seconds."""

    queued: float = 0.02
    running: float = 0.0
    stopping: float = 0.02


@dataclass
class JobRun:
    """A job run, as tests see it. `phase` is the double's word, `state` the service's.

    Times are seconds since the epoch. `arguments` is what it was started with; `token` the idempotency token, if any.
    """

    service: str
    id: str
    name: str
    states: Mapping[str, str]
    arguments: Any = None
    token: str | None = None
    phase: str = "queued"
    started: float = field(default_factory=time.time)
    running: float | None = None
    ended: float | None = None
    error: str = ""
    stop_asked: threading.Event = field(default_factory=threading.Event, repr=False)
    done: threading.Event = field(default_factory=threading.Event, repr=False)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    on_stop: Callable[[], object] | None = field(default=None, repr=False)

    @property
    def state(self) -> str:
        """The state in the service's words."""
        return UNKNOWN_STATE if self.phase == "unknown" else self.states[self.phase]

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.phase not in ENDED

    def __getstate__(self) -> dict[str, Any]:
        """A run as it is kept in a snapshot. Raises RuntimeError for one that has not ended."""
        if self.alive:
            raise RuntimeError(f"{self.service} {self.name} still runs")
        return {name: value for name, value in vars(self).items() if name not in _OF_THREADS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(
            state, stop_asked=threading.Event(), done=threading.Event(), lock=threading.RLock(), on_stop=None
        )
        self.done.set()

    def check_stop(self) -> None:
        """Raise Stopped if somebody asked the run to stop; long work calls it now and then."""
        if self.stop_asked.is_set():
            raise Stopped

    @contextmanager
    def stoppable_by(self, end_it: Callable[[], object]) -> Iterator[None]:
        """Work that `end_it` breaks off as soon as somebody asks the run to stop; it is never called after the work."""
        with self.lock:
            self.check_stop()
            self.on_stop = end_it
        try:
            yield
        finally:
            with self.lock:
                self.on_stop = None

    def pause(self, seconds: float | None) -> None:
        """Wait, or raise Stopped as soon as somebody asks the run to stop. None waits for just that."""
        if self.stop_asked.wait(seconds):
            raise Stopped


class Stopped(Exception):
    """The run was asked to stop."""


class Jobs:
    """Every job run of a double, and the threads that do the work."""

    def __init__(self, outcomes: Outcomes, pace: JobTiming) -> None:
        self._all: list[JobRun] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._outcomes, self._pace = outcomes, pace
        self.closing = threading.Event()

    def start(self, run: JobRun, work: Callable[[], None], on_failure: Callable[[str], None] | None = None) -> None:
        """Do `work` in the background as `run`; `on_failure` is told the error of a run that is made to fail, for its log."""
        outcome = self._outcomes.take(run.service, f"{run.name} {run.arguments}")
        thread = threading.Thread(
            target=self._live, args=(run, work, outcome, on_failure), daemon=True, name=f"{run.service} {run.id}"
        )
        with self._lock:
            self._all.append(run)
            self._threads.append(thread)
        thread.start()

    def runs(self, service: str | None = None) -> list[JobRun]:
        """The runs of a service, or all, in the order of their start."""
        with self._lock:
            return [run for run in self._all if service in (None, run.service)]

    def stop(self, run: JobRun) -> None:
        """Ask a run to stop; it does soon afterwards."""
        with run.lock:
            if not run.alive:
                return
            if run.phase != "unknown" and "stopping" in run.states:
                run.phase = "stopping"
            run.stop_asked.set()
            if run.on_stop is not None:
                run.on_stop()

    def close(self) -> None:
        """Stop everything and wait for it."""
        self.closing.set()
        for run in self.runs():
            self.stop(run)
        for thread in self._threads:
            thread.join(timeout=20)

    def _live(
        self, run: JobRun, work: Callable[[], None], outcome: Outcome | None, on_failure: Callable[[str], None] | None
    ) -> None:
        try:
            run.pause(self._pace.queued)
            run.phase, run.running = "running", time.time()
            run.pause(self._pace.running)
            phase, text = self._meet(run, work, outcome)
        except Stopped:
            phase, text = "stopped", ""
            if not self.closing.is_set():
                time.sleep(self._pace.stopping)
        except JobCancelled as cancelled:
            phase, text = "stopped", str(cancelled)
        except JobFailure as failure:
            phase, text = "failed", str(failure)
        except Exception as problem:  # noqa: BLE001  # a fault of the double shows as the job's own error, not as a hang
            phase, text = "failed", f"{type(problem).__name__}: {problem}"
        if text and phase == "failed" and on_failure is not None:
            on_failure(text)
        with run.lock:
            run.error, run.ended = text, time.time()
            run.phase = phase
        run.done.set()

    def _meet(self, run: JobRun, work: Callable[[], None], outcome: Outcome | None) -> tuple[str, str]:
        """Let the run come to its outcome; the phase it ends in, and its error."""
        if outcome is None:
            work()
            return "succeeded", ""
        if outcome.kind == "slow":
            run.pause(outcome.seconds)
            work()
            return "succeeded", ""
        if outcome.after_work:
            work()
        if outcome.kind == "stuck":
            run.pause(None)
        if outcome.kind == "unknown":
            run.phase = "unknown"
            run.pause(outcome.seconds or None)
            run.phase = "running"
            work()
            return "succeeded", ""
        return outcome.kind, outcome.error


def most_alive_at_once(runs: list[JobRun]) -> int:
    """The largest number of these runs that were alive at one moment."""
    now = time.time()
    moments = sorted([(run.started, 1) for run in runs] + [(run.ended or now + 1, -1) for run in runs])
    most = alive = 0
    for _, change in moments:
        alive += change
        most = max(most, alive)
    return most
