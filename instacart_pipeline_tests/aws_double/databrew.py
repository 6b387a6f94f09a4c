"""DataBrew: datasets, jobs and job runs, as the API shows them. Recipes are in databrew_recipes.py, the work in databrew_run.py."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from instacart_pipeline_tests.aws_double.databrew_recipes import PUBLISHED, WORKING, Recipes, check_name, not_found
from instacart_pipeline_tests.aws_double.databrew_run import RecipeRun
from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

GROUP = "/aws-glue-databrew/jobs"
_STATES = {
    "queued": "STARTING",
    "running": "RUNNING",
    "stopping": "STOPPING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "stopped": "STOPPED",
    "timed_out": "TIMEOUT",
}
_RUN_FACTS = ("DatasetName", "Outputs", "RecipeReference", "LogSubscription")


class DataBrew(Recipes):
    """The API of DataBrew. `files` is the number of files a run writes; `runs_at_once` the account's limit."""

    def __init__(self, jobs: Jobs, objects: Objects, logs: Logs, folder: Path) -> None:
        super().__init__()
        self._jobs, self._objects, self._logs, self._folder = jobs, objects, logs, folder
        self.files, self.runs_at_once = 2, 10
        self._datasets: dict[str, Parameters] = {}
        self._definitions: dict[str, Parameters] = {}
        self._runs: dict[str, tuple[JobRun, Parameters]] = {}
        self.used = lambda name, version: any(
            job["RecipeReference"] == {"Name": name, "RecipeVersion": version} for job in self._definitions.values()
        )

    def create_dataset(self, parameters: Parameters) -> Parameters:
        """Make a dataset; nothing is read yet."""
        name = parameters["Name"]
        check_name(name)
        with self._lock:
            if name in self._datasets:
                raise AwsError("ConflictException", f"The dataset {name} already exists", 409)
            self._datasets[name] = {**parameters, **_dates(), "Source": "S3"}
        return {"Name": name}

    def update_dataset(self, parameters: Parameters) -> Parameters:
        """Change a dataset."""
        with self._lock:
            self._dataset(parameters["Name"]).update(parameters, LastModifiedDate=time.time())
        return {"Name": parameters["Name"]}

    def describe_dataset(self, parameters: Parameters) -> Parameters:
        """A dataset."""
        return self._dataset(parameters["Name"])

    def list_datasets(self, parameters: Parameters) -> Parameters:
        """All datasets."""
        shown, token = page(
            list(self._datasets.values()), parameters.get("NextToken"), parameters.get("MaxResults") or 100
        )
        return {"Datasets": shown, "NextToken": token}

    def delete_dataset(self, parameters: Parameters) -> Parameters:
        """Remove a dataset that no job uses."""
        name = parameters["Name"]
        with self._lock:
            self._dataset(name)
            if any(job["DatasetName"] == name for job in self._definitions.values()):
                raise AwsError("ConflictException", f"The dataset {name} is used by a job", 409)
            del self._datasets[name]
        return {"Name": name}

    def create_recipe_job(self, parameters: Parameters) -> Parameters:
        """Make a job of a dataset and a published recipe version, which stays the job's for good."""
        name = parameters["Name"]
        check_name(name)
        with self._lock:
            if name in self._definitions:
                raise AwsError("ConflictException", f"The job {name} already exists", 409)
            reference = parameters.get("RecipeReference")
            if not reference or not parameters.get("DatasetName") or not parameters.get("Outputs"):
                raise AwsError("ValidationException", "A recipe job needs a dataset, a recipe and an output")
            self._dataset(parameters["DatasetName"])
            asked = reference.get("RecipeVersion") or PUBLISHED
            version = self.version(reference["Name"], asked)
            if asked == WORKING or "PublishedDate" not in version:
                raise AwsError(
                    "ValidationException", f"Recipe {reference['Name']} must be published to be used in a job"
                )
            pinned = {"Name": reference["Name"], "RecipeVersion": version["RecipeVersion"]}
            defaults: Parameters = {"LogSubscription": "ENABLE", "MaxRetries": 0, "Timeout": 2880, "MaxCapacity": 5}
            self._definitions[name] = {
                **defaults,
                **parameters,
                **_dates(),
                "RecipeReference": pinned,
                "Type": "RECIPE",
            }
        return {"Name": name}

    def update_recipe_job(self, parameters: Parameters) -> Parameters:
        """Change a job; its dataset and recipe can't be."""
        with self._lock:
            self._definition(parameters["Name"]).update(parameters, LastModifiedDate=time.time())
        return {"Name": parameters["Name"]}

    def describe_job(self, parameters: Parameters) -> Parameters:
        """A job."""
        return self._definition(parameters["Name"])

    def list_jobs(self, parameters: Parameters) -> Parameters:
        """All jobs, or those of a dataset."""
        wanted = parameters.get("DatasetName")
        found = [job for job in self._definitions.values() if wanted in (None, job["DatasetName"])]
        shown, token = page(found, parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"Jobs": shown, "NextToken": token}

    def delete_job(self, parameters: Parameters) -> Parameters:
        """Remove a job that is not running."""
        name = parameters["Name"]
        with self._lock:
            self._definition(name)
            if any(run.alive for run, _ in self._runs.values() if run.name == name):
                raise AwsError("ConflictException", f"The job {name} is running", 409)
            del self._definitions[name]
        return {"Name": name}

    def start_job_run(self, parameters: Parameters) -> Parameters:
        """Start a run. There is no idempotency token: asking twice starts two."""
        name = parameters["Name"]
        with self._lock:
            job = dict(self._definition(name))
            if sum(run.alive for run, _ in self._runs.values()) >= self.runs_at_once:
                raise AwsError("ServiceQuotaExceededException", "The limit of concurrent job runs is exceeded", 402)
            recipe = self.version(job["RecipeReference"]["Name"], job["RecipeReference"]["RecipeVersion"])
            dataset = dict(self._dataset(job["DatasetName"]))
            run = JobRun(
                "databrew",
                f"db_{uuid.uuid4().hex}{uuid.uuid4().hex}",
                name,
                _STATES,
                {"recipe": recipe["Name"], "outputs": job["Outputs"]},
            )
            self._runs[run.id] = (run, job)

        def log(line: str) -> None:
            self._logs.write(GROUP, f"{name}-{run.id}", [line])

        work = RecipeRun(run, self._objects, self._folder, log, self.files)
        self._jobs.start(run, lambda: work.work(recipe, dataset, job["Outputs"]), lambda error: log(f"ERROR {error}"))
        return {"RunId": run.id}

    def stop_job_run(self, parameters: Parameters) -> Parameters:
        """Ask a run to stop; it does soon afterwards."""
        run, _ = self._run(parameters)
        if not run.alive:
            raise AwsError(
                "ValidationException", f"The job run {run.id} is in the state {run.state} and can't be stopped"
            )
        self._jobs.stop(run)
        return {"RunId": run.id}

    def describe_job_run(self, parameters: Parameters) -> Parameters:
        """A run's state."""
        return _description(*self._run(parameters))

    def list_job_runs(self, parameters: Parameters) -> Parameters:
        """A job's runs, the newest first."""
        with self._lock:
            self._definition(parameters["Name"])
            found = [_description(*each) for each in self._runs.values() if each[0].name == parameters["Name"]][::-1]
        shown, token = page(found, parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"JobRuns": shown, "NextToken": token}

    def _dataset(self, name: str) -> Parameters:
        if name not in self._datasets:
            raise not_found(f"The dataset {name}")
        return self._datasets[name]

    def _definition(self, name: str) -> Parameters:
        if name not in self._definitions:
            raise not_found(f"The job {name}")
        return self._definitions[name]

    def _run(self, parameters: Parameters) -> tuple[JobRun, Parameters]:
        found = self._runs.get(parameters["RunId"])
        if found is None or found[0].name != parameters["Name"]:
            raise not_found(f"The job run {parameters['RunId']}")
        return found


def _dates() -> Parameters:
    now = time.time()
    return {"CreateDate": now, "LastModifiedDate": now}


def _description(run: JobRun, job: Parameters) -> Parameters:
    end = run.ended or time.time()
    return {
        **{name: job.get(name) for name in _RUN_FACTS},
        "Attempt": 0,
        "JobName": run.name,
        "RunId": run.id,
        "State": run.state,
        "StartedOn": run.started,
        "CompletedOn": run.ended,
        "ErrorMessage": run.error or None,
        "ExecutionTime": int(end - run.started),
        "LogGroupName": GROUP,
    }
