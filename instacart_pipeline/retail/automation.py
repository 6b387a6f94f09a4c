"""What starts the retail system's batch path: its jobs, its schedule, and the sensor on what arrives in the raw zone."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dagster import (
    AssetSelection,
    DailyPartitionsDefinition,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    define_asset_job,
    schedule,
    sensor,
)

from instacart_pipeline.orchestration.arrival import Arrival, Heard, Memory
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.retail import tables as t
from instacart_pipeline.settings import Settings

if TYPE_CHECKING:
    # What define_asset_job gives has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DAILY_JOB, DAYS_JOB, ANALYSES_JOB = "retail_daily", "retail_days", "retail_analyses"
_BUFFERS_TO_SETTLE = 3


@dataclass(frozen=True)
class Automation:
    """What starts runs."""

    jobs: list["UnresolvedAssetJobDefinition"]
    schedules: list[ScheduleDefinition]
    sensors: list[SensorDefinition]


def build_automation(days: DailyPartitionsDefinition, settings: Settings) -> Automation:
    """The jobs, the schedule and the sensor over the partitions `days`."""
    lake = AssetSelection.groups(t.STAGING, t.CURATED)
    warehouse, analyses = AssetSelection.groups(t.WAREHOUSE), AssetSelection.groups(t.SANDBOX)
    daily = define_asset_job(
        DAILY_JOB, lake | warehouse | analyses, description="A day whole: the lake, the warehouse, the analyses."
    )
    to_warehouse = define_asset_job(
        DAYS_JOB,
        lake | warehouse,
        description="From the crawl to the warehouse, for a day or a range of days in one run; days without files are passed over.",
    )
    to_analyses = define_asset_job(ANALYSES_JOB, analyses, description="The analyses as of a day, from the warehouse.")
    return Automation(
        jobs=[daily, to_warehouse, to_analyses],
        schedules=[_schedule(daily, settings)],
        sensors=[_sensor(daily, days, settings)],
    )


def arrival(storage: Storage, catalog: Catalog, settings: Settings) -> Arrival:
    """Watches both ways in: a day may come by file, by the stream, or both."""
    # While transactions come in, the stream adds a file to the day once a buffer. A day that settled as quickly as an upload does
    # would be built anew with each of them; so it has to stand still for longer than a few buffers take, and a day whose shop is open
    # is built when the shop pauses, or by the schedule.
    settle = max(settings.settle_seconds, _BUFFERS_TO_SETTLE * settings.stream_buffer_seconds)
    return Arrival(storage, catalog, t.STAGED, t.TRANSACTIONS, settle, any_makes_a_day=True)


def _schedule(job: "UnresolvedAssetJobDefinition", settings: Settings) -> ScheduleDefinition:
    @schedule(
        name=job.name,
        job=job,
        cron_schedule="0 7 * * *",
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        description="Builds yesterday and today from what has come of them, unless they are built from just that already.",
    )
    def daily_run(
        context: ScheduleEvaluationContext, storage: Storage, catalog: Catalog
    ) -> list[RunRequest] | SkipReason:
        today = context.scheduled_execution_time.astimezone(settings.zone).date()
        watched = arrival(storage, catalog, settings)
        to_build, told = list[str](), list[str]()
        for day in (today - timedelta(days=1), today):
            dt = day.isoformat()
            if day < settings.retail_first_day:
                told.append(f"{dt} is before the first day.")
            elif watched.missing(dt):
                told.append(f"Nothing of {dt} has come; the sensor starts the day once something has.")
            elif watched.is_built(dt, t.TRANSACTIONS):
                told.append(f"{dt} is built from what has come of it.")
            else:
                to_build.append(dt)
        return [RunRequest(partition_key=dt) for dt in to_build] or SkipReason(" ".join(told))

    return daily_run


def _sensor(
    job: "UnresolvedAssetJobDefinition", days: DailyPartitionsDefinition, settings: Settings
) -> SensorDefinition:
    @sensor(
        name="retail_arrivals",
        job=job,
        minimum_interval_seconds=max(1, min(30, settings.settle_seconds)),
        default_status=DefaultSensorStatus.RUNNING,
        description="Builds a day once what came of it, by file or by the stream, stands still, and again when more has come.",
    )
    def retail_arrivals(context: SensorEvaluationContext, storage: Storage, catalog: Catalog) -> SensorResult:
        # The queue of notices serves the reorder system, which would lose what is received here. So this sensor looks around.
        tick = arrival(storage, catalog, settings).tick(
            Heard(Memory.of(context.cursor)), time.time(), days.get_partition_keys()
        )
        waiting = "; ".join(f"{day} {why}" for day, why in tick.waiting.items())
        return SensorResult(
            run_requests=[RunRequest(partition_key=start.dt, run_key=start.key) for start in tick.starts],
            skip_reason=None if tick.starts else SkipReason(waiting or "Nothing new."),
            cursor=tick.memory.cursor(),
        )

    return retail_arrivals
