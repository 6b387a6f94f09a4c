"""The model's assets: from what was known before each order to the predicted baskets.

Belongs here: which job makes what from what, and what is reported of it. What is learnt and how stands in model/; what the tables
are, in model_tables.py.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    DailyPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
)

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.errors import ArtefactNotFound
from instacart_pipeline.orchestration.pictures import picture
from instacart_pipeline.orchestration.table_assets import (
    OWNERS,
    Results,
    artefact_metadata,
    asset_key,
    publish,
    service_metadata,
    table_asset,
)
from instacart_pipeline.reorder import model_jobs as jobs
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.endpoints import Endpoints
from instacart_pipeline.resources.model_registry import ModelRegistry, ModelVersion
from instacart_pipeline.resources.sagemaker import SageMaker

MODELS = f"{t.SYSTEM}_models"
NOT_WORSE = "not_worse_than_the_champion"


def model_key(name: str) -> AssetKey:
    """The key of an artefact's asset."""
    return AssetKey([t.SYSTEM, "models", name])


SAMPLE_MODEL, TUNED, FINAL_MODEL, EVALUATION, CHAMPION = (
    model_key(name) for name in (jobs.SAMPLE, jobs.TUNED, jobs.FINAL, jobs.EVALUATION, "champion")
)


def build_model_assets(days: DailyPartitionsDefinition) -> list[AssetsDefinition]:
    """The assets, partitioned by `days`."""
    return [
        _sample_model(days),
        _tuned_parameters(days),
        _final_model(days),
        _evaluation(days),
        _champion(days),
        _basket_probabilities(days),
        _predicted_baskets(days),
    ]


def _model_asset(
    key: AssetKey,
    description: str,
    deps: list[AssetKey],
    days: DailyPartitionsDefinition,
    checks: list[AssetCheckSpec] | None = None,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    return asset(
        key=key,
        description=description,
        deps=deps,
        group_name=MODELS,
        kinds={"sagemaker", "xgboost"},
        owners=OWNERS,
        pool="sagemaker",
        partitions_def=days,
        check_specs=checks,
    )


def _sample_model(days: DailyPartitionsDefinition) -> AssetsDefinition:
    @_model_asset(
        SAMPLE_MODEL,
        "A model of a tenth of the users: says within seconds whether anything can be learnt.",
        [asset_key(m.TRAINING_PAIRS)],
        days,
    )
    def sample_model(context: AssetExecutionContext, sagemaker: SageMaker) -> MaterializeResult[Any]:
        return _artefact_result(sagemaker.train(jobs.sample_training(), context.partition_key))

    return sample_model


def _tuned_parameters(days: DailyPartitionsDefinition) -> AssetsDefinition:
    @_model_asset(
        TUNED,
        "The hyper-parameters that predict best, of those that were tried.",
        [asset_key(m.TRAINING_PAIRS), SAMPLE_MODEL],
        days,
    )
    def tuned_parameters(context: AssetExecutionContext, sagemaker: SageMaker) -> MaterializeResult[Any]:
        tuned = sagemaker.tune(jobs.tuning(), context.partition_key)
        tried = ["| trial | state | log-loss | seconds | hyper-parameters |", "|---|---|---|---|---|"]
        for trial in tuned.trials:
            reached = "" if trial.objective is None else f"{trial.objective:.5f}"
            told = ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in trial.hyperparameters.items()
            )
            tried.append(f"| {trial.number} | {trial.state} | {reached} | {trial.seconds:.1f} | {told} |")
        return _artefact_result(tuned, trials=MetadataValue.md("\n".join(tried)))

    return tuned_parameters


def _final_model(days: DailyPartitionsDefinition) -> AssetsDefinition:
    @_model_asset(
        FINAL_MODEL,
        "The model of all users trained on, with the tuned hyper-parameters.",
        [asset_key(m.TRAINING_PAIRS), TUNED],
        days,
    )
    def final_model(context: AssetExecutionContext, sagemaker: SageMaker) -> MaterializeResult[Any]:
        tuned = sagemaker.artefact(t.SYSTEM, jobs.TUNED, context.partition_key)
        return _artefact_result(sagemaker.train(jobs.final_training(tuned.hyperparameters), context.partition_key))

    return final_model


def _evaluation(days: DailyPartitionsDefinition) -> AssetsDefinition:
    not_worse = AssetCheckSpec(
        NOT_WORSE,
        asset=EVALUATION,
        description="On the same held-out users the model is not worse than the champion.",
        blocking=True,
        partitions_def=days,
    )

    @_model_asset(
        EVALUATION,
        "How good the model is on users it has never seen, beside the baselines and the champion.",
        [asset_key(m.TRAINING_PAIRS), FINAL_MODEL],
        days,
        [not_worse],
    )
    def evaluation(
        context: AssetExecutionContext, sagemaker: SageMaker, model_registry: ModelRegistry
    ) -> Iterator[AssetCheckResult | MaterializeResult[Any]]:
        challenger = sagemaker.artefact(t.SYSTEM, jobs.FINAL, context.partition_key)
        champion = model_registry.champion(jobs.GROUP)
        rival = champion if champion and champion.artefact.location != challenger.location else None
        made = sagemaker.process(jobs.evaluating(challenger, rival.artefact if rival else None), context.partition_key)
        with sagemaker.unpacked(made) as folder:
            told = json.loads((folder / "output" / "evaluation.json").read_text())
            pictures = {
                path.stem: picture(path.stem, path.read_bytes()) for path in sorted((folder / "output").glob("*.png"))
            }
        with sagemaker.unpacked(challenger) as folder:
            features = json.loads((folder / "model" / "model.json").read_text())["features"]
            training = json.loads((folder / "output" / "training.json").read_text())
        metrics = jobs.metrics_of(told)
        version = model_registry.register(jobs.GROUP, challenger, metrics, jobs.model_card(features, training, told))
        verdict = told.get("champion", {"not_worse": True})
        if rival and not verdict["not_worse"]:
            version = model_registry.decide(version, "Rejected", jobs.verdict_in_words(verdict, rival))
        yield _artefact_result(
            made,
            **pictures,
            model_version=version.number,
            **metrics,
            figures=MetadataValue.md(jobs.figures_in_words(told)),
        )
        yield AssetCheckResult(
            asset_key=EVALUATION,
            check_name=NOT_WORSE,
            passed=verdict["not_worse"],
            description=jobs.verdict_in_words(verdict, rival),
            metadata={"verdict": MetadataValue.json(verdict)},
        )

    return evaluation


def _champion(days: DailyPartitionsDefinition) -> AssetsDefinition:
    @_model_asset(CHAMPION, "The model in use: approved in the registry, and behind the endpoint.", [EVALUATION], days)
    def champion(
        context: AssetExecutionContext, sagemaker: SageMaker, model_registry: ModelRegistry, endpoints: Endpoints
    ) -> MaterializeResult[Any]:
        version = _version_of(model_registry, sagemaker.artefact(t.SYSTEM, jobs.FINAL, context.partition_key))
        current = model_registry.champion(jobs.GROUP)
        if current and current.artefact.dt > version.artefact.dt:
            reason = f"version {current.number}, of the later day {current.artefact.dt}, stays"
            return MaterializeResult(metadata={"model_version": current.number, "reason": reason})
        # Behind the endpoint first: the registry calls nothing a champion that could not be brought to answer.
        deployed = endpoints.deploy(jobs.ENDPOINT, version, jobs.canary(version.card["features"]))
        approved = version
        if version.status != "Approved":
            approved = model_registry.decide(
                version, "Approved", f"Not worse than the champion on held-out users of {context.partition_key}."
            )
        return MaterializeResult(
            metadata={
                "model_version": approved.number,
                "endpoint": deployed.endpoint,
                "deploy_seconds": round(deployed.seconds, 3),
                **approved.metrics,
                **service_metadata(deployed.service),
            }
        )

    return champion


def _basket_probabilities(days: DailyPartitionsDefinition) -> AssetsDefinition:
    target = m.BASKET_PROBABILITIES

    @table_asset(
        target,
        deps=[m.OPEN_PAIRS],
        further_deps=[CHAMPION],
        kinds={"sagemaker", "parquet"},
        partitions=days,
        pool="sagemaker",
    )
    def basket_probabilities(
        context: AssetExecutionContext, sagemaker: SageMaker, model_registry: ModelRegistry
    ) -> Results:
        champion = _in_use(model_registry, context.partition_key)
        yield from publish(
            target, lambda: sagemaker.transform(jobs.transforming(champion), target, context.partition_key)
        )

    return basket_probabilities


def _predicted_baskets(days: DailyPartitionsDefinition) -> AssetsDefinition:
    target = m.PREDICTED_BASKETS

    @table_asset(
        target, deps=[m.BASKET_PROBABILITIES], kinds={"sagemaker", "parquet"}, partitions=days, pool="sagemaker"
    )
    def predicted_baskets(
        context: AssetExecutionContext, sagemaker: SageMaker, model_registry: ModelRegistry
    ) -> Results:
        deciding = jobs.deciding(_in_use(model_registry, context.partition_key))
        yield from publish(target, lambda: sagemaker.process_table(deciding, target, context.partition_key))

    return predicted_baskets


def _in_use(registry: ModelRegistry, dt: str) -> ModelVersion:
    champion = registry.champion(jobs.GROUP)
    if champion is None:
        raise ArtefactNotFound(
            f"There is no model in use yet. Make one with `instacart-pipeline run reorder-model --dt {dt}`."
        )
    return champion


def _version_of(registry: ModelRegistry, artefact: Artefact) -> ModelVersion:
    for version in registry.versions(jobs.GROUP):
        if version.artefact.location == artefact.location:
            return version
    raise ArtefactNotFound(
        f"The model at {artefact.location} is not in the registry: it was not evaluated. Run the evaluation of {artefact.dt} first."
    )


def _artefact_result(made: Artefact, **metadata: Any) -> MaterializeResult[Any]:
    return MaterializeResult(
        metadata={
            **artefact_metadata(made),
            "hyperparameters": MetadataValue.json(dict(made.hyperparameters)),
            **{name.replace("-", "_"): value for name, value in made.metrics.items()},
            **metadata,
        }
    )
