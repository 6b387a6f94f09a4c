"""From uploaded files to typed tables, as assets: the crawl that enters a day's files in the catalog, and ingest of each table.

Belongs here: what is the same for every system whose tables come as files. Doesn't: which tables, and which of them a day may lack.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    MaterializeResult,
    TimeWindowPartitionsDefinition,
    multi_asset,
)

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ColumnsMissing, FileUnreadable, InputInvalid, UploadChanged, UploadIncomplete
from instacart_pipeline.lake.rules import REJECTS_WITHIN_LIMIT, ROWS_ACCOUNTED, Rule
from instacart_pipeline.orchestration.day_ranges import (
    DaysFailed,
    at_fault,
    days_of_run,
    each_day,
    publish_days,
    record_day,
)
from instacart_pipeline.orchestration.table_assets import (
    OWNERS,
    Results,
    asset_key,
    check_specs,
    service_metadata,
    table_asset,
    table_spec,
)
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.crawler import Crawl, CrawledTable, Crawler
from instacart_pipeline.resources.ingest import Ingest
from instacart_pipeline.resources.published import Published

COLUMNS_AS_CONTRACTED = Rule("columns_as_contracted", "not_null", (), "Every file has all columns of the contract.")
_CRAWLS_AGAIN = 3


def upload_key(system: str) -> AssetKey:
    """The key of a system's raw files."""
    return AssetKey([system, "raw", "upload"])


def upload_spec(system: str, description: str, days: TimeWindowPartitionsDefinition) -> AssetSpec:
    """The raw files of a system, which come from outside."""
    return AssetSpec(
        upload_key(system),
        description=description,
        group_name=f"{system}_raw",
        kinds={"csv"},
        owners=OWNERS,
        partitions_def=days,
    )


def staging_asset(
    staged: Sequence[TableContract],
    days: TimeWindowPartitionsDefinition,
    remedy: Callable[[str], str],
    *,
    any_makes_a_day: bool = False,
    many_days_at_once: bool = False,
) -> AssetsDefinition:
    """One crawler run a day over the raw files of `staged`. A day needs all of them, or, with `any_makes_a_day`, any.

    `remedy` tells, of a day that is not there, how to bring it.
    """
    system = staged[0].system

    @multi_asset(
        name=f"{system}_staging",
        description="One crawler run enters the day's files in the catalog.",
        specs=[
            table_spec(table, deps=[upload_key(system)], kinds={"glue", "csv"}, partitions=days) for table in staged
        ],
        check_specs=[spec for table in staged for spec in check_specs(table, [COLUMNS_AS_CONTRACTED], days)],
        can_subset=not any_makes_a_day,
        pool="crawler",
        backfill_policy=BackfillPolicy.single_run() if many_days_at_once else None,
    )
    def staging(context: AssetExecutionContext, crawler: Crawler) -> Results:
        wanted = [table for table in staged if asset_key(table) in context.selected_asset_keys]
        if len(days_of_run(context)) > 1:
            yield from _crawl_range(context, crawler, wanted, remedy)
            return
        dt = context.partition_key
        crawl = crawler.crawl(wanted, dt)
        problem = _problem(crawl, dt, remedy, any_makes_a_day=any_makes_a_day)
        for found in crawl.tables.values():
            if (found.version and not found.missing_columns) or (problem is None and not found.files):
                yield _columns_check([found])
                yield MaterializeResult(asset_key=asset_key(found.table), metadata=_metadata(found, crawl))
        for found in crawl.tables.values():
            if found.missing_columns:
                yield _columns_check([found])
        if problem:
            raise problem

    return staging


def ingest_asset(
    staged: TableContract,
    target: TableContract,
    days: TimeWindowPartitionsDefinition,
    *,
    arriving: Sequence[TableContract] = (),
) -> AssetsDefinition:
    """The rows of `staged` held to the contract of `target`.

    Any table of `arriving` makes a day, so that `staged` may lack it; then a run may also take a range of days, and files that are added
    between crawl and ingest are crawled and ingested too.
    """
    known = {column.references.table for column in target.columns if column.references}

    @table_asset(
        target,
        deps=[staged, *sorted(known, key=lambda table: table.name)],
        kinds={"athena", "parquet"},
        partitions=days,
        pool="athena",
        further_rules=[ROWS_ACCOUNTED, REJECTS_WITHIN_LIMIT],
        many_days_at_once=bool(arriving),
    )
    def ingested(context: AssetExecutionContext, ingest: Ingest, catalog: Catalog, crawler: Crawler) -> Results:
        def ingest_table(dt: str) -> Published:
            for _ in range(_CRAWLS_AGAIN if arriving else 0):
                try:
                    return ingest.ingest_table(staged, target, dt, may_lack=True)
                except UploadChanged as changed:  # noqa: PERF203  # an ingest costs far more than its try
                    # Where files are added at any time, one may well have come since the crawl. That is nobody's fault.
                    context.log.info(f"{changed} It is crawled again.")
                    crawler.crawl([staged], dt)
            return ingest.ingest_table(staged, target, dt, may_lack=bool(arriving))

        yield from publish_days(context, target, lambda: days_of(catalog, arriving or (staged,)), ingest_table)

    return ingested


def days_of(catalog: Catalog, tables: Sequence[TableContract]) -> set[str]:
    """The days that any of `tables` has a partition of."""
    return {partition.dt for table in tables for partition in catalog.partitions(table.database, table.name)}


def _crawl_range(
    context: AssetExecutionContext,
    crawler: Crawler,
    wanted: Sequence[TableContract],
    remedy: Callable[[str], str],
) -> Results:
    """Crawl every day of the run, together; days with no file at all are passed over."""
    days = days_of_run(context)
    found_on = crawler.crawl_days(wanted, days)

    def crawled(dt: str) -> Crawl:
        crawl = found_on[dt]
        if isinstance(crawl, InputInvalid):
            raise crawl
        there = any(found.files for found in crawl.tables.values())
        if problem := _problem(crawl, dt, remedy, any_makes_a_day=True) if there else None:
            raise problem
        return crawl

    crawls, failed = each_day(days, crawled)
    there = {dt: crawl for dt, crawl in crawls.items() if any(found.files for found in crawl.tables.values())}
    if not there and not failed:
        raise UploadIncomplete(f"No day from {days[0]} to {days[-1]} has any file. {remedy(days[0])}")
    for table in wanted:
        for dt in days:
            found = crawls[dt].tables[table.name] if dt in crawls else None
            metadata = (
                _metadata(found, crawls[dt])
                if found and found.files
                else {"passed_over": str(failed.get(dt, "No file came this way."))}
            )
            record_day(context, table, dt, metadata)
    if failed:
        at_fault(context, failed)
        raise DaysFailed(failed, len(there) + len(failed))
    for table in wanted:
        yield _columns_check([crawl.tables[table.name] for crawl in there.values()])
        seconds = round(sum(crawl.seconds for crawl in crawls.values()), 3)
        yield MaterializeResult(asset_key=asset_key(table), metadata={"run_days": len(there), "run_seconds": seconds})


def _metadata(found: CrawledTable, crawl: Crawl) -> Mapping[str, Any]:
    if not found.files:
        return {"change": found.change, "files": []}
    return {
        **service_metadata(crawl.service),
        "change": found.change,
        "files": list(found.files),
        "bytes": found.bytes,
        "dagster/uri": found.version.location if found.version else "",
        "version": found.version.name if found.version else "",
        "inferred_columns": dict(found.columns),
        "extra_columns": list(found.extra_columns),
        "seconds": round(crawl.seconds, 3),
    }


def _names(paths: Sequence[str]) -> list[str]:
    return [path.rsplit("/", 1)[-1] for path in paths]


def _columns_check(crawled: Sequence[CrawledTable]) -> AssetCheckResult:
    missing = sorted({name for found in crawled for name in found.missing_columns})
    extra = sorted({name for found in crawled for name in found.extra_columns})
    return AssetCheckResult(
        asset_key=asset_key(crawled[0].table),
        check_name=COLUMNS_AS_CONTRACTED.name,
        passed=not missing,
        severity=AssetCheckSeverity.ERROR,
        description=(f"Missing: {', '.join(missing)}. " if missing else "")
        + (f"Not in the contract, ignored: {', '.join(extra)}." if extra else ""),
    )


def _problem(
    crawl: Crawl, dt: str, remedy: Callable[[str], str], *, any_makes_a_day: bool
) -> UploadIncomplete | FileUnreadable | ColumnsMissing | None:
    """What keeps the day from being built, worst first, in words; None if nothing does."""
    tables = list(crawl.tables.values())
    missing = [name for found in tables for name in found.table.missing_of(found.files)]
    if missing and not (any_makes_a_day and any(found.files for found in tables)):
        system = tables[0].table.system
        # Of a table that comes in known parts, the files say which.
        there = [
            name
            for found in tables
            if found.files
            for name in (_names(found.files) if found.table.parts else [found.table.name])
        ]
        return UploadIncomplete(
            f"{system} upload of {dt} lacks {' and '.join(missing) if any_makes_a_day else ', '.join(missing)} "
            f"(found {', '.join(there) or 'nothing'} under raw/{system}/*/dt={dt}).\n{remedy(dt)}"
        )
    unreadable = [found.problem for found in tables if found.problem]
    if unreadable:
        return FileUnreadable("\n".join(unreadable))
    lacking = [found for found in tables if found.missing_columns]
    if lacking:
        return ColumnsMissing(
            "\n".join(
                f"{found.table.name}: lacks {', '.join(found.missing_columns)}; unexpected: {', '.join(found.extra_columns) or 'none'}. "
                f"Its columns are {', '.join(found.table.column_names)}. Upload the file again with them."
                for found in lacking
            )
        )
    return None
