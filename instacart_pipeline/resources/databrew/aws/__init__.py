"""DataBrew on AWS: runs of recipe jobs, each over one version of a table."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from dagster import ResourceDependency, get_dagster_logger

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsError, AwsNotFound, AwsRefused
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.aws_account.objects import split
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.databrew import DataBrew, require_columns
from instacart_pipeline.resources.databrew.aws.recipes import databrew_name, published_version
from instacart_pipeline.resources.managed_jobs import prices
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import (
    JobService,
    JobStatus,
    JobSucceeded,
    State,
    log_tail,
    streams_of,
)
from instacart_pipeline.resources.published import Published

_JOB = "recipe"
_TOKEN_DIGITS = 16


class DataBrewRuns(JobService):
    """Runs of DataBrew jobs, by "job name/run id". `nodes` is what a run is priced by; 0: not at all.

    A job and its dataset, of the same name, are made for one run and named after its work and token, so that whoever knows
    those finds the run and can remove both. A run whose job was removed counts as stopped.
    """

    name = "DataBrew job run"
    states: ClassVar[dict[str, State]] = {
        "STARTING": "queued",
        "RUNNING": "running",
        "STOPPING": "stopping",
        "STOPPED": "stopped",
        "SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "TIMEOUT": "timed out",
    }

    def __init__(self, session: AwsSession, nodes: int = 0) -> None:
        super().__init__(session)
        self._nodes = nodes

    def look(self, job: str) -> JobStatus:
        """See JobService."""
        name, run = job.split("/")
        try:
            found = self.session.call("databrew", "describe_job_run", once=True, Name=name, RunId=run)
        except AwsNotFound:
            return JobStatus("STOPPED", "The job was removed.")
        seconds = float(found.get("ExecutionTime") or 0)
        started, completed = found.get("StartedOn"), found.get("CompletedOn")
        lived = (completed - started).total_seconds() if started and completed else seconds
        return JobStatus(
            state=found["State"],
            error=found.get("ErrorMessage") or "",
            queued_seconds=max(0.0, lived - seconds),
            running_seconds=seconds,
            usage={"node_hours": round(self._nodes * seconds / 3600, 6)},
            cost_usd=prices.databrew(self._nodes, seconds),
        )

    def stop(self, job: str) -> None:
        """See JobService."""
        name, run = job.split("/")
        try:
            self.session.call("databrew", "stop_job_run", once=True, Name=name, RunId=run)
        except AwsNotFound:
            return
        except AwsRefused:
            if self.states.get(self.look(job).state) not in ("stopping", "stopped", "succeeded", "failed", "timed out"):
                raise

    def link(self, job: str) -> str:
        """See JobService."""
        name, run = job.split("/")
        region = self.session.region_name
        return (
            f"https://{region}.console.aws.amazon.com/databrew/home?region={region}#job-details?job={name}&runId={run}"
        )

    def log_tail(self, job: str) -> Sequence[str]:
        """See JobService. DataBrew says which group a run logs to; its streams are known by their names only."""
        name, run = job.split("/")
        found = self.session.call("databrew", "describe_job_run", Name=name, RunId=run)
        group = str(found.get("LogGroupName") or "")
        return log_tail(self.session, (streams_of(self.session, group, name) or [(group, run)]) if group else [])

    def left(self, work: Work, token: str) -> str | None:
        """See JobService."""
        return self.started(made_for(work, token))

    def remove(self, work: Work, token: str) -> None:
        """See JobService. What can't be removed is logged: it hides no job's end, costs nothing, and bears its own name."""
        name = made_for(work, token)
        try:
            with suppress(AwsNotFound):
                self.session.call("databrew", "delete_job", Name=name)
            with suppress(AwsNotFound):
                self.session.call("databrew", "delete_dataset", Name=name)
        except AwsError as error:
            get_dagster_logger().warning(f"The DataBrew job or dataset {name} stays behind; delete it by hand: {error}")

    def started(self, name: str) -> str | None:
        """The newest run of a job: one call, tried once."""
        try:
            runs = self.session.call("databrew", "list_job_runs", once=True, Name=name, MaxResults=1)["JobRuns"]
        except AwsNotFound:
            return None
        return f"{name}/{runs[0]['RunId']}" if runs else None


def made_for(work: Work, token: str) -> str:
    """The name of the job and of the dataset that are made for one run."""
    return f"{databrew_name(work.table)}-{work.dt}-{token[:_TOKEN_DIGITS]}"


class AwsDataBrew(DataBrew):
    """Runs recipes on `nodes` nodes of DataBrew, as the IAM role `role`."""

    lake: ResourceDependency[AwsLake]
    role: str
    nodes: int

    def run(self, recipe: Recipe, source: TableContract, target: TableContract, dt: str) -> Published:
        """See DataBrew. Raises SettingsInvalid if no role is set."""
        require_columns(recipe, source, target)
        if not self.role:
            raise SettingsInvalid(
                "DataBrew jobs need a role to run as. Set INSTACART_SERVICE_ROLE to its ARN; docs/aws.md says what it may do."
            )
        version = self.lake.catalog.current(source, dt)
        runs = DataBrewRuns(self.lake.session, self.nodes)

        def write(attempt: Attempt, location: str) -> JobSucceeded:
            try:
                return self._run(attempt, runs, recipe, version, location)
            finally:
                runs.remove(attempt.work, attempt.token(_JOB))

        columns = [(column.name, column.type) for column in target.columns]
        definition = json.dumps([recipe.name, recipe.definition, columns])
        return self.lake.build(target, dt, definition, {source.qualified_name: version}, write)

    def _run(
        self, attempt: Attempt, runs: DataBrewRuns, recipe: Recipe, source: Version, location: str
    ) -> JobSucceeded:
        name = made_for(attempt.work, attempt.token(_JOB))

        def start(_: str) -> str:
            # Both may be there from a start whose answer was lost: they are the same, having the same name.
            with suppress(AwsConflict):
                self._make_dataset(name, source)
            with suppress(AwsConflict):
                self._make_job(name, recipe, location)
            if found := runs.started(name):
                return found
            try:
                answer = self.lake.session.call("databrew", "start_job_run", once=True, Name=name)
            except AwsConflict:  # it runs already, by a start that arrived late
                if found := runs.started(name):
                    return found
                raise
            return f"{name}/{answer['RunId']}"

        return self.lake.jobs.run(attempt, _JOB, runs, start, lambda _: runs.started(name))

    def _make_dataset(self, name: str, source: Version) -> None:
        # The folder of one version, and not the table: what is read is what the lineage says, whatever is published since.
        bucket, key = split(source.location)
        place = {"S3InputDefinition": {"Bucket": bucket, "Key": f"{key}/"}}
        self.lake.session.call("databrew", "create_dataset", once=True, Name=name, Format="PARQUET", Input=place)

    def _make_job(self, name: str, recipe: Recipe, location: str) -> None:
        session = self.lake.session
        bucket, key = split(location)
        version = published_version(session, self.lake.zones.zone("work"), recipe)
        session.call(
            "databrew",
            "create_recipe_job",
            once=True,
            Name=name,
            DatasetName=name,
            RecipeReference={"Name": databrew_name(recipe.name), "RecipeVersion": version},
            RoleArn=self.role,
            MaxCapacity=self.nodes,
            MaxRetries=0,
            Timeout=max(1, math.ceil(self.lake.jobs.deadline_seconds / 60)),
            LogSubscription="ENABLE",
            Outputs=[
                {
                    "Location": {"Bucket": bucket, "Key": f"{key}/"},
                    "Format": "PARQUET",
                    "CompressionFormat": "SNAPPY",
                    "Overwrite": True,
                    "MaxOutputFiles": 1,
                }
            ],
        )
