"""Processing jobs: what the request is made of, and the artefact or table that comes of one.

The script runs below sagemaker/run_processing.py, which unpacks what SageMaker brings packed, and packs what is to be an artefact.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instacart_pipeline.lake.artefacts import SOURCE, Artefact
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.managed_jobs.attempts import Attempt
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.sagemaker import ProcessingJob
from instacart_pipeline.resources.sagemaker.aws.artefacts import Artefacts, Produced, as_inputs
from instacart_pipeline.resources.sagemaker.aws.jobs import ProcessingJobs, SageMakerContext
from instacart_pipeline.resources.sagemaker.aws.training import VOLUME_GB

_JOB = "process"
_BASE = "/opt/ml/processing"
_RUNNER = Path(__file__).parents[1] / "run_processing.py"


def process(sagemaker_context: SageMakerContext, artefacts: Artefacts, job: ProcessingJob, dt: str) -> Artefact:
    """See SageMaker.process."""
    sagemaker_context.require_set()
    inputs = _inputs(sagemaker_context, job, dt)

    def write(attempt: Attempt, location: str) -> Produced:
        artefacts.objects.put(f"{location}/{SOURCE}", job.code.archive())
        return Produced(_run(sagemaker_context, job, inputs, attempt, location, packed=True))

    definition = _definition(sagemaker_context, job)
    return artefacts.build(job.system, job.name, dt, job.code, definition, _by_table(job, inputs), job.artefacts, write)


def process_table(sagemaker_context: SageMakerContext, job: ProcessingJob, target: TableContract, dt: str) -> Published:
    """See SageMaker.process_table."""
    sagemaker_context.require_set()
    inputs = _inputs(sagemaker_context, job, dt)

    def write(attempt: Attempt, location: str) -> JobSucceeded:
        ended = _run(sagemaker_context, job, inputs, attempt, location, packed=False)
        if not any(found.key.endswith(".parquet") for found in sagemaker_context.lake.objects.listed(location)):
            raise JobFailed(
                f"{ended.id}: {job.script} ended well but wrote no Parquet file to SM_PROCESSING_DIR/output. {ended.link}"
            )
        return ended

    definition = json.dumps(
        [_definition(sagemaker_context, job), [(column.name, column.type) for column in target.columns]]
    )
    known = as_inputs(job.artefacts.values())
    return sagemaker_context.lake.build(target, dt, definition, _by_table(job, inputs), write, also=known)


def _inputs(sagemaker_context: SageMakerContext, job: ProcessingJob, dt: str) -> dict[str, Version]:
    """The version of each table, by the input's name. Raises TableNotFound, and ArtefactNotFound if an artefact's files are gone."""
    for artefact in job.artefacts.values():
        if not any(sagemaker_context.lake.objects.listed(artefact.location, limit=1)):
            raise ArtefactNotFound(
                f"{job.name} reads {artefact.location}, which is gone: the artefact was replaced longer ago than the retention."
            )
    return {name: sagemaker_context.lake.catalog.current(table, dt) for name, table in job.tables.items()}


def _by_table(job: ProcessingJob, inputs: Mapping[str, Version]) -> dict[str, Version]:
    return {job.tables[name].qualified_name: version for name, version in inputs.items()}


def _definition(sagemaker_context: SageMakerContext, job: ProcessingJob) -> str:
    tables = {name: table.qualified_name for name, table in job.tables.items()}
    artefacts = {name: artefact.location for name, artefact in job.artefacts.items()}
    what = [job.name, job.code.digest, job.script, tables, artefacts, dict(job.arguments)]
    return json.dumps([*what, sagemaker_context.image, sagemaker_context.training_instance])


def _run(
    sagemaker_context: SageMakerContext,
    job: ProcessingJob,
    tables: Mapping[str, Version],
    attempt: Attempt,
    location: str,
    *,
    packed: bool,
) -> JobSucceeded:
    objects = sagemaker_context.lake.objects

    def prepare(name: str, scratch: str) -> dict[str, Any]:
        del name
        order = {
            "script": job.script,
            "arguments": [word for key, value in job.arguments.items() for word in (f"--{key}", value)],
            "tables": sorted(tables),
            "artefacts": sorted(job.artefacts),
            "packed": packed,
        }
        objects.put(f"{scratch}/order.json", json.dumps(order).encode())
        objects.put(f"{scratch}/{SOURCE}", job.code.archive())
        objects.put(f"{scratch}/{_RUNNER.name}", _RUNNER.read_bytes())
        places = {
            "code": (scratch, f"{_BASE}/code"),
            **{name: (version.location, f"{_BASE}/input/{name}") for name, version in tables.items()},
            **{name: (each.location, f"{_BASE}/archives/{name}") for name, each in job.artefacts.items()},
        }
        written = {
            "S3Uri": location,
            "LocalPath": f"{_BASE}/{'packed' if packed else 'output'}",
            "S3UploadMode": "EndOfJob",
        }
        return {
            "AppSpecification": {
                "ImageUri": sagemaker_context.image,
                "ContainerEntrypoint": ["python3", f"{_BASE}/code/{_RUNNER.name}"],
            },
            "Environment": {"SM_PROCESSING_DIR": _BASE},
            "RoleArn": sagemaker_context.role,
            "ProcessingInputs": [
                {
                    "InputName": name,
                    "S3Input": {
                        "S3Uri": f"{uri}/",
                        "LocalPath": place,
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                        "S3DataDistributionType": "FullyReplicated",
                    },
                }
                for name, (uri, place) in places.items()
            ],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "output", "S3Output": written}]},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": sagemaker_context.training_instance,
                    "VolumeSizeInGB": VOLUME_GB,
                }
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": sagemaker_context.deadline},
        }

    try:
        return sagemaker_context.run(ProcessingJobs, attempt, _JOB, prepare)
    finally:
        sagemaker_context.clear(ProcessingJobs, attempt, _JOB)
