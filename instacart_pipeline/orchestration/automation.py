"""What starts runs, as far as it is the same whatever the system: the sensor on its uploads, and the schedule that skips what is built.

Belongs here: the Dagster parts around orchestration/arrival.py. Doesn't: which jobs, tables and times (the systems' automation.py).
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dagster import (
    DagsterInstance,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    TimeWindowPartitionsDefinition,
    schedule,
    sensor,
)

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.orchestration.arrival import Arrival, Reached, ReceivedNotices
from instacart_pipeline.orchestration.arrival_memory import SensorCursor
from instacart_pipeline.orchestration.day_ranges import days_of_tags
from instacart_pipeline.orchestration.one_run import unfinished
from instacart_pipeline.resources.upload_notices import UploadNotices
from instacart_pipeline.resources.warehouse import Warehouse
from instacart_pipeline.resources.warehouse.loads import Load

if TYPE_CHECKING:
    # What define_asset_job gives has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


@dataclass(frozen=True)
class Automation:
    """What starts runs."""

    jobs: "list[UnresolvedAssetJobDefinition]"
    schedules: list[ScheduleDefinition]
    sensors: list[SensorDefinition]


@dataclass(frozen=True)
class UploadSensorConfig:
    """What a system's sensor and schedules look at.

    `arrival` makes the state machine of the resources called `needs`, which Dagster gives by these names. `one_run_of` is the system, if its
    runs follow each other (one_run.py): then what a run under way sees to is not started once more.
    """

    days: TimeWindowPartitionsDefinition
    arrival: Callable[[Any], Arrival]
    needs: frozenset[str] = frozenset({"storage", "catalog"})
    one_run_of: str = ""

    def days_under_way(self, instance: DagsterInstance) -> set[str]:
        """The days of runs that wait or are under way, of a system whose runs follow each other."""
        runs = unfinished(instance, self.one_run_of) if self.one_run_of else ()
        return {dt for run in runs for dt in days_of_tags(run.tags, run.tags.get("dagster/partition", ""))}


def upload_sensor(
    name: str,
    job: "UnresolvedAssetJobDefinition",
    watched: UploadSensorConfig,
    *,
    seconds: int,
    description: str,
    hears: bool = False,
    unknown: Callable[[str], str] = lambda _: "",
) -> SensorDefinition:
    """Starts a run of `job` for each day whose upload is whole, and again when its content changes.

    It `hears` notices of uploads, or else looks around in each tick: the queue has one reader, who would lose what is others'. `unknown` says why
    nothing is built of a day that has files but is none of the system's; days it gives no text for are passed over in silence.
    """

    @sensor(
        name=name,
        job=job,
        minimum_interval_seconds=seconds,
        default_status=DefaultSensorStatus.RUNNING,
        description=description,
        required_resource_keys={*watched.needs, *({"uploads"} if hears else ())},
    )
    def uploads_of_a_system(context: SensorEvaluationContext) -> SensorResult:
        arrival, all_days = watched.arrival(context.resources), watched.days.get_partition_keys()
        heard = ReceivedNotices(SensorCursor.of(context.cursor))
        if hears:
            uploads: UploadNotices = context.resources.uploads
            heard = arrival.hear(uploads, heard.memory, all_days)
        if heard.trouble:
            context.log.warning(heard.trouble)
        for named in heard.unrecognized:
            context.log.info(f"A notice named {named}, which is no table and day of this sensor's.")
        under_way = watched.days_under_way(context.instance)
        tick = arrival.tick(heard, time.time(), [dt for dt in all_days if dt not in under_way])
        passed_over = _told(tick.unknown, {*all_days}, unknown)
        if tick.starts and passed_over:
            context.log.warning("; ".join(passed_over))
        waiting = [f"{day} {why}" for day, why in tick.waiting.items()]
        told = "; ".join([*waiting, *passed_over, *filter(None, [heard.trouble])])
        return SensorResult(
            run_requests=[RunRequest(partition_key=start.dt, run_key=start.key) for start in tick.starts],
            skip_reason=None if tick.starts else SkipReason(told or "No new upload."),
            cursor=tick.memory.cursor(),
        )

    return uploads_of_a_system


def waiting_schedule(
    job: "UnresolvedAssetJobDefinition",
    cron: str,
    watched: UploadSensorConfig,
    timezone: str,
    *,
    made: Sequence[TableContract],
    needed: Sequence[TableContract] = (),
) -> ScheduleDefinition:
    """Runs `job` for the day of the tick, unless the day's upload is incomplete, `needed` is not built or `made` is already."""

    @schedule(
        name=job.name,
        job=job,
        cron_schedule=cron,
        execution_timezone=timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"{job.description} Waits, saying for what, while the day's upload is incomplete.",
        required_resource_keys={*watched.needs},
    )
    def run_of_the_day(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        dt = context.scheduled_execution_time.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%d")
        arrival = watched.arrival(context.resources)
        if missing := arrival.missing(dt):
            return SkipReason(f"{dt} waits for {', '.join(missing)}; the sensor starts the day once it is there.")
        if unbuilt := [table.name for table in needed if not arrival.is_built(dt, table)]:
            return SkipReason(f"{dt} waits for {', '.join(unbuilt)} to be built from its upload.")
        if all(arrival.is_built(dt, table) for table in made):
            return SkipReason(f"{dt} is built from its upload as it is.")
        if watched.one_run_of and dt in watched.days_under_way(context.instance):
            return SkipReason(f"A run of {dt} is queued or under way.")
        return RunRequest(partition_key=dt)

    return run_of_the_day


def loaded_into(warehouse: Warehouse, tables: Sequence[TableContract], source: TableContract) -> Reached:
    """Whether each of `tables` of the warehouse was loaded, for a day, from just the version of `source` that is there.

    The warehouse is asked once, and only if it has to be: Redshift is paid for by the question.
    """
    lock, loads = Lock(), dict[str, Mapping[str, Load]]()

    def has(dt: str, version: Version) -> bool:
        with lock:
            if not loads:
                loads.update({table.name: warehouse.loads(table) for table in tables})
        found = [of_table.get(dt) for of_table in loads.values()]
        return all(load and load.lineage.get(source.qualified_name) == version.name for load in found)

    return has


def _told(days: Sequence[str], known: Collection[str], unknown: Callable[[str], str]) -> list[str]:
    """What is said of days that have files and are none of the system's."""
    return [f"{day} {why}" for day in days if day not in known and (why := unknown(day))]
