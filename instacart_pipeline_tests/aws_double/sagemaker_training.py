"""Training jobs in script mode: the user's script in a child process, as the framework containers run it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.sagemaker_container import ML, Container
from instacart_pipeline_tests.aws_double.sagemaker_jobs import JobKind, now, times
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_SECONDARY = {
    "queued": "Starting",
    "running": "Training",
    "stopping": "Stopping",
    "succeeded": "Completed",
    "failed": "Failed",
    "stopped": "Stopped",
    "timed_out": "MaxRuntimeExceeded",
}
_OURS = "sagemaker_"
"""The beginning of hyper-parameters that are the container's own."""


class Training(JobKind):
    """The part of the API that is about training jobs."""

    kind = "training-job"
    group = "TrainingJobs"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._metrics: dict[str, dict[str, float]] = {}

    def create_training_job(self, parameters: Parameters) -> Parameters:
        """Start a training."""
        require_script_mode(parameters.get("HyperParameters") or {})
        return self.begin(parameters["TrainingJobName"], parameters, self.work)

    def describe_training_job(self, parameters: Parameters) -> Parameters:
        """A training, with the last value of each metric."""
        name = parameters["TrainingJobName"]
        run, given = self.found(name)
        output = f"{given['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output/model.tar.gz"
        running = int((run.ended or now()) - run.running) if run.running else 0
        metrics = self._metrics.get(name, {}) if not run.alive else {}
        return {
            **self.described(name),
            **times(run, "TrainingStartTime", "TrainingEndTime"),
            "ModelArtifacts": {"S3ModelArtifacts": output if run.phase == "succeeded" else ""},
            "SecondaryStatus": _SECONDARY.get(run.phase, "Training"),
            "LastModifiedTime": run.ended or now(),
            "TrainingTimeInSeconds": max(1, running),
            "BillableTimeInSeconds": max(1, running),
            "FinalMetricDataList": [
                {"MetricName": metric, "Value": value, "Timestamp": run.ended} for metric, value in metrics.items()
            ],
        }

    def list_training_jobs(self, parameters: Parameters) -> Parameters:
        """All trainings, the newest first."""
        shown, token = page(list(self._known)[::-1], parameters.get("NextToken"), parameters.get("MaxResults") or 10)
        summary = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingJobStatus")
        found = [self.described(name) for name in shown]
        return {"TrainingJobSummaries": [{key: each[key] for key in summary} for each in found], "NextToken": token}

    def stop_training_job(self, parameters: Parameters) -> Parameters:
        """Ask a training to stop."""
        return self.end(parameters["TrainingJobName"])

    def work(self, run: JobRun, container: Container) -> None:
        """The work of a training: fetch, run the script, put the archives."""
        given = run.arguments
        hyperparameters = {name: _decoded(value) for name, value in (given.get("HyperParameters") or {}).items()}
        environment = {"SM_MODEL_DIR": f"{ML}/model", "SM_OUTPUT_DATA_DIR": f"{ML}/output/data"}
        for channel in given.get("InputDataConfig") or ():
            name, place = channel["ChannelName"], f"{ML}/input/data/{channel['ChannelName']}"
            container.fetch(channel["DataSource"]["S3DataSource"]["S3Uri"], place)
            environment[f"SM_CHANNEL_{name.upper()}"] = place
        for path in ("model", "output/data"):
            (container.root / path).mkdir(parents=True)
        code = container.unpack(str(hyperparameters["sagemaker_submit_directory"]), f"{ML}/code")
        own = {name: value for name, value in hyperparameters.items() if not name.startswith((_OURS, "_"))}
        words = [word for name, value in sorted(own.items()) for word in (f"--{name}", str(value))]
        try:
            container.execute(["python", str(hyperparameters["sagemaker_program"]), *words], environment, code)
        finally:
            definitions = given["AlgorithmSpecification"].get("MetricDefinitions") or ()
            self._metrics[run.id] = last_values(definitions, container.lines)
        output = f"{given['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{run.id}/output"
        container.put_archive(f"{ML}/model", f"{output}/model.tar.gz")
        container.put_archive(f"{ML}/output/data", f"{output}/output.tar.gz")


def require_script_mode(hyperparameters: Mapping[str, str]) -> None:
    """Refuse what the double can't run: it has no built-in algorithm."""
    lacking = {"sagemaker_program", "sagemaker_submit_directory"} - set(hyperparameters)
    if lacking:
        raise AwsError("ValidationException", f"the double trains in script mode only, which needs {sorted(lacking)}")


def last_values(definitions: Sequence[Mapping[str, str]], lines: Sequence[str]) -> dict[str, float]:
    """The last value of each metric in a log."""
    found = {}
    for each in definitions:
        for line in lines:
            if match := re.search(each["Regex"], line):
                found[each["Name"]] = float(match.group(1))
    return found


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise JobFailure(f"AlgorithmError: a hyper-parameter is no JSON: {value}") from error
