"""Processing jobs: any command in a container, with inputs from S3 in its folders and outputs from its folders in S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun
from instacart_pipeline_tests.aws_double.sagemaker_container import ML, Container
from instacart_pipeline_tests.aws_double.sagemaker_jobs import JobKind, times
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters


class Processing(JobKind):
    """The part of the API that is about processing jobs."""

    kind = "processing-job"
    group = "ProcessingJobs"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._messages: dict[str, str] = {}

    def create_processing_job(self, parameters: Parameters) -> Parameters:
        """Start a processing."""
        if not parameters["AppSpecification"].get("ContainerEntrypoint"):
            raise AwsError("ValidationException", "the double has no image; a processing job needs an entrypoint here")
        return self.begin(parameters["ProcessingJobName"], parameters, self.work)

    def describe_processing_job(self, parameters: Parameters) -> Parameters:
        """A processing."""
        name = parameters["ProcessingJobName"]
        run, _ = self.found(name)
        told = {**self.described(name), **times(run, "ProcessingStartTime", "ProcessingEndTime")}
        return {**told, "ExitMessage": self._messages.get(name)}

    def stop_processing_job(self, parameters: Parameters) -> Parameters:
        """Ask a processing to stop."""
        return self.end(parameters["ProcessingJobName"])

    def work(self, run: JobRun, container: Container) -> None:
        """The work of a processing: fetch, run the command, put what it wrote."""
        given = run.arguments
        for each in given.get("ProcessingInputs") or ():
            container.fetch(each["S3Input"]["S3Uri"], each["S3Input"]["LocalPath"])
        outputs = (given.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
        for each in outputs:
            Path(container.here(each["S3Output"]["LocalPath"])).mkdir(parents=True, exist_ok=True)
        (container.root / "output").mkdir(exist_ok=True)
        application = given["AppSpecification"]
        command = [*application["ContainerEntrypoint"], *(application.get("ContainerArguments") or ())]
        try:
            container.execute(command, given.get("Environment") or {}, container.root)
        except JobFailure as failure:
            message = Path(container.here(f"{ML}/output/message"))
            if message.exists():
                self._messages[run.id] = message.read_text()[:1024]
            # What a processing's script says is only in its log and its message.
            raise JobFailure("AlgorithmError: See job logs for more information") from failure
        for each in outputs:
            container.put_files(each["S3Output"]["LocalPath"], each["S3Output"]["S3Uri"])
