"""The retail system on AWS, whole: lines by file and through Kinesis become the same tables as on one machine, row by row."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.day_ranges import FROM_DAY
from instacart_pipeline.resources.lookup_tables import LookupTable
from instacart_pipeline.resources.stream import Entry
from instacart_pipeline.retail import lookups
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.automation import DAILY_JOB, DAYS_JOB
from instacart_pipeline.retail.consumers.event_source_mapping import EventSourceMapping
from instacart_pipeline.retail.consumers.registry import consumers
from instacart_pipeline.retail.lines import Line, counted
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.warehouse_tables import WAREHOUSE_TABLES
from instacart_pipeline.systems import LAKE_TABLES
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import Platform, Row, Run, run_of
from instacart_pipeline_tests.reorder.test_chain_on_aws import require_permissions_documented
from instacart_pipeline_tests.retail.consumers.shop import a_line, many_lines
from instacart_pipeline_tests.tiers import costs, missing

BY_FILE, BY_BOTH, BY_STREAM = "2010-12-01", "2010-12-02", "2010-12-03"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SPECIAL = [
    a_line("536365"),
    a_line("536365"),  # a true repeat
    a_line("536366", description=None, customer_id="unknown", unit_price="0.0000"),
    a_line("536367", stock_code="POST", description='POSTAGE, "1st" class', quantity=1, unit_price="18.0000"),
    a_line("C536379", quantity=-6, invoice_time=f"{BY_BOTH} 09:41:00"),
    a_line("A563185", stock_code="B", unit_price="-11062.0600", quantity=1, invoice_time=f"{BY_STREAM} 14:51:00"),
]
LINES = list(counted([*SPECIAL, *many_lines(120, lines_an_invoice=8)]))


@pytest.fixture
@costs("deep")
def there(aws: AwsDouble, tmp_path: Path) -> AwsPlatform:
    return AwsPlatform(tmp_path / "there", aws.endpoint, max_rejected=0.2)


@pytest.mark.timeout(1200)
def test_lines_by_file_and_through_kinesis_give_the_same_tables_on_aws_as_on_one_machine(
    there: AwsPlatform, aws: AwsDouble, tmp_path: Path
) -> None:
    pytest.importorskip("pyspark", reason=missing("PySpark"))
    here = Platform(tmp_path / "here", max_rejected=0.2)
    there.deploy()
    aws.requests.clear()
    for each in (here, there):
        _sent(each, [line for line in LINES if line.day != BY_FILE])
        _uploaded(each, BY_FILE, [line for line in LINES if line.day == BY_FILE])
        _uploaded(each, BY_BOTH, [line for line in LINES if line.day == BY_BOTH][::2])
        with dg.DagsterInstance.ephemeral() as instance:
            for job, first, last in ((DAYS_JOB, BY_FILE, BY_BOTH), (DAILY_JOB, BY_STREAM, BY_STREAM)):
                run = _run(each, instance, job, first, last)
                assert (run.errors, run.failed_checks, run.success) == ({}, set(), True), job

    for table in LAKE_TABLES[t.SYSTEM]:
        for dt in (BY_FILE, BY_BOTH, BY_STREAM):
            if table in SANDBOX_TABLES and dt != BY_STREAM:
                continue
            assert there.rows(table, dt) == here.rows(table, dt), f"{table.qualified_name} {dt}"
            assert there.unpublished(table, dt) == []
    for table in WAREHOUSE_TABLES:
        assert _in_warehouse(there, table) == _in_warehouse(here, table) != [], table.qualified_name
    for kept in lookups.ALL:
        assert _kept(there, kept) == _kept(here, kept), kept.name

    assert {row["came_by"] for row in there.rows(t.TRANSACTIONS, BY_BOTH)} == {"both", "stream"}
    assert sum(len(there.rows(t.TRANSACTIONS, dt)) for dt in (BY_FILE, BY_BOTH, BY_STREAM)) == len(LINES)
    assert len(there.rejects(t.UPLOADED_LINES, BY_FILE)) == 1
    assert [job for job in aws.jobs() if job.alive] == []
    assert len(aws.jobs("crawler")) == 2  # one for the range of days, one for the day alone
    require_permissions_documented({f"{each.service}:{each.operation}" for each in aws.requests})


def _sent(platform: Platform, lines: Iterable[Line]) -> None:
    """Put lines into the stream, the half of them twice, and let a worker of each consumer read it empty."""
    found, held = platform.resources, list(lines)
    for sent in (held, held[::2]):
        found.stream.put([Entry(line.invoice_no, line.record()) for line in sent])
    for consumer in consumers(found.storage, found.lookup_tables, 60.0).values():
        EventSourceMapping(found.stream, consumer).run(threading.Event(), until_empty=True)


def _uploaded(platform: Platform, dt: str, lines: Iterable[Line]) -> None:
    """Upload a day's file of lines, and on the first day a row that holds none."""
    file = platform.home / f"{dt}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(t.STAGED_UPLOADS.column_names)
        writer.writerows(line[:-1] for line in lines)
        if dt == BY_FILE:
            writer.writerow(["536368", "85123A", "HEART", "six", f"{dt} 08:26:00", "2.55", "17850.0", "France"])
    platform.storage.put(t.SYSTEM, t.STAGED_UPLOADS.name, dt, [file])


def _run(platform: Platform, instance: dg.DagsterInstance, job: str, first: str, last: str) -> Run:
    days = {"dagster/partition": last, **({FROM_DAY: first} if first < last else {})}
    found = build_defs(platform.settings).resolve_job_def(job)
    return run_of(found.execute_in_process(instance=instance, tags=days, raise_on_error=False, run_config=QUIET))


def _in_warehouse(platform: Platform, table: TableContract) -> list[Row]:
    names = ", ".join(table.column_names)
    query = Query.parse("test", f"SELECT {names} FROM {table.qualified_name}")
    return sorted(platform.resources.warehouse.query(query).table.to_pylist(), key=lambda row: str([*row.values()]))


def _kept(platform: Platform, table: LookupTable) -> list[Row]:
    page = platform.resources.lookup_tables.scan(table, limit=5000)
    assert not page.after
    return sorted((dict(item) for item in page.items), key=str)
