"""Chains of random steps on random rows give what a plain interpreter, row by row, gives."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline_tests.lake.test_recipes_support import (
    Case,
    Columns,
    Data,
    DuckDb,
    aggregate,
    comparable,
    condition,
    step,
)

Row = dict[str, Any]
NUMBERS = ("bigint", "int", "double")
WHOLE = ("bigint", "int")

SOURCE: Columns = {"a": "int", "b": "bigint", "d": "double", "s": "string", "f": "boolean"}
OTHER: Columns = {"a": "bigint", "s": "string", "z": "double"}
TEXTS = ["a", "b", "ab", "", "a%", "_b", "1", "2", " 1 ", "-1", "1.5", "yes", "0"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-2, 3),
    "bigint": st.integers(-2, 3),
    "double": st.integers(-4, 4).map(lambda quarter: quarter / 4),
    "string": st.sampled_from(TEXTS),
    "boolean": st.booleans(),
}


@dataclass
class Table:
    """A table the slow way."""

    columns: dict[str, ColumnType]
    rows: list[Row]

    def add(self, name: str, kind: ColumnType, value: Callable[[Row], Any]) -> Table:
        """With a column computed for each row."""
        return Table({**self.columns, name: kind}, [{**row, name: value(row)} for row in self.rows])


# The interpreter: a function an operation, over the texts of its parameters.


def interpret(table: Table, written: dict[str, Any], other: Table) -> Table:
    """The table after one step."""
    action = written["Action"]
    given_ = dict(action["Parameters"])
    if action["Operation"] == "REMOVE_VALUES":
        tests = written["ConditionExpressions"]
        return replace(table, rows=[row for row in table.rows if not all(meets(table, row, test) for test in tests)])
    if action["Operation"] == "JOIN":
        return join(table, given_, other)
    return INTERPRETERS[action["Operation"]](table, given_)


def group_by(table: Table, given_: dict[str, str]) -> Table:
    names, aggregates = json.loads(given_["sourceColumns"]), json.loads(given_["groupByAggFunctionOptions"])
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    computed = {
        key: {each["targetColumnName"]: aggregated(each, rows) for each in aggregates} for key, rows in groups.items()
    }
    kinds = {each["targetColumnName"]: kind_of(each, table.columns[each["sourceColumnName"]]) for each in aggregates}
    if given_["useNewDataFrame"] == "true":
        rows = [{**dict(zip(names, key, strict=True)), **values} for key, values in computed.items()]
        return Table({**{name: table.columns[name] for name in names}, **kinds}, rows)
    rows = [{**row, **computed[tuple(row[name] for name in names)]} for row in table.rows]
    return Table({**table.columns, **kinds}, rows)


def aggregated(each: dict[str, str], rows: list[Row]) -> Any:
    values = [row[each["sourceColumnName"]] for row in rows if row[each["sourceColumnName"]] is not None]
    if each["functionName"] == "COUNT":
        return len(values)
    if not values:
        return None
    if each["functionName"] == "MEAN":
        return sum(values) / len(values)
    functions: dict[str, Callable[[list[Any]], Any]] = {"SUM": sum, "MIN": min, "MAX": max}
    return functions[each["functionName"]](values)


def kind_of(each: dict[str, str], source: ColumnType) -> ColumnType:
    whole: ColumnType = "bigint" if source in WHOLE else "double"
    kinds: dict[str, ColumnType] = {"COUNT": "bigint", "MEAN": "double", "SUM": whole}
    return kinds.get(each["functionName"], source)


def row_number(table: Table, given_: dict[str, str]) -> Table:
    groups, order = json.loads(given_["groupByColumns"]), json.loads(given_["orderByColumns"])
    ties = [name for name in table.columns if name not in (*groups, *order)]
    counts: dict[tuple[Any, ...], int] = {}
    rows = list(table.rows)
    for name in reversed([*order, *ties]):
        rows.sort(key=lambda row, name=name: (row[name] is None, 0 if row[name] is None else row[name]))  # type: ignore[misc]
    numbered = []
    for row in rows:
        key = tuple(row[name] for name in groups)
        counts[key] = counts.get(key, 0) + 1
        numbered.append({**row, given_["targetColumn"]: counts[key]})
    return Table({**table.columns, given_["targetColumn"]: "bigint"}, numbered)


def change_data_type(table: Table, given_: dict[str, str]) -> Table:
    name, target = given_["sourceColumn"], given_["columnDataType"]
    kinds: dict[str, ColumnType] = {
        "long": "bigint", "byte": "int", "float": "double", "boolean": "boolean", "string": "string",
    }  # fmt: skip
    rows = [{**row, name: converted(row[name], target)} for row in table.rows]
    return Table({**table.columns, name: kinds[target]}, rows)


def converted(value: Any, target: str) -> Any:
    if value is None:
        return None
    if target == "string":
        return value if isinstance(value, str) else str(value).lower()
    if target == "boolean":
        return WORDS.get(value.strip(" ").lower()) if isinstance(value, str) else bool(value)
    number = numeric(value, fraction=target == "float")
    if target == "float" or number is None:
        return number
    return None if target == "byte" and not -128 <= math.trunc(number) <= 127 else math.trunc(number)


WORDS = {**dict.fromkeys(("true", "t", "yes", "y", "1"), True), **dict.fromkeys(("false", "f", "no", "n", "0"), False)}


def numeric(value: Any, *, fraction: bool) -> float | None:
    pattern = r" *[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+) *" if fraction else r" *[+-]?[0-9]+([.][0-9]*)? *"
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        return None
    return float(value)


def categorical_mapping(table: Table, given_: dict[str, str]) -> Table:
    name, categories = given_["sourceColumn"], json.loads(given_["categoryMap"])
    numeric, keep = given_["mapType"] == "NUMERIC", given_.get("keepOthers") == "true"
    kind: ColumnType = "bigint" if numeric and (not keep or table.columns[name] in NUMBERS) else "string"

    def mapped(row: Row) -> Any:
        text = None if row[name] is None else str(row[name])
        if text in categories:
            result: Any = categories[text]
        elif keep:
            result = row[name]
        else:
            result = given_.get("other")
        if result is None:
            return None
        return int(result) if kind == "bigint" else str(result)

    kept = [row for row in table.rows if str(row[name]) in categories or given_.get("deleteOtherRows") != "true"]
    return replace(table, rows=kept).add(given_["targetColumn"], kind, mapped)


def arithmetic(operation: str) -> Callable[[Table, dict[str, str]], Table]:
    def apply(table: Table, given_: dict[str, str]) -> Table:
        first, second = given_["sourceColumn1"], given_.get("sourceColumn2")
        constant = None if second else json.loads(given_["value2"])
        second_whole = table.columns[second] in WHOLE if second else isinstance(constant, int)
        whole = operation != "DIVIDE" and table.columns[first] in WHOLE and second_whole

        def result(row: Row) -> Any:
            left, right = row[first], row[second] if second else constant
            if left is None or right is None or (operation == "DIVIDE" and right == 0):
                return None
            value = {"ADD": left + right, "SUBTRACT": left - right, "MULTIPLY": left * right}.get(operation)
            value = left / right if value is None else value
            return value if whole else float(value)

        return table.add(given_["targetColumn"], "bigint" if whole else "double", result)

    return apply


def row_sum(table: Table, given_: dict[str, str]) -> Table:
    names = json.loads(given_["sourceColumns"])
    whole = all(table.columns[name] in WHOLE for name in names)
    kind: ColumnType = "bigint" if whole else "double"
    return table.add(
        given_["targetColumn"], kind, lambda row: sum(row[name] or 0 for name in names) + (0 if whole else 0.0)
    )


def fill(table: Table, given_: dict[str, str]) -> Table:
    name = given_["sourceColumn"]
    value: Any = given_["value"] if table.columns[name] == "string" else json.loads(given_["value"])
    return replace(table, rows=[{**row, name: value if row[name] is None else row[name]} for row in table.rows])


def delete(table: Table, given_: dict[str, str]) -> Table:
    names = json.loads(given_["sourceColumns"])
    return Table(
        {name: kind for name, kind in table.columns.items() if name not in names},
        [{name: value for name, value in row.items() if name not in names} for row in table.rows],
    )


def rename(table: Table, given_: dict[str, str]) -> Table:
    def new(name: str) -> str:
        return given_["targetColumn"] if name == given_["sourceColumn"] else name

    return Table(
        {new(name): kind for name, kind in table.columns.items()},
        [{new(name): value for name, value in row.items()} for row in table.rows],
    )


def delete_duplicates(table: Table, _given: dict[str, str]) -> Table:
    return replace(table, rows=list({tuple(row[name] for name in table.columns): row for row in table.rows}.values()))


def join(table: Table, given_: dict[str, str], other: Table) -> Table:
    (key,) = json.loads(given_["joinKeys"])
    left, right = json.loads(given_["leftColumns"]), json.loads(given_["rightColumns"])
    kind = given_["joinType"]
    pairs: list[tuple[Row, Row]] = [
        (here, there)
        for here in table.rows
        for there in other.rows
        if here[key["key"]] is not None and here[key["key"]] == there[key["value"]]
    ]
    alone_here: list[tuple[Row, Row]] = [(row, {}) for row in table.rows if not any(row is here for here, _ in pairs)]
    alone_there: list[tuple[Row, Row]] = [
        ({}, row) for row in other.rows if not any(row is there for _, there in pairs)
    ]
    chosen: list[tuple[Row, Row]] = [] if "EXCLUDING" in kind else list(pairs)
    if kind.startswith(("LEFT", "OUTER")):
        chosen += alone_here
    if kind.startswith(("RIGHT", "OUTER")):
        chosen += alone_there
    return Table(
        {**{name: table.columns[name] for name in left}, **{name: other.columns[name] for name in right}},
        [
            {**{name: here.get(name) for name in left}, **{name: there.get(name) for name in right}}
            for here, there in chosen
        ],
    )


def meets(table: Table, row: Row, test: dict[str, str]) -> bool:
    name, value, text = test["Condition"], row[test["TargetColumn"]], test.get("Value", "")
    if value is None:
        return name == "IS_MISSING"
    if name.startswith("NOT_"):
        return not meets(table, row, {**test, "Condition": name[4:]})
    if name in ("IS", "IS_NOT"):
        plain = table.columns[test["TargetColumn"]] == "string"
        return (value in (json.loads(text) if plain else map(float, json.loads(text)))) == (name == "IS")
    return bool(TESTS[name](value, text))


def between(value: float, text: str) -> bool:
    bounds = json.loads(text)
    return float(bounds["GREATER_THAN_EQUAL"]) <= value <= float(bounds["LESS_THAN_EQUAL"])


TESTS: dict[str, Callable[[Any, str], Any]] = {
    "IS_MISSING": lambda _value, _text: False,
    "IS_INVALID": lambda _value, _text: False,
    "IS_BETWEEN": between,
    "CONTAINS": lambda value, text: text in value,
    "STARTS_WITH": lambda value, text: value.startswith(text),
    "ENDS_WITH": lambda value, text: value.endswith(text),
    "LESS_THAN": lambda value, text: value < float(text),
    "LESS_THAN_EQUAL": lambda value, text: value <= float(text),
    "GREATER_THAN": lambda value, text: value > float(text),
    "GREATER_THAN_EQUAL": lambda value, text: value >= float(text),
}


INTERPRETERS: dict[str, Callable[[Table, dict[str, str]], Table]] = {
    "GROUP_BY": group_by,
    "ROW_NUMBER": row_number,
    "CHANGE_DATA_TYPE": change_data_type,
    "CATEGORICAL_MAPPING": categorical_mapping,
    **{operation: arithmetic(operation) for operation in ("ADD", "SUBTRACT", "MULTIPLY", "DIVIDE")},
    "SUM": row_sum,
    "FILL_WITH_CUSTOM": fill,
    "DELETE": delete,
    "RENAME": rename,
    "DELETE_DUPLICATE_ROWS": delete_duplicates,
}


# The strategies: steps that fit the columns there are.


@st.composite
def chains(draw: st.DrawFn) -> Case:
    """A recipe over random rows, with what the interpreter makes of it."""
    source, other = (draw(tables(columns)) for columns in (SOURCE, OTHER))
    table, steps = source, []
    for number in range(draw(st.integers(1, 6))):
        written = draw(fitting_steps(table.columns, f"new{number}"))
        steps.append(written)
        table = interpret(table, written, other)
    return Case(steps, data_of(source), data_of(table), {"other": data_of(other)})


def tables(columns: Columns) -> st.SearchStrategy[Table]:
    row = st.fixed_dictionaries({name: st.none() | VALUES[kind] for name, kind in columns.items()})
    # A few rows, some of them several times: chance alone makes no duplicates.
    rows = st.lists(row, min_size=1, max_size=5).flatmap(
        lambda few: st.lists(st.sampled_from(few).map(dict), max_size=8)
    )
    return rows.map(lambda rows: Table(dict(columns), rows))


def data_of(table: Table) -> Data:
    return Data(dict(table.columns), [tuple(row[name] for name in table.columns) for row in table.rows])


@st.composite
def fitting_steps(draw: st.DrawFn, columns: dict[str, ColumnType], new: str) -> dict[str, Any]:
    """A step that the columns allow, its new column called `new`."""
    maker: Callable[[], dict[str, Any]] = draw(st.sampled_from(list(possible(draw, columns, new))))
    return maker()


def possible(draw: st.DrawFn, columns: dict[str, ColumnType], new: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """Makers of every kind of step the columns allow."""
    names = st.sampled_from(list(columns))
    some = st.lists(names, min_size=1, max_size=2, unique=True)
    numbers = [name for name, kind in columns.items() if kind in NUMBERS]
    texts = [name for name, kind in columns.items() if kind == "string"]
    mappable = [name for name, kind in columns.items() if kind in ("string", *WHOLE)]

    def changed() -> dict[str, Any]:
        name = draw(names)
        targets = ["long", "byte", "float", "boolean", *([] if columns[name] == "double" else ["string"])]
        return step("CHANGE_DATA_TYPE", sourceColumn=name, columnDataType=draw(st.sampled_from(targets)))

    def filled() -> dict[str, Any]:
        name = draw(names)
        kind = {"bigint": "number", "int": "int", "double": "number"}.get(columns[name], columns[name])
        value = draw(VALUES[columns[name]])
        text = value if isinstance(value, str) else json.dumps(value)
        return step("FILL_WITH_CUSTOM", sourceColumn=name, columnDataType=kind, value=text)

    def grouped() -> dict[str, Any]:
        groups = draw(some)
        aggregates = []
        for number, source in enumerate(draw(st.lists(names, min_size=1, max_size=3))):
            functions = ["COUNT", "MIN", "MAX", *(["SUM", "MEAN"] if source in numbers else [])]
            aggregates.append(aggregate(draw(st.sampled_from(functions)), source, f"{new}{number}"))
        flag = draw(st.sampled_from(["true", "false"]))
        return step("GROUP_BY", sourceColumns=groups, groupByAggFunctionOptions=aggregates, useNewDataFrame=flag)

    def mapped() -> dict[str, Any]:
        name = draw(st.sampled_from(mappable))
        keys = st.sampled_from(TEXTS) if columns[name] == "string" else st.integers(-2, 3).map(str)
        categories = draw(st.dictionaries(keys, st.integers(-9, 9).map(str), min_size=1, max_size=3))
        rest = draw(st.sampled_from([{}, {"other": "0"}, {"keepOthers": "true"}, {"deleteOtherRows": "true"}]))
        kind = draw(st.sampled_from(["NUMERIC", "TEXT"]))
        return step(
            "CATEGORICAL_MAPPING", sourceColumn=name, targetColumn=new, categoryMap=categories, mapType=kind, **rest
        )

    def computed() -> dict[str, Any]:
        second = (
            {"sourceColumn2": draw(st.sampled_from(numbers))}
            if draw(st.booleans())
            else {"value2": draw(st.sampled_from(["0", "-2", "0.5"]))}
        )
        operation = draw(st.sampled_from(["ADD", "SUBTRACT", "MULTIPLY", "DIVIDE"]))
        return step(operation, sourceColumn1=draw(st.sampled_from(numbers)), targetColumn=new, **second)

    def removed() -> dict[str, Any]:
        name = draw(names)
        return step(
            "REMOVE_VALUES", *(draw(conditions(columns)) for _ in range(draw(st.integers(1, 2)))), sourceColumn=name
        )

    yield changed
    yield filled
    yield grouped
    yield removed
    yield lambda: step("ROW_NUMBER", groupByColumns=draw(some), orderByColumns=draw(some), targetColumn=new)
    yield lambda: step("RENAME", sourceColumn=draw(names), targetColumn=new)
    yield lambda: step("DELETE_DUPLICATE_ROWS")
    if len(columns) > 1:
        yield lambda: step("DELETE", sourceColumns=[draw(names)])
    if mappable:
        yield mapped
    if numbers:
        yield computed
        yield lambda: step(
            "SUM", sourceColumns=draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True)), targetColumn=new
        )
    if texts or numbers:
        yield lambda: draw(joins(columns))


@st.composite
def joins(draw: st.DrawFn, columns: dict[str, ColumnType]) -> dict[str, Any]:
    """A join of the other table, on a column of one of its types."""
    key = draw(st.sampled_from([name for name in columns if columns[name] in ("string", *NUMBERS)]))
    kinds = ["INNER", "LEFT", "RIGHT", "OUTER", "LEFT_EXCLUDING", "RIGHT_EXCLUDING", "OUTER_EXCLUDING"]
    return step(
        "JOIN",
        joinKeys=[{"key": key, "value": "s" if columns[key] == "string" else "a"}],
        joinType=draw(st.sampled_from(kinds)) + "_JOIN",
        leftColumns=[name for name in columns if name != "z"],
        rightColumns=["z"],
        secondaryDatasetName="other",
    )


@st.composite
def conditions(draw: st.DrawFn, columns: dict[str, ColumnType]) -> dict[str, str]:
    """A condition that one of the columns allows."""
    name = draw(st.sampled_from(list(columns)))
    kind = columns[name]
    tests = ["IS_MISSING"]
    if kind == "string":
        tests += [
            "IS",
            "IS_NOT",
            *(f"{no}{test}" for no in ("", "NOT_") for test in ("CONTAINS", "STARTS_WITH", "ENDS_WITH")),
        ]
    if kind in NUMBERS:
        tests += [
            "IS",
            "IS_NOT",
            "IS_BETWEEN",
            "IS_INVALID",
            "LESS_THAN",
            "LESS_THAN_EQUAL",
            "GREATER_THAN",
            "GREATER_THAN_EQUAL",
        ]
    test = draw(st.sampled_from(tests))
    value = (
        st.sampled_from([text for text in TEXTS if text])
        if kind == "string"
        else st.sampled_from(["-1", "0", "1", "1.5"])
    )
    if test in ("IS", "IS_NOT"):
        return condition(name, test, draw(st.lists(value, min_size=1, max_size=2)))
    if test == "IS_BETWEEN":
        return condition(name, test, {"GREATER_THAN_EQUAL": draw(value), "LESS_THAN_EQUAL": draw(value)})
    return condition(name, test, draw(value))


@pytest.fixture(scope="module")
def duckdb() -> DuckDb:
    return DuckDb()


@given(case=chains())
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_compiled_recipes_agree_with_a_plain_interpreter(duckdb: DuckDb, case: Case) -> None:
    found = duckdb.run(case)
    assert list(found.columns.items()) == list(case.result.columns.items())
    assert comparable(found.rows) == comparable(case.result.rows)
