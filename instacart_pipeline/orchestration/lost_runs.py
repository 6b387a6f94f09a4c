"""Runs whose process is gone: how a run is known by its process, and what becomes of it without.

Belongs here: the lock that a run's process holds, the executor that takes it, and ending the runs whose lock nobody holds. Dagster itself looks
after the runs of a code server that lives; nobody looks after those of a command, or of a code server that was killed with them.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from dagster import (
    DagsterEvent,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Executor,
    ExecutorDefinition,
)

STARTED_BY = "instacart_pipeline/started_by"
"""The tag of a run that the command line started."""


def lock_run(instance: DagsterInstance, run_id: str) -> TextIO:
    """Lock a run for this process. The kernel releases the lock when the process ends, however it ends, or the file is closed."""
    folder = _folder(instance)
    folder.mkdir(exist_ok=True)
    unnamed = folder / f".{run_id}"
    lock = unnamed.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(socket.gethostname())
    lock.flush()
    unnamed.rename(folder / run_id)  # under its name, it was never without its lock
    return lock


def end_lost_runs(instance: DagsterInstance) -> Sequence[DagsterRun]:
    """End the runs of this machine whose process is gone: as canceled if somebody canceled them, else as failed. Returns the failed ones."""
    failed = []
    for path in sorted(_folder(instance).glob("[!.]*")):
        # A lock that is held: the run's process lives. A file that is gone: another process looked after the run.
        with suppress(BlockingIOError, FileNotFoundError), path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.read() != socket.gethostname():
                continue
            run = instance.get_run_by_id(path.name)
            if run is not None and run.status is DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run)
            elif run is not None and not run.is_finished:
                instance.report_run_failed(run, "The process of this run was killed or lost.")
                failed.append(run)
            path.unlink(missing_ok=True)
    return failed


def locking(inner: ExecutorDefinition) -> ExecutorDefinition:
    """The executor `inner`, whose runs are locked for their process."""
    creation = inner.executor_creation_fn
    assert creation is not None  # noqa: S101  # Dagster's own executors have one
    return ExecutorDefinition(
        inner.name,
        inner.config_schema,
        inner.get_requirements,
        lambda context: _LockingExecutor(creation(context)),
        inner.description,
    )


class _LockingExecutor(Executor):
    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[DagsterEvent]:
        instance, run = plan_context.instance, plan_context.dagster_run
        self._lock = lock_run(instance, run.run_id)  # until the run's last event is written, after this function
        try:
            yield from self._inner.execute(plan_context, execution_plan)
        except (KeyboardInterrupt, DagsterExecutionInterruptedError):
            # Dagster takes an interrupt that nobody asked for in the UI for a failure. Who stops a command asks for it.
            if STARTED_BY in run.tags:
                instance.report_run_canceling(run, "The command was interrupted.")
            raise


def _folder(instance: DagsterInstance) -> Path:
    return Path(instance.root_directory) / ".runs"
