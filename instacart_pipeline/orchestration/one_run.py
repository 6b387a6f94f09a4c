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
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from instacart_pipeline.orchestration.lost_runs import STARTED_BY

ONE_RUN_OF = "instacart_pipeline/one_run_of"
"""The tag of a run that is the only one of its system: the system's name."""
MAX_RUNTIME = {"dagster/max_runtime": str(24 * 3600)}
"""The tag of every job: runs are terminated after 24 hours so that they cannot block the queue."""
_UNDER_WAY = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
_WAITING = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED]
_LOOKS_EVERY = 1.0


def tags_of(system: str) -> dict[str, str]:
    """The tags of a job whose runs are the only one of their system."""
    return {ONE_RUN_OF: system, **MAX_RUNTIME}


def unfinished(instance: DagsterInstance, system: str) -> Sequence[DagsterRun]:
    """The runs of a system that wait or are under way."""
    runs = instance.get_runs(RunsFilter(tags={ONE_RUN_OF: system}, statuses=[*_UNDER_WAY, *_WAITING]))
    # A command's run starts as soon as it is made: one that did not was killed in between.
    return [run for run in runs if run.status is not DagsterRunStatus.NOT_STARTED or STARTED_BY not in run.tags]


@contextmanager
def exclusive_run(
    instance: DagsterInstance, system: str, tell: Callable[[str], None], end_lost: Callable[[], object]
) -> Iterator[None]:
    """Keep other commands' runs of the system waiting, after waiting for any run of it that is under way, and telling so. Those whose
    process is gone are ended by `end_lost`.

    Several commands follow each other by a lock, which the kernel lets go of when its process ends, however it ends.
    """
    with _lock(instance, system).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"Another command runs {system}. Runs of it follow each other; this one waits.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        told = ""
        end_lost()
        while runs := instance.get_runs(RunsFilter(tags={ONE_RUN_OF: system}, statuses=_UNDER_WAY), limit=1):
            if runs[0].run_id != told:
                told = runs[0].run_id
                tell(
                    f"Run {told} ({runs[0].job_name}) is under way. Runs of {system} follow each other; this one waits."
                )
            time.sleep(_LOOKS_EVERY)
            end_lost()
        yield


def _lock(instance: DagsterInstance, system: str) -> Path:
    return Path(instance.root_directory) / f".run-{system}"
