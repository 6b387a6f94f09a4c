"""What starts runs of the retail system, ticked by hand: over a raw zone, a catalog and a warehouse of a test's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus

from instacart_pipeline.orchestration.one_run import tags_of
from instacart_pipeline.resources.warehouse import Warehouse
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.automation import DAYS_JOB
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.retail.test_batch_path import row, uploaded

Started = Sequence[dg.RunRequest]
SETTINGS = {"settle_seconds": 1, "stream_buffer_seconds": 1}


class Ticks:
    """What starts runs, over a platform; each sensor goes on from its last cursor."""

    def __init__(
        self, definitions: dg.Definitions, platform: Platform, instance: dg.DagsterInstance, warehouse: Warehouse
    ) -> None:
        self.platform, self.instance, self.warehouse = platform, instance, warehouse
        self._definitions, self._cursors = definitions, dict[str, str | None]()

    def sensor(self, name: str) -> tuple[Started, str]:
        """A tick: the runs it starts, and what it says otherwise."""
        cursor, defs = self._cursors.get(name), self._definitions
        with dg.build_sensor_context(
            self.instance, cursor, definitions=defs, resources=self._resources(name)
        ) as context:
            tick = defs.resolve_sensor_def(name).evaluate_tick(context)
        self._cursors[name] = tick.cursor or cursor
        return tick.run_requests or (), tick.skip_message or ""

    def schedule(self) -> tuple[Started, str]:
        """A tick of the schedule, now."""
        found = self._definitions.get_repository_def()
        with dg.build_schedule_context(
            self.instance, datetime.now(timezone.utc), resources=self._resources("schedule"), repository_def=found
        ) as context:
            tick = self._definitions.resolve_schedule_def(DAYS_JOB).evaluate_tick(context)
        return tick.run_requests or (), tick.skip_message or ""

    def said_by(self, sensor: str) -> tuple[str | None, str]:
        """A tick: the day of the run it starts, if any, and what it says otherwise."""
        return _said(self.sensor(sensor))

    def said_by_schedule(self) -> tuple[str | None, str]:
        """The same of the schedule."""
        return _said(self.schedule())

    def run(self, job: str, request: dg.RunRequest, status: DagsterRunStatus) -> str:
        """A run that was started by a request, as the instance has it; returns its id."""
        tags = {**tags_of(t.SYSTEM), **request.tags, "dagster/partition": request.partition_key or ""}
        return self.instance.add_run(dg.DagsterRun(job, status=status, tags=tags)).run_id

    def _resources(self, name: str) -> dict[str, Any]:
        found = self.platform.resources
        given = {"catalog": found.catalog, "warehouse": self.warehouse}
        return given if name == "retail_analyses" else {**given, "storage": found.storage}


def _said(tick: tuple[Started, str]) -> tuple[str | None, str]:
    requests, said = tick
    return next((request.partition_key for request in requests), None), said


def arrived(platform: Platform, dt: str, *rows: str) -> None:
    """Upload a day's file, as one that stood still for long."""
    uploaded(platform, dt, *(rows or (row(dt),)))
    for file in (platform.raw / t.SYSTEM / t.STAGED_UPLOADS.name / f"dt={dt}").iterdir():
        os.utime(file, (1_600_000_000, 1_600_000_000))
