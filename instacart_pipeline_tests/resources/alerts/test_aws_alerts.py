"""Alerts through SNS: what people read, once a run whoever sends it, and none lost when sending fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from instacart_pipeline.resources.alerts import Alert, AlertUnderWay
from instacart_pipeline.resources.alerts import aws as aws_alerts
from instacart_pipeline.resources.alerts.aws import MOST_BYTES, SnsAlerts, subject_of, text_of
from instacart_pipeline.resources.aws_account.errors import AwsError
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.platform import DT

ALERT = Alert("run-1", "reorder_daily", DT, "orders: file a.csv is empty", "http://dagster:3000/runs/run-1")


class Inbox:
    """A topic, and the queue of somebody who reads it."""

    def __init__(self, aws: AwsDouble) -> None:
        self.aws, self.sqs, sns = aws, aws.client("sqs"), aws.client("sns")
        self.topic = sns.create_topic(Name="alerts")["TopicArn"]
        self.url = self.sqs.create_queue(QueueName="inbox")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)

    def alerts(self, topic: str | None = None) -> SnsAlerts:
        """What another process would make of the same settings."""
        topic = self.topic if topic is None else topic
        return SnsAlerts(session=AwsSession(endpoint=self.aws.endpoint), topic=topic, lake="s3://lake")

    def mail(self) -> list[dict[str, Any]]:
        """What was published since last asked."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
        return found

    def state(self) -> str:
        held = Objects(AwsSession(endpoint=self.aws.endpoint)).held("s3://lake/work/alerts/run-1.json")
        return str(held.content["state"]) if held else "none"


@pytest.fixture
def inbox(aws: AwsDouble) -> Inbox:
    return Inbox(aws)


def test_an_alert_says_which_job_and_day_failed_of_what_and_where_to_look(inbox: Inbox) -> None:
    assert inbox.alerts().send(ALERT)
    (mail,) = inbox.mail()
    assert mail["Subject"] == f"Failed: reorder_daily {DT}"
    assert mail["Message"] == (
        f"The job reorder_daily failed for {DT}.\nRun: http://dagster:3000/runs/run-1\n\norders: file a.csv is empty"
    )


def test_a_run_is_alerted_once_whoever_sends_it_and_another_run_is_another(inbox: Inbox) -> None:
    assert [inbox.alerts().send(ALERT) for _ in range(3)] == [True, False, False]
    assert inbox.alerts().send(Alert("run-2", "reorder_daily", DT, "again"))
    assert len(inbox.mail()) == 2


def test_a_run_is_alerted_once_however_many_send_it_at_once(inbox: Inbox) -> None:
    senders = [inbox.alerts() for _ in range(16)]

    def send(alerts: SnsAlerts) -> str:
        try:
            return str(alerts.send(ALERT))
        except AlertUnderWay:
            return "under way"

    with ThreadPoolExecutor(len(senders)) as pool:
        answers = list(pool.map(send, senders))
    assert answers.count("True") == 1
    assert len(inbox.mail()) == 1
    assert inbox.state() == "sent"


@pytest.mark.parametrize("kind", ["denied", "lost_request"])
def test_an_alert_that_could_not_be_published_is_sent_by_whoever_tries_next(inbox: Inbox, kind: Any) -> None:
    inbox.aws.faults.add(kind, "sns", "Publish")
    with pytest.raises(AwsError):
        inbox.alerts().send(ALERT)
    assert (inbox.state(), inbox.mail()) == ("not sent", [])
    assert inbox.alerts().send(ALERT)
    assert len(inbox.mail()) == 1


def test_a_topic_that_is_gone_is_an_error_each_time(inbox: Inbox) -> None:
    for _ in range(2):
        with pytest.raises(AwsError, match="sns publish: NotFound"):
            inbox.alerts(f"{inbox.topic}-gone").send(ALERT)


def test_a_claim_that_can_not_be_written_is_an_error_and_nothing_is_sent(inbox: Inbox) -> None:
    inbox.aws.faults.add("denied", "s3", "PutObject")
    with pytest.raises(AwsError):
        inbox.alerts().send(ALERT)
    assert inbox.mail() == []
    assert inbox.alerts().send(ALERT)


def dies_before_publishing(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process claims the alert and is killed before it can publish or give the claim back."""
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(aws_alerts, "text_of", _killed)
        patched.setattr(aws_alerts, "_note", lambda *_: None)
        inbox.alerts().send(ALERT)


def dies_after_publishing(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process publishes the alert and is killed before it can say so."""
    with monkeypatch.context() as patched:
        patched.setattr(aws_alerts, "_note", lambda *_: None)
        inbox.alerts().send(ALERT)


def _killed(_: Alert) -> str:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("dies", "mails"), [(dies_before_publishing, 1), (dies_after_publishing, 2)])
def test_the_claim_of_a_process_that_died_is_taken_over_after_a_while(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, dies: Callable[[Inbox, pytest.MonkeyPatch], None], mails: int
) -> None:
    dies(inbox, monkeypatch)
    with pytest.raises(AlertUnderWay, match="Another process is sending"):
        inbox.alerts().send(ALERT)
    monkeypatch.setattr(aws_alerts, "CLAIM_SECONDS", -2)
    assert inbox.alerts().send(ALERT)
    assert len(inbox.mail()) == mails
    assert not inbox.alerts().send(ALERT)


def test_a_slow_sender_does_not_give_back_a_claim_that_was_taken_over(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_alerts, "CLAIM_SECONDS", -2)

    def overtaken(alert: Alert) -> str:
        monkeypatch.setattr(aws_alerts, "text_of", text_of)
        assert inbox.alerts().send(alert)
        raise KeyboardInterrupt

    monkeypatch.setattr(aws_alerts, "text_of", overtaken)
    with pytest.raises(KeyboardInterrupt):
        inbox.alerts().send(ALERT)
    assert (inbox.state(), len(inbox.mail())) == ("sent", 1)


def test_that_the_alert_was_sent_may_fail_to_be_noted_without_harm(inbox: Inbox) -> None:
    inbox.aws.faults.add("denied", "s3", "PutObject", after=1)
    assert inbox.alerts().send(ALERT)
    assert (inbox.state(), len(inbox.mail())) == ("sending", 1)


def test_without_a_topic_an_alert_is_only_logged(
    inbox: Inbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("dagster"), "propagate", True)
    inbox.aws.requests.clear()
    assert not inbox.alerts("").send(ALERT)
    assert len(inbox.aws.requests) == 0
    assert "orders: file a.csv is empty" in caplog.text


@pytest.mark.parametrize(
    ("job", "subject"),
    [
        ("täglich\n\tlauf", f"Failed: t?glich lauf {DT}"),
        ("j" * 200, f"Failed: {'j' * 89}..."),
        ("j" * 81, f"Failed: {'j' * 81} {DT}"),
    ],
)
def test_a_subject_is_one_line_of_at_most_a_hundred_ascii_characters(job: str, subject: str) -> None:
    assert subject_of(Alert("1", job, DT, "")) == subject
    assert len(subject) <= 100
    assert subject_of(Alert("1", "by_hand", "", "")) == "Failed: by_hand"


def test_an_alert_of_something_else_than_a_run_says_what_its_title_says() -> None:
    alert = Alert("incident-1", "retail_stream", "", "what to do", "http://dagster:3000", "The stream is\n700 s behind")
    assert subject_of(alert) == "The stream is 700 s behind"
    assert text_of(alert) == "The stream is\n700 s behind.\nhttp://dagster:3000\n\nwhat to do"


@pytest.mark.parametrize("letter", ["x", "ä", "€", "\N{GRINNING FACE}", "\ud800"])
def test_a_message_that_is_too_long_for_sns_is_cut_saying_so(letter: str) -> None:
    long = Alert("run-1", "reorder_daily", DT, letter * 300_000, ALERT.link)
    text = text_of(long)
    assert MOST_BYTES - 1000 < len(text.encode()) + len(subject_of(long)) <= MOST_BYTES
    assert "(Cut here: the error has " in text[-200:]


def test_a_message_that_was_cut_is_taken_by_sns(inbox: Inbox) -> None:
    assert inbox.alerts().send(Alert("run-1", "reorder_daily", DT, "\N{GRINNING FACE}" * 300_000, ALERT.link))
    assert len(inbox.mail()) == 1
