"""A graph of small assets for the fault matrix: a model on SageMaker, what it scores, and a table of the warehouse."""

import dagster as dg

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.partitions import daily
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.profiles import aws_lake, build_resources
from instacart_pipeline.resources.sagemaker import TrainingJob, TransformJob
from instacart_pipeline.resources.sagemaker.aws import AwsSageMaker
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.resources.toy_model import CODE, METRICS, ROWS, SCORES

JOB = "toy_daily"
IMAGE = "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0"
MODEL = TableContract(
    database="toy_models",
    name="model",
    description="No table: it stands for the artefact where tables are asked for.",
    columns=[Column("loss", "double", key=True)],
)
LOADED = TableContract(
    database="toy_warehouse",
    name="loaded",
    description="The rows, loaded.",
    columns=[Column("id", "bigint", key=True), Column("y", "double", nullable=False)],
)
TRAINING = TrainingJob("toy", "model", CODE, {"rounds": 3, "rate": 0.5}, {"train": ROWS}, METRICS)


def toy_sagemaker(settings: Settings) -> AwsSageMaker:
    """SageMaker under the settings of a platform."""
    return AwsSageMaker(
        lake=aws_lake(settings),
        image=IMAGE,
        role=settings.service_role,
        training_instance=settings.training_instance,
        transform_instance=settings.transform_instance,
    )


def toy_definitions(settings: Settings) -> dg.Definitions:
    """The graph, and a job of all of it."""
    days, sagemaker = daily(settings.first_day, settings.timezone), toy_sagemaker(settings)

    @dg.asset(key=asset_key(MODEL), partitions_def=days)
    def model(context: dg.AssetExecutionContext) -> None:
        """Trained on the day's rows."""
        sagemaker.train(TRAINING, context.partition_key)

    @dg.asset(key=asset_key(SCORES), partitions_def=days)
    def scores(context: dg.AssetExecutionContext) -> None:
        """Of the day's rows, by the model as it was published."""
        made = sagemaker.artefact("toy", "model", context.partition_key)
        job = TransformJob("scores", made, ROWS, ("id",), ("y", "x"), "score")
        sagemaker.transform(job, SCORES, context.partition_key)

    @dg.asset(key=asset_key(LOADED), partitions_def=days)
    def loaded(context: dg.AssetExecutionContext) -> None:
        """The day's rows, in the warehouse."""
        query = Query.parse("loaded", f"SELECT id, y FROM {ROWS.qualified_name} WHERE dt = :dt")
        build_resources(settings).warehouse.load(query, LOADED, [context.partition_key])

    job = dg.define_asset_job(JOB, selection=dg.AssetSelection.all())
    return dg.Definitions(assets=[model, scores, loaded], jobs=[job], executor=dg.in_process_executor)
