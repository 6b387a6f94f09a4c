"""One run at a time of a system whose runs would disturb each other, whoever starts their jobs.

Belongs here: the tag that such runs carry, and what the command line does, whose runs wait in no queue. The runs of the system's jobs that
sensors, schedules and the UI start wait for each other by the tag (dagster.yaml), for those of the command line too, which are runs like any
other. Assets that are materialized by hand in the UI run in a job of Dagster's own, without the tag: such a run waits only for one of the same
day, and nobody of another day waits for it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

ONE_RUN_OF = "instacart_pipeline/one_run_of"
"""The tag of a run that is the only one of its system: the system's name."""
STARTED_BY = "instacart_pipeline/started_by"
"""The tag of a run that the command line started."""
_UNDER_WAY = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
_WAITING = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED]
_LOOKS_EVERY = 1.0


def tags_of(system: str) -> dict[str, str]:
    """The tags of a job whose runs are the only one of their system. A run that shows no end after a day is ended, lest it holds up all others."""
    return {ONE_RUN_OF: system, "dagster/max_runtime": str(24 * 3600)}


def unfinished(instance: DagsterInstance, system: str) -> Sequence[DagsterRun]:
    """The runs of a system that wait or are under way."""
    return instance.get_runs(RunsFilter(tags={ONE_RUN_OF: system}, statuses=[*_UNDER_WAY, *_WAITING]))


@contextmanager
def alone(instance: DagsterInstance, system: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Keep other commands' runs of the system waiting, after waiting for any run of it that is under way, and telling so.

    Several commands follow each other by a lock, which the kernel lets go of when its process ends, however it ends.
    """
    with _lock(instance, system).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"Another command runs {system}. Runs of it follow each other; this one waits.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        _fail_dead(instance, system)
        told = ""
        while runs := instance.get_runs(RunsFilter(tags={ONE_RUN_OF: system}, statuses=_UNDER_WAY), limit=1):
            if runs[0].run_id != told:
                told = runs[0].run_id
                tell(
                    f"Run {told} ({runs[0].job_name}) is under way. Runs of {system} follow each other; this one waits. "
                    f"If no process of that run lives any more, end it in the UI."
                )
            time.sleep(_LOOKS_EVERY)
        yield


def fail_dead_commands(instance: DagsterInstance, system: str) -> None:
    """Fail the runs of commands that were killed: no code server watches over them, and they would hold up all others."""
    with _lock(instance, system).open("w") as lock, suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _fail_dead(instance, system)


def _fail_dead(instance: DagsterInstance, system: str) -> None:
    """With the lock held: whatever run a command started, its process is gone."""
    for run in instance.get_runs(RunsFilter(tags={ONE_RUN_OF: system}, statuses=[*_UNDER_WAY, *_WAITING])):
        if STARTED_BY in run.tags:
            instance.report_run_failed(run, "The command that ran it was killed.")


def _lock(instance: DagsterInstance, system: str) -> Path:
    return Path(instance.root_directory) / f".run-{system}"
