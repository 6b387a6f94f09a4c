"""Notices of uploads from SQS: S3's event notifications, sent there directly, by SNS, or by EventBridge.

Belongs here: the shapes such messages come in, and what becomes of those that are none.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from dagster import ResourceDependency, get_dagster_logger

from instacart_pipeline.lake.contracts import PARTITION
from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.lake.zones import Zones, parse_day
from instacart_pipeline.resources.aws_account.errors import AwsError
from instacart_pipeline.resources.aws_account.objects import split
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.storage import is_data_file
from instacart_pipeline.resources.upload_notices import Notice, UploadNotices

BATCH = 10
"""Messages of one call: the most that SQS allows."""
HIDDEN_SECONDS = 300
"""How long a message that was received stays hidden. Longer than from one tick to the next, so that it is seldom seen twice."""
BEGIN_SECONDS = 5.0
"""No call is begun later than this after the first of its kind: a sensor has a minute, and a slow queue must leave it some."""
_QUOTED = 500
"""So much of a message is quoted in the log."""
_CHANGES = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:")
_BUS_CHANGES = ("Object Created", "Object Deleted")


class SqsUploadNotices(UploadNotices):
    """Reads the queue at `queue_url`, to which the S3 events of the raw zone of the lake at `lake` go. Without one: none.

    What becomes of a message: a change of a data file of the raw zone is given as a notice and stays in the queue, hidden,
    until it is forgotten. One that reads well but is about anything else (another prefix, a marker, S3's test event) is
    logged and deleted, so that it doesn't come again for ever. One that does not read is logged and left: nobody can say
    that it isn't an upload. The queue's redrive policy moves it to the dead-letter queue; without one it comes again every
    five minutes until the queue's retention ends.
    """

    session: ResourceDependency[AwsSession]
    queue_url: str
    lake: str

    @property
    def gives_notices(self) -> bool:
        """See UploadNotices."""
        return bool(self.queue_url)

    def receive(self, most: int) -> Sequence[Notice]:
        """See UploadNotices. What came before the queue failed, or became too slow, is given all the same."""
        notices: list[Notice] = []
        unrecognized: list[str] = []
        taken, started = 0, time.monotonic()
        while self.queue_url and taken < most and time.monotonic() - started <= BEGIN_SECONDS:
            try:
                messages = self._next(min(BATCH, most - taken))
            except AwsError as error:
                if not taken:
                    raise
                get_dagster_logger().warning(f"The queue of upload notices stopped answering: {error}")
                break
            if not messages:
                break
            taken += len(messages)
            for message in messages:
                self._sort(message, notices, unrecognized)
        try:
            self.forget(unrecognized)
        except AwsError as error:
            get_dagster_logger().warning(f"Messages that are no uploads stay in the queue for now: {error}")
        return notices

    def forget(self, receipts: Sequence[str]) -> None:
        """See UploadNotices. A message that stays although SQS was asked to delete it is logged; it comes again."""
        unique, started = list(dict.fromkeys(receipts)), time.monotonic()
        for start in range(0, len(unique) if self.queue_url else 0, BATCH):
            if time.monotonic() - started > BEGIN_SECONDS:
                get_dagster_logger().warning(
                    f"The queue is slow: {len(unique) - start} messages were not deleted and come again."
                )
                return
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt}
                for number, receipt in enumerate(unique[start : start + BATCH])
            ]
            answer = self.session.call(
                "sqs", "delete_message_batch", once=True, QueueUrl=self.queue_url, Entries=entries
            )
            for failed in answer.get("Failed", []):
                get_dagster_logger().warning(
                    f"A handled upload notice was not deleted: {failed.get('Message', failed)}"
                )

    def _next(self, most: int) -> list[dict[str, Any]]:
        # Tried once: a sensor has a minute for everything, and the next tick is soon.
        answer = self.session.call(
            "sqs",
            "receive_message",
            once=True,
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=0,
            VisibilityTimeout=HIDDEN_SECONDS,
        )
        return list(answer.get("Messages", []))

    def _sort(self, message: dict[str, Any], notices: list[Notice], unrecognized: list[str]) -> None:
        """Put a message to the notices or to the strangers, or leave it."""
        receipt, body = message["ReceiptHandle"], message["Body"]
        try:
            changes = changes_in(body)
        except Unreadable as unreadable:
            get_dagster_logger().warning(
                f"A message in the queue of upload notices does not read ({unreadable}) and is left for the dead-letter "
                f"queue: {body[:_QUOTED]!r}"
            )
            return
        found = [notice for change in changes if (notice := self._notice(change, receipt))]
        notices += found
        if not found:
            what = ", ".join(f"{each.what} of s3://{each.bucket}/{each.key}" for each in changes) or repr(body)
            get_dagster_logger().info(f"A message that is no upload was deleted: {what[:_QUOTED]}")
            unrecognized.append(receipt)

    def _notice(self, change: "Change", receipt: str) -> Notice | None:
        bucket, raw = split(f"{Zones(self.lake).zone('raw')}/")
        if not change.is_content or change.bucket != bucket or not change.key.startswith(raw):
            return None
        parts = change.key.removeprefix(raw).split("/")
        try:
            system, table, folder, name = parts
            column, _, day = folder.partition("=")
            if column != PARTITION or not is_data_file(name):
                return None
            return Notice(system, table, parse_day(day), receipt)
        except (ValueError, InputInvalid):
            return None


@dataclass(frozen=True)
class Change:
    """What a message says happened to an object. `is_content`: it was written or removed, not just tagged or restored."""

    what: str
    bucket: str
    key: str
    is_content: bool


class Unreadable(Exception):
    """A message in no shape that is known."""


def changes_in(body: str) -> list[Change]:
    """The changes a message tells of; none for S3's test event and other services' events. Raises Unreadable."""
    try:
        return list(_changes(json.loads(body)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _changes(held: Any) -> Iterator[Change]:
    if held.get("Type") == "Notification" and "TopicArn" in held:
        yield from _changes(json.loads(held["Message"]))
    elif "Records" in held:
        for record in held["Records"]:
            what, s3 = str(record["eventName"]).removeprefix("s3:"), record["s3"]
            # S3 writes keys as in a URL, "=" as "%3D" and a space as "+".
            yield Change(what, str(s3["bucket"]["name"]), unquote_plus(s3["object"]["key"]), what.startswith(_CHANGES))
    elif "detail-type" in held and held["source"] == "aws.s3":
        # EventBridge writes them as they are.
        what, detail = str(held["detail-type"]), held["detail"]
        yield Change(what, str(detail["bucket"]["name"]), str(detail["object"]["key"]), what in _BUS_CHANGES)
    elif held.get("Event") != "s3:TestEvent" and "detail-type" not in held:
        raise ValueError("neither an event of S3 nor of EventBridge nor a notification of SNS")
