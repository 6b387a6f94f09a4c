"""How recipes are written, and everything that is refused before anything runs, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.lake.errors import UnsupportedSql, UnsupportedStep
from instacart_pipeline.lake.recipe_sql import compile_recipe
from instacart_pipeline.lake.recipe_steps import OPERATIONS, Rename
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline_tests.lake.test_recipes_support import (
    Columns,
    aggregate,
    compiled,
    condition,
    frame,
    recipe,
    remove_where,
    step,
)

COLUMNS: Columns = {"a": "int", "b": "bigint", "d": "double", "s": "string", "f": "boolean", "day": "date"}
OTHER: Columns = {"a": "bigint", "name": "string", "s": "string"}


def test_an_action_may_be_called_recipe_action_and_unknown_keys_are_ignored() -> None:
    parameters = {"sourceColumn": "a", "targetColumn": "z", "functionStepType": "RENAME"}
    written = [{"RecipeAction": {"Operation": "RENAME", "Parameters": parameters}, "Note": 1}]
    assert Recipe.parse("old", json.dumps(written)).steps == (Rename(source="a", target="z"),)


def test_a_step_without_parameters_may_leave_them_out() -> None:
    written = [{"Action": {"Operation": "DELETE_DUPLICATE_ROWS"}}]
    assert "DISTINCT" in compile_recipe(Recipe.parse("r", json.dumps(written)), frame("t", COLUMNS)).sql


def test_a_file_gives_the_recipe_its_name(tmp_path: Path) -> None:
    path = tmp_path / "up_features.json"
    path.write_text(json.dumps([step("DELETE_DUPLICATE_ROWS")]), encoding="utf-8")
    assert Recipe.load(path).name == "up_features"


def test_the_definition_is_what_the_service_takes() -> None:
    expression = {"Condition": "IS_MISSING", "TargetColumn": "s", "Note": "ours"}
    written = [{"RecipeAction": {"Operation": "REMOVE_VALUES", "Parameters": {"sourceColumn": "s"}}}]
    written[0]["ConditionExpressions"] = [expression]  # type: ignore[assignment]
    assert Recipe.parse("r", json.dumps(written)).definition == (
        {
            "Action": {"Operation": "REMOVE_VALUES", "Parameters": {"sourceColumn": "s"}},
            "ConditionExpressions": [{"Condition": "IS_MISSING", "TargetColumn": "s"}],
        },
    )


def test_where_chooses_the_rows_of_the_source_before_the_first_step() -> None:
    fill = step("FILL_WITH_CUSTOM", sourceColumn="s", columnDataType="string", value="x")
    sql = compile_recipe(recipe(fill), frame("shop_staging.sales", COLUMNS), where="dt = '2026-11-20' OR s = 'y'").sql
    assert '"shop_staging"."sales"' in sql
    assert "t.dt = '2026-11-20' OR t.s = 'y'" in sql


@pytest.mark.parametrize("where", ["dt = ", "dt = '1' GROUP BY a", "a IN (SELECT 1)", "1 = 1; DROP TABLE t"])
def test_where_must_be_one_predicate_over_the_source(where: str) -> None:
    with pytest.raises(UnsupportedSql):
        compile_recipe(recipe(step("DELETE_DUPLICATE_ROWS")), frame("t", COLUMNS), where=where)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "Recipe r is not JSON"),
        ("{}", "must be a JSON list of 1 to 100 steps, and is dict"),
        ("[]", "and is a list of 0"),
        (json.dumps([step("DELETE_DUPLICATE_ROWS")] * 101), "and is a list of 101"),
        ('["x"]', "step 1 (unknown operation): the step lacks an Action"),
        ('[{"Action": {}}]', "lacks an Action with an Operation"),
        ('[{"Action": {"Operation": "DELETE", "Parameters": {"sourceColumns": ["a"]}}}]', "must be a map of texts"),
        (
            '[{"Action": {"Operation": "DELETE_DUPLICATE_ROWS"}, "ConditionExpressions": "x"}]',
            "ConditionExpressions must be a list",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(text: str, told: str) -> None:
    with pytest.raises(UnsupportedStep) as refusal:
        Recipe.parse("r", text)
    assert told in str(refusal.value)


def test_an_unknown_operation_is_refused_by_name_with_those_that_are_known() -> None:
    with pytest.raises(UnsupportedStep) as refusal:
        recipe(step("DELETE_DUPLICATE_ROWS"), step("ONE_HOT_ENCODING", sourceColumn="s"), name="winner")
    text = str(refusal.value)
    assert text.startswith(
        "Recipe winner, step 2 (ONE_HOT_ENCODING): the operation 'ONE_HOT_ENCODING' is not supported"
    )
    assert all(operation in text for operation in OPERATIONS)


def test_every_operation_refuses_the_lack_of_each_parameter_it_needs() -> None:
    needed = {
        "GROUP_BY": ["sourceColumns", "groupByAggFunctionOptions"],
        "ROW_NUMBER": ["groupByColumns", "orderByColumns", "targetColumn"],
        "CHANGE_DATA_TYPE": ["sourceColumn", "columnDataType"],
        "CATEGORICAL_MAPPING": ["sourceColumn", "targetColumn", "categoryMap"],
        "JOIN": ["joinKeys", "joinType", "leftColumns", "rightColumns", "secondaryDatasetName"],
        "SUM": ["sourceColumns", "targetColumn"],
        "FILL_WITH_CUSTOM": ["sourceColumn", "columnDataType", "value"],
        "DELETE": ["sourceColumns"],
        "RENAME": ["sourceColumn", "targetColumn"],
        "REMOVE_VALUES": ["sourceColumn"],
        **{operation: ["targetColumn"] for operation in ("ADD", "SUBTRACT", "MULTIPLY", "DIVIDE")},
        "DELETE_DUPLICATE_ROWS": [],
    }
    assert set(needed) == set(OPERATIONS)
    for operation, parameters in needed.items():
        for missing in parameters:
            given = {name: GOOD_VALUES[name] for name in parameters if name != missing}
            with pytest.raises(UnsupportedStep) as refusal:
                recipe(step(operation, **given))
            assert f"step 1 ({operation}): lacks the parameter {missing}" in str(refusal.value)


GOOD_VALUES: dict[str, Any] = {
    "sourceColumn": "a",
    "targetColumn": "z",
    "sourceColumns": ["a"],
    "groupByColumns": ["a"],
    "orderByColumns": ["a"],
    "columnDataType": "string",
    "value": "1",
    "categoryMap": {"a": "b"},
    "joinKeys": [{"key": "a", "value": "a"}],
    "joinType": "LEFT_JOIN",
    "leftColumns": ["a"],
    "rightColumns": ["name"],
    "secondaryDatasetName": "other",
    "groupByAggFunctionOptions": [aggregate("COUNT", "a", "n")],
}


def group(*aggregates: dict[str, str], **more: Any) -> dict[str, Any]:
    return step("GROUP_BY", **{"sourceColumns": ["s"], "groupByAggFunctionOptions": list(aggregates), **more})


def mapping(**more: Any) -> dict[str, Any]:
    return step("CATEGORICAL_MAPPING", **{"sourceColumn": "s", "targetColumn": "z", "categoryMap": {"a": "1"}, **more})


def join(**more: Any) -> dict[str, Any]:
    names = ("joinKeys", "joinType", "leftColumns", "rightColumns", "secondaryDatasetName")
    return step("JOIN", **{**{name: GOOD_VALUES[name] for name in names}, **more})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "malformed JSON": (step("DELETE", sourceColumns="[a"), "the parameter sourceColumns is not JSON"),
    "a list of no texts": (step("DELETE", sourceColumns=[1]), "must be a JSON list of column names"),
    "an empty list": (step("DELETE", sourceColumns=[]), "names no column"),
    "a column named twice": (step("DELETE", sourceColumns=["a", "a"]), "names a column twice"),
    "an empty name": (step("RENAME", sourceColumn="a", targetColumn=""), "the parameter targetColumn is empty"),
    "no boolean": (group(aggregate("COUNT", "a", "n"), useNewDataFrame="maybe"), "is 'maybe', not 'true' or 'false'"),
    "a column there is not": (
        step("DELETE", sourceColumns=["x"]),
        "there is no column 'x' at this step; there are a, b, d, s, f, day",
    ),
    "a name that is taken": (step("RENAME", sourceColumn="a", targetColumn="b"), "there is already a column 'b'"),
    "a name that differs only in case": (
        step("ADD", sourceColumn1="a", value2="1", targetColumn="B"),
        "there is already a column 'B'",
    ),
    "deleting everything": (step("DELETE", sourceColumns=list(COLUMNS)), "would leave no column"),
    "an unknown aggregate": (
        group(aggregate("COUNT_DISTINCT", "a", "n")),
        "the unknown function 'COUNT_DISTINCT'; known are COUNT, SUM, MEAN, MIN, MAX",
    ),
    "an unknown type of an aggregate": (
        group(aggregate("COUNT", "a", "n", "text")),
        "the unknown targetColumnDataType 'text'; known are byte",
    ),
    "an aggregate without its column": (group({"functionName": "COUNT"}), "lacks sourceColumnName in"),
    "two aggregates of one name": (
        group(aggregate("COUNT", "a", "n"), aggregate("SUM", "a", "n"), useNewDataFrame="true"),
        "two columns would be called 'n'",
    ),
    "an aggregate called as its group": (
        group(aggregate("COUNT", "a", "s"), useNewDataFrame="true"),
        "two columns would be called 's'",
    ),
    "an aggregate called as a column that stays": (
        group(aggregate("COUNT", "a", "d")),
        "there is already a column 'd'",
    ),
    "a sum of texts": (group(aggregate("SUM", "s", "n")), "SUM needs numbers, and s is string; CHANGE_DATA_TYPE"),
    "a mean of days": (group(aggregate("MEAN", "day", "n")), "MEAN needs numbers, and day is date"),
    "a mean as text": (
        group(aggregate("MEAN", "a", "n", "string")),
        "targetColumnDataType of n: double can't become string",
    ),
    "an unknown type": (
        step("CHANGE_DATA_TYPE", sourceColumn="a", columnDataType="bigint"),
        "is 'bigint', which is not one of byte, short, int, long",
    ),
    "a double as text": (
        step("CHANGE_DATA_TYPE", sourceColumn="d", columnDataType="string"),
        "double can't become string; make it a long first",
    ),
    "a number as a day": (step("CHANGE_DATA_TYPE", sourceColumn="a", columnDataType="date"), "int can't become date"),
    "a day as a number": (
        step("CHANGE_DATA_TYPE", sourceColumn="day", columnDataType="long"),
        "date can't become long",
    ),
    "a map of no texts": (mapping(categoryMap={"a": 1}), "must be a JSON map of texts"),
    "other and kept values": (mapping(other="0", keepOthers="true"), "gives both other and keepOthers"),
    "categories that are no numbers": (
        mapping(categoryMap={"a": "x"}, mapType="NUMERIC"),
        "'x' is not a value of type double",
    ),
    "an unknown type of a map": (mapping(mapType="BLOB"), "is 'BLOB', which is not one of NUMERIC, TEXT, STRING"),
    "a map of fractions": (mapping(sourceColumn="d"), "d must be a string or integer column, and is double"),
    "a map of an integer with a key that is none": (
        mapping(sourceColumn="a", categoryMap={"x": "1"}),
        "'x' is not a value of type bigint",
    ),
    "an operand that is missing": (
        step("ADD", sourceColumn1="a", targetColumn="z"),
        "needs either sourceColumn2 or value2",
    ),
    "an operand given twice": (
        step("ADD", sourceColumn1="a", sourceColumn2="b", value2="1", targetColumn="z"),
        "needs either sourceColumn2 or value2",
    ),
    "two constants": (step("ADD", value1="1", value2="2", targetColumn="z"), "needs a column"),
    "a constant that is no number": (
        step("ADD", sourceColumn1="a", value2="one", targetColumn="z"),
        "the parameter value2 'one' is not a value of type double",
    ),
    "an infinite constant": (step("ADD", sourceColumn1="a", value2="inf", targetColumn="z"), "value2 'inf'"),
    "text plus a number": (
        step("ADD", sourceColumn1="s", value2="1", targetColumn="z"),
        "ADD needs numbers, and s is string",
    ),
    "a row's sum of booleans": (
        step("SUM", sourceColumns=["a", "f"], targetColumn="z"),
        "SUM needs numbers, and f is boolean",
    ),
    "a filling of another type than it says": (
        step("FILL_WITH_CUSTOM", sourceColumn="s", columnDataType="number", value="1"),
        "columnDataType says number, and s is string",
    ),
    "a filling its column can't hold": (
        step("FILL_WITH_CUSTOM", sourceColumn="a", columnDataType="int", value="0.5"),
        "'0.5' is not a value of type int",
    ),
    "a filling beyond its column's range": (
        step("FILL_WITH_CUSTOM", sourceColumn="a", columnDataType="int", value="2147483648"),
        "'2147483648' is not a value of type int",
    ),
    "an unknown dataset": (join(secondaryDatasetName="votes"), "there is no dataset 'votes'; known here: other"),
    "an unknown kind of join": (join(joinType="CROSS_JOIN"), "is 'CROSS_JOIN', which is not one of INNER_JOIN"),
    "a join key there is not": (
        join(joinKeys=[{"key": "x", "value": "a"}]),
        "there is no column 'x' in the current frame; there are a, b",
    ),
    "a joined column there is not": (
        join(rightColumns=["x"]),
        "there is no column 'x' in the dataset other; there are a, name, s",
    ),
    "a joined name that is taken": (
        join(leftColumns=["a", "s"], rightColumns=["s"]),
        "two columns would be called 's'",
    ),
    "join keys of unlike types": (join(joinKeys=[{"key": "a", "value": "name"}]), "can't be compared: int and string"),
    "a join without keys": (join(joinKeys=[]), "must be a JSON list of maps with key, value"),
    "a join without columns": (join(leftColumns=[], rightColumns=[]), "neither leftColumns nor rightColumns"),
    "conditions where none are taken": (
        step("RENAME", condition("a", "IS_MISSING", None), sourceColumn="a", targetColumn="z"),
        "has ConditionExpressions, which only REMOVE_VALUES takes",
    ),
    "a removal without conditions": (step("REMOVE_VALUES", sourceColumn="a"), "needs ConditionExpressions"),
    "an unknown condition": (
        remove_where("a", ("MATCHES", "x")),
        "the condition 'MATCHES' is not supported; supported are IS, IS_NOT, IS_BETWEEN",
    ),
    "a condition on a column there is not": (
        step("REMOVE_VALUES", condition("x", "IS_MISSING", None), sourceColumn="a"),
        "there is no column 'x'",
    ),
    "a condition without its column": (
        step("REMOVE_VALUES", {"Condition": "IS_MISSING"}, sourceColumn="a"),
        "the condition IS_MISSING lacks its TargetColumn",
    ),
    "a condition without its value": (remove_where("s", ("CONTAINS", None)), "the Value of CONTAINS on s is empty"),
    "IS without a list": (remove_where("s", ("IS", "draw")), "the Value of IS on s is not JSON"),
    "IS with a list of no texts": (remove_where("a", ("IS", [1])), 'must be a JSON list of texts, such as ["a"]'),
    "IS_BETWEEN without bounds": (remove_where("a", ("IS_BETWEEN", ["1", "2"])), "must be a JSON map of texts"),
    "a number compared with text": (
        remove_where("a", ("LESS_THAN", "x")),
        "LESS_THAN on a: 'x' is not a value of type double",
    ),
    "text compared by size": (remove_where("s", ("LESS_THAN", "x")), "LESS_THAN on s: needs a column of numbers"),
    "a search in a number": (
        remove_where("a", ("CONTAINS", "1")),
        "CONTAINS on a: needs a string column, and this is int",
    ),
    "no day": (remove_where("day", ("LESS_THAN", "soon")), "'soon' is not a value of type date"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_is_refused_with_its_place_and_what_would_do(what: str) -> None:
    refused, told = REFUSED[what]
    with pytest.raises(UnsupportedStep) as refusal:
        compiled([step("DELETE_DUPLICATE_ROWS"), refused], COLUMNS, {"other": OTHER})
    text = str(refusal.value)
    assert text.startswith(f"Recipe tried, step 2 ({refused['Action']['Operation']}): ")
    assert told in text
