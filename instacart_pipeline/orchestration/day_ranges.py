"""One run over many days: each day is built by itself, and what came of them is told together.

Belongs here: going from day to day in a run that takes a range of partitions, and reporting it to Dagster. Doesn't: what is done with a day.

A run over a range gives one result a check, and one materialization a day: Dagster records them for every day of the range, so that of a day
that was passed over says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from dagster import AssetExecutionContext, MaterializeResult

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ContractViolated, InputInvalid, PipelineError
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.orchestration.table_assets import Results, asset_key, check_results, publish
from instacart_pipeline.resources.published import Published, VersionRefused

_Made = TypeVar("_Made")
_COUNTED = ("rows_in", "rejects", "duplicates")
_SHOWN = 20
"""Days that a message names one by one."""


class DaysFailed(PipelineError):
    """Some days of a range could not be built. The others were."""

    def __init__(self, failed: Mapping[str, PipelineError], days: int) -> None:
        """Name the days and what each failed of."""
        told = [f"{dt}: {error}" for dt, error in list(failed.items())[:_SHOWN]]
        more = [f"and {len(failed) - _SHOWN:,} days more."] if len(failed) > _SHOWN else []
        super().__init__("\n".join([f"{len(failed):,} of {days:,} days could not be built.", *told, *more]))


def each_day(days: Collection[str], work: Callable[[str], _Made]) -> tuple[dict[str, _Made], dict[str, PipelineError]]:
    """What `work` makes of each of `days`, and what it fails of.

    What is wrong with the input or the result of one day keeps nobody from the others; what else fails would fail for them too, and is raised.
    """
    made, failed = dict[str, _Made](), dict[str, PipelineError]()
    for dt in days:
        try:
            made[dt] = work(dt)
        except (InputInvalid, ContractViolated) as error:  # noqa: PERF203  # a day costs far more than its try
            failed[dt] = error
    return made, failed


def publish_days(
    context: AssetExecutionContext,
    table: TableContract,
    arrived: Callable[[], Collection[str]],
    work: Callable[[str], Published],
) -> Results:
    """Do the work on every day of the run and report it, as `publish` does for one. Of a range only days that have `arrived` are built.

    Raises DaysFailed at the end if any day failed: then nothing downstream is built in this run, and the other days stay published.
    """
    days = context.partition_keys
    if len(days) == 1:
        yield from publish(table, lambda: work(days[0]))
        return
    there = arrived()
    made, failed = each_day([dt for dt in days if dt in there], work)
    for dt in days:
        metadata = _of_day(made[dt]) if dt in made else {"passed_over": str(failed.get(dt, "Nothing of it arrived."))}
        context.add_asset_metadata(metadata, asset_key=asset_key(table), partition_key=dt)
    yield from check_results(table, _together(made, failed))
    if failed:
        raise DaysFailed(failed, len(made) + len(failed))
    facts = [published.version.facts for published in made.values()]
    yield MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "days_in_run": len(made),
            "dagster/row_count": sum(published.version.rows for published in made.values()),
            "seconds": round(sum(published.seconds for published in made.values()), 3),
            **{
                name: sum(int(fact[name]) for fact in facts) for name in _COUNTED if all(name in fact for fact in facts)
            },
        },
    )


def _of_day(published: Published) -> dict[str, str | int]:
    version = published.version
    return {
        "dagster/partition_row_count": version.rows,
        "dagster/uri": version.location,
        "version": version.name,
        **{name: int(version.facts[name]) for name in _COUNTED if name in version.facts},
    }


def _together(made: Mapping[str, Published], failed: Mapping[str, PipelineError]) -> list[Outcome]:
    """The outcomes of all days, rule by rule; those that are broken last, as after a failed blocking check nothing more is taken in."""
    by_day = {dt: published.version.outcomes for dt, published in made.items()}
    by_day |= {dt: error.outcomes for dt, error in failed.items() if isinstance(error, VersionRefused)}
    by_rule = dict[str, dict[str, Outcome]]()
    for dt, outcomes in by_day.items():
        for outcome in outcomes:
            by_rule.setdefault(outcome.rule, {})[dt] = outcome
    told = []
    for rule, days in by_rule.items():
        broken = [f"{dt}: {outcome.detail}" for dt, outcome in days.items() if not outcome.passed]
        detail = " ".join(broken[:_SHOWN]) or f"Held on each of {len(days):,} days."
        told.append(Outcome(rule, sum(outcome.violations for outcome in days.values()), detail))
    return sorted(told, key=lambda outcome: not outcome.passed)
