"""The sensor on uploads over S3 and SQS, as Dagster runs it: from the event of an upload to one run, and what a tick costs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.orchestration import arrival
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.upload_notices import aws as sqs_uploads
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import LAKE, AwsPlatform
from instacart_pipeline_tests.platform import shared_instance
from instacart_pipeline_tests.resources.raw_zones import fill

TODAY = datetime.now(timezone.utc).date()
DAYS = [f"{TODAY - timedelta(days=number)}" for number in range(320)][::-1]
OLD = DAYS[0]


@cache
def graph(first_day: date) -> dg.Definitions:
    """The whole graph. Its sensor knows of the settings what stands here; the resources are given to each tick."""
    return build_defs(Settings(profile="aws", lake=LAKE, first_day=first_day, settle_seconds=0))


class Site:
    """The platform on the double, its uploads announced in a queue; the sensor ticks by hand, its cursor survives as text."""

    def __init__(self, home: Path, aws: AwsDouble) -> None:
        self.aws, self.sqs = aws, aws.client("sqs")
        self.queue = self.sqs.create_queue(QueueName="uploads")["QueueUrl"]
        self.platform = AwsPlatform(
            home,
            aws.endpoint,
            first_day=TODAY - timedelta(days=len(DAYS) - 1),
            settle_seconds=0,
            upload_queue=self.queue,
        )
        self.definitions = graph(self.platform.settings.first_day)
        self.cursor: str | None = None

    def announce(self) -> None:
        """S3 tells the queue of every change from now on."""
        names = {"QueueUrl": self.queue, "AttributeNames": ["QueueArn"]}
        arn = self.sqs.get_queue_attributes(**names)["Attributes"]["QueueArn"]
        told = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
        self.aws.client("s3").put_bucket_notification_configuration(
            Bucket="lake", NotificationConfiguration={"QueueConfigurations": [told]}
        )

    def fill_newer_days(self) -> None:
        """Folders of so many newer days, with nothing in them, that an old day's turn does not come in a test."""
        fill("lake", (f"raw/reorder/aisles/dt={dt}/_SUCCESS" for dt in DAYS[1:]))

    def name(self, days: Iterable[str]) -> None:
        """Messages that name days, as S3 writes them, without an upload."""
        for dt in days:
            key = f"raw/reorder/orders/dt%3D{dt}/orders.csv"
            record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "lake"}, "object": {"key": key}}}
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps({"Records": [record]}))

    def messages(self) -> int:
        """How many messages are in the queue, hidden or not. One that shows again while they are counted may count as neither."""
        while (counted := self._count_messages()) != self._count_messages():
            continue
        return counted

    def _count_messages(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def tick(self, *, recorded: bool = True) -> tuple[list[str], str]:
        """The run keys that a tick asks for, and what it says. Unless `recorded`, the daemon died before it kept them."""
        resources = {name: getattr(self.platform.resources, name) for name in ("storage", "catalog", "uploads")}
        with dg.build_sensor_context(
            shared_instance(), self.cursor, definitions=self.definitions, resources=resources
        ) as context:
            tick = self.definitions.resolve_sensor_def("reorder_uploads").evaluate_tick(context)
        if recorded:
            self.cursor = tick.cursor
        return [str(request.run_key) for request in tick.run_requests or ()], tick.skip_message or ""


@pytest.fixture
def site(tmp_path: Path, aws: AwsDouble, monkeypatch: pytest.MonkeyPatch) -> Site:
    # What a tick may take of the queue in its time is another file's matter; here a busy machine would decide it.
    monkeypatch.setattr(sqs_uploads, "BEGIN_SECONDS", 120.0)
    return Site(tmp_path / "home", aws)


def test_an_upload_of_an_old_day_is_started_once_and_its_messages_go_with_the_tick_after(
    site: Site, upload_folder: Path
) -> None:
    site.fill_newer_days()
    site.announce()
    site.platform.upload(upload_folder, OLD)
    sent = site.messages()
    keys, said = site.tick()
    assert (keys, f"{OLD} is still arriving" in said) == ([], True)
    assert site.messages() == sent - 1  # the test event

    (key,), _ = site.tick()
    assert key.startswith(f"{OLD}/")
    assert site.messages() == 0

    keys, said = site.tick()
    assert (keys, OLD in said) == ([], False)


def test_a_tick_that_was_not_recorded_deletes_nothing_and_asks_for_the_same_run_again(
    site: Site, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.fill_newer_days()
    site.announce()
    site.tick()
    site.platform.upload(upload_folder, OLD)
    sent = site.messages()
    with monkeypatch.context() as patched:
        patched.setattr(sqs_uploads, "HIDDEN_SECONDS", 1)
        site.tick(recorded=False)
    said = ""
    deadline = time.monotonic() + 60
    while OLD not in said:  # until SQS shows the messages again, as soon as a second later
        assert time.monotonic() < deadline, "the messages do not come again"
        time.sleep(0.1)
        _, said = site.tick()
        assert site.messages() == sent
    assert f"{OLD} is still arriving" in said

    first, _ = site.tick(recorded=False)
    again, _ = site.tick()
    assert (len(first), again, site.messages()) == (1, first, 0)


def test_a_file_that_is_replaced_starts_its_day_again_and_the_same_bytes_do_not(
    site: Site, upload_folder: Path
) -> None:
    site.fill_newer_days()
    site.announce()
    keys: list[str] = []

    def ticks() -> int:
        for _ in range(3):
            keys.extend(site.tick()[0])
        return len(keys)

    site.platform.upload(upload_folder, OLD)
    assert ticks() == 1
    s3, key = site.aws.client("s3"), f"raw/reorder/aisles/dt={OLD}/aisles.csv"
    held = s3.get_object(Bucket="lake", Key=key)
    s3.put_object(Bucket="lake", Key=key, Body=held["Body"].read(), Metadata=held["Metadata"])
    assert ticks() == 1
    aisles = upload_folder / "aisles.csv"
    aisles.write_text(aisles.read_text() + "4,bread\n")
    site.platform.upload(upload_folder, OLD)
    assert ticks() == 2
    assert len(set(keys)) == 2
    assert site.messages() == 0


@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessageBatch"])
def test_a_queue_that_fails_does_not_stop_the_sensor_and_the_tick_says_so(
    site: Site, upload_folder: Path, operation: str
) -> None:
    site.announce()
    site.platform.upload(upload_folder, DAYS[-1])
    site.tick()
    site.aws.faults.add("denied", "sqs", operation, times=None)
    (key,), _ = site.tick()
    assert key.startswith(DAYS[-1])
    keys, said = site.tick()
    assert keys == []
    if operation == "ReceiveMessage":
        assert said.startswith("Notices of uploads can't be had")
        assert "sqs receive_message: AccessDenied" in said
    site.aws.faults.clear()
    assert (site.tick(), site.messages()) == (([], "No new upload."), 0)


def test_without_a_queue_new_days_are_found_by_looking(tmp_path: Path, aws: AwsDouble, upload_folder: Path) -> None:
    site = Site(tmp_path / "home", aws)
    site.platform = AwsPlatform(tmp_path / "home", aws.endpoint, settle_seconds=0)
    site.platform.upload(upload_folder, DAYS[-1])
    site.tick()
    assert len(site.tick()[0]) == 1
    assert aws.requests.count("sqs", "ReceiveMessage") == 0


def test_a_quiet_tick_asks_the_queue_alone_and_the_raw_zone_is_looked_around_in_ever_so_often(
    site: Site, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.announce()
    site.platform.upload(upload_folder, DAYS[-1])
    assert [len(site.tick()[0]) for _ in range(3)] == [0, 1, 0]
    for _ in range(3):
        site.aws.requests.clear()
        assert site.tick() == ([], "No new upload.")
        assert site.aws.requests.counts() == {("sqs", "ReceiveMessage"): 1}
    monkeypatch.setattr(arrival, "FALLBACK_SECONDS", 0.0)
    site.aws.requests.clear()
    site.tick()
    assert site.aws.requests.counts() == {("sqs", "ReceiveMessage"): 1, ("s3", "ListObjectsV2"): 2 * len(t.STAGED)}


def test_a_tick_that_hears_of_one_day_looks_at_that_day_alone(site: Site, upload_folder: Path) -> None:
    site.announce()
    site.tick()
    site.platform.upload(upload_folder, OLD)
    site.aws.requests.clear()
    site.tick()
    assert site.aws.requests.count("s3", "ListObjectsV2") == len(t.STAGED)


def test_an_upload_whose_notice_was_lost_is_found_within_the_interval(
    site: Site, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.tick()
    site.platform.upload(upload_folder, DAYS[-1])
    assert site.tick() == ([], "No new upload.")
    later = time.time() + arrival.FALLBACK_SECONDS
    monkeypatch.setattr("time.time", lambda: later)
    assert f"{DAYS[-1]} is still arriving" in site.tick()[1]
    (key,), _ = site.tick()
    assert key.startswith(DAYS[-1])


@pytest.mark.parametrize("files", [1, 10])
def test_a_tick_makes_as_many_calls_however_many_objects_there_are(
    site: Site, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    newest, older, noticed, messages = 2, 3, 6, 20
    monkeypatch.setattr(arrival, "NEWEST_DAYS", newest)
    monkeypatch.setattr(arrival, "OLDER_DAYS_A_TICK", older)
    monkeypatch.setattr(arrival, "NOTICED_A_TICK", noticed)
    monkeypatch.setattr(arrival, "MESSAGES_A_TICK", messages)
    days = DAYS[:30]
    tables = [table.name for table in t.STAGED]
    fill(
        "lake",
        (f"raw/reorder/{table}/dt={dt}/{number}.csv" for table in tables for dt in days for number in range(files)),
    )
    for named in (4, 25):
        site.name(days[:named])
        site.aws.requests.clear()
        site.cursor = None
        assert site.tick()[0] == []
        assert site.aws.requests.counts() == {
            ("s3", "ListObjectsV2"): len(tables) * (1 + newest + older + min(named, noticed)),
            ("sqs", "ReceiveMessage"): min(-(-named // 10) + 1, messages // 10),
        }
