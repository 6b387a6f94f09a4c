"""What the double's SageMaker jobs have in common: names that are unique for ever, states, and the words of refusals."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.sagemaker_container import Container, stream_of
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

ACCOUNT = "123456789012"
STATES = {
    "queued": "InProgress",
    "running": "InProgress",
    "stopping": "Stopping",
    "succeeded": "Completed",
    "failed": "Failed",
    "stopped": "Stopped",
    "timed_out": "Stopped",
}


def arn(kind: str, name: str) -> str:
    """The ARN of a thing of SageMaker's."""
    return f"arn:aws:sagemaker:eu-central-1:{ACCOUNT}:{kind}/{name}"


class JobKind:
    """The jobs of one kind. `kind` is as in ARNs, `group` as in the name of the log group."""

    kind: str
    group: str
    states: ClassVar[dict[str, str]] = STATES

    def __init__(self, jobs: Jobs, objects: Objects, logs: Logs, folder: Path) -> None:
        self._jobs, self._objects, self._logs, self._folder = jobs, objects, logs, folder
        self._known: dict[str, tuple[JobRun, Parameters]] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, parameters: Parameters, work: Callable[[JobRun, Container], None]) -> Parameters:
        """Start a job. Its name must never have been used before."""
        run = JobRun("sagemaker", name, f"{self.kind}/{name}", self.states, parameters)
        with self._lock:
            if name in self._known:
                word = self.kind.replace("-", " ").capitalize()
                raise AwsError(
                    "ResourceInUse",
                    f"{word} names must be unique within an AWS account and region, and a {word.lower()} with this name already"
                    f" exists ({arn(self.kind, name)})",
                )
            self._known[name] = (run, parameters)
        stream = stream_of(self.group, name)

        def contained() -> None:
            root = self._folder / f"sagemaker-{self.kind}-{name}"
            try:
                work(run, Container(run, self._objects, self._logs, root, stream))
            finally:
                shutil.rmtree(root, ignore_errors=True)

        self._jobs.start(run, contained, lambda error: self._logs.write(*stream, [error]))
        return {f"{self._word}Arn": arn(self.kind, name)}

    def end(self, name: str) -> Parameters:
        """Ask a job to stop. One that has ended is refused."""
        run, _ = self.found(name)
        if not run.alive or run.phase == "stopping":
            word = self.kind.replace("-", " ")
            raise AwsError(
                "ValidationException", f"The request was rejected because the {word} is in status {run.state}."
            )
        self._jobs.stop(run)
        return {}

    def found(self, name: str) -> tuple[JobRun, Parameters]:
        """A job by name."""
        if name not in self._known:
            raise AwsError("ValidationException", "Requested resource not found.")
        return self._known[name]

    def described(self, name: str) -> Parameters:
        """What all descriptions have: the definition, state, times and error."""
        run, parameters = self.found(name)
        told: dict[str, Any] = {key: value for key, value in parameters.items() if key != "Tags"}
        return {
            **told,
            f"{self._word}Arn": arn(self.kind, name),
            f"{self._word}Status": run.state,
            "FailureReason": run.error if run.phase == "failed" and run.error else None,
            "CreationTime": run.started,
        }

    @property
    def _word(self) -> str:
        return "".join(part.capitalize() for part in self.kind.split("-"))


def times(run: JobRun, start: str, end: str) -> Parameters:
    """When a run's work began and ended, under the names that an answer has for them."""
    return {start: run.running, end: run.ended if run.running else None}


def now() -> float:
    """The time, in seconds since the epoch."""
    return time.time()
