"""Holding a table to its contract by one statement of Athena SQL.

Belongs here: the query that counts, for each rule, the rows that break it, and reading its answer. The counts are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.rules import Outcome, Rule, outcome_of, rules_of

ROWS = "rows_in_all"


def verification(table: TableContract, source: str, dt: str, together: str = "") -> str:
    """A SELECT of one row over `source`, a table that holds one version of day `dt`: the number of rows, and a count a rule and column.

    Foreign keys are looked up at `dt` in the tables they point to. With `together`, rows that must not be alike are looked for in
    that table: the rows of `source` and those they will stand among.
    """
    counts = [
        f"{_count(table, rule, column, (together or source) if rule.kind == 'unique' else source, dt)} AS {_name(number, column)}"
        for number, rule in enumerate(rules_of(table))
        for column in _counted(rule)
    ]
    return f"SELECT {', '.join([f'count(*) AS {ROWS}', *counts])} FROM {source}"  # noqa: S608  # made of contract names and literals


def outcomes(table: TableContract, row: Mapping[str, Any]) -> tuple[int, tuple[Outcome, ...]]:
    """The number of rows and what came of each rule, from the row that `verification` gave."""
    judged = tuple(
        outcome_of(rule, {column: int(row[_name(number, column)]) for column in _counted(rule)})
        for number, rule in enumerate(rules_of(table))
    )
    return int(row[ROWS]), judged


def _counted(rule: Rule) -> tuple[str, ...]:
    return ("",) if rule.kind == "unique" else rule.columns


def _name(number: int, column: str) -> str:
    return f"rule_{number}_{column}".rstrip("_")


def _count(table: TableContract, rule: Rule, column: str, source: str, dt: str) -> str:
    if rule.kind == "unique":
        names = ", ".join(f'"{name}"' for name in rule.columns)
        known = " AND ".join(f'"{name}" IS NOT NULL' for name in rule.columns)  # NULL is like nothing else
        return (
            f"(SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {source} WHERE {known}"  # noqa: S608
            f" GROUP BY {names} HAVING count(*) > 1) AS doubled)"
        )
    if rule.kind == "not_null":
        return f'count_if("{column}" IS NULL)'
    contract = table.column(column)
    if rule.kind == "in_range":
        low, high = contract.between or (0, 0)
        return f'count_if(NOT ("{column}" BETWEEN {_number(low)} AND {_number(high)}))'
    if rule.kind == "allowed_values":
        allowed = ", ".join(exp.Literal.string(value).sql("athena") for value in contract.one_of or ())
        return f'count_if("{column}" NOT IN ({allowed}))'
    target = contract.references
    if rule.kind != "references" or target is None:
        raise ValueError(f"{rule.name} is not a rule that SQL can count")
    return (
        f'(SELECT count(*) FROM {source} AS own LEFT JOIN (SELECT DISTINCT "{target.column}" AS known'  # noqa: S608
        f" FROM {target.table.qualified_name} WHERE {PARTITION} = '{dt}') AS other"
        f' ON own."{column}" = other.known WHERE own."{column}" IS NOT NULL AND other.known IS NULL)'
    )


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
