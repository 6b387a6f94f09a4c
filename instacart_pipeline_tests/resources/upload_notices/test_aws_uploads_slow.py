"""A queue of upload notices that answers, but slowly: the sensor's minute isn't spent on it, and nothing is lost."""

from __future__ import annotations

import pytest

from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.resources.upload_notices.test_aws_uploads import KEY, Mailbox, event


@pytest.fixture
def slow(aws: AwsDouble, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    """25 messages in a queue, each of whose answers takes as long as all of them may."""
    mailbox = Mailbox(aws)
    for _ in range(25):
        mailbox.send(event(KEY))
    monkeypatch.setattr("instacart_pipeline.resources.upload_notices.aws.BEGIN_SECONDS", 0.05)
    aws.faults.add("delayed", "sqs", "ReceiveMessage", times=None, seconds=0.1)
    aws.faults.add("delayed", "sqs", "DeleteMessageBatch", times=None, seconds=0.1)
    aws.requests.clear()
    return mailbox


def test_what_a_slow_queue_gave_in_time_is_taken_and_the_rest_comes_in_the_next_ticks(slow: Mailbox) -> None:
    assert [len(slow.notices.receive(100)) for _ in range(4)] == [10, 10, 5, 0]
    assert slow.aws.requests.counts() == {("sqs", "ReceiveMessage"): 4}


def test_messages_that_a_slow_queue_did_not_delete_in_time_come_again(slow: Mailbox) -> None:
    receipts = [notice.receipt for _ in range(3) for notice in slow.notices.receive(100)]
    slow.notices.forget(receipts)
    assert slow.count() == 15
    slow.notices.forget(receipts[10:])
    assert slow.count() == 5
