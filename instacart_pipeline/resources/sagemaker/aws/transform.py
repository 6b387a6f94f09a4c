"""Batch transform: a table's rows as lines of CSV, the model's answer beside each, and the table that comes of them.

Three steps, each a job of the attempt: Athena unloads ids and features as text, SageMaker joins the model's answer to each
line, Athena writes what is left of a line, the ids and the answer, as the target's Parquet. What lies in between goes with the job.
"""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from instacart_pipeline.lake.artefacts import MODEL
from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.athena.aws import athena_type
from instacart_pipeline.resources.aws_account.athena_queries import rows_of, run_query
from instacart_pipeline.resources.aws_account.errors import AwsConflict, log_cleanup_errors
from instacart_pipeline.resources.aws_account.lake import unpublished_name
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.catalog.aws import drop_table, unpublished_table
from instacart_pipeline.resources.managed_jobs.attempts import Attempt
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.sagemaker import TransformJob
from instacart_pipeline.resources.sagemaker.aws.artefacts import as_inputs, serving_environment
from instacart_pipeline.resources.sagemaker.aws.jobs import SageMakerContext, TransformJobs

_JOB = "transform"
_PAYLOAD_MB = 6
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")
"""What a line of CSV holds without quotes, whatever its value."""


def transform(sagemaker_context: SageMakerContext, job: TransformJob, target: TableContract, dt: str) -> Published:
    """See SageMaker.transform. Ids and features must be numbers, which no line of CSV needs to quote; else JobFailed."""
    sagemaker_context.require_set()
    _require_columns(job, target)
    if not any(found.key.endswith(f"/{MODEL}") for found in sagemaker_context.lake.objects.listed(job.model.location)):
        raise ArtefactNotFound(
            f"{job.name} asks the model {job.model.location}, which holds no {MODEL}: it was removed, or isn't a trained model."
        )
    source = sagemaker_context.lake.catalog.current(job.source, dt)

    def write(attempt: Attempt, location: str) -> JobSucceeded:
        return _Transform(sagemaker_context, job, target, dt, attempt, source).run(location)

    columns = [(column.name, column.type) for column in target.columns]
    what = [job.name, job.model.location, list(job.ids), list(job.features), job.score, columns]
    definition = json.dumps([*what, sagemaker_context.image, sagemaker_context.transform_instance])
    inputs = {job.source.qualified_name: source}
    return sagemaker_context.lake.build(target, dt, definition, inputs, write, also=as_inputs([job.model]))


class _Transform:
    def __init__(
        self,
        sagemaker_context: SageMakerContext,
        job: TransformJob,
        target: TableContract,
        dt: str,
        attempt: Attempt,
        source: Version,
    ) -> None:
        self.sagemaker_context, self.lake, self.job, self.target = (
            sagemaker_context,
            sagemaker_context.lake,
            job,
            target,
        )
        self.dt, self.attempt, self.source = dt, attempt, source
        service = TransformJobs(self.lake.session, self.lake.zones.zone("work"))
        self.scratch = service.scratch(attempt.work, attempt.token(_JOB))
        self.database, name = unpublished_name(target, attempt.version).split(".")
        self.answers = f"{name}_csv"

    def run(self, location: str) -> JobSucceeded:
        """All three steps; what the second says, with what all of them cost."""
        try:
            steps = [self._unload()]
            if self.source.rows:  # SageMaker refuses a prefix with nothing below it
                steps.append(self.sagemaker_context.run(TransformJobs, self.attempt, _JOB, self._request))
            told = steps[-1]
            steps += self._answered(location)
        finally:
            with log_cleanup_errors(f"The table {self.database}.{self.answers}"):
                drop_table(self.lake.session, self.database, self.answers)
            self.sagemaker_context.clear(TransformJobs, self.attempt, _JOB)
        return replace(told, look=replace(told.look, cost_usd=sum(step.look.cost_usd for step in steps)))

    def _unload(self) -> JobSucceeded:
        # Texts, since Hive's text files have their own sign for NULL, and a model takes an empty field for one.
        fields = (f"coalesce(CAST(\"{name}\" AS varchar), '')" for name in (*self.job.ids, *self.job.features))
        columns = ", ".join(f"{field} AS c{place}" for place, field in enumerate(fields))
        statement = (
            f"UNLOAD (SELECT {columns} FROM {self.job.source.qualified_name} WHERE {PARTITION} = '{self.dt}') "
            f"TO '{self.scratch}/input/' WITH (format = 'TEXTFILE', field_delimiter = ',', compression = 'NONE')"
        )
        return self._query("unload", statement)

    def _request(self, name: str, scratch: str) -> dict[str, Any]:
        """Make the model, and give the request of the job."""
        artefact = self.job.model
        container = {
            "Image": self.sagemaker_context.image,
            "ModelDataUrl": f"{artefact.location}/{MODEL}",
            "Environment": serving_environment(artefact),
        }
        with suppress(AwsConflict):  # by a start whose answer was lost
            self.lake.session.call(
                "sagemaker",
                "create_model",
                once=True,
                ModelName=name,
                PrimaryContainer=container,
                ExecutionRoleArn=self.sagemaker_context.role,
            )
        ids = len(self.job.ids)
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{scratch}/input/"}}
        return {
            "ModelName": name,
            "BatchStrategy": "MultiRecord",
            "MaxPayloadInMB": _PAYLOAD_MB,
            "TransformInput": {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
            "TransformOutput": {"S3OutputPath": f"{scratch}/output", "Accept": "text/csv", "AssembleWith": "Line"},
            "TransformResources": {"InstanceType": self.sagemaker_context.transform_instance, "InstanceCount": 1},
            "DataProcessing": {
                "InputFilter": f"$[{ids}:]",
                "JoinSource": "Input",
                "OutputFilter": f"$[{','.join(str(place) for place in range(ids))},-1]",
            },
        }

    def _answered(self, location: str) -> list[JobSucceeded]:
        """Write the answers as the target's Parquet. Raises JobFailed if there are not as many as there were rows."""
        names = [*self.job.ids, self.job.score]
        texts = tuple((name, "string") for name in names)
        place, facts = f"{self.scratch}/output/", {"classification": "csv"}
        self.lake.enter_unpublished(self.target)
        unpublished_table(self.lake.session, CatalogTable(self.database, self.answers, texts, place, parameters=facts))
        table = f"{self.database}.{self.answers}"
        counted = self._query("count", f"SELECT count(*) AS answers FROM {table}")
        (row,) = rows_of(self.lake.session, counted.id).to_pylist()
        if row["answers"] != self.source.rows:
            raise JobFailed(
                f"The model answered {row['answers']:,} of the {self.source.rows:,} rows of {self.job.source.qualified_name} "
                f"{PARTITION}={self.dt}. Nothing was published; look at the log of the transform job."
            )
        columns = ", ".join(
            f'CAST(nullif("{column.name}", \'\') AS {athena_type(column.type)}) AS "{column.name}"'
            for column in self.target.columns
        )
        statement = (
            f"CREATE TABLE {unpublished_name(self.target, self.attempt.version)}"
            f" WITH (format = 'PARQUET', write_compression = 'SNAPPY', external_location = '{location}/')"
            f" AS SELECT {columns} FROM {table}"
        )
        return [counted, self._query("write", statement)]

    def _query(self, name: str, statement: str) -> JobSucceeded:
        return run_query(self.lake.jobs, self.attempt, name, statement, workgroup=self.lake.workgroup)


def _require_columns(job: TransformJob, target: TableContract) -> None:
    """Raise JobFailed, before anything starts, if the columns don't fit each other."""
    types = {column.name: str(column.type) for column in job.source.columns}
    lacking = [name for name in (*job.ids, *job.features) if name not in types]
    if lacking:
        raise JobFailed(f"{job.name} needs the columns {', '.join(lacking)}, which {job.source.qualified_name} lacks.")
    texts = [name for name in (*job.ids, *job.features) if types[name] not in _NUMBERS]
    if texts:
        raise JobFailed(
            f"{job.name}: {', '.join(texts)} of {job.source.qualified_name} are no numbers; a model takes only those."
        )
    given = sorted((*job.ids, job.score))
    if given != sorted(target.column_names):
        raise JobFailed(
            f"{job.name} makes the columns {', '.join(given)}; {target.qualified_name} has {', '.join(target.column_names)}."
        )
