"""The command doctor on AWS: what it finds well, missing or denied, what it advises, and that it leaves nothing and tells no secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.resources.aws_account import session
from instacart_pipeline.resources.aws_account.code import INGEST_UPLOAD, SQL_TO_PARQUET
from instacart_pipeline_tests.aws_double.server import REGION, AwsDouble
from instacart_pipeline_tests.aws_platform import LAKE, ROLE, AwsPlatform
from instacart_pipeline_tests.command_line import call
from instacart_pipeline_tests.doctor import SECRET, TOKEN, Doctor, bad
from instacart_pipeline_tests.resources.toy_assets import IMAGE
from instacart_pipeline_tests.tiers import costs

WELL_ON_AWS = {
    *("credentials", "s3", "glue catalog", "glue crawler", "glue job", "athena", "databrew", "sagemaker"),
    *("kinesis", "dynamodb", "redshift", "role", "sqs", "sns"),
}


class Account:
    """An AWS with a deployed lake, a queue with a dead-letter queue, and a topic."""

    def __init__(self, double: AwsDouble, home: Path) -> None:
        self.double = double
        place: Any = {"LocationConstraint": REGION}
        double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=place)
        sqs = double.client("sqs")
        sqs.create_queue(QueueName="dead")
        redrive = json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:123456789012:dead", "maxReceiveCount": "5"})
        self.queue = sqs.create_queue(QueueName="uploads", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
        self.topic = double.client("sns").create_topic(Name="alerts")["TopicArn"]
        self.platform = AwsPlatform(home, double.endpoint, aws_region=REGION)
        self.platform.deploy()

    @property
    def settings(self) -> dict[str, str]:
        given = {"profile": "aws", "lake": LAKE, "service_role": ROLE, "aws_endpoint": self.double.endpoint}
        given |= {"model_image": IMAGE, "redshift_workgroup": "warehouse"}
        queues = {"upload_queue": self.queue, "alert_topic": self.topic}
        return {**given, **queues, "home": str(self.platform.home), "aws_region": REGION, "poll_seconds": "0.02"}

    def objects(self) -> list[str]:
        pages = self.double.client("s3").get_paginator("list_objects_v2").paginate(Bucket="lake")
        return sorted(each["Key"] for page in pages for each in page.get("Contents", []))


@pytest.fixture(scope="module")
@costs("contract")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as environment, AwsDouble() as double:
        secrets = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
        for name, value in {**double.environment(), **secrets}.items():
            environment.setenv(name, value)
        yield Account(double, tmp_path_factory.mktemp("home"))


@pytest.fixture
def there(account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Doctor]:
    """The doctor of the profile aws. Faults are lifted afterwards, and S3 is as it was."""
    before = account.objects()
    yield Doctor(account.settings, capsys, monkeypatch)
    account.double.faults.clear()
    assert account.objects() == before


@pytest.fixture
def mended(account: Account) -> Iterator[None]:
    """What the test takes away is made again."""
    yield
    account.platform.deploy()


def test_an_account_that_is_well_ends_with_0(there: Doctor) -> None:
    told = there.json()
    assert (told.code, told.health) == (0, dict.fromkeys(WELL_ON_AWS, "ok"))
    assert json.loads(told.out)["profile"] == "aws"
    texts = [each["found"] for each in told.findings]
    assert f"{LAKE}/work can be written, read and deleted" in texts
    assert f"services run as {ROLE}" in texts
    assert any(REGION in text and "arn:aws:" in text for text in texts)


def test_people_get_a_table_of_the_account_too(there: Doctor) -> None:
    told = there()
    assert told.code == 0
    assert all(service in told.out for service in WELL_ON_AWS)


@pytest.mark.usefixtures("mended")
def test_an_account_that_was_not_deployed_to_says_so_of_every_thing(there: Doctor, account: Account) -> None:
    glue = account.double.client("glue")
    for system in ("reorder", "retail"):
        glue.delete_crawler(Name=f"instacart-{system}-raw")
    for job in (INGEST_UPLOAD, SQL_TO_PARQUET):
        glue.delete_job(JobName=job)
    account.double.client("athena").delete_work_group(WorkGroup="instacart", RecursiveDeleteOption=True)
    account.double.client("kinesis").delete_stream(StreamName="instacart-transactions")
    for table in ("customers", "checkpoints"):
        account.double.client("dynamodb").delete_table(TableName=f"instacart-{table}")
    told = there.json()
    assert (told.code, bad(told)) == (1, {"glue crawler", "glue job", "athena", "kinesis", "dynamodb"})
    assert [found["found"] for found in told.of("glue crawler")] == [
        "instacart-reorder-raw is not there",
        "instacart-retail-raw is not there",
    ]
    assert len(told.of("glue job")) == 2
    assert len(told.of("dynamodb")) == 2
    for service in bad(told):
        for found in told.of(service):
            assert "instacart-pipeline deploy --apply" in found["found"] + found["remedy"]


@pytest.mark.usefixtures("mended")
def test_what_was_changed_by_hand_is_named(there: Doctor, account: Account) -> None:
    job = account.double.client("glue").get_job(JobName=INGEST_UPLOAD)["Job"]
    update = {name: job[name] for name in ("Role", "GlueVersion", "DefaultArguments")}
    command = {**job["Command"], "ScriptLocation": f"{LAKE}/work/code/older/ingest_upload.py"}
    account.double.client("glue").update_job(JobName=INGEST_UPLOAD, JobUpdate={**update, "Command": command})
    account.double.client("athena").update_work_group(
        WorkGroup="instacart", ConfigurationUpdates={"EnforceWorkGroupConfiguration": True}
    )
    account.double.client("kinesis").decrease_stream_retention_period(
        StreamName="instacart-transactions", RetentionPeriodHours=24
    )
    account.double.client("dynamodb").update_table(
        TableName="instacart-invoices", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by_product"}}]
    )
    told = there.json()
    assert (told.code, bad(told), told.health["kinesis"]) == (1, {"glue job", "athena", "dynamodb"}, "note")
    (found,) = told.of("glue job")
    for part in (INGEST_UPLOAD, "code/older/", "instacart-pipeline deploy --apply"):
        assert part in found["found"]
    (found,) = told.of("athena")
    assert found["found"] == "the workgroup instacart enforces its own output location"
    assert "'Override client-side settings'" in found["remedy"]
    assert "keeps records for 24 hours; 168 are set" in told.of("kinesis")[0]["found"]
    assert "instacart-invoices lacks the index by_product" in [found["found"] for found in told.of("dynamodb")]


DENIED = {
    ("s3", "ListObjectsV2"): ("s3", "s3:ListBucket"),
    ("s3", "PutObject"): ("s3", "s3:PutObject"),
    ("s3", "GetObject"): ("s3", "s3:GetObject"),
    ("glue", "GetDatabases"): ("glue catalog", "glue:GetDatabases"),
    ("glue", "GetCrawler"): ("glue crawler", "glue:GetCrawler"),
    ("glue", "GetJob"): ("glue job", "glue:GetJob"),
    ("athena", "GetWorkGroup"): ("athena", "athena:GetWorkGroup"),
    ("athena", "StartQueryExecution"): ("athena", "athena:StartQueryExecution"),
    ("athena", "GetQueryExecution"): ("athena", "athena:GetQueryExecution"),
    ("databrew", "ListRecipes"): ("databrew", "databrew:ListRecipes"),
    ("kinesis", "DescribeStreamSummary"): ("kinesis", "kinesis:DescribeStreamSummary"),
    ("dynamodb", "DescribeTable"): ("dynamodb", "dynamodb:DescribeTable"),
    ("redshift-data", "BatchExecuteStatement"): ("redshift", "redshift-data:BatchExecuteStatement"),
    ("redshift-data", "DescribeStatement"): ("redshift", "redshift-data:DescribeStatement"),
    ("sqs", "GetQueueAttributes"): ("sqs", "sqs:GetQueueAttributes"),
    ("sns", "GetTopicAttributes"): ("sns", "sns:GetTopicAttributes"),
}


LATER = {("athena", "StartQueryExecution"), ("athena", "GetQueryExecution"), ("redshift-data", "DescribeStatement")}
TOGETHER: dict[str, list[tuple[str, str]]] = {
    "a list of S3": [("s3", "ListObjectsV2")],
    "a put to S3": [("s3", "PutObject")],
    "a get from S3": [("s3", "GetObject")],
    "the first call of the others": [key for key in DENIED if key[0] != "s3" and key not in LATER],
    "a later call of those that make some": [("athena", "StartQueryExecution"), ("redshift-data", "DescribeStatement")],
    "an outcome of Athena": [("athena", "GetQueryExecution")],
}


@pytest.mark.parametrize("case", TOGETHER)
def test_what_is_denied_is_named_with_the_permission_and_who_lacks_it(
    there: Doctor, account: Account, case: str
) -> None:
    for service, operation in TOGETHER[case]:
        account.double.faults.add("denied", service, operation, times=None)
    told = there.json()
    assert told.code == 1
    expected = [DENIED[denied] for denied in TOGETHER[case]]
    services = {service for service, _ in expected}
    # A query's record is kept in S3, so Athena can't be tried without it.
    assert services <= bad(told) <= services | ({"athena"} if services == {"s3"} else set())
    for service, permission in expected:
        remedies = [found["remedy"] for found in told.of(service)]
        assert remedies
        assert all(remedy.startswith(f"Allow {permission} to arn:aws:") for remedy in remedies)
        assert all("docs/aws.md" in remedy for remedy in remedies)
    assert "doctor` says" not in told.out
    account.double.faults.clear()
    assert not any(job.alive for job in account.double.jobs("athena"))


def test_a_delete_that_is_denied_is_named_though_what_was_tried_stays(there: Doctor, account: Account) -> None:
    account.double.faults.add("denied", "s3", "DeleteObject", times=None)
    told = there.json()
    assert (told.code, bad(told)) == (1, {"s3", "athena"})
    assert told.of("s3")[0]["remedy"].startswith("Allow s3:DeleteObject to ")
    account.double.faults.clear()
    for key in account.objects():
        if key.startswith(("work/doctor/", "work/athena/", "work/attempts/")):
            account.double.client("s3").delete_object(Bucket="lake", Key=key)


def test_a_service_that_fails_is_told_apart_from_one_that_denies(there: Doctor, account: Account) -> None:
    account.double.faults.add("server_error", "databrew", "ListRecipes", times=None)
    told = there.json()
    assert (told.code, bad(told)) == (1, {"databrew"})
    assert told.of("databrew")[0]["remedy"] == "AWS or the network failed; run again later."


def test_a_query_that_fails_is_told_with_athenas_reason(there: Doctor, account: Account) -> None:
    account.double.outcomes.failed("athena", "Unable to verify/create output bucket lake")
    told = there.json()
    assert (told.code, bad(told)) == (1, {"athena"})
    assert "Unable to verify/create output bucket lake" in told.of("athena")[0]["found"]


def test_a_bucket_that_is_not_there_is_named_for_every_zone(there: Doctor) -> None:
    told = there.json(lake="s3://nowhere")
    assert told.code == 1
    assert {"s3", "glue job"} <= bad(told)
    found = told.of("s3")
    assert [each["found"].split(":")[1].split(" ")[0] for each in found] == [
        f"//nowhere/{zone}" for zone in ("raw", "curated", "features", "sandbox", "models", "work")
    ]
    assert all("NoSuchBucket" in each["found"] and "INSTACART_LAKE" in each["remedy"] for each in found)


def test_without_a_lake_nothing_else_is_looked_at(there: Doctor) -> None:
    told = there.json(lake="")
    assert (told.code, told.health) == (1, {"credentials": "ok", "s3": "bad"})
    assert "INSTACART_LAKE" in told.of("s3")[0]["remedy"]


def test_without_a_role_services_can_not_run(there: Doctor) -> None:
    told = there.json(service_role="")
    assert (told.code, bad(told)) == (1, {"role"})
    assert "INSTACART_SERVICE_ROLE" in told.of("role")[0]["remedy"]


def test_without_an_image_of_the_region_no_model_can_run(there: Doctor) -> None:
    for image, said in (("", "no image for models is set"), (IMAGE.replace(REGION, "us-west-2"), f"not in {REGION}")):
        told = there.json(model_image=image)
        assert (told.code, bad(told)) == (1, {"sagemaker"})
        assert said in told.of("sagemaker")[0]["found"]
        assert "INSTACART_MODEL_IMAGE" in told.of("sagemaker")[0]["remedy"]


def test_without_queue_and_topic_it_works_with_less(there: Doctor) -> None:
    told = there.json(upload_queue="", alert_topic="")
    assert (told.code, told.health["sqs"], told.health["sns"]) == (0, "note", "note")
    assert "INSTACART_UPLOAD_QUEUE" in told.of("sqs")[0]["remedy"]
    assert "INSTACART_ALERT_TOPIC" in told.of("sns")[0]["remedy"]


def test_a_queue_without_a_dead_letter_queue_is_a_note(there: Doctor, account: Account) -> None:
    url = account.double.client("sqs").create_queue(QueueName="bare")["QueueUrl"]
    told = there.json(upload_queue=url)
    assert (told.code, told.health["sqs"]) == (0, "note")
    (found,) = told.of("sqs")
    assert "no dead-letter queue" in found["found"]
    assert "redrive policy" in found["remedy"]


def test_a_queue_and_a_topic_that_are_not_there_are_bad_and_name_their_settings(
    there: Doctor, account: Account
) -> None:
    told = there.json(upload_queue=f"{account.queue}-gone", alert_topic=f"{account.topic}-gone")
    assert (told.code, bad(told)) == (1, {"sqs", "sns"})
    assert "INSTACART_UPLOAD_QUEUE" in told.of("sqs")[0]["remedy"]
    assert "INSTACART_ALERT_TOPIC" in told.of("sns")[0]["remedy"]


@pytest.mark.parametrize("kind", ["expired", "denied"])
def test_credentials_that_are_no_good_are_told_once_and_ones_that_sts_alone_refuses_are_tried(
    there: Doctor, account: Account, kind: Any
) -> None:
    account.double.faults.add(kind, "sts", times=None)
    told = there.json()
    assert (told.code, bad(told)) == (1, {"credentials"})
    assert (len(told.findings) == 1) is (kind == "expired")
    if kind == "expired":
        assert "aws sso login" in told.of("credentials")[0]["remedy"]


WITHOUT: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "no credentials": lambda settings: settings,
    "no credentials for the role": lambda settings: {**settings, "aws_role": ROLE},
    "a profile that is not there": lambda settings: {**settings, "aws_profile": "nobody"},
}


@pytest.mark.parametrize("case", WITHOUT)
def test_without_credentials_there_is_one_finding_that_says_how_to_get_some(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings = {f"INSTACART_{name.upper()}": value for name, value in WITHOUT[case](account.settings).items()}
    home = Path(settings.pop("INSTACART_HOME"))
    session._clients_of.cache_clear()  # a process that begins has no clients with credentials yet
    told = call(home, "doctor", "--json", **settings)
    session._clients_of.cache_clear()
    (found,) = told.json["findings"]
    assert (told.code, found["service"], found["health"]) == (1, "credentials", "bad")
    assert "aws sso login" in found["remedy"]
    assert "INSTACART_AWS_PROFILE" in found["remedy"]
