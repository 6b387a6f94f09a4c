"""What a contract demands of a table's rows, as named rules.

Belongs here: which rules a contract makes and what each is called; the same names stand in a version's record, in
Dagster's asset checks and in the docs. Doesn't: counting who breaks them (resources/*/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from instacart_pipeline.lake.contracts import TableContract

Kind = Literal[
    "not_null", "in_range", "allowed_values", "unique", "references", "rows_accounted", "rejects_within_limit"
]


@dataclass(frozen=True)
class Rule:
    """One thing every row, or the rows together, must meet. `name` is unique within the table."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Outcome:
    """What came of holding one version of a table to a rule: how many rows break it (0 is good) and, in words, how."""

    rule: str
    violations: int
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether no row breaks the rule."""
        return self.violations == 0


ROWS_ACCOUNTED = Rule(
    "rows_accounted",
    "rows_accounted",
    (),
    "Every row of the upload is published, kept in the rejects, or counted as an exact duplicate.",
)
REJECTS_WITHIN_LIMIT = Rule(
    "rejects_within_limit",
    "rejects_within_limit",
    (),
    "No more than the allowed share of the upload's rows is rejected.",
)


def rules_of(table: TableContract) -> tuple[Rule, ...]:
    """The rules that follow from a table's columns, keys and references: one of a kind, but one for each unique set."""
    columns = table.columns
    rules = []
    if required := tuple(column.name for column in columns if column.required):
        rules.append(Rule("no_nulls", "not_null", required, f"Never NULL: {', '.join(required)}."))
    if bounded := [column for column in columns if column.between]:
        ranges = ", ".join(f"{c.name} {c.between[0]:g} to {c.between[1]:g}" for c in bounded if c.between)
        rules.append(Rule("in_range", "in_range", tuple(c.name for c in bounded), f"In range: {ranges}."))
    if listed := [column for column in columns if column.one_of]:
        choices = "; ".join(f"{c.name} one of {', '.join(c.one_of)}" for c in listed if c.one_of)
        rules.append(
            Rule("allowed_values", "allowed_values", tuple(c.name for c in listed), f"Only known values: {choices}.")
        )
    for names in table.unique_sets:
        text = f"No two rows share ({', '.join(names)})."
        rules.append(Rule(f"unique_{'_'.join(names)}", "unique", names, text))
    if pointing := [column for column in columns if column.references]:
        targets = ", ".join(f"{c.name} in {c.references.table.qualified_name}" for c in pointing if c.references)
        rules.append(
            Rule("references", "references", tuple(c.name for c in pointing), f"Foreign keys hold: {targets}.")
        )
    return tuple(rules)


def outcome_of(rule: Rule, violations: Mapping[str, int]) -> Outcome:
    """What came of a rule: `violations` counts the rows at fault, by column; a rule on rows together has one count, under ""."""
    broken = {name: count for name, count in violations.items() if count}
    named = " ".join(f"{name}: {count:,} rows." for name, count in broken.items() if name)
    return Outcome(rule.name, sum(broken.values()), f"{rule.description} {named}".rstrip())
