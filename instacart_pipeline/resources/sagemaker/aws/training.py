"""Training jobs in script mode: what the request is made of, and the artefact that comes of one."""

import json
from collections.abc import Mapping
from typing import Any

from instacart_pipeline.lake.artefacts import MODEL, OUTPUT, SOURCE, Artefact
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.managed_jobs.attempts import Attempt
from instacart_pipeline.resources.sagemaker import TrainingJob
from instacart_pipeline.resources.sagemaker.aws.artefacts import Artefacts, Produced
from instacart_pipeline.resources.sagemaker.aws.jobs import SageMakerContext, TrainingJobs

_JOB = "train"
VOLUME_GB = 30


def train(sagemaker_context: SageMakerContext, artefacts: Artefacts, job: TrainingJob, dt: str) -> Artefact:
    """See SageMaker.train."""
    sagemaker_context.require_set()
    inputs = channels_of(sagemaker_context, job, dt)
    versions = {job.channels[name].qualified_name: version for name, version in inputs.items()}

    def write(attempt: Attempt, location: str) -> Produced:
        artefacts.objects.put(f"{location}/{SOURCE}", job.code.archive())

        def prepare(name: str, scratch: str) -> dict[str, Any]:
            del name
            parts = parts_of_training(sagemaker_context, job, inputs, scratch)
            return {"HyperParameters": hyperparameters(sagemaker_context, job, f"{location}/{SOURCE}"), **parts}

        try:
            ended = sagemaker_context.run(TrainingJobs, attempt, _JOB, prepare)
            found = TrainingJobs(sagemaker_context.lake.session, "").describe(ended.id)
            output = found["ModelArtifacts"]["S3ModelArtifacts"].rpartition("/")[0]
            if not artefacts.copy(f"{output}/{MODEL}", f"{location}/{MODEL}"):
                raise JobFailed(f"{ended.id} left no {MODEL} below {output}; nothing was published. {ended.link}")
            artefacts.copy(f"{output}/{OUTPUT}", f"{location}/{OUTPUT}")  # there is none if the script reports nothing
        finally:
            sagemaker_context.clear(TrainingJobs, attempt, _JOB)
        return Produced(ended, job.hyperparameters, metrics_of(found))

    definition = json.dumps([definition_of(job), sagemaker_context.image, sagemaker_context.training_instance])
    return artefacts.build(job.system, job.name, dt, job.code, definition, versions, {}, write)


def channels_of(sagemaker_context: SageMakerContext, job: TrainingJob, dt: str) -> dict[str, Version]:
    """The version that each channel reads. Raises TableNotFound."""
    return {name: sagemaker_context.lake.catalog.current(table, dt) for name, table in job.channels.items()}


def definition_of(job: TrainingJob) -> list[Any]:
    """All that says what a training does."""
    channels = {name: table.qualified_name for name, table in job.channels.items()}
    return [job.name, job.code.digest, job.script, dict(job.hyperparameters), dict(job.metrics), channels]


def hyperparameters(sagemaker_context: SageMakerContext, job: TrainingJob, source: str) -> dict[str, str]:
    """The hyper-parameters, the container's own included, each as JSON: that is how the container reads them."""
    own = {
        "sagemaker_program": job.script,
        "sagemaker_submit_directory": source,
        "sagemaker_region": sagemaker_context.lake.session.region_name,
        "sagemaker_container_log_level": 20,
    }
    return {name: json.dumps(value) for name, value in {**job.hyperparameters, **own}.items()}


def parts_of_training(
    sagemaker_context: SageMakerContext, job: TrainingJob, inputs: Mapping[str, Version], output: str
) -> dict[str, Any]:
    """The parts of the request that a training has in common with the trainings of a tuning."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": sagemaker_context.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": pattern} for name, pattern in job.metrics.items()],
        },
        "RoleArn": sagemaker_context.role,
        "InputDataConfig": [
            {
                "ChannelName": name,
                "ContentType": "application/x-parquet",
                # The folder of one version, and not the table: what is read is what the lineage says.
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"{version.location}/",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for name, version in inputs.items()
        ],
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {
            "InstanceType": sagemaker_context.training_instance,
            "InstanceCount": 1,
            "VolumeSizeInGB": VOLUME_GB,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": sagemaker_context.deadline},
    }


def metrics_of(found: Mapping[str, Any]) -> dict[str, float]:
    """The last value of each metric, by the description of a training."""
    return {each["MetricName"]: float(each["Value"]) for each in found.get("FinalMetricDataList", [])}
