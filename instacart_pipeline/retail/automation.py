"""What starts the retail system's batch path: its jobs, its schedule, and the sensors on what arrives in the raw zone and the warehouse.

Days are loaded one run for all that are due; the analyses are published as of the newest day in the warehouse, whichever days were loaded.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from dagster import (
    AssetCheckKey,
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
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

from instacart_pipeline.orchestration.arrival import Arrival, ReceivedNotices, StartLimits
from instacart_pipeline.orchestration.arrival_memory import SensorCursor
from instacart_pipeline.orchestration.automation import Automation, loaded_into
from instacart_pipeline.orchestration.day_ranges import days_of_tags, days_tag, days_to_retry
from instacart_pipeline.orchestration.one_run import tags_of, unfinished
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.resources.warehouse import Warehouse
from instacart_pipeline.resources.warehouse.loads import Load
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.checks import left_out_of
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.warehouse_assets import EVERY_DAY_LOADED
from instacart_pipeline.retail.warehouse_tables import SALES_LINES
from instacart_pipeline.settings import Settings

if TYPE_CHECKING:
    # What define_asset_job gives has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DAILY_JOB, DAYS_JOB, ANALYSES_JOB = "retail_daily", "retail_days", "retail_analyses"
_BUFFERS_TO_SETTLE = 3
_PACE = StartLimits(starts=150, open_days=400, again_after=3600)
"""As many days in one run as a tick on AWS has the time to look into; and a day whose shop is open is built once an hour at most."""
OF_LOAD = "instacart_pipeline/of_load"
"""The tag of a run of the analyses that the sensor started: which load it is for."""
_PUBLISHED = " published"
"""What the sensor's cursor ends with once the analyses are of the load it names, so that the warehouse is not asked once more."""
_AGAIN_AFTER = (300.0, 1800.0, 7200.0)
"""Seconds after the first failure of a load's analyses, the second, ... until they are started again. What takes longer to mend needs a person."""
_SCHEDULED_DAYS = 400
"""How many days, the newest first, the schedule looks at."""
_SHOWN = 10
"""Days that a reason names one by one."""


def build_automation(days: DailyPartitionsDefinition, settings: Settings) -> Automation:
    """The jobs, the schedule and the sensors over the partitions `days`."""
    lake = AssetSelection.groups(t.STAGING, t.CURATED)
    warehouse, analyses = AssetSelection.groups(t.WAREHOUSE), AssetSelection.groups(t.SANDBOX)
    one_at_a_time = tags_of(t.SYSTEM)
    daily = define_asset_job(
        DAILY_JOB,
        lake | warehouse | analyses,
        tags=one_at_a_time,
        description="A day whole: the lake, the warehouse, the analyses as of the day.",
    )
    to_warehouse = define_asset_job(
        DAYS_JOB,
        lake | warehouse,
        tags=one_at_a_time,
        description="From the crawl to the warehouse, for a day or many in one run; days without files are passed over.",
    )
    to_analyses = define_asset_job(
        ANALYSES_JOB,
        analyses | AssetSelection.checks(AssetCheckKey(asset_key(SALES_LINES), EVERY_DAY_LOADED)),
        tags=one_at_a_time,
        description="The analyses as of a day, from the warehouse, if it has every day.",
    )
    return Automation(
        jobs=[daily, to_warehouse, to_analyses],
        schedules=[_schedule(to_warehouse, days, settings)],
        sensors=[_arrivals(to_warehouse, days, settings), _analyses(to_analyses)],
    )


def arrival(storage: Storage, catalog: Catalog, warehouse: Warehouse, settings: Settings) -> Arrival:
    """Watches both ways in: a day may come by file, by the stream, or both. It is built once the warehouse has its transactions."""
    # While transactions come in, the stream adds a file to the day once a buffer. A day that settled as quickly as an upload does
    # would be built anew with each of them; so it has to stand still for longer than a few buffers take, and a day whose shop is open
    # is built when the shop pauses, or by the schedule.
    settle = max(settings.settle_seconds, _BUFFERS_TO_SETTLE * settings.stream_buffer_seconds)
    loaded = loaded_into(warehouse, (SALES_LINES,), t.TRANSACTIONS)
    return Arrival(storage, catalog, t.STAGED, t.TRANSACTIONS, settle, any_makes_a_day=True, reached=loaded, pace=_PACE)


def _schedule(
    job: "UnresolvedAssetJobDefinition", days: DailyPartitionsDefinition, settings: Settings
) -> ScheduleDefinition:
    @schedule(
        name=job.name,
        job=job,
        cron_schedule="0 7 * * *",
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        description="Builds, in one run, the days that are not in the warehouse as they came: those whose run failed among them.",
    )
    def daily_run(
        context: ScheduleEvaluationContext, storage: Storage, catalog: Catalog, warehouse: Warehouse
    ) -> RunRequest | SkipReason:
        watched = arrival(storage, catalog, warehouse, settings)
        under_way = _days_under_way(context.instance)
        due = [dt for dt in watched.unbuilt(days.get_partition_keys(), _SCHEDULED_DAYS) if dt not in under_way]
        return _request(due) if due else SkipReason("Every day that has come is built, or about to be.")

    return daily_run


def _arrivals(
    job: "UnresolvedAssetJobDefinition", days: DailyPartitionsDefinition, settings: Settings
) -> SensorDefinition:
    @sensor(
        name="retail_arrivals",
        job=job,
        minimum_interval_seconds=max(1, min(30, settings.settle_seconds)),
        default_status=DefaultSensorStatus.RUNNING,
        description="Builds the days of which something came, by file or by the stream, once it stands still, all in one run; "
        "and again when more has come, once an hour at most.",
    )
    def retail_arrivals(
        context: SensorEvaluationContext, storage: Storage, catalog: Catalog, warehouse: Warehouse
    ) -> SensorResult:
        under_way = _days_under_way(context.instance)
        # The queue of notices serves the reorder system, which would lose what is received here. So this sensor looks around.
        tick = arrival(storage, catalog, warehouse, settings).tick(
            ReceivedNotices(SensorCursor.of(context.cursor)),
            time.time(),
            [dt for dt in days.get_partition_keys() if dt not in under_way],
        )
        starts = sorted(tick.starts, key=lambda start: start.dt)
        digest = hashlib.sha256(" ".join(start.key for start in starts).encode()).hexdigest()
        requests = [_request([start.dt for start in starts], digest)] if starts else []
        requests += _held_up(context.instance)
        waiting = [f"{day} {why}" for day, why in tick.waiting.items()]
        if left_out := left_out_of(tick.unknown, storage, days):
            waiting.append(
                f"no run builds {_named(left_out)}: days run from {days.get_first_partition_key()} "
                "(INSTACART_RETAIL_FIRST_DAY) to today"
            )
            context.log.warning(waiting[-1])
        return SensorResult(
            run_requests=requests,
            skip_reason=None if requests else SkipReason("; ".join(waiting) or "Nothing new."),
            cursor=tick.memory.cursor(),
        )

    return retail_arrivals


def _analyses(job: "UnresolvedAssetJobDefinition") -> SensorDefinition:
    @sensor(
        name="retail_analyses",
        job=job,
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description="Publishes the analyses as of the newest day in the warehouse once any day was loaded, and no other run is due; "
        "a run that failed is started again, a few times.",
    )
    def retail_analyses(
        context: SensorEvaluationContext, catalog: Catalog, warehouse: Warehouse
    ) -> SensorResult | SkipReason:
        # Dagster knows of every load. Only when there was one, or its run failed, is the warehouse asked: Redshift would never pause otherwise.
        newest = context.instance.get_latest_materialization_event(asset_key(SALES_LINES))
        mark = f"{newest.run_id} {newest.timestamp}" if newest else ""
        cursor, key = context.cursor or "", ""
        if not mark or cursor == mark + _PUBLISHED:
            return SkipReason("Nothing was loaded since." if mark else "Nothing was loaded yet.")
        if cursor == mark:
            again = again_after(_ended_of(context.instance, mark), time.time())
            if not again.due:
                return SkipReason(again.why)
            key = f" again {again.failures}"
        if under_way := unfinished(context.instance, t.SYSTEM):
            return SkipReason(f"{under_way[0].job_name} is queued or under way.")
        loads = warehouse.loads(SALES_LINES)
        if not loads or not (behind := behind_the_warehouse(catalog, loads)):
            reason = SkipReason("The analyses are of the newest load.")
            return SensorResult(skip_reason=reason, cursor=mark + _PUBLISHED)
        context.log.info(f"Behind the newest load: {', '.join(behind)}.")
        day, load = max(loads), max(load.version for load in loads.values())
        request = RunRequest(partition_key=day, run_key=f"{day} {load}{key}", tags={OF_LOAD: mark})
        return SensorResult([request], cursor=mark)

    return retail_analyses


@dataclass(frozen=True)
class EndedAnalysesRun:
    """A run of the analyses that is over: its id, how it ended, and when, in seconds since 1970."""

    run_id: str
    status: DagsterRunStatus
    at: float


@dataclass(frozen=True)
class RetryDecision:
    """Whether the analyses of a load are due once more, why not if they aren't, and how many runs of them failed."""

    due: bool
    why: str
    failures: int


def again_after(runs: Sequence[EndedAnalysesRun], now: float) -> RetryDecision:
    """Whether the analyses of a load are started again after their `runs` so far, the newest first.

    Only after one that failed: one that was cancelled was meant to end. The pause grows with each, and after the last there is no more.
    """
    failures = sum(run.status == DagsterRunStatus.FAILURE for run in runs)
    if not runs or runs[0].status != DagsterRunStatus.FAILURE:
        return RetryDecision(due=False, why="Nothing was loaded since.", failures=failures)
    times = "once" if failures == 1 else f"{failures} times"
    told = f"The analyses of the newest load failed {times}, the last in run {runs[0].run_id}"
    if failures > len(_AGAIN_AFTER):
        return RetryDecision(
            due=False,
            why=f"{told}, which says why. They are started again by the next load, or by hand: run the job {ANALYSES_JOB} for the newest day.",
            failures=failures,
        )
    left = runs[0].at + _AGAIN_AFTER[failures - 1] - now
    return RetryDecision(
        due=left <= 0, why=f"{told}; they are started again in {left:,.0f} s." if left > 0 else "", failures=failures
    )


def _ended_of(instance: DagsterInstance, mark: str) -> list[EndedAnalysesRun]:
    """The runs of the analyses of a load that are over, the newest first; none while one waits or is under way, or if none was started."""
    records = instance.get_run_records(RunsFilter(job_name=ANALYSES_JOB, tags={OF_LOAD: mark}))
    if not all(record.dagster_run.is_finished for record in records):
        return []
    return [
        EndedAnalysesRun(
            each.dagster_run.run_id, each.dagster_run.status, each.end_time or each.update_timestamp.timestamp()
        )
        for each in records
    ]


def behind_the_warehouse(catalog: Catalog, loads: Mapping[str, Load]) -> Sequence[str]:
    """The tables of analyses that, as of the newest day of `loads`, are not published, or were computed before the newest load."""
    day, newest = max(loads), max(load.version for load in loads.values())
    behind = []
    for table in SANDBOX_TABLES:
        published = catalog.find(table, day)
        if published is None or published.lineage.get(SALES_LINES.qualified_name, "") < newest:
            behind.append(table.name)
    return behind


def _named(days: Sequence[str]) -> str:
    return ", ".join(days[:_SHOWN]) + (f" and {len(days) - _SHOWN:,} days more" if days[_SHOWN:] else "")


def _request(days: Sequence[str], key: str | None = None) -> RunRequest:
    """One run for `days`, which are in order."""
    return RunRequest(partition_key=days[-1], run_key=key, tags=days_tag(days))


def _days_under_way(instance: DagsterInstance) -> set[str]:
    """The days of runs that wait or are under way: whatever is due of them, these see to it."""
    runs = [run for run in unfinished(instance, t.SYSTEM) if run.job_name != ANALYSES_JOB]
    return {dt for run in runs for dt in days_of_tags(run.tags, run.tags.get("dagster/partition", ""))}


def _held_up(instance: DagsterInstance) -> list[RunRequest]:
    """A run for those days that failed only beside others: each failed run of several days is gone on with once, without the days at fault."""
    lately = datetime.now(timezone.utc) - timedelta(days=1)
    failed = instance.get_runs(
        RunsFilter(job_name=DAYS_JOB, statuses=[DagsterRunStatus.FAILURE], updated_after=lately), limit=10
    )
    left = {run.run_id: days_to_retry(run.tags) for run in failed}
    return [_request(days, f"without those at fault in {run_id}") for run_id, days in left.items() if days]
