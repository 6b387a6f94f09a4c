"""The conditions of REMOVE_VALUES: how a recipe writes them, and the SQL predicates they are.

Belongs here: what each condition compares with, and what it means for a column of each type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline.lake.recipe_parameters import json_value, some_text
from instacart_pipeline.lake.recipe_query import Item
from instacart_pipeline.lake.recipe_types import NUMBERS, ORDERED, Refused, literal, number


@dataclass(frozen=True)
class Condition:
    """A test of one column. `values` are the texts it compares with: none, one, two bounds, or a list of candidates."""

    name: str
    column: str
    values: tuple[str, ...]


def _no_value(_value: str) -> tuple[str, ...]:
    return ()


def _one_value(value: str) -> tuple[str, ...]:
    return (some_text(value),)


def _candidates(value: str) -> tuple[str, ...]:
    texts = json_value(value)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Refused(f'must be a JSON list of texts, such as ["a"], and is {value!r}')
    return tuple(texts)


def _bounds(value: str) -> tuple[str, ...]:
    bounds, names = json_value(value), ("GREATER_THAN_EQUAL", "LESS_THAN_EQUAL")
    if not isinstance(bounds, dict) or not all(isinstance(bounds.get(name), str) for name in names):
        example = json.dumps({"GREATER_THAN_EQUAL": "1", "LESS_THAN_EQUAL": "5"})
        raise Refused(f"must be a JSON map of texts, such as {example}, and is {value!r}")
    return tuple(bounds[name] for name in names)


CONDITIONS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "IS": _candidates,
    "IS_NOT": _candidates,
    "IS_BETWEEN": _bounds,
    "CONTAINS": _one_value,
    "NOT_CONTAINS": _one_value,
    "STARTS_WITH": _one_value,
    "NOT_STARTS_WITH": _one_value,
    "ENDS_WITH": _one_value,
    "NOT_ENDS_WITH": _one_value,
    "LESS_THAN": _one_value,
    "LESS_THAN_EQUAL": _one_value,
    "GREATER_THAN": _one_value,
    "GREATER_THAN_EQUAL": _one_value,
    "IS_INVALID": _no_value,
    "IS_MISSING": _no_value,
}
"""Every condition, and the reader of its Value."""


def parse_condition(expression: Mapping[str, str]) -> Condition:
    """The condition a recipe writes as `expression`. Raises Refused if it is unknown or its Value is not what it takes."""
    name, column = expression.get("Condition", ""), expression.get("TargetColumn", "")
    if name not in CONDITIONS:
        raise Refused(f"the condition {name!r} is not supported; supported are {', '.join(CONDITIONS)}")
    if not column:
        raise Refused(f"the condition {name} lacks its TargetColumn")
    try:
        return Condition(name, column, CONDITIONS[name](expression.get("Value", "")))
    except Refused as reason:
        raise Refused(f"the Value of {name} on {column} {reason}") from None


_COMPARISONS: dict[str, type[exp.Binary]] = {
    "LESS_THAN": exp.LT,
    "LESS_THAN_EQUAL": exp.LTE,
    "GREATER_THAN": exp.GT,
    "GREATER_THAN_EQUAL": exp.GTE,
}


def _contains(column: exp.Expr, text: str) -> exp.Expr:
    return exp.StrPosition(this=column, substr=exp.Literal.string(text)) > exp.Literal.number("0")


def _starts_with(column: exp.Expr, text: str) -> exp.Expr:
    return exp.StartsWith(this=column, expression=exp.Literal.string(text))


def _ends_with(column: exp.Expr, text: str) -> exp.Expr:
    # Not every engine has ends_with. A text shorter than this comes out whole or empty: unequal either way.
    end = exp.Substring(this=column, start=exp.Neg(this=exp.Literal.number(str(len(text)))))
    return end.eq(exp.Literal.string(text))


_TEXT_TESTS: dict[str, Callable[[exp.Expr, str], exp.Expr]] = {
    "CONTAINS": _contains,
    "STARTS_WITH": _starts_with,
    "ENDS_WITH": _ends_with,
}


def removal(conditions: Sequence[Condition], columns: Sequence[Item]) -> exp.Expr:
    """The predicate of the rows to keep: those that don't meet all of `conditions`, one for each of `columns`.

    A missing value meets IS_MISSING and nothing else, not even IS_NOT: such a row is kept. Raises Refused if a condition
    makes no sense for its column's type, or compares with what is no value of it.
    """
    tests = [_test(condition, column) for condition, column in zip(conditions, columns, strict=True)]
    kept = exp.not_(exp.and_(*tests))
    if all(condition.name == "IS_MISSING" for condition in conditions):
        return kept
    return exp.Coalesce(this=kept, expressions=[exp.true()])


def _test(condition: Condition, column: Item) -> exp.Expr:
    name, values, value = condition.name, condition.values, column.sql.copy()
    try:
        if name == "IS_MISSING":
            return value.is_(exp.null())
        if name == "IS_INVALID":
            return _is_invalid(value, column.type)
        if name in ("IS", "IS_NOT"):
            found = exp.In(this=value, expressions=[_comparable(text, column.type) for text in values])
            return exp.not_(found) if name == "IS_NOT" else found
        if name == "IS_BETWEEN" or name in _COMPARISONS:
            bounds = [_bound(text, column.type) for text in values]
            if name == "IS_BETWEEN":
                return exp.Between(this=value, low=bounds[0], high=bounds[1])
            return _COMPARISONS[name](this=value, expression=bounds[0])
        test = _text_test(name.removeprefix("NOT_"), value, column.type, values[0])
        return exp.not_(test) if name.startswith("NOT_") else test
    except Refused as reason:
        raise Refused(f"the condition {name} on {condition.column}: {reason}") from None


def _is_invalid(value: exp.Expr, kind: ColumnType) -> exp.Expr:
    # A typed column can't hold a value of another type; only a double has a value that is no number.
    return exp.IsNan(this=value) if kind == "double" else exp.false()


def _text_test(name: str, value: exp.Expr, kind: ColumnType, text: str) -> exp.Expr:
    if kind != "string":
        raise Refused(f"needs a string column, and this is {kind}")
    return _TEXT_TESTS[name](value, text)


def _comparable(text: str, kind: ColumnType) -> exp.Expr:
    return number(text) if kind in NUMBERS else literal(text, kind)


def _bound(text: str, kind: ColumnType) -> exp.Expr:
    if kind not in ORDERED:
        raise Refused(f"needs a column of numbers, dates or timestamps, and this is {kind}")
    return _comparable(text, kind)
