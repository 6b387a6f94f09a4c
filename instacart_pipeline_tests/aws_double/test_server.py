"""The double as a whole: requests, faults, jobs under way, and its own start and end."""

from __future__ import annotations

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.faults import Kind
from instacart_pipeline_tests.aws_double.jobs import JobTiming
from instacart_pipeline_tests.aws_double.support import BUCKET, Lake, eventually

CALLS: dict[str, Any] = {
    "s3": lambda client: client.list_objects_v2(Bucket=BUCKET),
    "sqs": lambda client: client.list_queues(),
    "sns": lambda client: client.list_topics(),
    "sts": lambda client: client.get_caller_identity(),
    "glue": lambda client: client.get_databases(),
    "athena": lambda client: client.list_query_executions(),
    "databrew": lambda client: client.list_datasets(),
    "logs": lambda client: client.describe_log_groups(),
}


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("throttled", "SlowDown RequestThrottled Throttled Throttling ThrottlingException"),
        ("server_error", "InternalError InternalServerException InternalServiceException InternalFailure"),
        ("denied", "AccessDenied AuthorizationError AccessDeniedException"),
        ("refused", "InvalidArgument InvalidParameterValue InvalidParameter ValidationException InvalidInputException"
                    " InvalidRequestException InvalidParameterException"),
        ("expired", "ExpiredToken ExpiredTokenException"),
    ],
)  # fmt: skip
def test_every_service_says_a_fault_in_its_own_words(aws: AwsDouble, kind: Kind, codes: str) -> None:
    found = set()
    for service, call in CALLS.items():
        client = aws.client(service)
        rule = aws.faults.add(kind, service)
        with pytest.raises(ClientError) as error:
            call(client)
        found.add(error.value.response["Error"]["Code"])
        assert error.value.response["Error"]["Message"]
        call(client)
        assert rule.hits == 1
    assert found == set(codes.split())


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code"),
    [
        ("athena", "start_query_execution", {"QueryString": "SELECT 1"}, "TooManyRequestsException"),
        ("glue", "start_job_run", {"JobName": "job"}, "ConcurrentRunsExceededException"),
        ("glue", "start_crawler", {"Name": "crawler"}, "CrawlerRunningException"),
        ("databrew", "start_job_run", {"Name": "job"}, "ServiceQuotaExceededException"),
    ],
)
def test_limits_of_concurrent_runs(
    aws: AwsDouble, service: str, operation: str, arguments: dict[str, str], code: str
) -> None:
    aws.faults.add("limit", service)
    with pytest.raises(ClientError, match=code):
        getattr(aws.client(service), operation)(**arguments)


def test_a_lost_request_is_not_carried_out_and_a_lost_reply_is(aws: AwsDouble, lake: Lake) -> None:
    aws.faults.add("lost_request", "s3", "PutObject")
    with pytest.raises(ConnectionClosedError):
        lake.put("a", "1")
    assert lake.listed() == []
    aws.faults.add("lost_reply", "s3", "PutObject")
    with pytest.raises(ConnectionClosedError):
        lake.put("a", "1")
    assert lake.listed() == ["a"]
    assert [each.status for each in aws.requests.of("s3", "PutObject")] == [0, 0]


def test_a_lost_reply_to_a_start_leaves_a_job_that_the_token_finds(aws: AwsDouble, lake: Lake) -> None:
    token = "t" * 32
    aws.faults.add("lost_reply", "athena", "StartQueryExecution")
    with pytest.raises(ConnectionClosedError):
        lake.start("SELECT 1", ClientRequestToken=token)
    number = lake.start("SELECT 1", ClientRequestToken=token)
    assert [job.id for job in aws.jobs("athena")] == [number]


def test_rules_skip_repeat_and_look_for_a_text(aws: AwsDouble, lake: Lake) -> None:
    rule = aws.faults.add("denied", "s3", "PutObject", times=2, after=1, containing="/secret")
    for key in ("open", "secret1", "open2"):
        lake.put(key, "x")
    for key in ("secret2", "secret3"):
        with pytest.raises(ClientError, match="AccessDenied"):
            lake.put(key, "x")
    lake.put("secret4", "x")
    aws.faults.add("server_error", "s3", times=None, status=503)
    for _ in range(3):
        with pytest.raises(ClientError, match="ServiceUnavailable"):
            lake.put("open", "x")
    aws.faults.clear()
    lake.put("open", "x")
    assert rule.hits == 2


def test_a_delayed_request_is_answered_late(aws: AwsDouble, lake: Lake) -> None:
    aws.faults.add("delayed", "s3", seconds=0.2)
    started = time.monotonic()
    assert lake.listed() == []
    assert time.monotonic() - started >= 0.2


def test_a_connection_serves_one_request_after_the_other(aws: AwsDouble) -> None:
    connection = http.client.HTTPConnection(aws.endpoint.removeprefix("http://"), timeout=60)
    connection.connect()
    ours = connection.sock
    for method, path, status in (("GET", "/nowhere", 404), ("PUT", "/nowhere/a", 404), ("HEAD", "/nowhere", 404)):
        connection.request(method, path, b"body" if method == "PUT" else None)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, connection.sock) == (status, ours)
    aws.close()
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.request("GET", "/nowhere")
        connection.getresponse()
    connection.close()


def test_the_end_of_a_double_does_not_wait_for_an_answer_that_is_delayed(aws: AwsDouble) -> None:
    rule = aws.faults.add("delayed", "s3", seconds=600)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(aws.client("s3").list_buckets)
        eventually(lambda: rule.hits)
        aws.close()
        with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
            asked.result(60)


def test_requests_are_recorded_and_counted(aws: AwsDouble, lake: Lake) -> None:
    lake.put("a b/c+d", "x")
    lake.s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "a b/c+d"})
    lake.query("SELECT 1")
    counts = aws.requests.counts()
    assert (counts["s3", "PutObject"], counts["s3", "CopyObject"], counts["athena", "StartQueryExecution"]) == (1, 1, 1)
    assert aws.requests.count("athena", "GetQueryExecution") == len(aws.requests.polls()) > 0
    assert aws.requests.most_per_minute("s3") == 2
    assert aws.requests.of("s3", "PutObject")[0].parameters["Key"] == "a b/c+d"
    assert {each.status for each in aws.requests} == {200}


def test_what_a_request_asks_is_known_whatever_clients_did_before(doubles: type[AwsDouble]) -> None:
    for _ in range(2):
        with doubles() as aws:
            s3 = aws.client("s3")
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
            s3.put_object(Bucket=BUCKET, Key="a/b", Body=b"")
            made, put = aws.requests
            assert (made.operation, made.parameters["Bucket"]) == ("CreateBucket", BUCKET)
            assert (put.operation, put.parameters["Bucket"], put.parameters["Key"]) == ("PutObject", BUCKET, "a/b")


def test_of_many_conditional_writes_one_wins(lake: Lake) -> None:
    def write(number: int) -> int:
        try:
            lake.s3.put_object(Bucket=BUCKET, Key="lock", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(24))) == 1


def test_messages_and_identities_come_from_moto(aws: AwsDouble) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    url = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    sns.publish(TopicArn=topic, Message="a run failed")
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "a run failed"
    assert aws.client("sts").get_caller_identity()["Account"].isdigit()


def test_a_large_object_goes_up_in_parts(aws: AwsDouble, lake: Lake) -> None:
    body = b"0123456789" * 1_000_000
    lake.s3.upload_fileobj(_Stream(body), BUCKET, "large")
    assert lake.s3.get_object(Bucket=BUCKET, Key="large")["Body"].read() == body
    assert aws.requests.count("s3", "UploadPart") == 2


class _Stream:
    """A body of which nobody knows the length."""

    def __init__(self, body: bytes) -> None:
        self._body, self._place = body, 0

    def read(self, size: int = -1) -> bytes:
        first = self._place
        self._place = len(self._body) if size < 0 else first + size
        return self._body[first : self._place]


def test_jobs_that_are_stuck_slow_or_in_an_unknown_state(aws: AwsDouble, lake: Lake) -> None:
    aws.outcomes.unknown("athena", containing="11")
    aws.outcomes.unknown("athena", 0.1, containing="22")
    aws.outcomes.slow("athena", 0.2, containing="33")
    strange, strange_for_a_while, slow = (lake.start(f"SELECT {n}") for n in (11, 22, 33))

    def state(number: str) -> Any:
        return lake.athena.get_query_execution(QueryExecutionId=number)["QueryExecution"]["Status"]["State"]

    assert eventually(lambda: state(strange) == "HIBERNATING")
    assert eventually(lambda: state(slow) == "RUNNING")
    assert [lake.ended(each)["Status"]["State"] for each in (strange_for_a_while, slow)] == ["SUCCEEDED"] * 2
    assert [job.alive for job in aws.jobs()] == [True, False, False]
    assert aws.most_alive_at_once() == 3
    assert aws.most_alive_at_once(lambda job: "22" in job.arguments or "33" in job.arguments) == 2
    lake.athena.stop_query_execution(QueryExecutionId=strange)
    assert lake.ended(strange)["Status"]["State"] == "CANCELLED"


def test_limits_of_the_models_are_held(doubles: type[AwsDouble]) -> None:
    with doubles() as aws:
        raw = boto3.client(
            "athena",
            endpoint_url=aws.endpoint,
            region_name="eu-central-1",
            aws_access_key_id="x",
            aws_secret_access_key="y",  # noqa: S106
            config=Config(parameter_validation=False),
        )
        with pytest.raises(raw.exceptions.InvalidRequestException, match="Member must be at least 32"):
            raw.start_query_execution(QueryString="SELECT 1", ClientRequestToken="short")


def test_one_after_another_starts_empty_and_leaves_nothing(doubles: type[AwsDouble]) -> None:
    threads = threading.active_count()
    for _ in range(2):
        with doubles(JobTiming(queued=0, running=0, stopping=0)) as aws:
            s3 = aws.client("s3")
            assert s3.list_buckets()["Buckets"] == []
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
            aws.outcomes.stuck("athena")
            Lake(aws).start("SELECT 1")
            with pytest.raises(RuntimeError, match="another"), doubles():
                pass
        assert not any(job.alive for job in aws.jobs())
        assert not aws.folder.exists()
        with pytest.raises(EndpointConnectionError):
            s3.list_buckets()
    eventually(lambda: threading.active_count() <= threads)
