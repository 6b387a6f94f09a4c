"""What starts the reorder system: its jobs, its schedules, and the sensor on its uploads."""

import time
from dataclasses import dataclass
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

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.orchestration.arrival import Arrival
from instacart_pipeline.orchestration.arrival_memory import Memory
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.model_assets import MODELS
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.resources.uploads import UploadNotices
from instacart_pipeline.settings import Settings

if TYPE_CHECKING:
    # What define_asset_job gives has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DAILY_JOB, MODEL_JOB, BASKETS_JOB = "reorder_daily", "reorder_model", "reorder_baskets"
BASKETS = (m.BASKET_PROBABILITIES, m.PREDICTED_BASKETS)
FEATURES = (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES)


@dataclass(frozen=True)
class Automation:
    """What starts runs."""

    jobs: list["UnresolvedAssetJobDefinition"]
    schedules: list[ScheduleDefinition]
    sensors: list[SensorDefinition]


def build_automation(days: DailyPartitionsDefinition, settings: Settings) -> Automation:
    """The jobs, schedules and sensor over the partitions `days`."""
    result = AssetSelection.assets(asset_key(t.RESULT_TABLE))
    uploaded = AssetSelection.groups(*(f"{t.SYSTEM}_{zone}" for zone in ("staging", "curated")))
    features = uploaded | AssetSelection.assets(*map(asset_key, FEATURES))
    model = AssetSelection.assets(*map(asset_key, m.MODEL_TABLES)) | AssetSelection.groups(MODELS)
    baskets = AssetSelection.assets(*map(asset_key, BASKETS))
    daily = define_asset_job(
        DAILY_JOB, features | result, description="A day's chain: from the crawl to the result table."
    )
    to_features = define_asset_job("reorder_features", features, description="From the crawl to the feature tables.")
    to_result = define_asset_job("reorder_result", result, description="The result table from the feature tables.")
    to_model = define_asset_job(
        MODEL_JOB, model, description="From the result table to the model, its endpoint and the predicted baskets."
    )
    to_baskets = define_asset_job(
        BASKETS_JOB, baskets, description="The predicted baskets by the model in use, when no new one took its place."
    )
    return Automation(
        jobs=[daily, to_features, to_result, to_model, to_baskets],
        schedules=[
            _schedule(to_features, "0 8 * * *", FEATURES, (), settings),
            _schedule(to_result, "0 9 * * *", (t.RESULT_TABLE,), FEATURES, settings),
            _schedule(to_model, "30 9 * * *", BASKETS, (t.RESULT_TABLE,), settings),
            _schedule(to_baskets, "0 11 * * *", BASKETS, (m.OPEN_PAIRS,), settings),
        ],
        sensors=[_upload_sensor(daily, days, settings), _model_sensor(to_model)],
    )


def _schedule(
    job: "UnresolvedAssetJobDefinition",
    cron: str,
    made: tuple[TableContract, ...],
    needed: tuple[TableContract, ...],
    settings: Settings,
) -> ScheduleDefinition:
    """Runs `job` for the day of the tick, unless the day's upload is incomplete, `needed` is not built or `made` is already."""

    @schedule(
        name=job.name,
        job=job,
        cron_schedule=cron,
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"{job.description} Waits, saying for what, while the day's upload is incomplete.",
    )
    def daily_run(context: ScheduleEvaluationContext, storage: Storage, catalog: Catalog) -> RunRequest | SkipReason:
        dt = context.scheduled_execution_time.astimezone(settings.zone).strftime("%Y-%m-%d")
        arrival = Arrival(storage, catalog, t.STAGED, t.RESULT_TABLE, settings.settle_seconds)
        if missing := arrival.missing(dt):
            return SkipReason(f"{dt} waits for {', '.join(missing)}; the sensor starts the day once it is there.")
        if unbuilt := [table.name for table in needed if not arrival.is_built(dt, table)]:
            return SkipReason(f"{dt} waits for {', '.join(unbuilt)} to be built from its upload.")
        if all(arrival.is_built(dt, table) for table in made):
            return SkipReason(f"{dt} is built from its upload as it is.")
        return RunRequest(partition_key=dt)

    return daily_run


def _upload_sensor(
    job: "UnresolvedAssetJobDefinition", days: DailyPartitionsDefinition, settings: Settings
) -> SensorDefinition:
    @sensor(
        name="reorder_uploads",
        job=job,
        minimum_interval_seconds=max(1, min(30, settings.settle_seconds)),
        default_status=DefaultSensorStatus.RUNNING,
        description="Starts a day's chain once its upload is whole, and again when a file of it is replaced.",
    )
    def reorder_uploads(
        context: SensorEvaluationContext, storage: Storage, catalog: Catalog, uploads: UploadNotices
    ) -> SensorResult:
        arrival = Arrival(storage, catalog, t.STAGED, t.RESULT_TABLE, settings.settle_seconds)
        known_days = days.get_partition_keys()
        heard = arrival.hear(uploads, Memory.of(context.cursor), known_days)
        if heard.trouble:
            context.log.warning(heard.trouble)
        for stranger in heard.strangers:
            context.log.info(f"A notice named {stranger}, which is no table and day of this sensor's.")
        tick = arrival.tick(heard, time.time(), known_days)
        waiting = [f"{day} {why}" for day, why in tick.waiting.items()]
        told = "; ".join([*waiting, *filter(None, [heard.trouble])])
        return SensorResult(
            run_requests=[RunRequest(partition_key=start.dt, run_key=start.key) for start in tick.starts],
            skip_reason=None if tick.starts else SkipReason(told or "No new upload."),
            cursor=tick.memory.cursor(),
        )

    return reorder_uploads


def _model_sensor(job: "UnresolvedAssetJobDefinition") -> SensorDefinition:
    @sensor(
        name="reorder_results",
        job=job,
        minimum_interval_seconds=60,
        # A training costs more than a look at an upload, so whoever wants one for each arrival switches this on.
        default_status=DefaultSensorStatus.STOPPED,
        description="Starts the model's job for the newest day once its result table is built, and again when it is rebuilt.",
    )
    def reorder_results(context: SensorEvaluationContext, catalog: Catalog) -> RunRequest | SkipReason:
        del context
        built = catalog.partitions(t.RESULT_TABLE.database, t.RESULT_TABLE.name)
        if not built:
            return SkipReason("No result table is built yet.")
        newest = max(built, key=lambda partition: partition.dt)
        return RunRequest(partition_key=newest.dt, run_key=f"{newest.dt} {newest.version.name}")

    return reorder_results
