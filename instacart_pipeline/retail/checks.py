"""Checks of the retail system in the lake that look across tables: nothing is lost between what came and what was published.

Belongs here: what no single contract says. A table's own rules are checked before it is published (orchestration/table_assets.py); that the
warehouse has what the lake has, in warehouse_assets.py.
"""

from collections.abc import Mapping, Sequence

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    DailyPartitionsDefinition,
    asset_check,
)

from instacart_pipeline.orchestration.day_ranges import days_of_run
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.assets import sql

Account = Mapping[str, int]
"""What became of a day's lines: uploaded, streamed (each once), elsewhere, both_ways, published."""
_SHOWN = 10


def build_checks(days: DailyPartitionsDefinition) -> list[AssetChecksDefinition]:
    """The checks, partitioned by `days`."""
    admitted = [asset_key(table) for table in t.ADMITTED.values()]

    @asset_check(
        asset=asset_key(t.TRANSACTIONS),
        additional_deps=admitted,
        blocking=True,
        partitions_def=days,
        pool="athena",
        description="Lines uploaded and lines streamed, those that came both ways counted once and those of other days left out, are published.",
    )
    def every_line_accounted(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        accounts = _accounts(athena, days_of_run(context))
        lost = {dt: _lost(account) for dt, account in accounts.items() if _lost(account)}
        told = [f"{dt}: {_told(accounts[dt])}" for dt in list(lost)[:_SHOWN]]
        whole = {name: sum(account[name] for account in accounts.values()) for name in _NAMES}
        return AssetCheckResult(
            passed=not lost, description=" ".join(told) or f"{_told(whole)}.", metadata={**whole, "days": len(accounts)}
        )

    @asset_check(
        asset=asset_key(t.TRANSACTIONS),
        additional_deps=admitted,
        blocking=True,
        partitions_def=days,
        pool="athena",
        description="Every line is dated on the day that its file is named by.",
    )
    def lines_are_of_their_day(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        accounts = _accounts(athena, days_of_run(context))
        strays = {dt: account["elsewhere"] for dt, account in accounts.items() if account["elsewhere"]}
        told = [f"{count:,} lines of {dt} are dated on other days." for dt, count in list(strays.items())[:_SHOWN]]
        remedy = "They are in no transactions. Name each file by the day of its lines, and upload it again."
        return AssetCheckResult(
            passed=not strays,
            description=" ".join([*told, remedy]) if strays else "None is dated on another day.",
            metadata={"lines_of_other_days": sum(strays.values()), "days_at_fault": len(strays)},
        )

    return [every_line_accounted, lines_are_of_their_day]


_NAMES = ("uploaded", "streamed", "elsewhere", "both_ways", "published")


def _accounts(athena: Athena, days: Sequence[str]) -> dict[str, Account]:
    """The account of each of `days` that has one."""
    query = sql("line_accounts").bind(first=min(days), last=max(days))
    rows = athena.query(query).table.to_pylist()
    return {row["dt"]: {name: int(row[name]) for name in _NAMES} for row in sorted(rows, key=lambda row: row["dt"])}


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
