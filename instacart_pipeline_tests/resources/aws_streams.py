"""The stream and the lookup tables on doubles of AWS: moto's Kinesis and DynamoDB, and kinesalite with dynalite.

Belongs here: making a fresh one for the contract suites and for this folder's own tests. Waits are short ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import pytest

from instacart_pipeline.resources.aws_account.deploy_stream import table_definition
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.lookup_tables import LookupTable
from instacart_pipeline.resources.lookup_tables.aws import DynamoLookupTables
from instacart_pipeline.resources.stream.aws import KinesisStream
from instacart_pipeline.resources.stream.aws.checkpoints import CHECKPOINTS
from instacart_pipeline_tests.aws_double import AwsDouble, opened
from instacart_pipeline_tests.aws_double.node_double import NodeDouble, lacking
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.tiers import costs, skip_without

LEASE_SECONDS = 3.0
_NUMBERS = count(1)


@dataclass(frozen=True)
class StreamSite:
    """A double of AWS by its address. Opens resources on it, in child processes too, and makes what they need."""

    double: AwsDouble | NodeDouble

    def stream(self, shards: int) -> partial[KinesisStream]:
        """What opens a new stream with its table of checkpoints."""
        name = f"stream-{next(_NUMBERS)}"
        kinesis = self.double.client("kinesis")
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.make(CHECKPOINTS, f"{name}-")
        kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 0.01, "MaxAttempts": 500})
        return partial(open_stream, self.double.endpoint, self.double.environment(), name)

    def lookups(self) -> partial[DynamoLookupTables]:
        """What opens the lookup tables."""
        return partial(open_lookups, self.double.endpoint, self.double.environment())

    def make(self, table: LookupTable, prefix: str = "test-") -> None:
        """Make a table."""
        dynamo, name = self.double.client("dynamodb"), f"{prefix}{table.name}"
        dynamo.create_table(**table_definition(table, name))
        dynamo.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.01, "MaxAttempts": 500})


def open_stream(endpoint: str, environment: Mapping[str, str], name: str, **settings: Any) -> KinesisStream:
    """A stream on a double."""
    given = {"patience_seconds": 5.0, "lease_seconds": LEASE_SECONDS, **settings}
    return KinesisStream(session=_session(endpoint, environment), name=name, prefix=f"{name}-", **given)


def open_lookups(endpoint: str, environment: Mapping[str, str], **settings: Any) -> DynamoLookupTables:
    """The lookup tables on a double."""
    given = {"patience_seconds": 5.0, **settings}
    return DynamoLookupTables(session=_session(endpoint, environment), prefix="test-", **given)


def _session(endpoint: str, environment: Mapping[str, str]) -> AwsSession:
    for name, value in environment.items():
        os.environ.setdefault(name, value)  # children are forked from a server that began before there was a double
    return AwsSession(endpoint=endpoint, region=REGION)


@pytest.fixture(scope="module")
@costs("contract")
def moto_site() -> Iterator[StreamSite]:
    """moto's Kinesis and DynamoDB."""
    with opened(AwsDouble()) as double:
        yield StreamSite(double)


@pytest.fixture(scope="module")
@costs("deep")
def node_site() -> Iterator[StreamSite]:
    """kinesalite and dynalite. Skipped, saying why, where they can't run."""
    if lacking():
        skip_without("Node.js")
    with opened(NodeDouble()) as double:
        yield StreamSite(double)
