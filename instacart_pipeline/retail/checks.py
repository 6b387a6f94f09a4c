"""Checks of the retail system in the lake that look across tables: nothing is lost between what came and what was published.

Belongs here: what no single contract says. A table's own rules are checked before it is published (orchestration/table_assets.py); that the
warehouse has what the lake has, in warehouse_assets.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    DailyPartitionsDefinition,
    asset_check,
)

from instacart_pipeline.orchestration.day_ranges import at_fault, days_of_run
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.assets import sql

Account = Mapping[str, int]
"""What became of a day's lines: uploaded, streamed (each once), elsewhere, both_ways, published."""
_SHOWN = 10


def build_checks(days: DailyPartitionsDefinition) -> list[AssetChecksDefinition]:
    """The checks, partitioned by `days`."""
    ingested = [asset_key(table) for table in t.CURATED_TABLES.values()]

    @asset_check(
        asset=asset_key(t.TRANSACTIONS),
        additional_deps=ingested,
        blocking=True,
        partitions_def=days,
        pool="athena",
        description="Lines uploaded and lines streamed, those that came both ways counted once and those of other days left out, are published.",
    )
    def every_line_accounted(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        accounts = _accounts(athena, days_of_run(context))
        lost = {dt: _lost(account) for dt, account in accounts.items() if _lost(account)}
        if lost:
            at_fault(context, lost)
        told = [f"{dt}: {_told(accounts[dt])}" for dt in list(lost)[:_SHOWN]]
        whole = {name: sum(account[name] for account in accounts.values()) for name in _NAMES}
        return AssetCheckResult(
            passed=not lost, description=" ".join(told) or f"{_told(whole)}.", metadata={**whole, "days": len(accounts)}
        )

    @asset_check(
        asset=asset_key(t.TRANSACTIONS),
        additional_deps=ingested,
        blocking=True,
        partitions_def=days,
        pool="athena",
        description="Every line is dated on the day that its file is named by.",
    )
    def lines_are_of_their_day(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        accounts = _accounts(athena, days_of_run(context))
        strays = {dt: account["elsewhere"] for dt, account in accounts.items() if account["elsewhere"]}
        if strays:
            at_fault(context, strays)
        told = [f"{count:,} lines of {dt} are dated on other days." for dt, count in list(strays.items())[:_SHOWN]]
        remedy = "They are in no transactions. Name each file by the day of its lines, and upload it again."
        return AssetCheckResult(
            passed=not strays,
            description=" ".join([*told, remedy]) if strays else "None is dated on another day.",
            metadata={"lines_of_other_days": sum(strays.values()), "days_at_fault": len(strays)},
        )

    @asset_check(
        asset=asset_key(t.TRANSACTIONS),
        partitions_def=days,
        description="The raw zone has files of no other days than those that are partitions, or will be tomorrow.",
    )
    def no_day_is_left_out(storage: Storage) -> AssetCheckResult:
        left_out = days_left_out(storage, days)
        first = days.get_first_partition_key()
        remedy = (
            f"No run builds them: days run from {first} (INSTACART_RETAIL_FIRST_DAY) to today. Upload their lines as files of the right days, "
            f"and remove theirs from the raw zone."
        )
        named = ", ".join(left_out[:_SHOWN]) + (f" and {len(left_out) - _SHOWN:,} more" if left_out[_SHOWN:] else "")
        return AssetCheckResult(
            passed=not left_out,
            severity=AssetCheckSeverity.WARN,
            description=f"Files of {named}. {remedy}" if left_out else "None.",
            metadata={"days_left_out": len(left_out)},
        )

    return [every_line_accounted, lines_are_of_their_day, no_day_is_left_out]


def days_left_out(storage: Storage, days: DailyPartitionsDefinition) -> list[str]:
    """The days that the raw zone has lines of and that are no partition, nor will be tomorrow, in order."""
    return left_out_of({dt for table in t.STAGED for dt in storage.days(t.SYSTEM, table.name)}, storage, days)


def left_out_of(found: Iterable[str], storage: Storage, days: DailyPartitionsDefinition) -> list[str]:
    """Of the days that the raw zone has folders of, those that are left out and have lines, in order."""
    first, last = days.get_first_partition_key(), days.get_last_partition_key()
    tomorrow = (date.fromisoformat(last) + timedelta(days=1)).isoformat() if last else ""
    strays = sorted(dt for dt in found if not (first or "") <= dt <= tomorrow)
    return [dt for dt in strays if any(storage.objects(t.SYSTEM, table.name, dt, limit=1) for table in t.STAGED)]


_NAMES = ("uploaded", "streamed", "elsewhere", "both_ways", "published")


def _accounts(athena: Athena, days: Sequence[str]) -> dict[str, Account]:
    """The account of each of `days` that has one."""
    query = sql("line_accounts").bind(first=min(days), last=max(days))
    rows = athena.query(query).table.to_pylist()
    return {
        row["dt"]: {name: int(row[name]) for name in _NAMES}
        for row in sorted(rows, key=lambda row: row["dt"])
        if row["dt"] in days
    }


def _lost(account: Account) -> int:
    came = account["uploaded"] + account["streamed"] - account["both_ways"] - account["elsewhere"]
    return came - account["published"]


def _told(account: Account) -> str:
    told = (
        f"{account['uploaded']:,} lines uploaded + {account['streamed']:,} streamed - {account['both_ways']:,} that came both ways"
        f" - {account['elsewhere']:,} of other days"
    )
    lost = _lost(account)
    return f"{told} = {account['published']:,} published" + (f", and {lost:,} more or less than that" if lost else "")
