"""Batch transform: lines of CSV through a model's container, with the filters and the join that SageMaker applies."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun
from instacart_pipeline_tests.aws_double.sagemaker_container import Container, stream_of
from instacart_pipeline_tests.aws_double.sagemaker_jobs import STATES, JobKind, times
from instacart_pipeline_tests.aws_double.sagemaker_models import Models, Served
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

Fields = list[str]


class Transform(JobKind):
    """The part of the API that is about transform jobs. They have no limit of time; what takes too long has failed."""

    kind = "transform-job"
    group = "TransformJobs"
    states: ClassVar[dict[str, str]] = {**STATES, "timed_out": "Failed"}

    def __init__(self, models: Models, *given: Any) -> None:
        super().__init__(*given)
        self._models = models

    def create_transform_job(self, parameters: Parameters) -> Parameters:
        """Start a transform of a model that is there."""
        model = self._models.container(parameters["ModelName"])
        source = parameters["TransformInput"]
        if source.get("SplitType") != "Line" or source.get("ContentType") != "text/csv":
            raise AwsError("ValidationException", "the double transforms lines of text/csv only")

        def work(run: JobRun, container: Container) -> None:
            self._work(run, model, container)

        return self.begin(parameters["TransformJobName"], parameters, work)

    def describe_transform_job(self, parameters: Parameters) -> Parameters:
        """A transform."""
        name = parameters["TransformJobName"]
        run, _ = self.found(name)
        told = self.described(name)
        if run.phase == "timed_out":
            told["FailureReason"] = "ClientError: an invocation timed out. See job logs for more information"
        return {**told, **times(run, "TransformStartTime", "TransformEndTime")}

    def stop_transform_job(self, parameters: Parameters) -> Parameters:
        """Ask a transform to stop."""
        return self.end(parameters["TransformJobName"])

    def _work(self, run: JobRun, model: Parameters, container: Container) -> None:
        given, stream = run.arguments, stream_of(self.group, run.id)
        location = given["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        served = Served(model, self._objects, self._logs, stream)
        try:
            if served.loaded.status != 200:
                raise JobFailure("AlgorithmError: See job logs for more information")
            start = location.rpartition("/")[0] + "/"
            for item in self._objects.below(location):
                run.check_stop()
                made = self._transformed(served, given, self._objects.fetch(item).read_text(), stream)
                name = item.uri.removeprefix(start)
                self._objects.write(f"{given['TransformOutput']['S3OutputPath'].rstrip('/')}/{name}.out", made.encode())
        finally:
            served.close()
        del container

    def _transformed(self, served: Served, given: Parameters, text: str, stream: tuple[str, str]) -> str:
        processing = given.get("DataProcessing") or {}
        most = (given.get("MaxPayloadInMB") or 6) * 1_000_000
        answered: list[Fields] = []
        for batch in _batches([line.split(",") for line in text.splitlines()], most):
            asked = [",".join(_filtered(processing.get("InputFilter", "$"), fields)) for fields in batch]
            accept = given["TransformOutput"].get("Accept") or "text/csv"
            answer = served.ask("\n".join(asked).encode(), "text/csv", accept)
            if answer.status != 200:
                said = answer.body.decode(errors="replace")
                lines = [f"Bad HTTP status received from algorithm: {answer.status}", said]
                self._logs.write(*stream, lines)
                raise JobFailure("ClientError: See job logs for more information")
            told = answer.body.decode().splitlines()
            if processing.get("JoinSource") == "Input":
                if len(told) != len(batch):
                    raise JobFailure(
                        "ClientError: the number of predictions is not the number of records; they can't be joined"
                    )
                answered += [[*fields, *line.split(",")] for fields, line in zip(batch, told, strict=True)]
            else:
                answered += [line.split(",") for line in told]
        output = processing.get("OutputFilter", "$")
        return "".join(",".join(_filtered(output, fields)) + "\n" for fields in answered)


def _batches(lines: list[Fields], most: int) -> list[list[Fields]]:
    batches: list[list[Fields]] = [[]]
    size = 0
    for fields in lines:
        length = sum(len(field) + 1 for field in fields)
        if batches[-1] and size + length > most:
            batches.append([])
            size = 0
        batches[-1].append(fields)
        size += length
    return [batch for batch in batches if batch]


def _filtered(path: str, fields: Fields) -> Fields:
    """The fields that a JSONPath of SageMaker's names: $, $[2:], $[0,1,-1]."""
    if path == "$":
        return fields
    if found := re.fullmatch(r"\$\[(-?\d*):(-?\d*)\]", path):
        first, last = (int(text) if text else None for text in found.groups())
        return fields[first:last]
    if found := re.fullmatch(r"\$\[(-?\d+(?:,-?\d+)*)\]", path):
        return [fields[int(place)] for place in found.group(1).split(",")]
    raise JobFailure(f"ClientError: the double does not know the filter {path}")
