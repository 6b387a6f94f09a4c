"""Glue jobs on AWS: their runs, and the tables they make."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.aws_account.code import INGEST_UPLOAD, SQL_TO_PARQUET, require_deployed
from instacart_pipeline.resources.aws_account.errors import AwsNotFound, log_cleanup_errors, translated
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.catalog.inputs import inputs_of
from instacart_pipeline.resources.glue import Glue, GlueJob
from instacart_pipeline.resources.glue.spark_job import SparkStatement
from instacart_pipeline.resources.managed_jobs import prices
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobService, JobStatus, JobSucceeded, State, log_tail
from instacart_pipeline.resources.published import Published

__all__ = ["INGEST_UPLOAD", "SQL_TO_PARQUET", "AwsGlue", "GlueRuns", "run_glue_job"]

_TOKEN = "--instacart-token"  # noqa: S105  # names a run, opens nothing
"""The argument by which a run is found again: Glue itself takes no token and would start a second run."""
_RUNS_A_PAGE = 100
_PAGES_LOOKED_AT = 5
"""Of a job's runs, the newest first. A run of ours is among them unless 500 others were started since."""
_LOGS = ("/aws-glue/jobs/output", "/aws-glue/jobs/error")


class GlueRuns(JobService):
    """Runs of Glue jobs, by "job name/run id"."""

    name = "Glue job run"
    states: ClassVar[dict[str, State]] = {
        "STARTING": "queued",
        "WAITING": "queued",
        "RUNNING": "running",
        "STOPPING": "stopping",
        "STOPPED": "stopped",
        "SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "ERROR": "failed",
        "TIMEOUT": "timed out",
        "EXPIRED": "timed out",
    }

    def look(self, job: str) -> JobStatus:
        """See JobService. A run that is billed less than a minute counts as one: Glue's own least."""
        name, run = job.split("/")
        found = self.session.call("glue", "get_job_run", once=True, JobName=name, RunId=run)["JobRun"]
        running = float(found.get("ExecutionTime") or 0)
        since, until = found.get("StartedOn"), found.get("CompletedOn") or found.get("LastModifiedOn")
        lived = (until - since).total_seconds() if since and until else running
        dpu_seconds = float(found.get("DPUSeconds") or _dpus(found) * max(running, prices.GLUE_LEAST_SECONDS))
        return JobStatus(
            state=found["JobRunState"],
            error=found.get("ErrorMessage") or found.get("StateDetail") or "",
            queued_seconds=max(0.0, lived - running),
            running_seconds=running,
            usage={"dpu_hours": round(dpu_seconds / 3600, 6)},
            cost_usd=prices.glue(dpu_seconds),
        )

    def stop(self, job: str) -> None:
        """See JobService."""
        name, run = job.split("/")
        answer = self.session.call("glue", "batch_stop_job_run", once=True, JobName=name, JobRunIds=[run])
        for refused in answer.get("Errors", []):
            # The whole call succeeds even if the one run it names is not stopped.
            if self.states.get(self.look(job).state) not in ("stopping", "succeeded", "failed", "timed out", "stopped"):
                detail = refused.get("ErrorDetail", {})
                told = {"Code": detail.get("ErrorCode", "unknown"), "Message": detail.get("ErrorMessage", "")}
                raise translated("glue", "batch_stop_job_run", ClientError({"Error": told}, "BatchStopJobRun"))

    def link(self, job: str) -> str:
        """See JobService."""
        name, run = job.split("/")
        region = self.session.region_name
        return f"https://{region}.console.aws.amazon.com/gluestudio/home?region={region}#/job/{name}/run/{run}"

    def log_tail(self, job: str) -> Sequence[str]:
        """See JobService. What the script printed and its error log, in the order of time."""
        _, run = job.split("/")
        return log_tail(self.session, [(group, run) for group in _LOGS])

    def left(self, work: Work, token: str) -> str | None:
        """See JobService."""
        del work
        found = (self.started(name, token) for name in (SQL_TO_PARQUET, INGEST_UPLOAD))
        return next((job for job in found if job), None)

    def started(self, job_name: str, token: str) -> str | None:
        """The run of a job that was started with a token, if there is one: _PAGES_LOOKED_AT calls at most, each tried once."""
        after: dict[str, Any] = {}
        for _ in range(_PAGES_LOOKED_AT):
            try:
                page = self.session.call(
                    "glue", "get_job_runs", once=True, JobName=job_name, MaxResults=_RUNS_A_PAGE, **after
                )
            except AwsNotFound:
                return None
            for run in page["JobRuns"]:
                if run.get("Arguments", {}).get(_TOKEN) == token:
                    return f"{job_name}/{run['Id']}"
            if not page.get("NextToken"):
                break
            after = {"NextToken": page["NextToken"]}
        return None


def run_glue_job(
    lake: AwsLake,
    attempt: Attempt,
    name: str,
    job_name: str,
    arguments: Mapping[str, str],
    *,
    worker_type: str,
    workers: int,
) -> JobSucceeded:
    """Run a Glue job, which deploy made, as the job `name` of an attempt. Raises as ManagedJobs.run does.

    Raises NotDeployed before anything is started if there is no such job, or one with other code than is at hand.
    """
    session, service = lake.session, GlueRuns(lake.session)
    # Glue itself ends a run that nobody is left to stop. It counts from when the run has its workers.
    minutes = max(1, math.ceil(lake.jobs.deadline_seconds / 60))

    def start(token: str) -> str:
        require_deployed(session, lake.base, job_name)
        answer = session.call(
            "glue",
            "start_job_run",
            once=True,
            JobName=job_name,
            Arguments={**arguments, _TOKEN: token},
            WorkerType=worker_type,
            NumberOfWorkers=workers,
            Timeout=minutes,
        )
        return f"{job_name}/{answer['JobRunId']}"

    return lake.jobs.run(attempt, name, service, start, lambda token: service.started(job_name, token))


class AwsGlue(Glue):
    """Runs Glue jobs on `workers` workers of `worker_type`, which are Spark's driver and executors together."""

    lake: ResourceDependency[AwsLake]
    worker_type: str
    workers: int

    def run(self, job: GlueJob, target: TableContract, dt: str) -> Published:
        """See Glue."""
        query = job.query.bind(dt=dt)
        inputs = inputs_of(self.lake.catalog, query, dt)
        statement = SparkStatement.of(query, self.lake.catalog, inputs, dt)

        def write(attempt: Attempt, location: str) -> JobSucceeded:
            file = f"{self.lake.zones.zone('work')}/statements/{attempt.token('spark')}.sql"
            self.lake.objects.put(file, statement.sql.encode())
            arguments = {"--sql-file": file, **statement.arguments(target, location, job.files)}
            try:
                return run_glue_job(
                    self.lake,
                    attempt,
                    "spark",
                    SQL_TO_PARQUET,
                    arguments,
                    worker_type=self.worker_type,
                    workers=self.workers,
                )
            finally:
                with log_cleanup_errors("Something of a Glue job"):
                    self._clear(file, location)

        definition = json.dumps([statement.sql, [(column.name, column.type) for column in target.columns], job.files])
        return self.lake.build(target, dt, definition, inputs, write)

    def _clear(self, statement: str, location: str) -> None:
        """Remove what the run left besides its Parquet files: Hadoop marks folders by objects of their own."""
        objects = self.lake.objects
        objects.remove(statement)
        bucket, _, _ = location.removeprefix("s3://").partition("/")
        for found in objects.listed(location):
            if found.key.endswith(("_$folder$", "/")) or found.key.rsplit("/", 1)[-1].startswith(("_", ".")):
                objects.remove(f"s3://{bucket}/{found.key}")
        for folder in (location, location.rsplit("/", 1)[0]):
            objects.remove(f"{folder}_$folder$")


def _dpus(run: Mapping[str, Any]) -> float:
    if run.get("WorkerType") in prices.DPUS:
        return prices.DPUS[run["WorkerType"]] * int(run.get("NumberOfWorkers") or 0)
    return float(run.get("MaxCapacity") or 0)
