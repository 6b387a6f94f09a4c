"""The consumers as Lambda calls them: real records of Kinesis in, files and items out, under the environment of a function."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline import lambda_functions
from instacart_pipeline.cli.deploying import deployment
from instacart_pipeline.cli.stream_working import show_status, status
from instacart_pipeline.lambda_functions import to_lookups, to_raw_zone
from instacart_pipeline.resources.stream import Entry
from instacart_pipeline.retail.consumers.events import ALL_DONE, Event, EventInvalid
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline.retail.lookups import CUSTOMERS, DEAD_LETTERS, INVOICES
from instacart_pipeline.retail.tables import STAGED_STREAM, SYSTEM
from instacart_pipeline_tests.aws_double.server import REGION, AwsDouble
from instacart_pipeline_tests.aws_platform import LAKE, AwsPlatform
from instacart_pipeline_tests.reorder.test_chain_on_aws import require_permissions_documented
from instacart_pipeline_tests.retail.consumers.shop import many_lines
from instacart_pipeline_tests.tiers import costs

LINES = list(many_lines(60))
Handler = Callable[[Event, object], Any]


@pytest.fixture
def deployed(aws: AwsDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsPlatform]:
    """A deployed platform, and the environment that docs/aws.md gives the functions."""
    platform = AwsPlatform(tmp_path / "home", aws.endpoint, aws_region=REGION)
    for change in deployment(platform.settings).plan():
        if change.service in ("kinesis", "dynamodb"):
            change.apply()
    environment = {"PROFILE": "aws", "LAKE": LAKE, "AWS_REGION": REGION, "AWS_ENDPOINT": aws.endpoint}
    for name, value in environment.items():
        monkeypatch.setenv(f"INSTACART_{name}", value)
    lambda_functions._consumers.cache_clear()
    aws.requests.clear()
    yield platform
    lambda_functions._consumers.cache_clear()


def events(aws: AwsDouble) -> list[Event]:
    """What is in the stream as Lambda makes events of it, one a shard, after its way over the wire."""
    kinesis, made = aws.client("kinesis"), []
    for shard in kinesis.list_shards(StreamName="instacart-transactions")["Shards"]:
        place = {"StreamName": "instacart-transactions", "ShardId": shard["ShardId"]}
        iterator = kinesis.get_shard_iterator(**place, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        if records := kinesis.get_records(ShardIterator=iterator)["Records"]:
            made.append({"Records": [_as_lambda_gives(each, shard["ShardId"]) for each in records]})
    found: list[Event] = json.loads(json.dumps(made))
    return found


def put(platform: AwsPlatform, *broken: bytes) -> None:
    entries = [Entry(line.invoice_no, line.record()) for line in LINES]
    platform.resources.stream.put([*entries, *(Entry("broken", data) for data in broken)])


def raw_lines(platform: AwsPlatform) -> list[str]:
    """The lines of all files that the function wrote, their headers left out."""
    zones, objects = platform.zones, platform.aws_lake.objects
    found = objects.listed(zones.raw_table(SYSTEM, STAGED_STREAM.name))
    bucket = LAKE.removeprefix("s3://")
    return sorted(row for each in found for row in objects.text(f"s3://{bucket}/{each.key}").splitlines()[1:])


def test_records_become_files_and_items_and_the_same_again_changes_nothing(
    aws: AwsDouble, deployed: AwsPlatform
) -> None:
    put(deployed)
    tables = deployed.resources.lookup_tables
    for _ in range(2):
        for event in events(aws):
            assert to_raw_zone(event, None) == to_lookups(event, None) == ALL_DONE
        assert len(raw_lines(deployed)) == len(LINES)
        assert tables.count(INVOICES) == len(LINES)
        assert tables.count(CUSTOMERS) == len({(line.customer_id, line.invoice_no) for line in LINES})
    require_permissions_documented({f"{each.service}:{each.operation}" for each in aws.requests})


@pytest.mark.parametrize(("handler", "consumer"), [(to_raw_zone, "raw_zone"), (to_lookups, "lookups")])
def test_a_record_that_holds_no_line_becomes_a_dead_letter_and_its_neighbours_go_in(
    aws: AwsDouble, deployed: AwsPlatform, handler: Handler, consumer: str
) -> None:
    put(deployed, b"not a line")
    assert [handler(event, None) for event in events(aws)] == [ALL_DONE] * len(events(aws))
    (letter,) = deployed.resources.lookup_tables.all_of(DEAD_LETTERS, consumer)
    assert base64.b64decode(str(letter["data"])) == b"not a line"


@pytest.mark.parametrize(
    ("handler", "service", "operation"), [(to_raw_zone, "s3", "PutObject"), (to_lookups, "dynamodb", "BatchWriteItem")]
)
def test_what_is_refused_just_now_comes_again_from_the_batchs_first_record_on(
    aws: AwsDouble, deployed: AwsPlatform, handler: Handler, service: str, operation: str
) -> None:
    put(deployed)
    (event, *_) = events(aws)
    aws.faults.add("denied", service, operation, times=None)
    first = event["Records"][0]["kinesis"]["sequenceNumber"]
    assert handler(event, None) == {"batchItemFailures": [{"itemIdentifier": first}]}
    aws.faults.clear()
    assert handler(event, None) == ALL_DONE


def test_the_status_says_of_functions_what_the_stream_knows_and_no_lag(
    deployed: AwsPlatform, capsys: pytest.CaptureFixture[str]
) -> None:
    put(deployed)
    name, states = status(replace(deployed.settings, stream_consumers="lambda"), 0.01)
    told = [(state.consumer, state.records, state.seconds, state.dead_letters, state.shards) for state in states]
    assert told == [(consumer, None, None, 0, ()) for consumer in NAMES]
    show_status(name, states, as_json=False)
    assert "IteratorAge in CloudWatch" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("handler", [to_raw_zone, to_lookups])
def test_what_is_no_event_of_a_stream_is_an_error_that_names_the_mapping(handler: Handler) -> None:
    with pytest.raises(EventInvalid, match="event source mapping"):
        handler({"Records": [{"body": "of a queue"}]}, None)  # type: ignore[typeddict-item]


@pytest.fixture
@costs("contract")
def function_environment() -> dict[str, str]:
    return {**os.environ, "INSTACART_PROFILE": "aws", "INSTACART_LAKE": LAKE}


def test_a_function_needs_no_engine_so_that_its_package_stays_small(function_environment: dict[str, str]) -> None:
    program = (
        "import sys; from instacart_pipeline import lambda_functions as f; f._consumers();"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=function_environment, check=True
    )
    loaded = set(told.stdout.split())
    assert "dagster" in loaded
    assert loaded.isdisjoint({"duckdb", "pyarrow", "pandas", "numpy", "pyspark", "xgboost", "matplotlib", "fastapi"})


def _as_lambda_gives(record: dict[str, Any], shard: str) -> dict[str, Any]:
    """A record of GetRecords in an event, as AWS's documentation of Lambda shows it."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": base64.b64encode(record["Data"]).decode(),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/instacart-functions",
        "awsRegion": REGION,
        "eventSourceARN": f"arn:aws:kinesis:{REGION}:123456789012:stream/instacart-transactions",
    }
