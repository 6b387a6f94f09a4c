"""Notices of uploads from SQS: every shape that S3's events come in, what is none, and a queue that fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from instacart_pipeline.resources.aws_account.errors import AwsDenied, AwsError
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.upload_notices.aws import HIDDEN_SECONDS, SqsUploadNotices, Unreadable, changes_in
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.platform import DT

KEY = f"raw/reorder/orders/dt={DT}/orders.csv"
EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]


class Mailbox:
    """A queue on the double that the events of the bucket `lake` go to, with a dead-letter queue after two receives."""

    def __init__(self, aws: AwsDouble) -> None:
        self.aws, self.sqs, self.s3 = aws, aws.client("sqs"), aws.client("s3")
        self.dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        redrive = {"deadLetterTargetArn": self.arn(self.dead), "maxReceiveCount": 2}
        self.url = self.sqs.create_queue(QueueName="uploads", Attributes={"RedrivePolicy": json.dumps(redrive)})[
            "QueueUrl"
        ]
        self.notices = SqsUploadNotices(session=AwsSession(endpoint=aws.endpoint), queue_url=self.url, lake="s3://lake")

    def connect(self) -> None:
        """S3 sends its events to the queue from now on, its test event first."""
        self._notify(QueueConfigurations=[{"QueueArn": self.arn(self.url), "Events": EVENTS}])

    def connect_by_sns(self) -> None:
        """S3 sends its events to a topic, and that to the queue."""
        topic = self.aws.client("sns").create_topic(Name="uploads")["TopicArn"]
        self.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn(self.url))
        self._notify(TopicConfigurations=[{"TopicArn": topic, "Events": EVENTS}])

    def _notify(self, **configuration: Any) -> None:
        self.s3.put_bucket_notification_configuration(Bucket="lake", NotificationConfiguration=configuration)

    def arn(self, url: str) -> str:
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        return str(attributes["QueueArn"])

    def upload(self, key: str = KEY) -> None:
        self.s3.put_object(Bucket="lake", Key=key, Body=b"x")

    def send(self, body: Any) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else json.dumps(body))

    def count(self, url: str = "") -> int:
        """How many messages there are, hidden or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def show_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is received from now on is not hidden: as if five minutes went by after each call."""
        monkeypatch.setattr("instacart_pipeline.resources.upload_notices.aws.HIDDEN_SECONDS", 0)


class Queue:
    """A queue in memory, in place of SQS: what is in it, by the receipt."""

    def __init__(self) -> None:
        self.messages: dict[str, str] = {}
        self.notices = SqsUploadNotices(session=AwsSession(), queue_url="https://sqs/uploads", lake="s3://lake")
        self._received = False

    def send(self, body: Any) -> None:
        self.messages[f"receipt-{len(self.messages)}"] = body if isinstance(body, str) else json.dumps(body)

    def call(self, _service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        if operation == "delete_message_batch":
            for entry in parameters["Entries"]:
                del self.messages[entry["ReceiptHandle"]]
            return {}
        assert operation == "receive_message"
        if self._received:
            return {}
        self._received = True
        return {"Messages": [{"ReceiptHandle": receipt, "Body": body} for receipt, body in self.messages.items()]}


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(AwsSession, "call", lambda _, *given, **more: queue.call(*given, **more))
    return queue


@pytest.fixture
def mailbox(aws: AwsDouble) -> Mailbox:
    return Mailbox(aws)


def named(mailbox: Mailbox, most: int = 100) -> list[tuple[str, str, str]]:
    return [(notice.system, notice.table, notice.dt) for notice in mailbox.notices.receive(most)]


def event(key: str, name: str = "ObjectCreated:Put", bucket: str = "lake") -> dict[str, Any]:
    """An event as S3 writes it, its key as in a URL."""
    s3 = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}
    return {"Records": [{"eventSource": "aws:s3", "eventName": name, "s3": s3}]}


def bus_event(key: str, name: str = "Object Created", bucket: str = "lake") -> dict[str, Any]:
    """An event as EventBridge writes it, its key as it is."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}
    return {"version": "0", "source": "aws.s3", "detail-type": name, "detail": detail}


def by_sns(message: Any) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-central-1:1:uploads", "Message": text}


def test_an_upload_comes_as_a_notice_until_it_is_forgotten(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox.connect()
    named(mailbox)  # the test event
    mailbox.show_again(monkeypatch)
    mailbox.upload()
    (notice,) = mailbox.notices.receive(1)
    assert (notice.system, notice.table, notice.dt) == ("reorder", "orders", DT)
    (again,) = mailbox.notices.receive(1)
    assert again.dt == DT
    mailbox.notices.forget([again.receipt, again.receipt])
    assert (named(mailbox), mailbox.count()) == ([], 0)


def test_what_was_received_stays_hidden_for_longer_than_a_tick(mailbox: Mailbox) -> None:
    mailbox.upload()
    mailbox.send(event(KEY))
    assert len(named(mailbox)) == 1
    assert named(mailbox) == []
    assert mailbox.count() == 1
    assert HIDDEN_SECONDS == 300


def test_s3s_own_test_event_is_deleted(mailbox: Mailbox) -> None:
    mailbox.connect()
    before = mailbox.count()
    assert named(mailbox) == []
    assert (before, mailbox.count()) == (1, 0)


def test_events_that_come_by_sns_are_read_like_any(mailbox: Mailbox) -> None:
    mailbox.connect_by_sns()
    mailbox.upload()
    assert ("reorder", "orders", DT) in named(mailbox)
    assert mailbox.count() == 1


def test_a_removed_file_is_a_change_of_its_day_too(mailbox: Mailbox) -> None:
    mailbox.upload()
    mailbox.connect()
    named(mailbox)
    mailbox.s3.delete_object(Bucket="lake", Key=KEY)
    assert named(mailbox) == [("reorder", "orders", DT)]


QUOTED = f"raw/reorder/orders/dt%3D{DT}/a+b%2Bc%C3%A4.csv"
OURS = {
    "s3, the key as in a URL": event(QUOTED),
    "s3, with its prefix in the event's name": event(QUOTED, "s3:ObjectCreated:CompleteMultipartUpload"),
    "s3, removed by a lifecycle rule": event(QUOTED, "LifecycleExpiration:Delete"),
    "sns": by_sns(event(QUOTED)),
    "sns of sns": by_sns(by_sns(event(QUOTED))),
    "EventBridge, the key as it is": bus_event(f"raw/reorder/orders/dt={DT}/100%25+.csv"),
    "EventBridge, deleted": bus_event(KEY, "Object Deleted"),
    "EventBridge by sns": by_sns(bus_event(KEY)),
    "a capital ending": event(f"raw/reorder/orders/dt={DT}/A.CSV.GZ"),
    "several records, one of them ours": {"Records": [*event("work/x.json")["Records"], *event(QUOTED)["Records"]]},
}


@pytest.mark.parametrize("shape", OURS)
def test_every_shape_of_an_upload_is_read(queue: Queue, shape: str) -> None:
    queue.send(OURS[shape])
    assert [(notice.system, notice.table, notice.dt) for notice in queue.notices.receive(10)] == [
        ("reorder", "orders", DT)
    ]
    assert len(queue.messages) == 1


UNRECOGNIZED = {
    "another prefix": event("work/attempts/run=1/x.json"),
    "a prefix that only begins alike": event(f"raw_old/reorder/orders/dt={DT}/a.csv"),
    "another bucket": event(KEY, bucket="other"),
    "a marker": event(f"raw/reorder/orders/dt={DT}/_SUCCESS"),
    "an upload under way": event(f"raw/reorder/orders/dt={DT}/.a.csv.part"),
    "another kind of file": event(f"raw/reorder/orders/dt={DT}/notes.txt"),
    "a folder below the day": event(f"raw/reorder/orders/dt={DT}/below/a.csv"),
    "no day": event("raw/reorder/orders/dt=soon/a.csv"),
    "no day folder": event("raw/reorder/orders/a.csv"),
    "a tag": event(KEY, "ObjectTagging:Put"),
    "a restore": bus_event(KEY, "Object Restore Completed"),
    "another service's event": {"source": "aws.ec2", "detail-type": "Instance State-change", "detail": {}},
    "no records": {"Records": []},
    "the test event by sns": by_sns({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"}),
}


@pytest.mark.usefixtures("dagster_logs")
@pytest.mark.parametrize("unknown", UNRECOGNIZED)
def test_what_is_no_upload_is_told_and_deleted(queue: Queue, unknown: str, caplog: pytest.LogCaptureFixture) -> None:
    queue.send(UNRECOGNIZED[unknown])
    with caplog.at_level(logging.INFO):
        assert queue.notices.receive(10) == []
    assert queue.messages == {}
    assert "A message that is no upload was deleted: " in caplog.text


UNREADABLE = {
    "no JSON": "hello",
    "cut short": json.dumps(event(KEY))[:-20],
    "no object": "[1, 2]",
    "null": "null",
    "another shape": {"hello": "world"},
    "records without a key": {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "lake"}}}]},
    "records of another kind": {"Records": [{"eventSource": "aws:kinesis"}]},
    "one record of two": {"Records": [*event(KEY)["Records"], {}]},
    "sns around no JSON": by_sns("hello"),
    "so deep that nobody reads it": "[" * 100_000,
}


@pytest.mark.usefixtures("dagster_logs")
@pytest.mark.parametrize("unreadable", UNREADABLE)
def test_what_does_not_read_is_told_and_left(queue: Queue, unreadable: str, caplog: pytest.LogCaptureFixture) -> None:
    queue.send(UNREADABLE[unreadable])
    assert queue.notices.receive(10) == []
    assert len(queue.messages) == 1
    assert "is left for the dead-letter queue" in caplog.text


def test_what_is_left_ends_in_the_dead_letter_queue(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox.show_again(monkeypatch)
    mailbox.send(UNREADABLE["cut short"])
    for _ in range(3):
        assert named(mailbox, most=1) == []
    assert (mailbox.count(), mailbox.count(mailbox.dead)) == (0, 1)


def test_a_message_that_does_not_read_holds_up_no_other(mailbox: Mailbox) -> None:
    for body in ("hello", event(KEY), event("work/x"), "hello", event(KEY)):
        mailbox.send(body)
    assert named(mailbox) == [("reorder", "orders", DT)] * 2
    assert mailbox.count() == 4


def test_messages_come_ten_a_call_and_no_more_than_asked_for(mailbox: Mailbox) -> None:
    for _ in range(37):
        mailbox.send(event(KEY))
    mailbox.aws.requests.clear()
    notices = mailbox.notices.receive(25)
    assert (len(notices), mailbox.aws.requests.counts()) == (25, {("sqs", "ReceiveMessage"): 3})

    mailbox.aws.requests.clear()
    notices = [*notices, *mailbox.notices.receive(100)]
    assert (len(notices), mailbox.aws.requests.counts()) == (37, {("sqs", "ReceiveMessage"): 3})

    mailbox.aws.requests.clear()
    mailbox.notices.forget([notice.receipt for notice in notices])
    assert (mailbox.count(), mailbox.aws.requests.counts()[("sqs", "DeleteMessageBatch")]) == (0, 4)


def test_without_a_queue_there_are_no_notices_and_no_calls(aws: AwsDouble) -> None:
    notices = SqsUploadNotices(session=AwsSession(endpoint=aws.endpoint), queue_url="", lake="s3://lake")
    aws.requests.clear()
    notices.forget(["a"])
    assert (list(notices.receive(10)), len(aws.requests)) == ([], 0)


def test_a_queue_that_can_not_be_reached_is_an_error_after_one_try(mailbox: Mailbox) -> None:
    mailbox.aws.faults.add("denied", "sqs", None, times=None)
    mailbox.aws.requests.clear()
    with pytest.raises(AwsDenied, match="sqs receive_message: AccessDenied"):
        mailbox.notices.receive(10)
    with pytest.raises(AwsDenied, match="sqs delete_message_batch: AccessDenied"):
        mailbox.notices.forget(["a"])
    assert len(mailbox.aws.requests) == 2


def test_what_came_before_the_queue_failed_is_not_lost(mailbox: Mailbox) -> None:
    for _ in range(15):
        mailbox.send(event(KEY))
    mailbox.aws.faults.add("throttled", "sqs", "ReceiveMessage", after=1)
    assert len(named(mailbox)) == 10


def test_a_stranger_that_can_not_be_deleted_is_no_error(mailbox: Mailbox) -> None:
    mailbox.send(event("work/x"))
    mailbox.send(event(KEY))
    mailbox.aws.faults.add("throttled", "sqs", "DeleteMessageBatch")
    assert named(mailbox) == [("reorder", "orders", DT)]
    assert mailbox.count() == 2


def test_a_receipt_that_is_none_any_more_is_no_error(mailbox: Mailbox) -> None:
    mailbox.send(event(KEY))
    (notice,) = mailbox.notices.receive(10)
    mailbox.notices.forget(["made up", notice.receipt])
    assert mailbox.count() == 0
    mailbox.notices.forget([notice.receipt])


def test_a_queue_that_is_none_is_an_error(mailbox: Mailbox) -> None:
    missing = mailbox.notices.model_copy(update={"queue_url": f"{mailbox.url}-missing"})
    with pytest.raises(AwsError, match=r"NonExistentQueue|QueueDoesNotExist"):
        missing.receive(1)


def test_unreadable_says_why() -> None:
    with pytest.raises(Unreadable, match="neither an event of S3"):
        changes_in("{}")


@pytest.fixture
def dagster_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dagster's logger hands on what it is told, so that caplog sees it."""
    monkeypatch.setattr(logging.getLogger("dagster"), "propagate", True)
    yield
