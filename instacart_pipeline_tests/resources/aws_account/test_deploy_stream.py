"""Deploying the stream and the tables of lookups and checkpoints: what differs is mended, and what is made serves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instacart_pipeline.cli.deploying import deployment
from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid
from instacart_pipeline.profiles import aws_session, build_resources
from instacart_pipeline.resources.aws_account.changes import Change
from instacart_pipeline.resources.aws_account.deploy_stream import Streaming, plan
from instacart_pipeline.resources.stream import Entry, Rewind, Shard
from instacart_pipeline.retail import lookups
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.reorder.test_chain_on_aws import require_permissions_documented
from instacart_pipeline_tests.resources.streams import read_all, the


def planned(settings: Settings) -> list[Change]:
    """What the stream and its tables need."""
    streaming = Streaming(
        stream=settings.stream_name,
        retention_hours=settings.stream_retention_hours,
        prefix=settings.lookup_prefix,
        tables=lookups.ALL,
    )
    return list(plan(aws_session(settings), streaming))


def mended(settings: Settings) -> list[Change]:
    """The same, and each thing that differs is brought to it."""
    changes = planned(settings)
    for change in changes:
        if change.action != "unchanged":
            change.apply()
    return changes


def test_what_somebody_changed_of_the_stream_and_its_tables_is_named_and_mended(
    double: AwsDouble, settings: Settings
) -> None:
    mended(settings)
    kinesis, dynamo = double.client("kinesis"), double.client("dynamodb")
    kinesis.decrease_stream_retention_period(StreamName="instacart-transactions", RetentionPeriodHours=48)
    index = {"Delete": {"IndexName": "by_product"}}
    dynamo.update_table(TableName="instacart-invoices", GlobalSecondaryIndexUpdates=[index])
    off = {"Enabled": False, "AttributeName": "expires"}
    dynamo.update_time_to_live(TableName="instacart-requests", TimeToLiveSpecification=off)
    recovery = {"PointInTimeRecoveryEnabled": False}
    dynamo.update_continuous_backups(TableName="instacart-customers", PointInTimeRecoverySpecification=recovery)
    differs = {change.name: list(change.differs) for change in mended(settings) if change.action == "update"}
    assert differs == {
        "instacart-transactions": ["RetentionPeriodHours: 48 -> 168"],
        "instacart-customers": ["PointInTimeRecovery: DISABLED -> ENABLED"],
        "instacart-invoices": ["index by_product: nothing -> made"],
        "instacart-requests": ["TimeToLive: nothing -> expires"],
    }
    assert {change.action for change in planned(settings)} == {"unchanged"}
    stream = kinesis.describe_stream_summary(StreamName="instacart-transactions")["StreamDescriptionSummary"]
    assert (stream["RetentionPeriodHours"], stream["StreamModeDetails"]) == (168, {"StreamMode": "ON_DEMAND"})
    table = dynamo.describe_table(TableName="instacart-invoices")["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [each["IndexName"] for each in table["GlobalSecondaryIndexes"]] == ["by_product"]
    mended(replace(settings, stream_retention_hours=24))
    stream = kinesis.describe_stream_summary(StreamName="instacart-transactions")["StreamDescriptionSummary"]
    assert stream["RetentionPeriodHours"] == 24


def test_the_stream_and_tables_that_are_deployed_serve_by_documented_permissions_alone(
    double: AwsDouble, settings: Settings
) -> None:
    mended(settings)
    mended(replace(settings, stream_retention_hours=24))
    resources = build_resources(settings)
    stream, tables = resources.stream, resources.lookup_tables
    stream.put([Entry("536365", b"{}")])
    (record,) = read_all(stream, 1)
    with stream.claim("lookups", Shard(record.shard)) as claim:
        the(claim).commit(record.sequence)
    stream.rewind("lookups", Rewind())
    assert len(stream.lag("lookups")) == len(stream.state().shards)
    line = {"invoice_no": "536365", "line_key": "1", "customer_product": "17850#85123A"}
    tables.put(lookups.INVOICES, [line])
    assert tables.all_of(lookups.INVOICES, "17850#85123A", index=lookups.BY_PRODUCT) == [line]
    assert tables.put_if_new(lookups.REQUESTS, {"idempotency_key": "a", "expires": 2_000_000_000})
    tables.put_if_greater(lookups.CUSTOMERS, [{"customer_id": "17850", "invoice_no": "536365", "lines": 1}], "lines")
    assert [tables.count(table) for table in lookups.ALL] == [1, 1, 0, 1]
    tables.delete(lookups.INVOICES, [("536365", "1")])
    assert tables.get(lookups.INVOICES, "536365", "1") is None
    require_permissions_documented({f"{each.service}:{each.operation}" for each in double.requests})


def test_a_table_with_another_key_is_not_mended_and_says_what_can_be_done(
    double: AwsDouble, settings: Settings
) -> None:
    double.client("dynamodb").create_table(
        TableName="instacart-customers",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(PipelineError, match=r"instacart-customers has another key.*INSTACART_LOOKUP_PREFIX"):
        mended(settings)


def test_a_retention_that_kinesis_does_not_take_is_an_error_of_the_settings(settings: Settings) -> None:
    with pytest.raises(SettingsInvalid, match="INSTACART_STREAM_RETENTION_HOURS=12: Kinesis keeps records for 24 to"):
        deployment(replace(settings, stream_retention_hours=12))
