"""What each operation, condition and conversion gives, by hand, on DuckDB. Spark runs the same cases."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline_tests.lake.test_recipes_support import (
    Case,
    Columns,
    Data,
    DuckDb,
    Steps,
    aggregate,
    comparable,
    compiled,
    condition,
    remove_where,
    step,
)

NAN = float("nan")
WORDS = ("100%", "10_0", "Mate", "checkmate", "", "it's", "a\\b", None)
TEXTS = {
    "s": (
        *(
            "12",
            " 12 ",
            "-3",
            "+7",
            "12.7",
            "-0.5",
            "1e3",
            "1.5E-2",
            ".5",
            "",
            " ",
            "abc",
            "0x1F",
            "1_000",
            "NaN",
            "12\n",
        ),
        *("300", "40000", "3000000000", "99999999999999999999", None),
    )
}
ORDERS: Columns = {"user": "bigint", "number": "int", "days": "double", "shop": "string"}
ORDER_ROWS = ((1, 1, None, "a"), (1, 2, 7.5, "b"), (1, 3, 2.5, None), (2, 1, None, "c"), (None, 4, 1.0, "d"))


def rows_of(step_: dict[str, Any], columns: Columns, rows: list[tuple[Any, ...]], kept: list[tuple[Any, ...]]) -> Case:
    """A case whose recipe is one step that only drops rows."""
    return Case([step_], Data(columns, rows), Data(columns, kept))


def words_left(name: str, value: Any, *kept: str | None) -> Case:
    """Which words are left after one condition removed some."""
    columns: Columns = {"w": "string"}
    return rows_of(remove_where("w", (name, value)), columns, [(word,) for word in WORDS], [(word,) for word in kept])


def numbers_left(name: str, value: Any, *kept: float | None) -> Case:
    """Which numbers are left after one condition removed some."""
    columns: Columns = {"n": "double"}
    numbers = [(1.0,), (2.0,), (2.5,), (3.0,), (NAN,), (None,)]
    return rows_of(remove_where("n", (name, value)), columns, numbers, [(number,) for number in kept])


def made(kind: ColumnType, steps: Steps, **columns: tuple[ColumnType, list[Any], list[Any]]) -> Case:
    """A case that adds the column `made`, of type `kind`; the last list of the last column given is what is in it."""
    *_, (_, _, expected) = columns.values()
    types: Columns = {name: column[0] for name, column in columns.items()}
    rows = list(zip(*(column[1] for column in columns.values()), strict=True))
    result = [(*row, value) for row, value in zip(rows, expected, strict=True)]
    return Case(steps, Data(types, rows), Data({**types, "made": kind}, result))


def converted(source: ColumnType, target: str, kind: ColumnType, values: list[Any], expected: list[Any]) -> Case:
    """A case that gives a column another type."""
    change = step("CHANGE_DATA_TYPE", sourceColumn="v", columnDataType=target)
    return Case(
        [change], Data({"v": source}, [(value,) for value in values]), Data({"v": kind}, [(each,) for each in expected])
    )


def texts_to(target: str, kind: ColumnType, *expected: Any) -> Case:
    """A case that converts TEXTS."""
    return converted("string", target, kind, list(TEXTS["s"]), list(expected))


def joined(kind: str, *rows: tuple[Any, ...]) -> Case:
    """A case that joins sides with a common key, keys of one side only, and NULL keys."""
    parameters = {
        "joinKeys": [{"key": "k", "value": "k"}],
        "joinType": kind,
        "leftColumns": ["k", "a"],
        "rightColumns": ["k", "b"],
        "secondInputLocation": "s3://ignored/",
        "secondaryDatasetName": "other",
    }
    return Case(
        [step("JOIN", **parameters)],
        Data({"k": "bigint", "a": "string"}, [(1, "a1"), (2, "a2"), (2, "a3"), (None, "a4")]),
        Data({"k": "bigint", "a": "string", "b": "string"}, rows),
        {"other": Data({"k": "bigint", "b": "string"}, [(2, "b2"), (3, "b3"), (None, "b4")])},
    )


def grouped(*aggregates: dict[str, str], new: str = "true") -> dict[str, Any]:
    return step("GROUP_BY", sourceColumns=["user"], groupByAggFunctionOptions=list(aggregates), useNewDataFrame=new)


EVERY_AGGREGATE = [
    aggregate("COUNT", "shop", "shops"),
    aggregate("SUM", "number", "total"),
    aggregate("SUM", "days", "period"),
    aggregate("MEAN", "days", "mean"),
    aggregate("MIN", "shop", "first"),
    aggregate("MAX", "number", "last"),
]
TYPES_OF_AGGREGATES: Columns = {
    "shops": "bigint",
    "total": "bigint",
    "period": "double",
    "mean": "double",
    "first": "string",
    "last": "int",
}


def mapping(**more: Any) -> dict[str, Any]:
    parameters = {"sourceColumn": "v", "targetColumn": "made", "categoryMap": {"a": "1", "b": "2"}, **more}
    return step("CATEGORICAL_MAPPING", **parameters)


CASES = {
    # GROUP_BY
    "GROUP_BY makes one row a group, missing values aside and the missing key a group": Case(
        [grouped(*EVERY_AGGREGATE)],
        Data(ORDERS, ORDER_ROWS),
        Data(
            {"user": "bigint", **TYPES_OF_AGGREGATES},
            [(1, 2, 6, 10.0, 5.0, "a", 3), (2, 1, 1, None, None, "c", 1), (None, 1, 4, 1.0, 1.0, "d", 4)],
        ),
    ),
    "GROUP_BY without a new frame adds the aggregates to every row": Case(
        [grouped(*EVERY_AGGREGATE[:2], new="false")],
        Data(ORDERS, ORDER_ROWS),
        Data(
            {**ORDERS, "shops": "bigint", "total": "bigint"},
            [
                *[(*row, 2, 6) for row in ORDER_ROWS[:3]],
                (*ORDER_ROWS[3], 1, 1),
                (*ORDER_ROWS[4], 1, 4),
            ],
        ),
    ),
    "GROUP_BY casts what targetColumnDataType names, and 'number' leaves a number as it is": Case(
        [
            grouped(
                aggregate("COUNT", "shop", "c", "int"),
                aggregate("MEAN", "number", "cut", "bigint"),
                aggregate("SUM", "number", "d", "double"),
                aggregate("MAX", "number", "t", "string"),
                aggregate("COUNT", "shop", "n", "number"),
                aggregate("MIN", "number", "b", "byte"),
            )
        ],
        Data(ORDERS, [(1, 1, None, "a"), (1, 2, None, "a")]),
        Data(
            {"user": "bigint", "c": "int", "cut": "bigint", "d": "double", "t": "string", "n": "bigint", "b": "int"},
            [(1, 2, 1, 3.0, "2", 2, 1)],
        ),
    ),
    "GROUP_BY of no rows gives no rows": Case(
        [grouped(aggregate("COUNT", "shop", "shops"))],
        Data(ORDERS, []),
        Data({"user": "bigint", "shops": "bigint"}, []),
    ),
    # ROW_NUMBER
    "ROW_NUMBER counts within the group, missing values last": Case(
        [step("ROW_NUMBER", groupByColumns=["user"], orderByColumns=["days"], targetColumn="n")],
        Data(ORDERS, ORDER_ROWS),
        Data({**ORDERS, "n": "bigint"}, [(*row, n) for row, n in zip(ORDER_ROWS, (3, 2, 1, 1, 1), strict=True)]),
    ),
    "ROW_NUMBER breaks ties by the other columns and numbers the whole frame without a group": Case(
        [step("ROW_NUMBER", groupByColumns=[], orderByColumns=["number"], targetColumn="n")],
        Data({"number": "int", "shop": "string"}, [(1, "c"), (1, None), (1, "a"), (0, "z")]),
        Data({"number": "int", "shop": "string", "n": "bigint"}, [(0, "z", 1), (1, "a", 2), (1, "c", 3), (1, None, 4)]),
    ),
    # CATEGORICAL_MAPPING
    "CATEGORICAL_MAPPING gives the rest, and what is missing, the other value": made(
        "bigint",
        [mapping(other="0", mapType="NUMERIC", keepOthers="false", mappingOption="ignored")],
        v=("string", ["a", "b", "c", None], [1, 2, 0, 0]),
    ),
    "CATEGORICAL_MAPPING without mapType makes texts, and nothing of the rest": made(
        "string", [mapping()], v=("string", ["a", "b", "A", None], ["1", "2", None, None])
    ),
    "CATEGORICAL_MAPPING makes doubles of numbers with a fraction": made(
        "double", [mapping(other="-0.5", mapType="NUMERIC")], v=("string", ["a", "b", "c"], [1.0, 2.0, -0.5])
    ),
    "CATEGORICAL_MAPPING keeps other texts as they are, even with mapType NUMERIC": made(
        "string",
        [mapping(keepOthers="true", mapType="NUMERIC")],
        v=("string", ["a", "c", "", None], ["1", "c", "", None]),
    ),
    "CATEGORICAL_MAPPING of a whole number compares numbers and keeps the others": made(
        "bigint",
        [mapping(categoryMap={"1": "10"}, keepOthers="true", mapType="NUMERIC")],
        v=("int", [1, 2, None], [10, 2, None]),
    ),
    "CATEGORICAL_MAPPING deletes rows that are not in the map": Case(
        [mapping(deleteOtherRows="true", mapType="TEXT")],
        Data({"v": "string"}, [("a",), ("c",), (None,)]),
        Data({"v": "string", "made": "string"}, [("a", "1")]),
    ),
    "CATEGORICAL_MAPPING of a number made text finds only the text it has": Case(
        [
            step("CHANGE_DATA_TYPE", sourceColumn="v", columnDataType="string"),
            mapping(categoryMap={"1": "x", "02": "y"}, other="o"),
        ],
        Data({"v": "int"}, [(1,), (2,), (None,)]),
        Data({"v": "string", "made": "string"}, [("1", "x"), ("2", "o"), (None, "o")]),
    ),
    "CATEGORICAL_MAPPING takes quotes, backslashes and empty texts literally": made(
        "string",
        [mapping(categoryMap={"it's": "a\\'b", "": "-"}, other='"')],
        v=("string", ["it's", "", "x"], ["a\\'b", "-", '"']),
    ),
    # Arithmetic
    "ADD of whole numbers is a bigint beyond the int's range": made(
        "bigint",
        [step("ADD", sourceColumn1="a", sourceColumn2="b", targetColumn="made")],
        a=("int", [2**31 - 1, 1, None], []),
        b=("int", [1, -2, 1], [2**31, -1, None]),
    ),
    "SUBTRACT takes a number for either side": made(
        "double",
        [step("SUBTRACT", value1="-1.5", sourceColumn2="a", targetColumn="made")],
        a=("int", [1, -2, None], [-2.5, 0.5, None]),
    ),
    "MULTIPLY of a bigint and a negative whole number stays a bigint": made(
        "bigint",
        [step("MULTIPLY", sourceColumn1="a", value2="-3", targetColumn="made")],
        a=("bigint", [2, 0, None], [-6, 0, None]),
    ),
    "DIVIDE is a double, and NULL where the divisor is 0 or missing": made(
        "double",
        [step("DIVIDE", sourceColumn1="a", sourceColumn2="b", targetColumn="made")],
        a=("int", [1, 1, 0, None, 1], []),
        b=("bigint", [2, 0, 0, 1, None], [0.5, None, None, None, None]),
    ),
    "DIVIDE by the number 0 is NULL": made(
        "double", [step("DIVIDE", sourceColumn1="a", value2="0", targetColumn="made")], a=("double", [1.0], [None])
    ),
    "SUM adds the columns of a row, a missing value as 0": made(
        "double",
        [step("SUM", sourceColumns=["a", "b", "c"], targetColumn="made")],
        a=("int", [1, None], []),
        b=("double", [0.5, None], []),
        c=("bigint", [None, None], [1.5, 0.0]),
    ),
    # Columns and rows
    "FILL_WITH_CUSTOM fills what is missing and leaves empty texts": Case(
        [
            step("FILL_WITH_CUSTOM", sourceColumn="s", columnDataType="string", value="it's"),
            step("FILL_WITH_CUSTOM", sourceColumn="n", columnDataType="number", value="-1"),
            step("FILL_WITH_CUSTOM", sourceColumn="d", columnDataType="double", value="0.25"),
            step("FILL_WITH_CUSTOM", sourceColumn="b", columnDataType="boolean", value="false"),
            step("FILL_WITH_CUSTOM", sourceColumn="day", columnDataType="date", value="2026-11-20"),
            step("FILL_WITH_CUSTOM", sourceColumn="at", columnDataType="timestamp", value="2026-11-20T08:30:00"),
        ],
        Data(
            {"s": "string", "n": "int", "d": "double", "b": "boolean", "day": "date", "at": "timestamp"},
            [(None, None, None, None, None, None), ("", 1, 1.0, True, date(2020, 1, 1), datetime(2020, 1, 1))],
        ),
        Data(
            {"s": "string", "n": "int", "d": "double", "b": "boolean", "day": "date", "at": "timestamp"},
            [
                ("it's", -1, 0.25, False, date(2026, 11, 20), datetime(2026, 11, 20, 8, 30)),
                ("", 1, 1.0, True, date(2020, 1, 1), datetime(2020, 1, 1)),
            ],
        ),
    ),
    "DELETE drops columns": Case(
        [step("DELETE", sourceColumns=["user", "days"])],
        Data(ORDERS, ORDER_ROWS[:1]),
        Data({"number": "int", "shop": "string"}, [(1, "a")]),
    ),
    "RENAME keeps the column's place, and names may be swapped": Case(
        [
            step("RENAME", sourceColumn="a", targetColumn="t"),
            step("RENAME", sourceColumn="b", targetColumn="a"),
            step("RENAME", sourceColumn="t", targetColumn='b "x"'),
        ],
        Data({"a": "int", "b": "string"}, [(1, "x")]),
        Data({'b "x"': "int", "a": "string"}, [(1, "x")]),
    ),
    "DELETE_DUPLICATE_ROWS keeps one of rows equal in all columns, missing ones too": rows_of(
        step("DELETE_DUPLICATE_ROWS"),
        {"a": "int", "b": "string"},
        [(1, None), (1, None), (1, "x"), (2, "x"), (2, "x")],
        [(1, None), (1, "x"), (2, "x")],
    ),
    "rows are counted after their duplicates went": Case(
        [
            step("DELETE_DUPLICATE_ROWS"),
            step(
                "GROUP_BY",
                sourceColumns=["a"],
                groupByAggFunctionOptions=[aggregate("COUNT", "a", "n")],
                useNewDataFrame="true",
            ),
        ],
        Data({"a": "int", "b": "string"}, [(1, "x"), (1, "x"), (1, "y")]),
        Data({"a": "int", "n": "bigint"}, [(1, 2)]),
    ),
    "rows that differed in a column deleted later stay": Case(
        [step("DELETE_DUPLICATE_ROWS"), step("DELETE", sourceColumns=["b"])],
        Data({"a": "int", "b": "string"}, [(1, "x"), (1, "x"), (1, "y")]),
        Data({"a": "int"}, [(1,), (1,)]),
    ),
    "groups are filtered and grouped again": Case(
        [
            grouped(aggregate("COUNT", "number", "n")),
            remove_where("user", ("GREATER_THAN", "2")),
            step(
                "GROUP_BY",
                sourceColumns=["n"],
                groupByAggFunctionOptions=[aggregate("COUNT", "user", "users")],
                useNewDataFrame="true",
            ),
        ],
        Data({"user": "bigint", "number": "int"}, [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (None, 1)]),
        Data({"n": "bigint", "users": "bigint"}, [(2, 2), (1, 0)]),
    ),
    "steps see what the steps before them made": Case(
        [
            step("ADD", sourceColumn1="a", value2="1", targetColumn="b"),
            step("MULTIPLY", sourceColumn1="b", sourceColumn2="b", targetColumn="c"),
            remove_where("c", ("IS", ["9"])),
            step("DELETE_DUPLICATE_ROWS"),
            step("DELETE", sourceColumns=["a"]),
            step("RENAME", sourceColumn="b", targetColumn="a"),
        ],
        Data({"a": "int"}, [(0,), (2,), (-2,), (0,)]),
        Data({"a": "bigint", "c": "bigint"}, [(1, 1), (-1, 1)]),
    ),
    "a filter after a window does not change the window": Case(
        [
            step("ROW_NUMBER", groupByColumns=[], orderByColumns=["a"], targetColumn="n"),
            remove_where("a", ("LESS_THAN", "2")),
            step("ROW_NUMBER", groupByColumns=[], orderByColumns=["a"], targetColumn="m"),
        ],
        Data({"a": "int"}, [(1,), (2,), (3,)]),
        Data({"a": "int", "n": "bigint", "m": "bigint"}, [(2, 2, 1), (3, 3, 2)]),
    ),
    "a filled column is compared as it was before it was filled": Case(
        [
            remove_where("a", ("IS_MISSING", None)),
            step("FILL_WITH_CUSTOM", sourceColumn="a", columnDataType="int", value="5"),
        ],
        Data({"a": "int"}, [(1,), (None,)]),
        Data({"a": "int"}, [(1,)]),
    ),
    # JOIN
    "INNER_JOIN gives every pair, and a missing key has no partner": joined(
        "INNER_JOIN", (2, "a2", "b2"), (2, "a3", "b2")
    ),
    "LEFT_JOIN keeps the rows here": joined(
        "LEFT_JOIN", (1, "a1", None), (2, "a2", "b2"), (2, "a3", "b2"), (None, "a4", None)
    ),
    "RIGHT_JOIN keeps the rows there, with their key": joined(
        "RIGHT_JOIN", (2, "a2", "b2"), (2, "a3", "b2"), (3, None, "b3"), (None, None, "b4")
    ),
    "OUTER_JOIN keeps both": joined(
        "OUTER_JOIN",
        *[(1, "a1", None), (2, "a2", "b2"), (2, "a3", "b2"), (None, "a4", None), (3, None, "b3"), (None, None, "b4")],
    ),
    "LEFT_EXCLUDING_JOIN keeps only rows here without a partner": joined(
        "LEFT_EXCLUDING_JOIN", (1, "a1", None), (None, "a4", None)
    ),
    "RIGHT_EXCLUDING_JOIN keeps only rows there without a partner": joined(
        "RIGHT_EXCLUDING_JOIN", (3, None, "b3"), (None, None, "b4")
    ),
    "OUTER_EXCLUDING_JOIN keeps the rows without a partner of both": joined(
        "OUTER_EXCLUDING_JOIN", (1, "a1", None), (None, "a4", None), (3, None, "b3"), (None, None, "b4")
    ),
    "JOIN on two keys of other names and number types, after a step here": Case(
        [
            remove_where("a", ("IS", ["drop"])),
            step(
                "JOIN",
                joinKeys=[{"key": "k", "value": "id"}, {"key": "a", "value": "name"}],
                joinType="LEFT_JOIN",
                leftColumns=["a"],
                rightColumns=["b"],
                secondaryDatasetName="other",
            ),
            remove_where("b", ("IS_MISSING", None)),
        ],
        Data({"k": "int", "a": "string"}, [(1, "x"), (2, "y"), (1, "drop")]),
        Data({"a": "string", "b": "boolean"}, [("x", True)]),
        {"other": Data({"id": "bigint", "name": "string", "b": "boolean"}, [(1, "x", True), (2, "x", False)])},
    ),
    # Conditions
    "IS removes the values listed, letter by letter": words_left(
        "IS", ["Mate", "it's", ""], "100%", "10_0", "checkmate", "a\\b", None
    ),
    "IS_NOT removes all others but what is missing": words_left("IS_NOT", ["Mate", "it's"], "Mate", "it's", None),
    "CONTAINS takes a percent sign literally": words_left(
        "CONTAINS", "0%", "10_0", "Mate", "checkmate", "", "it's", "a\\b", None
    ),
    "CONTAINS takes an underscore literally": words_left(
        "CONTAINS", "_", "100%", "Mate", "checkmate", "", "it's", "a\\b", None
    ),
    "CONTAINS takes a backslash literally": words_left(
        "CONTAINS", "a\\", "100%", "10_0", "Mate", "checkmate", "", "it's", None
    ),
    "NOT_CONTAINS removes all others but what is missing": words_left("NOT_CONTAINS", "ate", "Mate", "checkmate", None),
    "STARTS_WITH removes what starts so": words_left(
        "STARTS_WITH", "it'", "100%", "10_0", "Mate", "checkmate", "", "a\\b", None
    ),
    "NOT_STARTS_WITH removes all others but what is missing": words_left("NOT_STARTS_WITH", "10", "100%", "10_0", None),
    "ENDS_WITH removes what ends so, and nothing shorter": words_left(
        "ENDS_WITH", "kmate", "100%", "10_0", "Mate", "", "it's", "a\\b", None
    ),
    "NOT_ENDS_WITH removes all others but what is missing": words_left("NOT_ENDS_WITH", "%", "100%", None),
    "IS_MISSING removes what is missing and leaves empty texts": words_left("IS_MISSING", None, *WORDS[:-1]),
    "IS_INVALID finds no invalid text": words_left("IS_INVALID", None, *WORDS),
    "IS_INVALID removes what is no number": numbers_left("IS_INVALID", "", 1.0, 2.0, 2.5, 3.0, None),
    "IS compares numbers as numbers": numbers_left("IS", ["2", "2.5"], 1.0, 3.0, NAN, None),
    "IS_BETWEEN holds its bounds": numbers_left(
        "IS_BETWEEN", {"GREATER_THAN_EQUAL": "2", "LESS_THAN_EQUAL": "2.5"}, 1.0, 3.0, NAN, None
    ),
    "LESS_THAN leaves its bound": numbers_left("LESS_THAN", "2", 2.0, 2.5, 3.0, NAN, None),
    "LESS_THAN_EQUAL removes its bound": numbers_left("LESS_THAN_EQUAL", "2", 2.5, 3.0, NAN, None),
    "GREATER_THAN leaves its bound": rows_of(
        remove_where("n", ("GREATER_THAN", "1.5")), {"n": "int"}, [(1,), (2,), (None,)], [(1,), (None,)]
    ),
    "GREATER_THAN_EQUAL removes its bound": rows_of(
        remove_where("n", ("GREATER_THAN_EQUAL", "2")), {"n": "bigint"}, [(1,), (2,), (None,)], [(1,), (None,)]
    ),
    "conditions compare days, times and booleans": Case(
        [
            remove_where("day", ("LESS_THAN", "2026-11-20")),
            remove_where("at", ("IS", ["2026-11-20 08:30:00"])),
            remove_where("b", ("IS", ["true"])),
        ],
        Data(
            {"day": "date", "at": "timestamp", "b": "boolean"},
            [
                (date(2026, 11, 19), None, None),
                (None, datetime(2026, 11, 20, 8, 30), None),
                (None, None, True),
                (date(2026, 11, 20), datetime(2026, 11, 20), False),
            ],
        ),
        Data({"day": "date", "at": "timestamp", "b": "boolean"}, [(date(2026, 11, 20), datetime(2026, 11, 20), False)]),
    ),
    "several conditions remove only rows that meet them all": rows_of(
        step(
            "REMOVE_VALUES",
            condition("a", "IS_MISSING", None),
            condition("b", "GREATER_THAN", "1"),
            sourceColumn="a",
        ),
        {"a": "string", "b": "int"},
        [(None, 2), (None, 1), (None, None), ("x", 2)],
        [(None, 1), (None, None), ("x", 2)],
    ),
    # CHANGE_DATA_TYPE
    "text becomes a long if it is a number in plain notation, its fraction cut": texts_to(
        "long",
        "bigint",
        *[12, 12, -3, 7, 12, 0, None, None, None, None, None, None, None, None, None, None, 300, 40000, 3000000000],
        *[None, None],
    ),
    "text out of an int's range becomes NULL": texts_to(
        "int",
        "int",
        *[
            12,
            12,
            -3,
            7,
            12,
            0,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            300,
            40000,
            None,
            None,
            None,
        ],
    ),
    "text out of a short's range becomes NULL": texts_to(
        "short",
        "int",
        *[
            12,
            12,
            -3,
            7,
            12,
            0,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            300,
            None,
            None,
            None,
            None,
        ],
    ),
    "text out of a byte's range becomes NULL": texts_to(
        "byte",
        "int",
        *[
            12,
            12,
            -3,
            7,
            12,
            0,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        ],
    ),
    "text becomes a double, with an exponent too, and never NaN": texts_to(
        "double",
        "double",
        *[12.0, 12.0, -3.0, 7.0, 12.7, -0.5, 1000.0, 0.015, 0.5, None, None, None, None, None, None, None],
        *[300.0, 40000.0, 3e9, 1e20, None],
    ),
    "float and decimal are held as doubles": Case(
        [
            step("CHANGE_DATA_TYPE", sourceColumn="f", columnDataType="float"),
            step("CHANGE_DATA_TYPE", sourceColumn="d", columnDataType="decimal"),
        ],
        Data({"f": "string", "d": "int"}, [("0.1", 3)]),
        Data({"f": "double", "d": "double"}, [(0.1, 3.0)]),
    ),
    "text becomes a boolean if it says yes or no in a known word": converted(
        "string",
        "boolean",
        "boolean",
        ["true", " TRUE ", "t", "Yes", "y", "1", "false", "f", "NO", "n", "0", "2", "", "on", None],
        [True, True, True, True, True, True, False, False, False, False, False, None, None, None, None],
    ),
    "a number becomes true unless it is 0": converted(
        "double", "boolean", "boolean", [0.0, 0.5, -2.0, None], [False, True, True, None]
    ),
    "text becomes a date, its time cut": converted(
        "string",
        "date",
        "date",
        [
            "2026-11-20",
            " 2026-11-20 ",
            "2026-11-20 08:30:00",
            "2026-11-20T08:30:00",
            "2026-02-30",
            "20.11.2026",
            "",
            None,
        ],
        [*[date(2026, 11, 20)] * 4, None, None, None, None],
    ),
    "text becomes a timestamp": converted(
        "string",
        "timestamp",
        "timestamp",
        [
            "2026-11-20",
            "2026-11-20 08:30:00",
            "2026-11-20T08:30:00.5",
            "2026-11-20 24:00:00",
            "2026-11-20 8:30",
            "x",
            None,
        ],
        [datetime(2026, 11, 20), datetime(2026, 11, 20, 8, 30), datetime(2026, 11, 20, 8, 30, 0, 500_000), *[None] * 4],
    ),
    "a double becomes a long with its fraction cut, NULL where no long holds it": converted(
        "double",
        "long",
        "bigint",
        [2.5, 3.5, -2.5, -0.4, 1e15, -(2.0**63), 2.0**63, 1e300, -1e300, NAN, float("inf"), None],
        [2, 3, -2, 0, 10**15, -(2**63), None, None, None, None, None, None],
    ),
    "a double out of an int's range becomes NULL": converted(
        "double",
        "int",
        "int",
        [2.9, -2.9, 2147483647.5, 2147483648.0, NAN, None],
        [2, -2, 2147483647, None, None, None],
    ),
    "a long out of range becomes NULL": converted(
        "bigint", "int", "int", [1, 2**31, -(2**31), None], [1, None, -(2**31), None]
    ),
    "an int keeps to the range of a short": converted(
        "int", "short", "int", [1, 32768, -32768, None], [1, None, -32768, None]
    ),
    "whole numbers become text": converted(
        "bigint", "string", "string", [0, -12, 2**63 - 1, None], ["0", "-12", "9223372036854775807", None]
    ),
    "booleans become text": converted("boolean", "string", "string", [True, False, None], ["true", "false", None]),
    "booleans become numbers": converted("boolean", "int", "int", [True, False, None], [1, 0, None]),
    "booleans become doubles": converted("boolean", "double", "double", [True, False, None], [1.0, 0.0, None]),
    "dates become text": converted("date", "string", "string", [date(2026, 1, 2), None], ["2026-01-02", None]),
    "timestamps become text of whole seconds": converted(
        "timestamp", "string", "string", [datetime(2026, 1, 2, 3, 4, 5, 600_000), None], ["2026-01-02 03:04:05", None]
    ),
    "timestamps become dates": converted(
        "timestamp", "date", "date", [datetime(2026, 1, 2, 23, 59), None], [date(2026, 1, 2), None]
    ),
    "dates become timestamps": converted(
        "date", "timestamp", "timestamp", [date(2026, 1, 2), None], [datetime(2026, 1, 2), None]
    ),
    "a type a column already has changes nothing": converted("double", "float", "double", [0.1, None], [0.1, None]),
}


@pytest.fixture(scope="module")
def duckdb() -> DuckDb:
    return DuckDb()


@pytest.mark.parametrize("sentence", CASES)
def test_on_duckdb(duckdb: DuckDb, sentence: str) -> None:
    case = CASES[sentence]
    found = duckdb.run(case)
    assert list(found.columns.items()) == list(case.result.columns.items())
    assert comparable(found.rows) == comparable(case.result.rows)


def test_a_step_that_only_renames_or_drops_needs_no_cte() -> None:
    steps = [
        step("RENAME", sourceColumn="user", targetColumn="who"),
        step("DELETE", sourceColumns=["days"]),
        remove_where("number", ("LESS_THAN", "2")),
    ]
    assert "WITH" not in compiled(steps, ORDERS).sql


def test_columns_nobody_reads_are_not_selected() -> None:
    steps = [
        step("ADD", sourceColumn1="number", value2="1", targetColumn="next"),
        step(
            "GROUP_BY",
            sourceColumns=["user"],
            groupByAggFunctionOptions=[aggregate("MAX", "next", "next")],
            useNewDataFrame="true",
        ),
    ]
    sql = compiled(steps, ORDERS).sql
    assert "WITH step_1 AS" in sql
    assert "shop" not in sql
    assert "days" not in sql


def test_a_number_made_text_for_a_mapping_is_compared_as_the_number_it_is() -> None:
    steps = [
        step("CHANGE_DATA_TYPE", sourceColumn="number", columnDataType="string"),
        step(
            "CATEGORICAL_MAPPING",
            sourceColumn="number",
            targetColumn="later",
            categoryMap={"1": "0"},
            other="1",
            mapType="NUMERIC",
        ),
        step("DELETE", sourceColumns=["number"]),
    ]
    assert "VARCHAR" not in compiled(steps, ORDERS).sql
