"""The operations of a DataBrew recipe: a typed step for each, which says its parameters and how they are read.

Belongs here: the registry of operations, their parameters, and every refusal that needs no columns.
Doesn't: what a step does to a table (recipe_sql.py). A new operation is a class here and a function there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_type_hints

from instacart_pipeline.lake.recipe_conditions import Condition, parse_condition
from instacart_pipeline.lake.recipe_parameters import (
    category_map,
    column_names,
    data_type,
    flag,
    number_text,
    one_of,
    records,
    some_columns,
    some_text,
)
from instacart_pipeline.lake.recipe_types import DATA_TYPES, DataType, Refused, number

AggregateFunction = Literal["COUNT", "SUM", "MEAN", "MIN", "MAX"]
JoinType = Literal[
    "INNER_JOIN",
    "LEFT_JOIN",
    "RIGHT_JOIN",
    "OUTER_JOIN",
    "LEFT_EXCLUDING_JOIN",
    "RIGHT_EXCLUDING_JOIN",
    "OUTER_EXCLUDING_JOIN",
]

AGGREGATE_TYPES = {**DATA_TYPES, "bigint": DATA_TYPES["long"], "number": DataType("number", "double")}
"""The types an aggregate's targetColumnDataType may name: real recipes also say bigint, and number for "as computed"."""

FILL_TYPES = {**DATA_TYPES, "number": DataType("number", "double")}
"""The types FILL_WITH_CUSTOM may name its column's type by."""


@dataclass(frozen=True)
class Step:
    """One step of a recipe, its parameters read and checked as far as they can be without knowing the columns."""

    operation: ClassVar[str]
    takes_conditions: ClassVar[bool] = False


OPERATIONS: dict[str, type[Step]] = {}
"""Every operation that can be run, by its DataBrew name."""

AnyStep = TypeVar("AnyStep", bound=type[Step])


def _operation(name: str) -> Callable[[AnyStep], AnyStep]:
    def register(step: AnyStep) -> AnyStep:
        step.operation = name
        OPERATIONS[name] = step
        return step

    return register


def _join_keys(value: str) -> tuple[tuple[str, str], ...]:
    return tuple((record["key"], record["value"]) for record in records(value, "key", "value"))


def _aggregates(value: str) -> tuple[Aggregate, ...]:
    return tuple(map(_aggregate, records(value, "sourceColumnName", "targetColumnName", "functionName")))


def _aggregate(record: dict[str, str]) -> Aggregate:
    function, kind = record["functionName"], record.get("targetColumnDataType") or None
    known: tuple[AggregateFunction, ...] = get_args(AggregateFunction)
    if function not in known:
        raise Refused(f"has the unknown function {function!r}; known are {', '.join(known)}")
    if kind is not None and kind not in AGGREGATE_TYPES:
        raise Refused(f"has the unknown targetColumnDataType {kind!r}; known are {', '.join(AGGREGATE_TYPES)}")
    return Aggregate(
        function=function,
        source=record["sourceColumnName"],
        target=record["targetColumnName"],
        type=None if kind is None else AGGREGATE_TYPES[kind],
    )


@dataclass(frozen=True)
class _Parameter:
    """Where a field of a step comes from: the name of its parameter, and how its text is read."""

    name: str
    read: Callable[[str], Any]


@dataclass(frozen=True)
class Aggregate:
    """One aggregate of a GROUP_BY. Without `type` the result keeps the type it is computed in."""

    function: AggregateFunction
    source: str
    target: str
    type: DataType | None = None


@_operation("GROUP_BY")
@dataclass(frozen=True, kw_only=True)
class GroupBy(Step):
    """Aggregates by group: a new frame of one row a group, or else further columns on the rows there are."""

    columns: Annotated[tuple[str, ...], _Parameter("sourceColumns", some_columns)]
    aggregates: Annotated[tuple[Aggregate, ...], _Parameter("groupByAggFunctionOptions", _aggregates)]
    new_frame: Annotated[bool, _Parameter("useNewDataFrame", flag)] = False


@_operation("ROW_NUMBER")
@dataclass(frozen=True, kw_only=True)
class RowNumber(Step):
    """Numbers the rows of each group from 1 in the order of some columns."""

    groups: Annotated[tuple[str, ...], _Parameter("groupByColumns", column_names)]
    order: Annotated[tuple[str, ...], _Parameter("orderByColumns", some_columns)]
    target: Annotated[str, _Parameter("targetColumn", some_text)]


@_operation("CHANGE_DATA_TYPE")
@dataclass(frozen=True, kw_only=True)
class ChangeDataType(Step):
    """Gives a column another type; what does not convert becomes NULL."""

    source: Annotated[str, _Parameter("sourceColumn", some_text)]
    type: Annotated[DataType, _Parameter("columnDataType", data_type(DATA_TYPES))]


@_operation("CATEGORICAL_MAPPING")
@dataclass(frozen=True, kw_only=True)
class CategoricalMapping(Step):
    """Maps the values of a column to others, into a new column. Values not in the map are `other`, kept, or NULL."""

    source: Annotated[str, _Parameter("sourceColumn", some_text)]
    target: Annotated[str, _Parameter("targetColumn", some_text)]
    values: Annotated[tuple[tuple[str, str], ...], _Parameter("categoryMap", category_map)]
    other: Annotated[str | None, _Parameter("other", str)] = None
    keep_others: Annotated[bool, _Parameter("keepOthers", flag)] = False
    delete_others: Annotated[bool, _Parameter("deleteOtherRows", flag)] = False
    map_type: Annotated[str, _Parameter("mapType", one_of(("NUMERIC", "TEXT", "STRING")))] = "TEXT"

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, and categories that are no numbers though mapType says so."""
        if self.other is not None and self.keep_others:
            raise Refused("gives both other and keepOthers 'true': which values are meant for the rest?")
        if self.numeric:
            for text in self.results:
                number(text)

    @property
    def numeric(self) -> bool:
        """Whether the categories are numbers."""
        return self.map_type == "NUMERIC"

    @property
    def results(self) -> tuple[str, ...]:
        """Every category that may come out, besides kept values."""
        return tuple(result for _, result in self.values) + (() if self.other is None else (self.other,))


@_operation("JOIN")
@dataclass(frozen=True, kw_only=True)
class Join(Step):
    """Joins another dataset; the excluding kinds keep only rows without a partner."""

    keys: Annotated[tuple[tuple[str, str], ...], _Parameter("joinKeys", _join_keys)]
    type: Annotated[JoinType, _Parameter("joinType", one_of(get_args(JoinType)))]
    left: Annotated[tuple[str, ...], _Parameter("leftColumns", column_names)]
    right: Annotated[tuple[str, ...], _Parameter("rightColumns", column_names)]
    dataset: Annotated[str, _Parameter("secondaryDatasetName", some_text)]

    def __post_init__(self) -> None:
        """Refuse a join without columns."""
        if not self.left and not self.right:
            raise Refused("neither leftColumns nor rightColumns names a column")


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Step):
    """Two operands, each a column or a number, into a new column."""

    source1: Annotated[str | None, _Parameter("sourceColumn1", some_text)] = None
    value1: Annotated[str | None, _Parameter("value1", number_text)] = None
    source2: Annotated[str | None, _Parameter("sourceColumn2", some_text)] = None
    value2: Annotated[str | None, _Parameter("value2", number_text)] = None
    target: Annotated[str, _Parameter("targetColumn", some_text)]

    def __post_init__(self) -> None:
        """Refuse an operand that is missing or given twice, and a step that reads no column."""
        for place, column, value in ((1, self.source1, self.value1), (2, self.source2, self.value2)):
            if (column is None) == (value is None):
                raise Refused(f"needs either sourceColumn{place} or value{place}")
        if self.source1 is None and self.source2 is None:
            raise Refused("needs a column: sourceColumn1 or sourceColumn2")


@_operation("ADD")
@dataclass(frozen=True, kw_only=True)
class Add(Arithmetic):
    """The sum of two numbers."""


@_operation("SUBTRACT")
@dataclass(frozen=True, kw_only=True)
class Subtract(Arithmetic):
    """The difference of two numbers."""


@_operation("MULTIPLY")
@dataclass(frozen=True, kw_only=True)
class Multiply(Arithmetic):
    """The product of two numbers."""


@_operation("DIVIDE")
@dataclass(frozen=True, kw_only=True)
class Divide(Arithmetic):
    """The quotient of two numbers, a double; NULL where the divisor is 0."""


@_operation("SUM")
@dataclass(frozen=True, kw_only=True)
class Sum(Step):
    """The sum of some columns, row by row; a missing value counts as 0."""

    columns: Annotated[tuple[str, ...], _Parameter("sourceColumns", some_columns)]
    target: Annotated[str, _Parameter("targetColumn", some_text)]


@_operation("FILL_WITH_CUSTOM")
@dataclass(frozen=True, kw_only=True)
class FillWithCustom(Step):
    """Puts a value where there is none."""

    source: Annotated[str, _Parameter("sourceColumn", some_text)]
    type: Annotated[DataType, _Parameter("columnDataType", data_type(FILL_TYPES))]
    value: Annotated[str, _Parameter("value", str)]


@_operation("DELETE")
@dataclass(frozen=True, kw_only=True)
class Delete(Step):
    """Drops columns."""

    columns: Annotated[tuple[str, ...], _Parameter("sourceColumns", some_columns)]


@_operation("RENAME")
@dataclass(frozen=True, kw_only=True)
class Rename(Step):
    """Gives a column another name, in its place."""

    source: Annotated[str, _Parameter("sourceColumn", some_text)]
    target: Annotated[str, _Parameter("targetColumn", some_text)]


@_operation("DELETE_DUPLICATE_ROWS")
@dataclass(frozen=True, kw_only=True)
class DeleteDuplicateRows(Step):
    """Keeps one of each set of rows that are equal in every column."""


@_operation("REMOVE_VALUES")
@dataclass(frozen=True, kw_only=True)
class RemoveValues(Step):
    """Drops the rows that meet all the conditions."""

    takes_conditions: ClassVar[bool] = True

    source: Annotated[str, _Parameter("sourceColumn", some_text)]
    conditions: tuple[Condition, ...] = ()


def parse_step(operation: str, parameters: Mapping[str, str], conditions: list[Mapping[str, str]]) -> Step:
    """The step of `operation`. Raises Refused if the operation, a parameter or a condition can't be run."""
    if operation not in OPERATIONS:
        raise Refused(f"the operation {operation!r} is not supported; supported are {', '.join(sorted(OPERATIONS))}")
    step = OPERATIONS[operation]
    hints = get_type_hints(step, include_extras=True)
    values: dict[str, Any] = {}
    for spec in fields(step):
        for parameter in getattr(hints[spec.name], "__metadata__", ()):
            if parameter.name in parameters:
                values[spec.name] = _read(parameter, parameters[parameter.name])
            elif spec.default is MISSING:
                raise Refused(f"lacks the parameter {parameter.name}")
    if step.takes_conditions:
        if not conditions:
            raise Refused("needs ConditionExpressions that say which rows to drop")
        values["conditions"] = tuple(map(parse_condition, conditions))
    elif conditions:
        takers = ", ".join(sorted(name for name, known in OPERATIONS.items() if known.takes_conditions))
        raise Refused(f"has ConditionExpressions, which only {takers} takes")
    return step(**values)


def _read(parameter: _Parameter, text: str) -> Any:
    try:
        return parameter.read(text)
    except Refused as reason:
        raise Refused(f"the parameter {parameter.name} {reason}") from None
