"""The daily job in a process of its own that dies, or stands still, at a named point.

Belongs here: the points at which a fault may strike, and what strikes. The job is the real one; only in the child process are
the functions it passes through wrapped. Children are forked from a server that has everything imported, so one costs little.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from instacart_pipeline.engine import ingest, parquet
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder.automation import DAILY_JOB
from instacart_pipeline.resources.catalog.local import SqliteCatalog
from instacart_pipeline.resources.local_machine import queries as engine
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.platform import DT, Platform, Run

Point = Literal["before_writing", "while_writing", "before_publish", "after_publish"]
"""Of one table: its inputs are looked up but not read; half a file is written; all is checked; the pointer has moved."""

_PATIENCE = 120.0
processes = multiprocessing.get_context("forkserver")
"""Makes child processes of the test."""
processes.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Fault:
    """Where a run is struck: at a point of the making of one table (database, name)."""

    table: tuple[str, str]
    point: Point


def run_killed_at(
    platform: Platform,
    table: TableContract,
    point: Point,
    dt: str = DT,
    *,
    job: str = DAILY_JOB,
    patience: float = _PATIENCE,
) -> None:
    """Run the day until the process ends itself by SIGKILL at the point; an error if it never gets there."""
    fault = Fault((table.database, table.name), point)
    process = processes.Process(target=_killed, args=(platform.settings, dt, fault, job))
    process.start()
    process.join(patience)
    assert process.exitcode == -signal.SIGKILL, f"the run never came to {fault}: exit code {process.exitcode}"


class RunAside:
    """A run in another process."""

    def __init__(self, platform: Platform, dt: str = DT, held_at: tuple[TableContract, Point] | None = None) -> None:
        self._outcome, theirs = processes.Pipe(duplex=False)
        self._reached, self._go_on = processes.Event(), processes.Event()
        fault = Fault((held_at[0].database, held_at[0].name), held_at[1]) if held_at else None
        events = (self._reached, self._go_on)
        self._process = processes.Process(target=_held, args=(platform.settings, dt, fault, events, theirs))
        self._process.start()

    def wait_until_held(self) -> None:
        """Return once the run stands still at its point."""
        assert self._reached.wait(_PATIENCE), "the run never came to its point"

    def result(self) -> Run:
        """Let the run go on, and wait for what comes of it."""
        self._go_on.set()
        assert self._outcome.poll(_PATIENCE), "the run did not end"
        run: Run = self._outcome.recv()
        self._process.join(_PATIENCE)
        return run

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join(_PATIENCE)


@contextmanager
def run_held_at(platform: Platform, table: TableContract, point: Point, dt: str = DT) -> Iterator[RunAside]:
    """A run that stands still at the point until its result is asked for."""
    run = RunAside(platform, dt, (table, point))
    try:
        run.wait_until_held()
        yield run
    finally:
        run.end()


def eventually(condition: Callable[[], Any], *, within: float, what: str) -> None:
    """Poll until the condition holds; fail saying `what` did not come about."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.05)


def _killed(settings: Settings, dt: str, fault: Fault, job: str) -> None:
    _wrap(fault, lambda: os.kill(os.getpid(), signal.SIGKILL))
    Platform(**vars(settings)).run(dt, job=job)


def _held(settings: Settings, dt: str, fault: Fault | None, events: tuple[Event, Event], outcome: Connection) -> None:
    reached, go_on = events

    def hold() -> None:
        reached.set()
        go_on.wait(_PATIENCE)

    if fault:
        _wrap(fault, hold)
    outcome.send(Platform(**vars(settings)).run(dt))


def _wrap(fault: Fault, strike: Callable[[], None]) -> None:
    """Have `strike` called when this process comes to the fault's point."""

    def at(point: Point, database: str, table: str) -> None:
        if fault == Fault((database, table), point):
            strike()

    publish, new_version, write = SqliteCatalog.publish, LocalLake.new_version, parquet.write

    def publish_(self: SqliteCatalog, database: str, table: str, dt: str, version: Version) -> Version:
        at("before_publish", database, table)
        published = publish(self, database, table, dt, version)
        at("after_publish", database, table)
        return published

    def new_version_(self: LocalLake, table: TableContract, dt: str) -> Any:
        at("before_writing", table.database, table.name)
        return new_version(self, table, dt)

    def write_(connection: Any, select: str, target: TableContract, folder: Path, *more: Any, **named: Any) -> None:
        write(connection, select, target, folder, *more, **named)
        if fault == Fault((target.database, target.name), "while_writing"):
            (first, *_) = folder.glob("*.parquet")
            os.truncate(first, first.stat().st_size // 2)
            strike()

    patch.object(SqliteCatalog, "publish", publish_).start()
    patch.object(LocalLake, "new_version", new_version_).start()
    patch.object(engine, "write", write_).start()
    patch.object(ingest, "write", write_).start()
