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
from typing import Any, TextIO, cast

from dagster import (
    DagsterEvent,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Executor,
    ExecutorDefinition,
    InitExecutorContext,
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

    def create(context: InitExecutorContext) -> Executor:
        executor: Any = cast(Any, inner.executor_creation_fn)(context)
        execute = executor.execute

        def execute_locked(plan_context: Any, plan: Any) -> Iterator[DagsterEvent]:
            run, instance = plan_context.dagster_run, plan_context.instance
            executor.lock = lock_run(instance, run.run_id)  # until the run's last event is written, after this function
            try:
                yield from execute(plan_context, plan)
            except (KeyboardInterrupt, DagsterExecutionInterruptedError):
                # Dagster takes an interrupt that nobody asked for in the UI for a failure. Who stops a command asks for it.
                if STARTED_BY in run.tags:
                    instance.report_run_canceling(run, "The command was interrupted.")
                raise

        executor.execute = execute_locked
        return cast(Executor, executor)

    schema: Any = inner.config_schema
    return ExecutorDefinition(inner.name, schema, inner.get_requirements, create, inner.description)


def _folder(instance: DagsterInstance) -> Path:
    return Path(instance.root_directory) / ".runs"
