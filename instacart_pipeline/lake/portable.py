"""The portable subset: what of Athena SQL means the same on DuckDB and Spark, and has been tried to.

Belongs here: the list of allowed functions and the rules a statement is held to. A function comes onto the list together
with a sample in the tests, which compare its values on both engines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query, Schema

ALLOWED: tuple[type[exp.Expr], ...] = (
    *(exp.Count, exp.CountIf, exp.Sum, exp.Min, exp.Max, exp.Avg),
    *(exp.Coalesce, exp.Nullif, exp.If, exp.Case, exp.Cast, exp.TryCast, exp.Greatest, exp.Least),
    *(exp.Abs, exp.Floor, exp.Ceil, exp.Sqrt, exp.Ln, exp.Exp, exp.Pow),
    *(exp.Sin, exp.Cos, exp.Asin, exp.Radians),
    *(exp.Lower, exp.Upper, exp.Trim, exp.Length, exp.Substring, exp.Concat, exp.DPipe, exp.RegexpLike),
    *(exp.LowerHex, exp.MD5Digest, exp.Encode),  # lower(to_hex(md5(to_utf8(text))))
    *(exp.Year, exp.Month, exp.Day, exp.TimestampTrunc, exp.TimeToStr),
    exp.DateDiff,  # of days, between what is cast to dates; see _proven
    *(exp.RowNumber, exp.Lag, exp.Lead),
    *(exp.And, exp.Or, exp.Exists),
)
_TEXT = {exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT, exp.DataType.Type.CHAR}


def unproven_functions(query: Query) -> list[str]:
    """The functions of a query that are not on the list: they may differ from Athena on another engine."""
    return sorted({_name(node) for node in query.expression.find_all(exp.Func) if not _proven(node)})


def problems(query: Query, schema: Schema, inputs: Iterable[TableContract]) -> list[str]:
    """Why a statement is outside the portable subset, in words; empty if it is inside.

    Held to: functions on the list; division by floating numbers only, whole ones cast first; text cast with TRY_CAST; fractions dropped by floor or ceil;
    windows ordered by columns that, with the partition, hold a unique set of an input or all that is grouped by, so that ties can't be broken
    by chance; or whose partition holds every column there is, so that it doesn't matter how they are.
    """
    tree = query.qualified(schema)
    unique = [set(columns) for table in inputs for columns in table.unique_sets] + _grouped(tree)
    found = [f"{name} is not on the list of functions proven on every engine" for name in unproven_functions(query)]
    found += _divisions(tree)
    found += _casts(tree)
    found += _windows(tree, unique, schema)
    return found


def _proven(node: exp.Func) -> bool:
    """Whether a function is on the list. Of a time, or in months, Athena counts whole units of a difference, where others count boundaries."""
    if isinstance(node, exp.DateDiff):
        ends = (node.this, node.expression)
        return node.text("unit").upper() == "DAY" and all(
            isinstance(end, exp.Cast) and end.to.this is exp.DataType.Type.DATE for end in ends
        )
    return isinstance(node, ALLOWED)


def _divisions(tree: exp.Expr) -> Iterator[str]:
    for division in tree.find_all(exp.Div):
        left, right = division.this, division.expression
        if _is(left, exp.DataType.INTEGER_TYPES) and _is(right, exp.DataType.INTEGER_TYPES):
            yield f"{division.sql('athena')} divides whole numbers; cast one to double, or the result with CAST(... AS bigint)"


def _casts(tree: exp.Expr) -> Iterator[str]:
    for cast in tree.find_all(exp.Cast):
        to = cast.to.this
        if (
            not isinstance(cast, exp.TryCast)
            and _is(cast.this, _TEXT)
            and to not in _TEXT
            and not isinstance(cast.this, exp.Literal)
        ):
            yield f"{cast.sql('athena')} casts text; use TRY_CAST, which gives NULL where a value does not convert"
        fractional = _is(cast.this, exp.DataType.REAL_TYPES) and not isinstance(cast.this, (exp.Floor, exp.Ceil))
        if fractional and to in exp.DataType.INTEGER_TYPES:
            yield f"{cast.sql('athena')} drops a fraction, which engines round differently; take floor or ceil of it first"


def _grouped(tree: exp.Expr) -> list[set[str]]:
    """The columns of each GROUP BY of columns alone: no two of its rows share them."""
    grouped = [group.expressions for group in tree.find_all(exp.Group)]
    return [
        {column.name for column in columns}
        for columns in grouped
        if columns and all(isinstance(column, exp.Column) for column in columns)
    ]


def _windows(tree: exp.Query, unique: list[set[str]], schema: Schema) -> Iterator[str]:
    alike = {
        id(window)
        for scope in traverse_scope(tree)
        for window in scope.expression.find_all(exp.Window)
        if window.parent_select is scope.expression and _parts_by_whole_rows(window, scope, schema)
    }
    for window in tree.find_all(exp.Window):
        if id(window) in alike:
            continue
        order = window.args.get("order")
        if order is None:
            continue
        named = {
            column.name
            for part in (*window.args.get("partition_by", []), order)
            for column in part.find_all(exp.Column)
        }
        if not any(columns <= named for columns in unique):
            yield f"{window.sql('athena')} is ordered by columns that are not unique; ties would be broken by chance"


def _parts_by_whole_rows(window: exp.Window, scope: Scope, schema: Schema) -> bool:
    """Whether the rows of a partition of the window are alike in every column of what it reads."""
    parted = {(part.table, part.name) for part in window.args.get("partition_by", []) if isinstance(part, exp.Column)}
    read = {
        (name, column) for name, (_, source) in scope.selected_sources.items() for column in _columns(source, schema)
    }
    return read <= parted


def _columns(source: object, schema: Schema) -> Collection[str]:
    if isinstance(source, exp.Table):
        return schema[source.db][source.name]
    query = source.expression if isinstance(source, Scope) else None
    return query.named_selects if isinstance(query, exp.Query) else ()


def _is(node: exp.Expr, types: Collection[object]) -> bool:
    return node.type is not None and node.type.this in types


def _name(node: exp.Func) -> str:
    return node.name.lower() if isinstance(node, exp.Anonymous) else node.sql_name().lower()
