"""What a contract demands of a table's rows, as named rules.

Belongs here: which rules a contract makes and what each is called; the same names stand in a version's record, in
Dagster's asset checks and in the docs. Doesn't: counting who breaks them (resources/*/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from instacart_pipeline.lake.contracts import TableContract

Kind = Literal["not_null", "in_range", "allowed_values", "unique", "references", "rows_accounted", "rejects_within_limit"]


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
    """The rules that follow from a table's columns, keys and references."""
    rules = []
    required = tuple(column.name for column in table.columns if column.required)
    if required:
        rules.append(Rule("no_nulls", "not_null", required, f"Never NULL: {', '.join(required)}."))
    for column in table.columns:
        if column.between:
            low, high = column.between
            text = f"{column.name} lies between {low:g} and {high:g}."
            rules.append(Rule(f"{column.name}_in_range", "in_range", (column.name,), text))
        if column.one_of:
            text = f"{column.name} is one of {', '.join(column.one_of)}."
            rules.append(Rule(f"{column.name}_allowed", "allowed_values", (column.name,), text))
    for columns in table.unique_sets:
        text = f"No two rows share ({', '.join(columns)})."
        rules.append(Rule(f"{'_'.join(columns)}_unique", "unique", columns, text))
    for column in table.columns:
        if column.references:
            target = column.references
            text = f"Every {column.name} stands in {target.table.qualified_name}.{target.column}."
            rules.append(Rule(f"{column.name}_known", "references", (column.name,), text))
    return tuple(rules)
