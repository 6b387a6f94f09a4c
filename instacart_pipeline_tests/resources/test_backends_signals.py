"""What comes in and goes out beside the tables, whichever backend: alerts, notices of uploads, and what dead runs left."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from instacart_pipeline.profiles import Resources, build_resources
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.alerts import Alert, AlertUnderWay
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.resources.backends import Day

ALERT = Alert("", "reorder_daily", "2026-11-20", 'orders: größe ist "leer"\nsecond line', "http://dagster:3000/runs/")


@pytest.fixture(scope="module")
def inbox(backend_double: AwsDouble | None) -> str:
    """The URL of a queue that takes what is sent to the topic `alerts`; none on one machine."""
    if backend_double is None:
        return ""
    sqs, sns = backend_double.client("sqs"), backend_double.client("sns")
    url = str(sqs.create_queue(QueueName="inbox")["QueueUrl"])
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=sns.create_topic(Name="alerts")["TopicArn"], Protocol="sqs", Endpoint=arn)
    return url


@pytest.fixture(scope="module")
def uploads_queue(backend_double: AwsDouble | None) -> str:
    """The URL of a queue for notices of uploads; none on one machine."""
    return str(backend_double.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]) if backend_double else ""


@pytest.fixture(scope="module")
def make_resources(
    backend: Platform, backend_double: AwsDouble | None, inbox: str, uploads_queue: str
) -> Callable[[], Resources]:
    """What another process would make of the backend's settings, those of alerts and uploads included."""
    topic = backend_double.client("sns").create_topic(Name="alerts")["TopicArn"] if inbox and backend_double else ""
    settings = replace(backend.settings, alert_topic=topic, upload_queue=uploads_queue)
    return lambda: build_resources(settings)


@pytest.fixture
def sent(backend: Platform, backend_double: AwsDouble | None, inbox: str) -> Callable[[], list[str]]:
    """The texts of the alerts that were sent since last asked."""
    log, read = backend.home / "alerts.log", [0]

    def logged() -> list[str]:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        new = lines[read[0] :]
        read[0] = len(lines)
        return ["\n".join(line.values()) for line in new]

    def received() -> list[str]:
        assert backend_double
        sqs, found = backend_double.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"])["Message"] for message in messages]
        return found

    asked = received if backend_double else logged
    asked()
    return asked


# Alerts.


def test_an_alert_says_job_day_error_and_where_to_look(
    make_resources: Callable[[], Resources], sent: Callable[[], list[str]]
) -> None:
    alert = replace(ALERT, run_id="run-1", link=f"{ALERT.link}run-1")
    assert make_resources().alerts.send(alert)
    (text,) = sent()
    for said in (alert.job, alert.dt, alert.error, alert.link):
        assert said in text


def test_an_alert_without_a_link_names_the_run(
    make_resources: Callable[[], Resources], sent: Callable[[], list[str]]
) -> None:
    assert make_resources().alerts.send(replace(ALERT, run_id="run-2", link=""))
    assert "run-2" in sent()[0]


def test_a_run_is_alerted_once_whoever_sends_it_and_whatever_it_says(
    make_resources: Callable[[], Resources], sent: Callable[[], list[str]]
) -> None:
    alert = replace(ALERT, run_id="run-3")
    answers = [make_resources().alerts.send(replace(alert, error=error)) for error in ("first", "second", "third")]
    assert answers == [True, False, False]
    assert ["first" in text for text in sent()] == [True]
    assert make_resources().alerts.send(replace(ALERT, run_id="run-4"))


def test_a_run_is_alerted_once_however_many_send_it_at_once(
    make_resources: Callable[[], Resources], sent: Callable[[], list[str]]
) -> None:
    def send(_: int) -> bool:
        try:
            return make_resources().alerts.send(replace(ALERT, run_id="run-5"))
        except AlertUnderWay:
            return False

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, range(4)))
    assert answers.count(True) == 1
    assert len(sent()) == 1


# Notices of uploads.


def test_where_nothing_was_uploaded_there_are_no_notices(make_resources: Callable[[], Resources]) -> None:
    assert list(make_resources().uploads.receive(10)) == []


def test_forgetting_nothing_or_what_is_gone_is_no_error(make_resources: Callable[[], Resources]) -> None:
    make_resources().uploads.forget([])
    for notice in make_resources().uploads.receive(10):
        make_resources().uploads.forget([notice.receipt, notice.receipt])


def test_notices_are_hints_and_name_days_that_were_uploaded_where_there_are_any_at_all(
    day: Day, make_resources: Callable[[], Resources], backend_double: AwsDouble | None, uploads_queue: str
) -> None:
    day.put(t.STAGED_AISLES, "aisle_id,aisle\n1,fruits\n")
    if backend_double:
        (found,) = day.backend.storage.objects("reorder", "aisles", day.dt)
        held = {"bucket": {"name": "lake"}, "object": {"key": f"raw/{found.path}".replace("=", "%3D")}}
        event = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": held}]})
        backend_double.client("sqs").send_message(QueueUrl=uploads_queue, MessageBody=event)
    uploads = make_resources().uploads
    notices = uploads.receive(10)
    assert {(notice.system, notice.table, notice.dt) for notice in notices} <= {("reorder", "aisles", day.dt)}
    assert len(notices) == (1 if backend_double else 0)
    uploads.forget([notice.receipt for notice in notices])
    assert list(uploads.receive(10)) == []


# Orphaned jobs.


def test_where_nothing_was_left_nothing_is_stopped(make_resources: Callable[[], Resources]) -> None:
    left = make_resources().orphaned_jobs
    assert list(left.stop("a run that never was")) == []
    assert list(left.stop("a run that never was")) == []
