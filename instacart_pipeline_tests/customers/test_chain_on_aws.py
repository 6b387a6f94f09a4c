"""The customers system on AWS, whole: a generated dump becomes the same tables as on one machine, row by row.

Athena tells times to the millisecond, and drops what is finer; so times are compared to the millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import pytest

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.automation import WEEKLY_JOB
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline.systems import LAKE_TABLES
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.customers.test_mart_assets import rows_of
from instacart_pipeline_tests.customers.weeks import upload
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.reorder.test_chain_on_aws import require_permissions_documented
from instacart_pipeline_tests.tiers import costs, missing

DT = "2026-11-23"
SCALE = 0.0015
"""150 customers."""


@pytest.fixture
@costs("deep")
def there(aws: AwsDouble, tmp_path: Path) -> AwsPlatform:
    return AwsPlatform(tmp_path / "there", aws.endpoint)


@pytest.mark.timeout(1800)
def test_a_week_gives_the_same_tables_on_aws_as_on_one_machine(
    there: AwsPlatform, aws: AwsDouble, tmp_path: Path
) -> None:
    pytest.importorskip("pyspark", reason=missing("PySpark"))
    here = Platform(tmp_path / "here")
    there.deploy()
    generate_customers(tmp_path / "dump", scale=SCALE, as_of=date.fromisoformat(DT))
    for each in (here, there):
        upload(each, tmp_path / "dump", DT)
        aws.requests.clear()
        run = each.run(DT, job=WEEKLY_JOB)
        assert (run.errors, run.failed_checks, run.success) == ({}, set(), True), each
    for table in LAKE_TABLES[t.SYSTEM]:
        assert told(there.rows(table, DT)) == told(here.rows(table, DT)), table.qualified_name
        assert there.unpublished(table, DT) == []
    for table in m.WAREHOUSE_TABLES:
        in_both = [told(rows_of(each.resources.warehouse, table)) for each in (here, there)]
        assert in_both[0] == in_both[1] != [], table.qualified_name
    assert [job for job in aws.jobs() if job.alive] == []
    require_permissions_documented({f"{each.service}:{each.operation}" for each in aws.requests})


def told(rows: Iterable[Row]) -> list[Row]:
    """The rows with their times to the millisecond."""

    def coarse(value: object) -> object:
        if isinstance(value, datetime):
            return value.replace(microsecond=value.microsecond // 1000 * 1000)
        return value

    return [{name: coarse(value) for name, value in row.items()} for row in rows]
