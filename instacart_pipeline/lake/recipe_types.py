"""The data types of a DataBrew recipe: their place among the lake's types, their literals and their conversions.

Belongs here: what a value of a type may look like and how it becomes another type, as SQL that gives the same values in
Athena, DuckDB and Spark. The engines disagree on most casts (DuckDB rounds 2.5 where Spark cuts it, each trims and
parses text its own way), so no cast of theirs is used where they do: text is first matched whole against a pattern,
and only what matches is cast. Doesn't belong: which step converts what (recipe_sql.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlglot import exp

from instacart_pipeline.lake.contracts import ColumnType


class Refused(ValueError):
    """Why a step can't be run, in words; whoever knows the recipe and the step adds where."""


@dataclass(frozen=True)
class DataType:
    """A data type by its DataBrew name: the lake's type that holds it, and the range if that is narrower."""

    name: str
    column: ColumnType
    between: tuple[int, int] | None = None


DATA_TYPES = {
    kind.name: kind
    for kind in (
        DataType("byte", "int", (-128, 127)),
        DataType("short", "int", (-32_768, 32_767)),
        DataType("int", "int"),
        DataType("long", "bigint"),
        # The lake has one type for fractions; a double holds every float, and a decimal to 15 digits.
        DataType("float", "double"),
        DataType("double", "double"),
        DataType("decimal", "double"),
        DataType("string", "string"),
        DataType("boolean", "boolean"),
        DataType("timestamp", "timestamp"),
        DataType("date", "date"),
    )
}
"""The types CHANGE_DATA_TYPE knows."""

INTEGERS: tuple[ColumnType, ...] = ("bigint", "int")
NUMBERS: tuple[ColumnType, ...] = ("bigint", "int", "double")
ORDERED: tuple[ColumnType, ...] = (*NUMBERS, "date", "timestamp")

_SQL_TYPES: dict[ColumnType, str] = {
    "bigint": "bigint",
    "int": "int",
    "double": "double",
    "string": "varchar",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")

# `\z` and not `$`, which in Java also matches before a last newline.
_INTEGER_TEXT = r"^ *([+-]?[0-9]+)([.][0-9]*)? *\z"
_NUMBER_TEXT = r"^ *([+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?) *\z"
_BOOLEAN_TEXT = r"^ *([a-z01]+) *\z"
_DAY, _TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?"
_DATE_TEXT = rf"^ *({_DAY})([ T]{_TIME})? *\z"
_TIMESTAMP_TEXT = rf"^ *({_DAY}( {_TIME})?) *\z"

_INTEGER = re.compile(r"[+-]?[0-9]+")
_LARGEST: dict[ColumnType, int] = {"int": 2**31 - 1, "bigint": 2**63 - 1}


def literal(text: str, kind: ColumnType) -> exp.Expr:
    """The SQL literal of type `kind` that a recipe writes as `text`. Raises Refused if `text` is no such value."""
    try:
        return _LITERALS[kind](text)
    except ValueError:
        raise Refused(f"{text!r} is not a value of type {kind}") from None


def number(text: str) -> exp.Expr:
    """The literal of a number: bigint if it is written without a fraction, double otherwise. Raises Refused."""
    return literal(text, number_type(text))


def number_type(text: str) -> ColumnType:
    """The type `number` gives `text`: bigint or double."""
    return "bigint" if _INTEGER.fullmatch(text.strip()) else "double"


def _integer_literal(text: str, kind: ColumnType) -> exp.Expr:
    if not _INTEGER.fullmatch(text.strip()) or abs(int(text)) > _LARGEST[kind]:
        raise ValueError(text)
    return _signed(str(abs(int(text))), negative=int(text) < 0)


def _double_literal(text: str) -> exp.Expr:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    # With an exponent it is a double to every engine; 0.1 alone would be a decimal.
    digits = repr(abs(value)).upper()
    return _signed(digits if "E" in digits else f"{digits}E0", negative=value < 0)


def _signed(digits: str, *, negative: bool) -> exp.Expr:
    value = exp.Literal.number(digits)
    return exp.Neg(this=value) if negative else value


def _boolean_literal(text: str) -> exp.Expr:
    word = text.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return exp.Boolean(this=word in _TRUE)


def _date_literal(text: str) -> exp.Expr:
    return cast(exp.Literal.string(date.fromisoformat(text.strip()).isoformat()), "date")


def _timestamp_literal(text: str) -> exp.Expr:
    value = datetime.fromisoformat(text.strip())
    if value.tzinfo is not None:
        raise ValueError(text)
    return cast(exp.Literal.string(value.isoformat(sep=" ")), "timestamp")


_LITERALS: dict[ColumnType, Callable[[str], exp.Expr]] = {
    "bigint": lambda text: _integer_literal(text, "bigint"),
    "int": lambda text: _integer_literal(text, "int"),
    "double": _double_literal,
    "string": exp.Literal.string,
    "boolean": _boolean_literal,
    "date": _date_literal,
    "timestamp": _timestamp_literal,
}


def cast(value: exp.Expr, kind: ColumnType) -> exp.Expr:
    """`value` cast to `kind`, for the casts that can't fail and that every engine does alike."""
    return exp.Cast(this=value, to=exp.DataType.build(_SQL_TYPES[kind]))


def try_cast(value: exp.Expr, kind: ColumnType) -> exp.Expr:
    """`value` cast to `kind`, NULL where that fails."""
    return exp.TryCast(this=value, to=exp.DataType.build(_SQL_TYPES[kind]))


def convert(value: exp.Expr, source: ColumnType, target: DataType) -> exp.Expr:
    """`value`, of type `source`, as `target`: NULL where it does not convert.

    - To a whole number: a fraction is cut towards zero, as Spark does; out of range is NULL.
    - Text to a number: plain decimal notation between optional spaces, an exponent only for fractions; so ' 12 ' and
      '12.7' are the long 12, and 'abc', '', 'NaN', '0x1F' and '1_000' are NULL.
    - Text to boolean: true t yes y 1, false f no n 0, in any case. A number is true unless it is 0.
    - Text to date or timestamp: 2026-11-20, or 2026-11-20 08:30:00, also with a T between and a fraction of a second.
    - A timestamp as text is cut to whole seconds.

    Raises Refused for pairs no value of which converts, and for double to string: the engines write fractions apart.
    """
    if source == target.column and target.between is None:
        return value
    if target.column in INTEGERS:
        return _whole(value, source, target)
    conversion = _CONVERSIONS.get((source, target.column))
    if conversion is None:
        hint = "; make it a long first, or keep it a number" if (source, target.column) == ("double", "string") else ""
        raise Refused(f"{source} can't become {target.name}{hint}")
    return conversion(value)


def _whole(value: exp.Expr, source: ColumnType, target: DataType) -> exp.Expr:
    if source == "string":
        whole = try_cast(_extract(value, _INTEGER_TEXT), target.column)
    elif source == "double":
        whole = _cut(value)
        whole = whole if target.column == "bigint" else try_cast(whole, target.column)
    elif source == "bigint" and target.column == "int":
        whole = try_cast(value, "int")
    elif source in (*INTEGERS, "boolean"):
        whole = value if source == target.column else cast(value, target.column)
    else:
        raise Refused(f"{source} can't become {target.name}")
    if target.between is None:
        return whole
    low, high = (literal(str(bound), "int") for bound in target.between)
    return exp.Case().when(exp.Between(this=whole.copy(), low=low, high=high), whole)


def _cut(value: exp.Expr) -> exp.Expr:
    """The double `value` without its fraction, a bigint; NULL for NaN and what no bigint holds."""
    bound = exp.Literal.number("9.223372036854775808E18")  # 2^63: the first double above the largest bigint
    fits = exp.and_(value.copy() >= exp.Neg(this=bound.copy()), value.copy() < bound)
    towards_zero = exp.Case().when(value.copy() < exp.Literal.number("0E0"), exp.Ceil(this=value.copy()))
    return exp.Case().when(fits, cast(towards_zero.else_(exp.Floor(this=value)), "bigint"))


def _extract(value: exp.Expr, pattern: str) -> exp.Expr:
    """The first group of `pattern` in `value`; NULL or '' where it doesn't match, which no cast takes."""
    return exp.RegexpExtract(this=value, expression=exp.Literal.string(pattern), group=exp.Literal.number("1"))


def _boolean(value: exp.Expr) -> exp.Expr:
    word = _extract(exp.Lower(this=value), _BOOLEAN_TEXT)
    case = exp.Case()
    for words, truth in ((_TRUE, True), (_FALSE, False)):
        case = case.when(word.copy().isin(*words), exp.Boolean(this=truth))
    return case


def _timestamp(value: exp.Expr) -> exp.Expr:
    spaced = exp.func("replace", value, exp.Literal.string("T"), exp.Literal.string(" "))
    return try_cast(_extract(spaced, _TIMESTAMP_TEXT), "timestamp")


def _timestamp_text(value: exp.Expr) -> exp.Expr:
    return exp.TimeToStr(this=value, format=exp.Literal.string("%Y-%m-%d %H:%M:%S"))


def _not_zero(value: exp.Expr) -> exp.Expr:
    return value.neq(exp.Literal.number("0"))


_CONVERSIONS: dict[tuple[ColumnType, ColumnType], Callable[[exp.Expr], exp.Expr]] = {
    ("string", "double"): lambda value: try_cast(_extract(value, _NUMBER_TEXT), "double"),
    ("string", "boolean"): _boolean,
    ("string", "date"): lambda value: try_cast(_extract(value, _DATE_TEXT), "date"),
    ("string", "timestamp"): _timestamp,
    ("bigint", "double"): lambda value: cast(value, "double"),
    ("int", "double"): lambda value: cast(value, "double"),
    ("boolean", "double"): lambda value: cast(value, "double"),
    ("bigint", "string"): lambda value: cast(value, "string"),
    ("int", "string"): lambda value: cast(value, "string"),
    ("boolean", "string"): lambda value: cast(value, "string"),
    ("date", "string"): lambda value: cast(value, "string"),
    ("timestamp", "string"): _timestamp_text,
    ("bigint", "boolean"): _not_zero,
    ("int", "boolean"): _not_zero,
    ("double", "boolean"): _not_zero,
    ("timestamp", "date"): lambda value: cast(value, "date"),
    ("date", "timestamp"): lambda value: cast(value, "timestamp"),
}
