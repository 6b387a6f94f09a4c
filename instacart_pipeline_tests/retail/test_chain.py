"""A small day of the retail system, whole: by file and by the stream, to the lookup tables, the lake, the warehouse and the analyses."""

from __future__ import annotations

import base64
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import dagster as dg
import pytest

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.stream import Entry
from instacart_pipeline.retail import sandbox_tables as s
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail import warehouse_tables as w
from instacart_pipeline.retail.automation import ANALYSES_JOB, DAYS_JOB, behind_the_warehouse
from instacart_pipeline.retail.consumers.event_source_mapping import EventSourceMapping
from instacart_pipeline.retail.consumers.registry import consumers
from instacart_pipeline.retail.lookups import CUSTOMERS
from instacart_pipeline_tests.platform import Platform, Run, run_of
from instacart_pipeline_tests.retail.test_batch_path import MONDAY, QUIET, came_by, line, row
from instacart_pipeline_tests.retail.ticking import SETTINGS, Ticks, arrived
from instacart_pipeline_tests.tiers import costs


@dataclass
class Day:
    """The day after its runs: what came of each, and what the ticks before and between them said."""

    platform: Platform
    instance: dg.DagsterInstance
    runs: dict[str, Run]
    due: list[tuple[str | None, str]]
    then: list[tuple[str | None, str]]


@pytest.fixture(scope="module")
@costs("e2e")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Invoice 540000 came both ways, 540001 by file, and 540002 by the stream, twice."""
    home = tmp_path_factory.mktemp("day")
    platform = Platform(home / "home", **SETTINGS)
    found, definitions = platform.resources, build_defs(platform.settings)
    lines = [line(MONDAY), line(MONDAY, "540002"), line(MONDAY, "540002")]
    found.stream.put([Entry(each.invoice_no, each.record()) for each in lines])
    for consumer in consumers(found.storage, found.lookup_tables, 60.0).values():
        EventSourceMapping(found.stream, consumer).run(threading.Event(), until_empty=True)
    arrived(platform, MONDAY, row(MONDAY), row(MONDAY, "540001", quantity=2), row(MONDAY, "540001", code="POST"))
    # A schedule's context takes no ephemeral instance, whose events cost a third of what those on the disk do.
    with dg.DagsterInstance.ephemeral() as instance, dg.DagsterInstance.local_temp(str(home)) as on_disk:
        sensors, schedule = (Ticks(definitions, platform, each, found.warehouse) for each in (instance, on_disk))
        runs = {}

        def run(job: str) -> None:
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance, partition_key=MONDAY, raise_on_error=False, run_config=QUIET
            )
            runs[job] = run_of(result)

        due = [schedule.said_by_schedule()]
        run(DAYS_JOB)
        then = [schedule.said_by_schedule(), *(sensors.said_by("retail_arrivals") for _ in range(2))]
        then.append(sensors.said_by("retail_analyses"))
        run(ANALYSES_JOB)
        yield Day(platform, instance, runs, due, then)


def test_the_days_runs_make_every_table_and_pass_every_check(day: Day) -> None:
    for run in day.runs.values():
        assert (run.errors, run.failed_checks, run.success) == ({}, set(), True)
    tables = (*t.STAGED, *t.CURATED_TABLES.values(), t.TRANSACTIONS, *w.WAREHOUSE_TABLES)
    assert {table.name for table in tables} == day.runs[DAYS_JOB].materialized
    assert {table.name for table in s.SANDBOX_TABLES} == day.runs[ANALYSES_JOB].materialized


def test_lines_by_file_and_by_the_stream_become_each_one_transaction_in_lake_and_warehouse(day: Day) -> None:
    assert came_by(day.platform, MONDAY) == [
        ("540000", 1, "both"),
        ("540001", 1, "upload"),
        ("540001", 1, "upload"),
        ("540002", 1, "stream"),
    ]
    query = Query.parse("sold", "SELECT invoice_no, sum(amount) AS amount FROM retail_warehouse.sales_lines GROUP BY 1")
    sold = day.platform.resources.warehouse.query(query).table.to_pylist()
    assert {each["invoice_no"]: each["amount"] for each in sold} == {
        "540000": Decimal("15.3000"),
        "540001": Decimal("20.4000"),
        "540002": Decimal("15.3000"),
    }


def test_what_came_by_the_stream_is_found_in_the_lookup_tables(day: Day) -> None:
    items = day.platform.resources.lookup_tables.all_of(CUSTOMERS, "17850")
    assert Counter(str(item["invoice_no"]) for item in items) == {"540000": 1, "540002": 1}
    assert {item["lines"] for item in items} == {1}


def test_a_day_that_came_is_due_until_it_is_built_and_its_analyses_until_they_are_published(day: Day) -> None:
    assert day.due == [(MONDAY, "")]
    assert day.then == [
        (None, "Every day that has come is built, or about to be."),
        (None, f"{MONDAY} is still arriving"),
        (None, "Nothing new."),
        (MONDAY, ""),
    ]
    found = day.platform.resources
    assert behind_the_warehouse(found.catalog, found.warehouse.loads(w.SALES_LINES)) == []


def test_the_analyses_are_published_and_those_for_people_show_a_picture(day: Day) -> None:
    assert [entry["revenue"] for entry in day.platform.rows(s.MONTHLY_REVENUE, MONDAY)] == [Decimal("51.0000")]
    for table in s.SANDBOX_TABLES:
        event = day.instance.get_latest_materialization_event(dg.AssetKey(table.asset_key))
        assert event is not None
        assert event.asset_materialization is not None
        shown = event.asset_materialization.metadata.get("chart")
        assert (shown is not None) == (table in s.ANALYSES), table.name
        if shown:
            png = base64.b64decode(str(shown.value).split("base64,")[1].rstrip(")"))
            assert struct.unpack(">I", png[16:20]) == (800,)
