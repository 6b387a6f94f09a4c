"""Glue jobs of the double, as unchanged boto3 sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from instacart_pipeline.resources.glue.scripts import sql_to_parquet
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.support import BUCKET, Lake, eventually
from instacart_pipeline_tests.tiers import missing

ECHO = """
import sys, boto3
print("arguments", sys.argv[1:])
print("to the error log", file=sys.stderr)
boto3.client("s3").put_object(Bucket="lake", Key="made/by-job", Body=b"done")
"""
HANG = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
BREAK = "raise ValueError('no such thing')"


class Job:
    """A Glue job with a script."""

    def __init__(self, lake: Lake, script: str, **definition: Any) -> None:
        self.glue, self.logs = lake.glue, lake.aws.client("logs")
        command = {"Name": "glueetl", "ScriptLocation": lake.put("scripts/job.py", script)}
        self.glue.create_job(Name="job", Role="role", Command=command, **definition)

    def start(self, **arguments: str) -> str:
        given = {f"--{name}": value for name, value in arguments.items()}
        number: str = self.glue.start_job_run(JobName="job", Arguments=given)["JobRunId"]
        return number

    def state(self, number: str) -> str:
        return str(self.glue.get_job_run(JobName="job", RunId=number)["JobRun"]["JobRunState"])

    def ended(self, number: str) -> Any:
        eventually(lambda: self.state(number) in ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"), timeout=300)
        return self.glue.get_job_run(JobName="job", RunId=number)["JobRun"]

    def log(self, number: str, kind: str) -> list[str]:
        found = self.logs.get_log_events(
            logGroupName=f"/aws-glue/jobs/{kind}", logStreamName=number, startFromHead=True
        )
        return [event["message"] for event in found["events"]]


def test_a_script_runs_with_its_arguments_and_its_output_is_logged(aws: AwsDouble, lake: Lake) -> None:
    job = Job(lake, ECHO, DefaultArguments={"--day": "1", "--kept": "x"})
    number = job.start(day="2")
    run = job.ended(number)
    assert run["JobRunState"] == "SUCCEEDED", job.log(number, "error")
    assert run["Arguments"] == {"--day": "2"}
    given = ["--day", "2", "--kept", "x", "--JOB_NAME", "job", "--JOB_RUN_ID", number]
    assert job.log(number, "output") == [f"arguments {given}"]
    assert "to the error log" in job.log(number, "error")
    assert lake.listed("made/") == ["made/by-job"]
    assert [each.caller for each in aws.requests.of("s3", "PutObject")] == ["client", "job"]


def test_a_script_that_breaks_fails_the_run_with_its_error(lake: Lake) -> None:
    job = Job(lake, BREAK)
    number = job.start()
    run = job.ended(number)
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "ValueError: no such thing")
    assert job.log(number, "error")[-1] == "ValueError: no such thing"


def test_stopping_a_run_kills_its_process(aws: AwsDouble, lake: Lake) -> None:
    job = Job(lake, HANG)
    number = job.start()
    (pid,) = eventually(lambda: job.state(number) == "RUNNING" and job.log(number, "output"))
    stopped = job.glue.batch_stop_job_run(JobName="job", JobRunIds=[number, "jr_unknown"])
    assert [each["JobRunId"] for each in stopped["SuccessfulSubmissions"]] == [number]
    assert stopped["Errors"][0]["JobRunId"] == "jr_unknown"
    assert job.ended(number)["JobRunState"] == "STOPPED"
    assert not Path(f"/proc/{pid}").exists()
    assert not any(run.alive for run in aws.jobs("glue"))


def test_closing_the_double_ends_the_children(doubles: type[AwsDouble]) -> None:
    with doubles() as aws:
        lake = Lake(aws)
        lake.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        job = Job(lake, HANG)
        number = job.start()
        (pid,) = eventually(lambda: job.state(number) == "RUNNING" and job.log(number, "output"))
    assert not Path(f"/proc/{pid}").exists()


def test_no_more_runs_at_once_than_the_job_allows(aws: AwsDouble, lake: Lake) -> None:
    job = Job(lake, HANG, ExecutionProperty={"MaxConcurrentRuns": 2})
    aws.outcomes.stuck("glue", times=3)
    numbers = [job.start(), job.start()]
    with pytest.raises(job.glue.exceptions.ConcurrentRunsExceededException):
        job.start()
    job.glue.batch_stop_job_run(JobName="job", JobRunIds=numbers)
    for number in numbers:
        assert job.ended(number)["JobRunState"] == "STOPPED"
    assert aws.most_alive_at_once() == 2
    job.start()


def test_runs_are_listed_newest_first_in_pages(aws: AwsDouble, lake: Lake) -> None:
    job = Job(lake, BREAK, ExecutionProperty={"MaxConcurrentRuns": 5})
    aws.outcomes.failed("glue", times=5)
    numbers = [job.start(place=str(place)) for place in range(5)]
    first = job.glue.get_job_runs(JobName="job", MaxResults=3)
    second = job.glue.get_job_runs(JobName="job", NextToken=first["NextToken"], MaxResults=3)
    assert [run["Id"] for run in first["JobRuns"] + second["JobRuns"]] == numbers[::-1]
    assert "NextToken" not in second


def test_definitions_are_made_once_and_replaced_whole(lake: Lake) -> None:
    job = Job(lake, BREAK, DefaultArguments={"--a": "1"})
    command = {"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/scripts/job.py"}
    job.glue.create_job(Name="job", Role="role", Command=command, DefaultArguments={"--a": "1"})
    with pytest.raises(job.glue.exceptions.IdempotentParameterMismatchException):
        job.glue.create_job(Name="job", Role="other", Command=command)
    job.glue.update_job(JobName="job", JobUpdate={"Role": "other", "Command": command})
    definition = job.glue.get_job(JobName="job")["Job"]
    assert (definition["Role"], "DefaultArguments" in definition) == ("other", False)
    job.glue.delete_job(JobName="job")
    job.glue.delete_job(JobName="job")
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        job.start()


@pytest.mark.parametrize(
    ("outcome", "state", "error"),
    [("failed", "FAILED", "Out of memory"), ("timed_out", "TIMEOUT", "Timeout"), ("stopped", "STOPPED", "")],
)
def test_outcomes(aws: AwsDouble, lake: Lake, outcome: str, state: str, error: str) -> None:
    job = Job(lake, ECHO)
    getattr(aws.outcomes, outcome)("glue", containing="2026-11-20")
    number = job.start(day="2026-11-20")
    run = job.ended(number)
    assert (run["JobRunState"], run.get("ErrorMessage", "")) == (state, error)
    assert lake.listed("made/") == []
    if state == "FAILED":
        assert job.log(number, "error")[-1] == error


def test_a_run_that_fails_on_its_last_step_has_done_its_work(aws: AwsDouble, lake: Lake) -> None:
    job = Job(lake, ECHO)
    aws.outcomes.failed("glue", after_work=True)
    assert job.ended(job.start())["JobRunState"] == "FAILED"
    assert lake.listed("made/") == ["made/by-job"]


def test_a_spark_script_reads_and_writes_s3(lake: Lake) -> None:
    pytest.importorskip("pyspark", reason=missing("PySpark"))
    lake.put_parquet("in/v1/part-0", {"id": [1, 2, 3]})
    job = Job(lake, Path(sql_to_parquet.__file__).read_text())
    number = job.start(
        sql="SELECT id, id * 2 AS twice, dt FROM v WHERE id > 1",
        views=json.dumps({"v": {"location": f"s3://{BUCKET}/in/v1", "dt": "2026-11-20"}}),
        columns=json.dumps([["id", "bigint"], ["twice", "bigint"], ["dt", "string"]]),
        target=f"s3://{BUCKET}/out/v2/",
        files="1",
    )
    run = job.ended(number)
    assert run["JobRunState"] == "SUCCEEDED", job.log(number, "error")[-20:]
    (key,) = [key for key in lake.listed("out/v2/") if key.endswith(".parquet")]
    body = lake.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    path = Path(lake.aws.folder) / "read"
    path.write_bytes(body)
    assert pq.read_table(path).to_pylist() == [
        {"id": 2, "twice": 4, "dt": "2026-11-20"},
        {"id": 3, "twice": 6, "dt": "2026-11-20"},
    ]
    assert not any(key.endswith(".crc") for key in lake.listed())
