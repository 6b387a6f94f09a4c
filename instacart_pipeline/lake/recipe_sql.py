"""Compiling a DataBrew recipe to one SELECT in Athena SQL, which DuckDB and Spark run with the same result.

Belongs here: what each operation does to columns, types and rows. Doesn't: reading the recipe (recipes.py), or the
dialects of engines: whoever runs the SQL transpiles it.

Where DataBrew's documentation leaves a choice:

- GROUP_BY without useNewDataFrame 'true' keeps the rows and adds the aggregates to each. COUNT counts values, not
  missing ones. Sums of whole numbers are bigint, and a sum or product too large for it fails the run.
- ROW_NUMBER breaks ties by the columns it doesn't name, so that equal inputs give equal numbers everywhere. NULL comes
  last.
- CATEGORICAL_MAPPING: a missing value is not in the map, so it becomes `other`. With mapType NUMERIC the categories are
  numbers (bigint, or double if one has a fraction); kept texts make the column a string all the same.
- JOIN: NULL keys match nothing. A key that both sides list under one name comes out once, from whichever side has the
  row; any other name on both sides is refused.
- Missing means NULL; an empty text is a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch

import sqlglot
from sqlglot import exp

from instacart_pipeline.lake import recipe_steps as steps
from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline.lake.errors import UnsupportedSql
from instacart_pipeline.lake.recipe_conditions import removal
from instacart_pipeline.lake.recipe_join import Frame, join
from instacart_pipeline.lake.recipe_query import LEFT, Item, Query, distinct_names
from instacart_pipeline.lake.recipe_types import (
    DATA_TYPES,
    INTEGERS,
    NUMBERS,
    DataType,
    Refused,
    cast,
    convert,
    literal,
    number,
    number_type,
)
from instacart_pipeline.lake.recipes import Recipe, refusals

__all__ = ["Compiled", "Frame", "compile_recipe"]


@dataclass(frozen=True)
class Compiled:
    """One SELECT in Athena SQL, and the columns it returns, in order."""

    sql: str
    columns: tuple[tuple[str, ColumnType], ...]


def compile_recipe(
    recipe: Recipe, source: Frame, *, where: str | None = None, datasets: Mapping[str, Frame] | None = None
) -> Compiled:
    """The recipe applied to the rows of `source` that meet `where`, a predicate in Athena SQL.

    `datasets` are the tables JOIN may name. Raises UnsupportedStep, naming recipe, step and operation, for whatever the
    columns at that step don't allow; UnsupportedSql if `where` is not one predicate over the source's own columns.
    """
    query = Query(source.table, source.columns, None if where is None else _predicate(where))
    for place, step in enumerate(recipe.steps, 1):
        query.begin(f"step_{place}")
        with refusals(recipe.name, place, step.operation):
            if isinstance(step, steps.Join):
                join(step, query, datasets or {})
            else:
                _apply(step, query)
    columns = query.columns
    return Compiled(query.select().sql(dialect="athena", pretty=True), columns)


def _predicate(where: str) -> exp.Expr:
    try:
        select = sqlglot.parse_one(f"SELECT 1 WHERE {where}", read="athena")
    except sqlglot.ParseError as error:
        raise UnsupportedSql(f"{where!r} is not a predicate in Athena SQL: {error}") from None
    given = {name for name, value in select.args.items() if value}
    predicate: exp.Expr | None = select.args["where"].this if given == {"expressions", "where"} else None
    if not isinstance(select, exp.Select) or predicate is None or predicate.find(exp.Query):
        raise UnsupportedSql(f"{where!r} is not one predicate over the columns of the source.")
    for column in predicate.find_all(exp.Column):
        column.set("table", exp.to_identifier(LEFT))
    return predicate


@singledispatch
def _apply(step: steps.Step, _query: Query) -> None:
    """Apply a step to the query: one function an operation."""
    raise NotImplementedError(step.operation)


@_apply.register
def _(step: steps.GroupBy, query: Query) -> None:
    items = query.read(*step.columns, *(each.source for each in step.aggregates), rows=step.new_frame)
    groups, sources = dict(zip(step.columns, items, strict=False)), items[len(step.columns) :]
    distinct_names([*(step.columns if step.new_frame else ()), *(each.target for each in step.aggregates)])
    over = None if step.new_frame else [item.sql for item in groups.values()]
    aggregates = {
        each.target: _aggregate(each, source, over) for each, source in zip(step.aggregates, sources, strict=True)
    }
    if step.new_frame:
        query.group(groups, aggregates)
        return
    for target, item in aggregates.items():
        query.add(target, item, windowed=True)


def _aggregate(aggregate: steps.Aggregate, source: Item, over: list[exp.Expr] | None) -> Item:
    function, kind = aggregate.function, source.type
    if function in ("SUM", "MEAN"):
        _need_number(aggregate.source, kind, f"{function} needs")
    result: ColumnType = kind
    if function == "COUNT" or (function == "SUM" and kind in INTEGERS):
        result = "bigint"
    elif function == "MEAN":
        result = "double"
    value: exp.Expr = _AGGREGATES[function](this=source.sql.copy())
    if over is not None:
        value = exp.Window(this=value, partition_by=[group.copy() for group in over])
    if function == "SUM" and result == "bigint":
        value = cast(value, "bigint")  # DuckDB sums whole numbers into a type of its own
    target = aggregate.type
    if target is None or (target.name == "number" and result in NUMBERS):
        return Item(value, result)
    try:
        return Item(convert(value, result, target), target.column)
    except Refused as reason:
        raise Refused(f"targetColumnDataType of {aggregate.target}: {reason}") from None


_AGGREGATES: dict[str, type[exp.AggFunc]] = {
    "COUNT": exp.Count,
    "SUM": exp.Sum,
    "MEAN": exp.Avg,
    "MIN": exp.Min,
    "MAX": exp.Max,
}


@_apply.register
def _(step: steps.RowNumber, query: Query) -> None:
    named = (*step.groups, *step.order)
    ties = [name for name, _ in query.columns if name not in named]
    items = query.read(*named, *ties)
    ordered = [exp.Ordered(this=item.sql.copy(), desc=False, nulls_first=False) for item in items[len(step.groups) :]]
    window = exp.Window(
        this=exp.RowNumber(),
        partition_by=[item.sql.copy() for item in items[: len(step.groups)]],
        order=exp.Order(expressions=ordered),
    )
    # Spark numbers rows with an int.
    query.add(step.target, Item(cast(window, "bigint"), "bigint"), windowed=True)


@_apply.register
def _(step: steps.ChangeDataType, query: Query) -> None:
    if query.type_of(step.source) == step.type.column and step.type.between is None:
        return
    (source,) = query.read(step.source)
    converted = convert(source.sql.copy(), source.type, step.type)
    is_text_of_integer = source.type in INTEGERS and step.type.column == "string"
    origin = source.sql if is_text_of_integer and isinstance(source.sql, exp.Column) else None
    query.replace(step.source, Item(converted, step.type.column, origin))


_CANONICAL_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


@_apply.register
def _(step: steps.CategoricalMapping, query: Query) -> None:
    (source,) = query.read(step.source, rows=step.delete_others)
    keys = [key for key, _ in step.values]
    subject, kind = source.sql, source.type
    if source.integer is not None and all(map(_CANONICAL_INTEGER.fullmatch, keys)):
        subject, kind = source.integer, "bigint"  # the same comparison, without writing every number out as text
    if kind not in ("string", *INTEGERS):
        raise Refused(f"{step.source} must be a string or integer column, and is {kind}")
    wanted = [literal(key, "string" if kind == "string" else "bigint") for key in keys]

    result: ColumnType = "string"
    if step.numeric and (not step.keep_others or source.type in NUMBERS):
        result = "double" if any(number_type(text) == "double" for text in step.results) else "bigint"
    case = exp.Case(this=subject.copy())
    for key, (_, category) in zip(wanted, step.values, strict=True):
        case = case.when(key.copy(), literal(category, result))
    if step.other is not None:
        case = case.else_(literal(step.other, result))
    elif step.keep_others:
        case = case.else_(convert(source.sql.copy(), source.type, _type_of_kept(result)))
    if step.delete_others:
        query.keep_rows(exp.In(this=subject.copy(), expressions=wanted))
    query.add(step.target, Item(cast(case, result) if result == "bigint" else case, result))


def _type_of_kept(result: ColumnType) -> DataType:
    return DATA_TYPES["long" if result == "bigint" else result]


_Operator = Callable[[exp.Expr, exp.Expr], exp.Expr]
_OPERATORS: dict[str, _Operator] = {
    "ADD": lambda left, right: left + right,
    "SUBTRACT": lambda left, right: left - right,
    "MULTIPLY": lambda left, right: left * right,
    "DIVIDE": lambda left, right: left / exp.Nullif(this=right, expression=exp.Literal.number("0E0")),
}


@_apply.register
def _(step: steps.Arithmetic, query: Query) -> None:
    given = [(step.source1, step.value1), (step.source2, step.value2)]
    columns = iter(query.read(*(column for column, _ in given if column is not None)))
    operands: list[Item] = []
    for column, value in given:
        if value is not None:
            operands.append(Item(number(value), number_type(value)))
        else:
            operands.append(next(columns))
            _need_number(str(column), operands[-1].type, f"{step.operation} needs")
    whole = step.operation != "DIVIDE" and all(operand.type in INTEGERS for operand in operands)
    result: ColumnType = "bigint" if whole else "double"
    left, right = (_as(operand, result) for operand in operands)
    query.add(step.target, Item(_OPERATORS[step.operation](left, right), result))


@_apply.register
def _(step: steps.Sum, query: Query) -> None:
    items = query.read(*step.columns)
    for name, item in zip(step.columns, items, strict=True):
        _need_number(name, item.type, "SUM needs")
    result: ColumnType = "bigint" if all(item.type in INTEGERS for item in items) else "double"
    zero = literal("0", result)
    terms: list[exp.Expr] = [exp.Coalesce(this=_as(item, result), expressions=[zero.copy()]) for item in items]
    total = terms[0]
    for term in terms[1:]:
        total = exp.Add(this=total, expression=term)
    query.add(step.target, Item(total, result))


@_apply.register
def _(step: steps.FillWithCustom, query: Query) -> None:
    (source,) = query.read(step.source)
    meant = NUMBERS if step.type.column in NUMBERS else (step.type.column,)
    if source.type not in meant:
        raise Refused(f"columnDataType says {step.type.name}, and {step.source} is {source.type}")
    value = literal(step.value, source.type)
    query.replace(step.source, Item(exp.Coalesce(this=source.sql.copy(), expressions=[value]), source.type))


@_apply.register
def _(step: steps.Delete, query: Query) -> None:
    query.delete(step.columns)


@_apply.register
def _(step: steps.Rename, query: Query) -> None:
    query.rename(step.source, step.target)


@_apply.register
def _(_step: steps.DeleteDuplicateRows, query: Query) -> None:
    query.distinct()


@_apply.register
def _(step: steps.RemoveValues, query: Query) -> None:
    columns = [condition.column for condition in step.conditions]
    items = query.read(step.source, *columns, rows=True)
    query.keep_rows(removal(step.conditions, items[1:]))


def _as(item: Item, kind: ColumnType) -> exp.Expr:
    return item.sql.copy() if item.type == kind else cast(item.sql.copy(), kind)


def _need_number(column: str, kind: ColumnType, who: str) -> None:
    if kind not in NUMBERS:
        raise Refused(f"{who} numbers, and {column} is {kind}; CHANGE_DATA_TYPE makes it one")
