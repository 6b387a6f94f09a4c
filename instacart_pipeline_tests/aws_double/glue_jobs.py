"""Glue jobs and their runs, as the API shows them. The process of a run is in glue_child.py."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from instacart_pipeline_tests.aws_double.glue_child import ERROR, OUTPUT, GlueChild
from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_STATES = {
    "queued": "STARTING",
    "running": "RUNNING",
    "stopping": "STOPPING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "stopped": "STOPPED",
    "timed_out": "TIMEOUT",
}
_RUN_SETTINGS = ("WorkerType", "NumberOfWorkers", "MaxCapacity", "Timeout", "ExecutionClass", "SecurityConfiguration")


class GlueJobs:
    """The part of Glue's API that is about jobs."""

    def __init__(
        self, jobs: Jobs, objects: Objects, logs: Logs, folder: Path, environment: Callable[[], Mapping[str, str]]
    ) -> None:
        self._jobs, self._objects, self._logs, self._folder = jobs, objects, logs, folder
        self._environment = environment
        self._definitions: dict[str, Parameters] = {}
        self._created: dict[str, tuple[float, float]] = {}
        self._runs: dict[str, tuple[JobRun, Parameters]] = {}
        self._lock = threading.Lock()

    def create_job(self, parameters: Parameters) -> Parameters:
        """Make a job; making the very same again is fine."""
        name = parameters["Name"]
        with self._lock:
            known = self._definitions.get(name)
            if known is not None and known != parameters:
                raise AwsError(
                    "IdempotentParameterMismatchException",
                    f"Job with name {name} already submitted with different configuration",
                )
            self._definitions[name] = parameters
            self._created.setdefault(name, (time.time(), time.time()))
        return {"Name": name}

    def update_job(self, parameters: Parameters) -> Parameters:
        """Replace a job's definition: what the update leaves out is gone."""
        name = parameters["JobName"]
        with self._lock:
            self._definition(name)
            self._definitions[name] = {"Name": name, **parameters["JobUpdate"]}
            self._created[name] = (self._created[name][0], time.time())
        return {"JobName": name}

    def get_job(self, parameters: Parameters) -> Parameters:
        """A job's definition."""
        return {"Job": self._description(parameters["JobName"])}

    def get_jobs(self, parameters: Parameters) -> Parameters:
        """All jobs."""
        names, token = page(sorted(self._definitions), parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"Jobs": [self._description(name) for name in names], "NextToken": token}

    def list_jobs(self, parameters: Parameters) -> Parameters:
        """The names of all jobs."""
        names, token = page(sorted(self._definitions), parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"JobNames": names, "NextToken": token}

    def delete_job(self, parameters: Parameters) -> Parameters:
        """Remove a job, if there is one."""
        with self._lock:
            self._definitions.pop(parameters["JobName"], None)
            self._created.pop(parameters["JobName"], None)
        return {"JobName": parameters["JobName"]}

    def start_job_run(self, parameters: Parameters) -> Parameters:
        """Start a run. There is no idempotency token: asking twice starts two, as far as the job's limit allows."""
        name = parameters["JobName"]
        given = parameters.get("Arguments") or {}
        with self._lock:
            job = self._definition(name)
            limit = (job.get("ExecutionProperty") or {}).get("MaxConcurrentRuns") or 1
            if sum(run.alive for run, _ in self._runs.values() if run.name == name) >= limit:
                raise AwsError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {name}")
            run = JobRun("glue", f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}", name, _STATES, given)
            settings = {key: parameters.get(key, job.get(key)) for key in _RUN_SETTINGS}
            self._runs[run.id] = (run, {**settings, "GlueVersion": job.get("GlueVersion"), "Arguments": given})
        own = {"--JOB_NAME": name, "--JOB_RUN_ID": run.id}
        fixed = job.get("NonOverridableArguments") or {}
        arguments = {**(job.get("DefaultArguments") or {}), **given, **fixed, **own}
        self._jobs.start(
            run,
            lambda: self._work(run, job["Command"]["ScriptLocation"], arguments),
            lambda error: self._logs.write(ERROR, run.id, ["Traceback (most recent call last):", error]),
        )
        return {"JobRunId": run.id}

    def get_job_run(self, parameters: Parameters) -> Parameters:
        """A run's state."""
        return {"JobRun": self._run_description(*self._run(parameters["JobName"], parameters["RunId"]))}

    def get_job_runs(self, parameters: Parameters) -> Parameters:
        """A job's runs, the newest first."""
        with self._lock:
            self._definition(parameters["JobName"])
            runs = [each for each in self._runs.values() if each[0].name == parameters["JobName"]][::-1]
        shown, token = page(runs, parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"JobRuns": [self._run_description(*each) for each in shown], "NextToken": token}

    def batch_stop_job_run(self, parameters: Parameters) -> Parameters:
        """Ask runs to stop; they do soon afterwards."""
        name = parameters["JobName"]
        asked: list[Parameters] = []
        refused: list[Parameters] = []
        for number in parameters["JobRunIds"]:
            found = self._runs.get(number)
            place = {"JobName": name, "JobRunId": number}
            if found is None or found[0].name != name:
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": "JobRun not found"}
                refused.append({**place, "ErrorDetail": detail})
            elif not found[0].alive:
                text = f"Job run is in the state {found[0].state} and cannot be stopped"
                refused.append({**place, "ErrorDetail": {"ErrorCode": "InvalidInputException", "ErrorMessage": text}})
            else:
                self._jobs.stop(found[0])
                asked.append(place)
        return {"SuccessfulSubmissions": asked, "Errors": refused}

    def _work(self, run: JobRun, script: str, arguments: dict[str, str]) -> None:
        folder = self._folder / f"glue-{run.id}"
        self._logs.write(OUTPUT, run.id)
        self._logs.write(ERROR, run.id)
        try:
            GlueChild(run, self._objects, self._logs, folder, self._environment()).work(script, arguments)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _definition(self, name: str) -> Parameters:
        if name not in self._definitions:
            raise AwsError("EntityNotFoundException", f"Job with name: {name} not found")
        return self._definitions[name]

    def _description(self, name: str) -> Parameters:
        with self._lock:
            job = {key: value for key, value in self._definition(name).items() if key != "Tags"}
            created, modified = self._created[name]
        defaults: Parameters = {"ExecutionProperty": {"MaxConcurrentRuns": 1}, "MaxRetries": 0, "Timeout": 2880}
        return {**defaults, **job, "CreatedOn": created, "LastModifiedOn": modified}

    def _run(self, name: str, number: str) -> tuple[JobRun, Parameters]:
        found = self._runs.get(number)
        if found is None or found[0].name != name:
            raise AwsError("EntityNotFoundException", f"JobRun {number} not found for job {name}")
        return found

    @staticmethod
    def _run_description(run: JobRun, settings: Parameters) -> dict[str, Any]:
        end = run.ended or time.time()
        return {
            "Id": run.id,
            "Attempt": 0,
            "JobName": run.name,
            "StartedOn": run.started,
            "LastModifiedOn": end,
            "CompletedOn": run.ended,
            "JobRunState": run.state,
            "ErrorMessage": run.error or None,
            "ExecutionTime": int(end - (run.running or end)),
            "LogGroupName": "/aws-glue/jobs",
            **json.loads(json.dumps(settings)),
        }
