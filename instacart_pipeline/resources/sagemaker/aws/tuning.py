"""Tuning jobs: what the request is made of, and what is read of the trials."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from instacart_pipeline.lake.artefacts import SOURCE, Artefact, Trial
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.resources.managed_jobs import prices
from instacart_pipeline.resources.managed_jobs.attempts import Attempt
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.sagemaker import TuningJob
from instacart_pipeline.resources.sagemaker.aws.artefacts import Artefacts, Produced
from instacart_pipeline.resources.sagemaker.aws.jobs import SageMakerContext, TrainingJobs, TuningJobs
from instacart_pipeline.resources.sagemaker.aws.training import (
    channels_of,
    definition_of,
    hyperparameters,
    metrics_of,
    parts_of_training,
)

_JOB = "tune"
_PAGE = 100


def tune(sagemaker_context: SageMakerContext, artefacts: Artefacts, job: TuningJob, dt: str) -> Artefact:
    """See SageMaker.tune."""
    sagemaker_context.require_set()
    training = job.training
    inputs = channels_of(sagemaker_context, training, dt)
    versions = {training.channels[name].qualified_name: version for name, version in inputs.items()}

    def write(attempt: Attempt, location: str) -> Produced:
        source = f"{location}/{SOURCE}"
        artefacts.objects.put(source, training.code.archive())

        def prepare(name: str, scratch: str) -> dict[str, Any]:
            del name
            parts = parts_of_training(sagemaker_context, training, inputs, scratch)
            static = {
                name: value
                for name, value in hyperparameters(sagemaker_context, training, source).items()
                if name not in job.ranges
            }
            return {
                "HyperParameterTuningJobConfig": _config(job),
                "TrainingJobDefinition": {"StaticHyperParameters": static, **parts},
            }

        try:
            ended = _searched(sagemaker_context, attempt, job, prepare)
            trials = list(_trials(sagemaker_context, job, ended.id))
            best = TuningJobs(sagemaker_context.lake.session, "").describe(ended.id).get("BestTrainingJob")
            if not best:
                raise JobFailed(f"{ended.id}: no trial reported {job.objective}; nothing was published. {ended.link}")
            found = TrainingJobs(sagemaker_context.lake.session, "").describe(best["TrainingJobName"])
        finally:
            sagemaker_context.clear(TuningJobs, attempt, _JOB)
        # What each trial was billed for would be a call a trial; this is near enough.
        cost = prices.sagemaker(sagemaker_context.training_instance, sum(trial.seconds for trial in trials))
        return Produced(
            ended, {**training.hyperparameters, **_tuned(job, best)}, metrics_of(found), tuple(trials), cost
        )

    ranges = {name: [each.low, each.high, each.kind] for name, each in job.ranges.items()}
    what = [job.name, definition_of(training), ranges, job.objective, job.maximize, job.trials, job.at_once]
    definition = json.dumps([*what, sagemaker_context.image, sagemaker_context.training_instance])
    return artefacts.build(training.system, job.name, dt, training.code, definition, versions, {}, write)


def _searched(
    sagemaker_context: SageMakerContext, attempt: Attempt, job: TuningJob, prepare: Callable[[str, str], dict[str, Any]]
) -> JobSucceeded:
    """Run the tuning. One that fails says no more than that all its trials did: what the last of them said is added."""
    try:
        return sagemaker_context.run(TuningJobs, attempt, _JOB, prepare)
    except JobFailed as error:
        entry = attempt.jobs.get(_JOB)
        if type(error) is not JobFailed or entry is None or not entry.id:
            raise
        reasons = [
            each["FailureReason"] for each in _summaries(sagemaker_context, entry.id) if each.get("FailureReason")
        ]
        told = f" The last that failed: {reasons[-1]}" if reasons else ""
        raise JobFailed(f"{job.name}: no trial reported {job.objective}.{told}\n{error}") from error


def _config(job: TuningJob) -> dict[str, Any]:
    def ranges(kind: str) -> list[dict[str, str]]:
        return [
            {"Name": name, "MinValue": _text(each.low, kind), "MaxValue": _text(each.high, kind), "ScalingType": "Auto"}
            for name, each in job.ranges.items()
            if each.kind == kind
        ]

    return {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {
            "Type": "Maximize" if job.maximize else "Minimize",
            "MetricName": job.objective,
        },
        "ResourceLimits": {"MaxNumberOfTrainingJobs": job.trials, "MaxParallelTrainingJobs": job.at_once},
        "ParameterRanges": {
            "IntegerParameterRanges": ranges("integer"),
            "ContinuousParameterRanges": ranges("continuous"),
        },
        "TrainingJobEarlyStoppingType": "Auto",
    }


def _text(value: float, kind: str) -> str:
    return str(int(value)) if kind == "integer" else repr(float(value))


def _trials(sagemaker_context: SageMakerContext, job: TuningJob, name: str) -> Iterator[Trial]:
    for number, each in enumerate(_summaries(sagemaker_context, name), 1):
        start, end = each.get("TrainingStartTime"), each.get("TrainingEndTime")
        objective = (each.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value")
        yield Trial(
            number=number,
            state=each["TrainingJobStatus"],
            hyperparameters={**job.training.hyperparameters, **_tuned(job, each)},
            objective=None if objective is None else float(objective),
            seconds=(end - start).total_seconds() if start and end else 0.0,
        )


def _summaries(sagemaker_context: SageMakerContext, name: str) -> list[dict[str, Any]]:
    """The trainings of a tuning, in the order of their start."""
    pages = sagemaker_context.lake.session.pages(
        "sagemaker",
        "list_training_jobs_for_hyper_parameter_tuning_job",
        HyperParameterTuningJobName=name,
        SortBy="CreationTime",
        SortOrder="Ascending",
        PaginationConfig={"PageSize": _PAGE},
    )
    return [each for page in pages for each in page["TrainingJobSummaries"]]


def _tuned(job: TuningJob, summary: Mapping[str, Any]) -> dict[str, str | int | float]:
    """The values that a trial was given, as numbers again. SageMaker tells them as texts."""
    told = {name: str(value).strip('"') for name, value in summary["TunedHyperParameters"].items()}
    return {
        name: int(float(told[name])) if each.kind == "integer" else float(told[name])
        for name, each in job.ranges.items()
        if name in told
    }
