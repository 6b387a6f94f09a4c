"""One run over many days: each day is built by itself, and what came of them is told together.

Belongs here: going from day to day in a run that takes a range of partitions, and reporting it to Dagster. Doesn't: what is done with a day.

A run takes a range in one of two ways. Dagster's own backfill in a single run names every day of it as a partition. It stores an event for each
asset and day before the run and another after it, at some 20 ms each in SQLite, also for days that nothing came of, and for assets without
partitions: minutes for a year. So the command line starts a run of the last day that carries the first one as the tag FROM_DAY, and a sensor one that
carries the days it is to build as the tag ONLY_DAYS; then the other days are recorded as they are built, and only those.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

from dagster import AssetCheckExecutionContext, AssetExecutionContext, AssetMaterialization, MaterializeResult

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ContractViolated, InputInvalid, PipelineError
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.orchestration.table_assets import Results, asset_key, check_results, publish
from instacart_pipeline.resources.published import Published, VersionRefused

FROM_DAY = "instacart_pipeline/from_day"
"""The tag of a run that also takes the days from that one up to its partition."""
DAYS_TAG = "instacart_pipeline/days"
"""The tag of a run that takes just these days, the last of which is its partition."""
FAILED_DAYS = "instacart_pipeline/failed_days"
"""The tag of a run that some of its days made fail: these, and the others are at no fault."""
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


def days_of_run(context: AssetExecutionContext | AssetCheckExecutionContext) -> list[str]:
    """The days that the run is over, in order."""
    named = sorted(context.partition_keys)
    return named if len(named) > 1 else days_of_tags(context.run.tags, named[0])


def days_of_tags(tags: Mapping[str, str], partition: str) -> list[str]:
    """The days that a run with these tags and this partition is over, in order."""
    if only := tags.get(DAYS_TAG, ""):
        return only.split()
    first = tags.get(FROM_DAY, "") or partition
    if first >= partition:
        return [partition]
    start, end = date.fromisoformat(first), date.fromisoformat(partition)
    return [(start + timedelta(days=number)).isoformat() for number in range((end - start).days + 1)]


def days_tag(days: Sequence[str]) -> dict[str, str]:
    """The tags of a run of the partition `days[-1]` that takes just `days`, which are in order."""
    return {DAYS_TAG: " ".join(days)} if len(days) > 1 else {}


def at_fault(context: AssetExecutionContext | AssetCheckExecutionContext, days: Collection[str]) -> None:
    """Say of a run which of its days make it fail, so that the others need not fail with them once more."""
    told = {*context.run.tags.get(FAILED_DAYS, "").split(), *days}
    context.instance.add_run_tags(context.run.run_id, {FAILED_DAYS: " ".join(sorted(told))})


def days_to_retry(tags: Mapping[str, str]) -> list[str]:
    """The days of a failed run, by its tags, that are at no fault; none if it had only those that are, or nobody said."""
    failed = set(tags.get(FAILED_DAYS, "").split())
    return [dt for dt in tags.get(DAYS_TAG, "").split() if dt not in failed] if failed else []


def record_day(context: AssetExecutionContext, table: TableContract, dt: str, metadata: Mapping[str, Any]) -> None:
    """Tell Dagster what a run over many days made of one of them."""
    if dt in context.partition_keys:
        context.add_asset_metadata(metadata, asset_key=asset_key(table), partition_key=dt)
    elif "passed_over" not in metadata:
        context.log_event(AssetMaterialization(asset_key(table), partition=dt, metadata=metadata))


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

    What is told of a day is the same as of a day built alone; the last one also has the figures of the whole run. Raises DaysFailed at the end if
    any day failed: then nothing downstream is built in this run, and the other days stay published.
    """
    days = days_of_run(context)
    if len(days) == 1:
        yield from publish(table, lambda: work(days[0]))
        return
    there = arrived()
    made, failed = each_day([dt for dt in days if dt in there], work)
    for dt in days:
        metadata = _of_day(made[dt]) if dt in made else {"passed_over": str(failed.get(dt, "Nothing of it arrived."))}
        record_day(context, table, dt, metadata)
    if failed:
        at_fault(context, failed)
    yield from check_results(table, _together(made, failed))
    if failed:
        raise DaysFailed(failed, len(made) + len(failed))
    facts = [published.version.facts for published in made.values()]
    yield MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "run_days": len(made),
            "run_rows": sum(published.version.rows for published in made.values()),
            "run_seconds": round(sum(published.seconds for published in made.values()), 3),
            **{
                f"run_{name}": sum(int(fact[name]) for fact in facts)
                for name in _COUNTED
                if all(name in fact for fact in facts)
            },
        },
    )


def _of_day(published: Published) -> dict[str, str | int | float]:
    version = published.version
    return {
        "dagster/row_count": version.rows,
        "dagster/uri": version.location,
        "seconds": round(published.seconds, 3),
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
