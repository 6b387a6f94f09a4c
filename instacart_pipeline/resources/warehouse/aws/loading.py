"""Bringing rows into a table of the warehouse on Redshift: staged, judged, and swapped for the old ones.

It takes two transactions, or a few more for many days. The first stages the rows in a table of the attempt's own, in the contract's
columns and types, and counts what breaks the contract; readers see none of it. The second, if nothing does, swaps them in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.lake.rule_sql import outcomes
from instacart_pipeline.lake.zones import age_of
from instacart_pipeline.resources.aws_account.errors import log_cleanup_errors
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline.resources.warehouse import Loaded
from instacart_pipeline.resources.warehouse.aws import sql
from instacart_pipeline.resources.warehouse.aws.redshift import Redshift
from instacart_pipeline.resources.warehouse.aws.statements import MOST_STATEMENTS
from instacart_pipeline.resources.warehouse.loads import Columns, Load, columns_of, format_days, newest, require_columns

if TYPE_CHECKING:
    import pyarrow as pa

_MEANWHILE = (
    "The old rows are there still. If a text could not be made an integer, another load came in between: one of the same days, "
    "or of rows like these. Load the days again."
)
_PER_DAY = 3
_BESIDES_DAYS = 9
"""Most statements of a staging transaction that are of no day: what is made first, and what is asked in the end."""
_AT_ONCE = (MOST_STATEMENTS - _BESIDES_DAYS) // _PER_DAY


@dataclass(frozen=True)
class Staging:
    """What is put in place of the rows of `days`; of all rows if there are none.

    `each` are the statements that stage it, those of one entry in one transaction, which begins with `before`. `asked` are asked in the
    same transaction as the last of them, and `hold` is given the answers before any row is swapped. `lineage` is by the day that is loaded.
    """

    days: Collection[str]
    before: Sequence[str]
    each: Sequence[Sequence[str]]
    lineage: Mapping[str, Mapping[str, str]]
    asked: Sequence[str]
    hold: Callable[[Sequence[pa.Table]], None]


class Loading:
    """Loads into a database that reads the versions of a lake."""

    def __init__(self, lake: AwsLake, database: Redshift) -> None:
        self._lake, self._database = lake, database

    def replace(
        self, work: Work, target: TableContract, staging: Callable[[TableContract], Staging], started: float
    ) -> Loaded:
        """Stage, judge and swap, as one attempt. What was staged is gone at its end, whichever that is."""

        def make(attempt: Attempt) -> Loaded:
            if attempt.resumed and age_of(attempt.version) > self._lake.longest_write / 2:
                attempt.start_new_attempt()  # what it staged may be swept
                self._lake.jobs.records.write(attempt)
            waiting = sql.staged(target, attempt.version)
            try:
                return self._load(attempt, target, waiting, staging(waiting), started)
            except BaseException:
                if any(name.startswith("stage") and entry.id for name, entry in attempt.jobs.items()):
                    with log_cleanup_errors(f"The table {waiting.qualified_name}"):
                        self._database.run(attempt, "drop", [f"DROP TABLE IF EXISTS {sql.quoted(waiting)}"])
                raise

        return self._lake.jobs.run_or_reattach(work, make)

    def _load(
        self, attempt: Attempt, target: TableContract, waiting: TableContract, plan: Staging, started: float
    ) -> Loaded:
        there = self._database.schema([target.database], attempt).get(target.database, {})
        anew = self._is_made_anew(attempt, target, there, plan.days)
        staged, answers = self._stage(attempt, target, waiting, plan, () if anew else plan.days)
        (row,), counts = answers[0].to_pylist(), {row["dt"]: row["n"] for row in answers[1].to_pylist()}
        rows, judged = outcomes(target, row)
        if not all(outcome.passed for outcome in judged):
            raise VersionRefused(target, format_days(plan.days or plan.lineage), judged)
        plan.hold(answers[2:])
        version = attempt.version
        loads = [Load(dt, version, counts.get(dt, 0), origin) for dt, origin in plan.lineage.items()]
        statements = sql.swapped(target, waiting, plan.days, version, loads, anew=anew)
        try:
            swapped = self._database.run(attempt, "swap", statements)
        except JobFailed as failed:
            failed.args = (f"{failed}\n{_MEANWHILE}",)
            raise
        (total,) = self._database.answers(swapped, len(statements) - 1, 1)[0].to_pylist()
        self._sweep(attempt, target.database, there)
        lineage, seconds = newest(plan.lineage.values()), time.perf_counter() - started
        running = sum(ended.look.running_seconds for ended in (*staged, swapped))
        service = {**swapped.facts(), "running_seconds": round(running, 3), "transactions": len(staged) + 1}
        return Loaded(target, rows, total["n"], version, judged, seconds, lineage, service)

    def _stage(
        self,
        attempt: Attempt,
        target: TableContract,
        waiting: TableContract,
        plan: Staging,
        staying: Collection[str],
    ) -> tuple[list[JobSucceeded], list[pa.Table]]:
        """Stage the rows, in as many transactions as it takes; those, and what the last one answered."""
        made = [*sql.schema_made(target.database), sql.made(target), sql.made(waiting)]
        asked = [sql.judged(waiting, target, staying), sql.counted(waiting), *plan.asked]
        ended: list[JobSucceeded] = []
        parts = [plan.each[start : start + _AT_ONCE] for start in range(0, len(plan.each), _AT_ONCE)] or [[]]
        for number, part in enumerate(parts):
            first, last = number == 0, number == len(parts) - 1
            statements = [statement for each in part for statement in each]
            statements = [*(made if first else ()), *plan.before, *statements, *(asked if last else ())]
            ended.append(self._database.run(attempt, f"stage-{number}", statements))
        return ended, self._database.answers(ended[-1], len(statements) - len(asked), len(asked))

    def _is_made_anew(
        self, attempt: Attempt, target: TableContract, there: Mapping[str, Columns], days: Collection[str]
    ) -> bool:
        """Whether the table is to be made: it is there with other columns, no day of which stays. Raises WarehouseOutdated if one would."""
        has, wants = there.get(target.name), columns_of(target)
        if has is None or dict(has) == wants:
            return False
        if days:
            asked = [sql.loads_there(target.database, [target.name])]
            (loads,) = self._database.answers(self._database.run(attempt, "loads", asked), 0, 1)
            if not {row["dt"] for row in loads.to_pylist()} <= set(days):
                require_columns(target, has, wants)
        return True

    def _sweep(self, attempt: Attempt, database: str, there: Iterable[str]) -> None:
        """Drop tables of rows that nobody will swap any more: their process was killed, and not retried."""
        ages = {name: age_of(version) for name in there if (version := sql.version_of_staged(name))}
        orphaned_files = [name for name, age in ages.items() if age > self._lake.longest_write][:MOST_STATEMENTS]
        if orphaned_files:
            with log_cleanup_errors(f"Tables of {database} that were staged and never loaded"):
                self._database.run(
                    attempt, "sweep", [f'DROP TABLE IF EXISTS "{database}"."{name}"' for name in orphaned_files]
                )
