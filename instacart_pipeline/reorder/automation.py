"""What starts the reorder system: its jobs, its schedules, and the sensor on its uploads."""

from functools import partial
from typing import TYPE_CHECKING

from dagster import (
    AssetSelection,
    DailyPartitionsDefinition,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    define_asset_job,
    sensor,
)

from instacart_pipeline.orchestration.arrival import Arrival
from instacart_pipeline.orchestration.automation import Automation, UploadSensorConfig, upload_sensor, waiting_schedule
from instacart_pipeline.orchestration.one_run import MAX_RUNTIME
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.model_assets import MODELS
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.settings import Settings

if TYPE_CHECKING:
    # What define_asset_job gives has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

DAILY_JOB, MODEL_JOB, BASKETS_JOB = "reorder_daily", "reorder_model", "reorder_baskets"
BASKETS = (m.BASKET_PROBABILITIES, m.PREDICTED_BASKETS)
FEATURES = (t.USER_FEATURES_1, t.USER_FEATURES_2, t.UP_FEATURES, t.PRD_FEATURES)


def build_automation(days: DailyPartitionsDefinition, settings: Settings) -> Automation:
    """The jobs, schedules and sensor over the partitions `days`."""
    result = AssetSelection.assets(asset_key(t.RESULT_TABLE))
    uploaded = AssetSelection.groups(*(f"{t.SYSTEM}_{zone}" for zone in ("staging", "curated")))
    features = uploaded | AssetSelection.assets(*map(asset_key, FEATURES))
    model = AssetSelection.assets(*map(asset_key, m.MODEL_TABLES)) | AssetSelection.groups(MODELS)
    baskets = AssetSelection.assets(*map(asset_key, BASKETS))
    job = partial(define_asset_job, tags=MAX_RUNTIME)
    daily = job(DAILY_JOB, features | result, description="A day's chain: from the crawl to the result table.")
    to_features = job("reorder_features", features, description="From the crawl to the feature tables.")
    to_result = job("reorder_result", result, description="The result table from the feature tables.")
    to_model = job(
        MODEL_JOB, model, description="From the result table to the model, its endpoint and the predicted baskets."
    )
    to_baskets = job(
        BASKETS_JOB, baskets, description="The predicted baskets by the model in use, when no new one took its place."
    )
    watched = UploadSensorConfig(
        days, lambda found: Arrival(found.storage, found.catalog, t.STAGED, t.RESULT_TABLE, settings.settle_seconds)
    )
    at = partial(waiting_schedule, watched=watched, timezone=settings.timezone)
    return Automation(
        jobs=[daily, to_features, to_result, to_model, to_baskets],
        schedules=[
            at(to_features, "0 8 * * *", made=FEATURES),
            at(to_result, "0 9 * * *", made=(t.RESULT_TABLE,), needed=FEATURES),
            at(to_model, "30 9 * * *", made=BASKETS, needed=(t.RESULT_TABLE,)),
            at(to_baskets, "0 11 * * *", made=BASKETS, needed=(m.OPEN_PAIRS,)),
        ],
        sensors=[
            upload_sensor(
                "reorder_uploads",
                daily,
                watched,
                seconds=max(1, min(30, settings.settle_seconds)),
                description="Starts a day's chain once its upload is whole, and again when a file of it is replaced.",
                hears=True,
            ),
            _model_sensor(to_model),
        ],
    )


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
