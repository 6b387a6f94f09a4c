"""A lake on the AWS double, put together by hand: what tests of one service at a time begin with."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.aws_account.objects import split
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.catalog.aws import GlueCatalog
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.jobs import JobTiming
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.platform import DT, Row

LAKE = "s3://lake"
ROLE = "arn:aws:iam::123456789012:role/instacart"
WORKGROUP = "instacart"
_TYPES = {"bigint": pa.int64(), "int": pa.int32(), "double": pa.float64(), "string": pa.string()}


class Site:
    """A lake in the bucket `lake` of a double, with its workgroup; nothing is deployed."""

    def __init__(self, aws: AwsDouble, *, deadline: float = 60.0) -> None:
        self.aws = aws
        self.session = AwsSession(endpoint=aws.endpoint, region=REGION)
        self.catalog = GlueCatalog(session=self.session, lake=LAKE)
        self.jobs = ManagedJobs(session=self.session, base=f"{LAKE}/work", deadline_seconds=deadline, poll_seconds=0.02)
        self.lake = AwsLake(
            session=self.session,
            catalog=self.catalog,
            jobs=self.jobs,
            base=LAKE,
            workgroup=WORKGROUP,
            retention_days=7,
        )

    def prepare(self) -> Site:
        """Make the bucket and the workgroup."""
        place: Any = {"LocationConstraint": REGION}
        self.aws.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=place)
        result = {"ResultConfiguration": {"OutputLocation": f"{LAKE}/work/athena/"}}
        self.aws.client("athena").create_work_group(Name=WORKGROUP, Configuration=result)
        return self

    def put(self, uri: str, body: str | bytes) -> None:
        """Write an object."""
        bucket, key = split(uri)
        self.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)

    def keys(self, prefix: str = "") -> list[str]:
        """The keys in the bucket below a prefix."""
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def fill(
        self, table: TableContract, rows: Sequence[Row], dt: str = DT, lineage: Mapping[str, str] | None = None
    ) -> Version:
        """Publish rows as a day of a table, past any service."""
        version = new_version()
        location = self.lake.zones.version(table, dt, version)
        file = io.BytesIO()
        pq.write_table(arrow(table, rows), file)
        self.put(f"{location}/part-0.parquet", file.getvalue())
        self.catalog.put_table(CatalogTable.of(table, self.lake.zones.table(table)))
        made = Version(version, location, len(rows), file.tell(), lineage or {})
        return self.catalog.publish(table.database, table.name, dt, made)

    def rows(self, table: TableContract, dt: str = DT) -> list[Row]:
        """A day of a table as the catalog has it, sorted by the key."""
        bucket, prefix = split(self.catalog.current(table, dt).location)
        s3 = self.aws.client("s3")
        found: list[Row] = []
        for key in self.keys(f"{prefix}/"):
            made = ".parquet" in key or re.fullmatch(r".*/[0-9a-f]{8}_[0-9a-f-]{36}", key)  # Athena's have no extension
            assert made, f"orphaned files in a version: {key}"
            found += pq.read_table(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())).to_pylist()
        return sorted(found, key=lambda row: [row[name] for name in table.key])

    def unpublished(self, table: TableContract, dt: str = DT) -> list[str]:
        """Keys of a day that belong to no version in the catalog."""
        current = self.catalog.find(table, dt)
        known = (
            [split(place)[1] for place in (current.location, *(each for each, _ in current.retired))] if current else []
        )
        _, day = split(self.lake.zones.partition(table, dt))
        return [key for key in self.keys(day) if not key.startswith(tuple(f"{each}/" for each in known))]

    def left_behind(self) -> list[str]:
        """Keys of the work zone that a run which is over should have removed."""
        kept = ("work/athena/", "work/code/", "work/attempts/")  # a failed attempt's record stays, closed
        return [key for key in self.keys("work/") if not key.startswith(kept)]


def arrow(table: TableContract, rows: Sequence[Row]) -> pa.Table:
    """Rows in the types of a contract."""
    schema = pa.schema([(column.name, _TYPES[column.type]) for column in table.columns])
    return pa.Table.from_pylist(list(rows), schema=schema)


GATED = 12_345.0
"""Seconds that no job of a test lasts: outcomes.slow takes it for jobs at the gate."""


@dataclass
class Opened:
    """A double that stays open, and what it is to hold when a test begins."""

    double: AwsDouble
    empty: Snapshot
    prepared: Snapshot

    def holding(self, what: Snapshot) -> AwsDouble:
        """The double, as it was when the snapshot was taken."""
        self.double.pace = JobTiming()
        self.double.restore(what)
        return self.double

    def kept(self, prepare: Callable[[Site], object]) -> Snapshot:
        """What there is once a lake was prepared further."""
        prepare(Site(self.holding(self.prepared)))
        return self.double.snapshot()
