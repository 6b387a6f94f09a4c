"""The daily chain on AWS, whole, on real baskets: the same tables as on one machine, for a bounded number of requests."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT, Platform

DOCS = Path(__file__).parents[2] / "docs" / "aws.md"
PUBLISHED = (*t.CURATED_TABLES.values(), *map(rejects_of, t.CURATED_TABLES.values()), *t.DERIVED)


def in_order(rows: pa.Table, table: TableContract) -> pa.Table:
    """The rows in the contract's columns, sorted by all of them; whether a file calls a column nullable is left out."""
    ordered = rows.select(table.column_names).sort_by([(name, "ascending") for name in table.column_names])
    return pa.Table.from_arrays(ordered.columns, table.column_names)


@pytest.mark.timeout(1800)
def test_real_baskets_give_the_same_tables_on_aws_for_few_requests(
    aws: AwsDouble, tmp_path: Path, platform: Platform, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed = AwsPlatform(tmp_path / "aws", aws.endpoint, poll_seconds=0.5)
    deployed.deploy()
    for each in (platform, deployed):
        each.upload(real_data / "retail_baskets")
    assert platform.run().success
    aws.requests.clear()
    run = deployed.run()
    assert run.errors == {}
    assert run.success
    assert run.failed_checks == set()
    assert run.materialized == {table.name for table in t.TABLES}

    asked = aws.requests.counts()
    for table in PUBLISHED:
        here = parquet.read_table(platform.catalog.current(table, DT).location)
        there = deployed.stored_rows(table)
        assert in_order(there, table).equals(in_order(here, table)), table.qualified_name
        assert deployed.catalog.current(table, DT).rows == platform.catalog.current(table, DT).rows
        assert deployed.unpublished(table) == []

    with capsys.disabled():
        services = sorted({service for service, _ in asked})
        told = (f"{service} {sum(n for (s, _), n in asked.items() if s == service)}" for service in services)
        sys.stdout.write(f" [requests of a run: {', '.join(told)}; {len(aws.requests.polls())} polls] ")
    _require_requests_bounded(aws, asked)
    require_permissions_documented({f"{service}:{operation}" for service, operation in asked})


def _require_requests_bounded(aws: AwsDouble, asked: dict[tuple[str, str], int]) -> None:
    assert (
        len(aws.jobs()) == 1 + 5 + 1 + 2 * 2 + 2 * 4 + 2
    )  # a crawl; ingest jobs; the check of orders without lines; tables by CTAS, recipe and Glue, each judged
    assert [job for job in aws.jobs() if job.alive] == []
    # A look at a job every half second at first, then ever more seldom: two a second at most, of whatever service.
    assert max(aws.requests.most_per_minute(service=service) for service in ("athena", "databrew", "glue")) < 600
    assert sum(1 for request in aws.requests if request.is_poll) < 12 * len(aws.jobs())
    # Lists are of folders of one day, never of a zone or a bucket.
    listed = [
        request for request in aws.requests.of(service="s3", operation="ListObjectsV2") if request.caller == "client"
    ]
    assert len(listed) < 200
    assert sum(asked.values()) < 1500


def require_permissions_documented(operations: set[str]) -> None:
    """Every operation that was called has its permission on the page."""
    named = {
        "s3:ListObjectsV2": "s3:ListBucket",
        "s3:HeadObject": "s3:GetObject",
        "s3:DeleteObjects": "s3:DeleteObject",
        "s3:CopyObject": "s3:PutObject",
        "sagemaker-runtime:InvokeEndpoint": "sagemaker:InvokeEndpoint",
    }
    needed = {named.get(operation, operation) for operation in operations}
    needed -= {"sts:GetCallerIdentity"}  # needs no permission
    documented = set(re.findall(r"\b[a-z0-9-]+:[A-Z]\w+", DOCS.read_text(encoding="utf-8")))
    assert needed - documented == set()
