"""What the stream must have before it is used: the Kinesis stream, and the DynamoDB tables of lookups and checkpoints.

Belongs here: their definitions, comparing them with what there is, and mending. What somebody chose for cost (provisioned shards or
capacity in place of on-demand) is let be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid
from instacart_pipeline.resources.aws_account.changes import Change, differences, plan_update
from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsNotFound, AwsUnavailable
from instacart_pipeline.resources.aws_account.patience import RetryPolicy
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.lookup_tables import LookupTable
from instacart_pipeline.resources.stream.aws.checkpoints import CHECKPOINTS

_SHORTEST_HOURS, _LONGEST_HOURS = 24, 8760
"""The retention that Kinesis takes."""
_MADE_SECONDS, _LOOK_SECONDS = 300.0, 0.5
"""How long a stream or table may take to be made or changed, and how often it is looked at."""


@dataclass(frozen=True)
class Streaming:
    """The stream, how long it keeps records, and the tables with what their names begin with."""

    stream: str
    retention_hours: int
    prefix: str
    tables: Sequence[LookupTable]

    def __post_init__(self) -> None:
        """Raise SettingsInvalid if Kinesis can't keep records that long."""
        if not _SHORTEST_HOURS <= self.retention_hours <= _LONGEST_HOURS:
            raise SettingsInvalid(
                f"INSTACART_STREAM_RETENTION_HOURS={self.retention_hours}: Kinesis keeps records for {_SHORTEST_HOURS} to {_LONGEST_HOURS} hours."
            )


def plan(session: AwsSession, streaming: Streaming) -> Iterator[Change]:
    """The stream and each table, and what of it differs. Reads only. Raises AwsError if AWS refuses a look."""
    yield _stream(session, streaming)
    for table in (*streaming.tables, CHECKPOINTS):
        yield _table(session, table, f"{streaming.prefix}{table.name}")


def table_definition(table: LookupTable, name: str) -> dict[str, Any]:
    """A table as CreateTable takes it. Paid by request: transactions come in bursts."""
    keys = [(table.partition_key, table.sort_key), *table.indexes.values()]
    attributes = sorted({attribute for pair in keys for attribute in pair if attribute})
    definition: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in attributes],
        "KeySchema": _key_schema(table.partition_key, table.sort_key),
    }
    if table.indexes:
        definition["GlobalSecondaryIndexes"] = [_index(index, *pair) for index, pair in table.indexes.items()]
    return definition


def _stream(session: AwsSession, streaming: Streaming) -> Change:
    name, hours, call = streaming.stream, streaming.retention_hours, session.call

    def look() -> dict[str, Any]:
        found: dict[str, Any] = call("kinesis", "describe_stream_summary", StreamName=name)["StreamDescriptionSummary"]
        return found

    def active() -> bool:
        return str(look()["StreamStatus"]) == "ACTIVE"

    def keep(there: int) -> None:
        if there != hours:
            operation = "increase_stream_retention_period" if hours > there else "decrease_stream_retention_period"
            call("kinesis", operation, StreamName=name, RetentionPeriodHours=hours)
            _await(active, name)

    def make() -> None:
        _unless_there(
            lambda: call("kinesis", "create_stream", StreamName=name, StreamModeDetails={"StreamMode": "ON_DEMAND"})
        )
        _await(active, name)
        keep(int(look()["RetentionPeriodHours"]))

    try:
        there = look()
    except AwsNotFound:
        return Change("kinesis", name, "create", (), make)
    differs = differences({"RetentionPeriodHours": hours}, there)
    return plan_update("kinesis", name, differs, lambda: keep(int(there["RetentionPeriodHours"])))


def _table(session: AwsSession, table: LookupTable, name: str) -> Change:
    wanted = table_definition(table, name)

    def look() -> dict[str, Any]:
        found: dict[str, Any] = session.call("dynamodb", "describe_table", TableName=name)["Table"]
        return found

    def make() -> None:
        _unless_there(lambda: session.call("dynamodb", "create_table", **wanted))
        _await(lambda: _is_active(look()), name)
        _once_up(lambda: [mend() for mend in _settings(session, table, name).values()])

    try:
        there = look()
    except AwsNotFound:
        return Change("dynamodb", name, "create", (), make)
    mends = _indexes(session, wanted, there) | _settings(session, table, name)

    def mend_all() -> None:
        if wrong := differences({"KeySchema": wanted["KeySchema"]}, there):
            raise PipelineError(
                f"The DynamoDB table {name} has another key than it should: {'; '.join(wrong)}. A key can't be changed: "
                "remove the table if its items can go, or set INSTACART_LOOKUP_PREFIX to names that are free."
            )
        for mend in mends.values():
            mend()
            _await(lambda: _is_active(look()), name)

    return plan_update("dynamodb", name, (*differences({"KeySchema": wanted["KeySchema"]}, there), *mends), mend_all)


def _indexes(session: AwsSession, wanted: dict[str, Any], there: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """What makes each index that is lacking, by what is said of it."""
    known = {index["IndexName"] for index in there.get("GlobalSecondaryIndexes", [])}

    def make(index: dict[str, Any]) -> Callable[[], object]:
        return lambda: session.call(
            "dynamodb",
            "update_table",
            TableName=wanted["TableName"],
            AttributeDefinitions=wanted["AttributeDefinitions"],
            GlobalSecondaryIndexUpdates=[{"Create": index}],
        )

    lacking = [index for index in wanted.get("GlobalSecondaryIndexes", []) if index["IndexName"] not in known]
    return {f"index {index['IndexName']}: nothing -> made": make(index) for index in lacking}


def _settings(session: AwsSession, table: LookupTable, name: str) -> dict[str, Callable[[], object]]:
    """What mends each setting of a table that is not as it should be, by what is said of it."""
    mends: dict[str, Callable[[], object]] = {}
    backups = session.call("dynamodb", "describe_continuous_backups", TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus", "DISABLED")
    if recovery != "ENABLED":
        mends[f"PointInTimeRecovery: {recovery} -> ENABLED"] = lambda: session.call(
            "dynamodb",
            "update_continuous_backups",
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
    if table.expires:
        told = session.call("dynamodb", "describe_time_to_live", TableName=name)["TimeToLiveDescription"]
        on = told.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
        there = told.get("AttributeName", "nothing") if on else "nothing"
        if there != table.expires:
            mends[f"TimeToLive: {there} -> {table.expires}"] = lambda: session.call(
                "dynamodb",
                "update_time_to_live",
                TableName=name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": table.expires},
            )
    return mends


def _key_schema(partition_key: str, sort_key: str) -> list[dict[str, str]]:
    sorted_by = [{"AttributeName": sort_key, "KeyType": "RANGE"}] if sort_key else []
    return [{"AttributeName": partition_key, "KeyType": "HASH"}, *sorted_by]


def _index(name: str, partition_key: str, sort_key: str) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": _key_schema(partition_key, sort_key),
        "Projection": {"ProjectionType": "ALL"},
    }


def _is_active(table: dict[str, Any]) -> bool:
    indexes = table.get("GlobalSecondaryIndexes", [])
    return table["TableStatus"] == "ACTIVE" and all(each.get("IndexStatus", "ACTIVE") == "ACTIVE" for each in indexes)


def _unless_there(make: Callable[[], object]) -> None:
    """Make a thing; that it was made already, by a try whose answer was lost or by somebody else, is no error."""
    try:
        make()
    except AwsConflict:
        return


def _once_up(do: Callable[[], object]) -> None:
    """Do what a new table isn't up to for some seconds after it is active."""
    patience = RetryPolicy(_MADE_SECONDS)
    while True:
        try:
            do()
        except AwsUnavailable:  # noqa: PERF203  # one try a round is what it is about
            if not patience.pause():
                raise
        else:
            return


def _await(ready: Callable[[], bool], name: str) -> None:
    """Wait until what was asked for is done. Raises PipelineError if it takes too long."""
    until = time.monotonic() + _MADE_SECONDS
    while not ready():
        if time.monotonic() > until:
            raise PipelineError(
                f"{name} is not ready after {_MADE_SECONDS:g} s. AWS goes on with it: run `instacart-pipeline deploy` again in a while."
            )
        time.sleep(_LOOK_SECONDS)
