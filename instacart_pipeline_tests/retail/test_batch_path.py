"""The batch path in the lake: files and what the stream wrote, over the real services and assets, to transactions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.orchestration.day_ranges import DAYS_TAG, FAILED_DAYS, FROM_DAY
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline.resources.ingest import Ingest
from instacart_pipeline.resources.ingest.local import LocalIngest
from instacart_pipeline.resources.published import Published
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.assets import build_assets, sql
from instacart_pipeline.retail.checks import build_checks, days_left_out
from instacart_pipeline.retail.lines import Line, read_line
from instacart_pipeline_tests.platform import Platform, Run, run_of, shared_instance
from instacart_pipeline_tests.retail.test_transactions import SENT

MONDAY, TUESDAY, WEDNESDAY = "2011-03-07", "2011-03-08", "2011-03-09"
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def uploaded(platform: Platform, dt: str, *rows: str) -> None:
    """Upload a day's file."""
    file = platform.home / f"{dt}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    platform.storage.put(t.SYSTEM, t.STAGED_UPLOADS.name, dt, [file])


def streamed(platform: Platform, dt: str, lines: Iterable[Line]) -> None:
    """What the stream's consumer has written of a day."""
    rows = ["".join([",".join(map(str, line)), "\n"]) for line in lines]
    content = ",".join(t.STREAMED_LINES.column_names) + "\n" + "".join(rows)
    platform.storage.add(t.SYSTEM, t.STAGED_STREAM.name, dt, "shard-0-1.csv", content.encode())


def row(dt: str, invoice: str = "540000", code: str = "85123A", quantity: int = 6) -> str:
    return f"{invoice},{code},WHITE HANGING HEART ,{quantity},{dt} 10:00:00,2.55,17850.0,United Kingdom"


def line(dt: str, invoice: str = "540000", repeat: int = 1) -> Line:
    return read_line(
        {**SENT, "invoiceno": invoice, "description": "WHITE HANGING HEART", "invoicedate": f"{dt} 10:00:00"}
    )._replace(repeat=repeat)


DAYS = dg.DailyPartitionsDefinition("2011-03-01", end_date="2011-04-01")


@cache
def _job() -> dg.JobDefinition:
    """The lake's assets and checks as a job; the resources are each run's."""
    none = dict.fromkeys(Platform(Path("/nowhere")).resources.by_name(), dg.ResourceDefinition.none_resource())
    definitions = dg.Definitions(
        assets=build_assets(DAYS),
        asset_checks=build_checks(DAYS),
        jobs=[dg.define_asset_job("lake", dg.AssetSelection.all())],
        resources=none,
    )
    return definitions.resolve_job_def("lake")


def run(
    platform: Platform,
    dt: str,
    instance: dg.DagsterInstance | None = None,
    tags: dict[str, str] | None = None,
) -> Run:
    """Run the lake's assets and checks for a day, or for the days that `tags` name."""
    result = _job().execute_in_process(
        instance=instance or shared_instance(),
        tags=tags or {"dagster/partition": dt},
        raise_on_error=False,
        resources=platform.resources.by_name(),
        run_config=QUIET,
    )
    return run_of(result)


def admit_streamed(platform: Platform, dt: str, ingest: Ingest) -> Run:
    """Run no more than the crawl of a day and the ingest of its streamed lines."""
    tables = (*t.STAGED, t.STREAMED_LINES)
    return run_of(
        dg.materialize(
            build_assets(DAYS),
            selection=dg.AssetSelection.assets(*map(asset_key, tables)),
            instance=shared_instance(),
            resources={**platform.resources.by_name(), "ingest": ingest},
            partition_key=dt,
            raise_on_error=False,
            run_config=QUIET,
        )
    )


def build(platform: Platform, dt: str) -> None:
    """Make a day's tables by the services that the assets use, without Dagster."""
    found = platform.resources
    found.crawler.crawl(t.STAGED, dt)
    for staged, ingested in t.CURATED_TABLES.items():
        found.ingest.ingest_table(staged, ingested, dt, may_lack=True)
    found.glue.run(GlueJob("retail_transactions", sql("transactions")), t.TRANSACTIONS, dt)


def came_by(platform: Platform, dt: str) -> list[tuple[str, int, str]]:
    """What the day's transactions are: invoice, repeat and way, sorted."""
    return sorted(
        (found["invoice_no"], found["repeat"], found["came_by"]) for found in platform.rows(t.TRANSACTIONS, dt)
    )


def test_a_day_that_came_by_file_alone_is_built(platform: Platform) -> None:
    uploaded(platform, MONDAY, row(MONDAY), row(MONDAY), row(MONDAY, "C540001", quantity=-6))
    build(platform, MONDAY)
    assert came_by(platform, MONDAY) == [("540000", 1, "upload"), ("540000", 2, "upload"), ("C540001", 1, "upload")]
    assert platform.rows(t.STREAMED_LINES, MONDAY) == platform.rows(rejects_of(t.STREAMED_LINES), MONDAY) == []
    lineage = platform.catalog.current(t.TRANSACTIONS, MONDAY).lineage
    assert "retail_staging.uploaded_lines" in lineage
    assert "retail_staging.streamed_lines" not in lineage


def test_a_day_that_came_by_the_stream_alone_is_built_and_again_once_its_file_comes(platform: Platform) -> None:
    streamed(platform, MONDAY, [line(MONDAY), line(MONDAY), line(MONDAY, "540002")])
    build(platform, MONDAY)
    assert came_by(platform, MONDAY) == [("540000", 1, "stream"), ("540002", 1, "stream")]
    uploaded(platform, MONDAY, row(MONDAY), row(MONDAY))
    build(platform, MONDAY)
    assert came_by(platform, MONDAY) == [("540000", 1, "both"), ("540000", 2, "upload"), ("540002", 1, "stream")]
    for file in (platform.raw / "retail" / "uploaded_lines" / f"dt={MONDAY}").glob("*.csv"):
        file.unlink()
    build(platform, MONDAY)
    assert came_by(platform, MONDAY) == [("540000", 1, "stream"), ("540002", 1, "stream")]


def test_a_day_of_which_nothing_came_ends_with_both_remedies(platform: Platform) -> None:
    outcome = run(platform, MONDAY)
    assert not outcome.success
    assert f"retail upload of {MONDAY} lacks uploaded_lines and streamed_lines (found nothing under" in outcome.error
    assert f"`instacart-pipeline upload retail DIR --dt {MONDAY}`" in outcome.error
    assert "`instacart-pipeline stream work`" in outcome.error
    assert platform.catalog.find(t.TRANSACTIONS, MONDAY) is None


def test_a_run_over_a_range_builds_the_days_that_came_records_no_others_and_names_those_that_no_run_builds(
    platform: Platform,
) -> None:
    uploaded(platform, MONDAY, row(MONDAY), row(MONDAY, "540001"))
    streamed(platform, WEDNESDAY, [line(WEDNESDAY)])
    uploaded(platform, "2011-02-28", row("2011-02-28"))
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run(platform, WEDNESDAY, instance, {"dagster/partition": WEDNESDAY, FROM_DAY: MONDAY})
        assert (outcome.success, outcome.errors) == (True, {})
        assert outcome.failed_checks == {("transactions", "no_day_is_left_out")}
        key = dg.AssetKey(t.TRANSACTIONS.asset_key)
        records = instance.fetch_materializations(key, limit=10).records
    told = {
        record.asset_materialization.partition: record.asset_materialization.metadata
        for record in records
        if record.asset_materialization
    }
    assert sorted(filter(None, told)) == [MONDAY, WEDNESDAY]
    assert {dt: told[dt]["dagster/row_count"].value for dt in (MONDAY, WEDNESDAY)} == {MONDAY: 2, WEDNESDAY: 1}
    assert (told[WEDNESDAY]["run_days"].value, told[WEDNESDAY]["run_rows"].value) == (2, 3)
    assert len(came_by(platform, MONDAY)) == 2
    assert platform.catalog.find(t.TRANSACTIONS, TUESDAY) is None


def test_dagsters_own_backfill_in_a_single_run_says_of_a_day_that_it_was_passed_over(platform: Platform) -> None:
    uploaded(platform, MONDAY, row(MONDAY))
    uploaded(platform, WEDNESDAY, row(WEDNESDAY))
    both_ends = {"dagster/asset_partition_range_start": MONDAY, "dagster/asset_partition_range_end": WEDNESDAY}
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(platform, WEDNESDAY, instance, both_ends).success
        records = instance.fetch_materializations(dg.AssetKey(t.TRANSACTIONS.asset_key), limit=10).records
    told = {
        record.asset_materialization.partition: record.asset_materialization.metadata
        for record in records
        if record.asset_materialization
    }
    assert told[TUESDAY]["passed_over"].value == "Nothing of it arrived."
    assert told[MONDAY]["dagster/row_count"].value == 1
    assert platform.catalog.find(t.TRANSACTIONS, TUESDAY) is None


def test_a_bad_day_of_a_range_is_named_and_keeps_no_other_from_being_admitted(platform: Platform) -> None:
    uploaded(platform, MONDAY, row(MONDAY).replace("2.55", "2.55555"))
    uploaded(platform, TUESDAY, row(TUESDAY))
    outcome = run(platform, TUESDAY, tags={"dagster/partition": TUESDAY, FROM_DAY: MONDAY})
    assert outcome.failed_checks == {("uploaded_lines", "rejects_within_limit")}
    assert "1 of 2 days could not be built" in outcome.errors["retail__curated__uploaded_lines"]
    assert f"\n{MONDAY}: " in outcome.errors["retail__curated__uploaded_lines"]
    assert platform.catalog.current(t.UPLOADED_LINES, TUESDAY).rows == 1
    assert platform.catalog.find(t.UPLOADED_LINES, MONDAY) is None
    assert platform.catalog.find(t.TRANSACTIONS, TUESDAY) is None


def test_files_of_days_that_are_no_partition_are_found(platform: Platform) -> None:
    for dt in (MONDAY, "2011-02-28", "2011-04-01"):  # the last one is about to be one
        uploaded(platform, dt, row(dt))
    streamed(platform, "1999-12-31", [line("1999-12-31")])
    (platform.raw / "retail" / "uploaded_lines" / "dt=2010-01-01").mkdir()
    assert days_left_out(platform.storage, DAYS) == ["1999-12-31", "2011-02-28"]


def test_a_run_of_named_days_builds_those_alone_and_says_which_are_at_fault(platform: Platform) -> None:
    uploaded(platform, MONDAY, row(MONDAY), row(TUESDAY), row(TUESDAY))
    streamed(platform, MONDAY, [line(MONDAY), line(MONDAY)])
    uploaded(platform, TUESDAY, row(TUESDAY))
    uploaded(platform, WEDNESDAY, row(WEDNESDAY))
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/partition": WEDNESDAY, DAYS_TAG: f"{MONDAY} {WEDNESDAY}"}
        outcome = run(platform, WEDNESDAY, instance, tags)
        assert instance.get_runs()[0].tags[FAILED_DAYS] == MONDAY
    assert outcome.failed_checks == {("transactions", "lines_are_of_their_day")}
    assert came_by(platform, MONDAY) == [("540000", 1, "both")]
    assert came_by(platform, WEDNESDAY) == [("540000", 1, "upload")]
    assert platform.catalog.find(t.TRANSACTIONS, TUESDAY) is None


class Busy(LocalIngest):
    """An ingest to which a further file of the stream comes each time it starts, so many times."""

    times: int

    def ingest_table(
        self, staged: TableContract, target: TableContract, dt: str, *, may_lack: bool = False
    ) -> Published:
        raw = Path(self.lake.zones.raw_partition(staged.system, staged.name, dt))
        if staged is t.STAGED_STREAM and (files := len([*raw.glob("*.csv")])) <= self.times:
            (raw / f"more-{files}.csv").write_bytes((raw / "shard-0-1.csv").read_bytes())
        return super().ingest_table(staged, target, dt, may_lack=may_lack)


@pytest.mark.parametrize(("times", "built"), [(3, True), (9, False)])
def test_files_that_come_between_crawl_and_intake_are_built_too(platform: Platform, times: int, *, built: bool) -> None:
    streamed(platform, MONDAY, [line(MONDAY)])
    ingest = Busy(lake=platform.lake, max_rejected=0.01, times=times)
    outcome = admit_streamed(platform, MONDAY, ingest)
    assert outcome.success is built
    if built:
        assert platform.catalog.current(t.STREAMED_LINES, MONDAY).facts["rows_in"] == str(times + 1)
    else:
        assert "changed after they were catalogued" in outcome.error
