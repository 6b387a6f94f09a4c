"""Small frames, and recipes run over them on DuckDB; shared by the tests of recipes. Holds no test itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import sqlglot
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline.lake.recipe_sql import Compiled, Frame, compile_recipe
from instacart_pipeline.lake.recipes import Recipe

Columns = Mapping[str, ColumnType]
Rows = Sequence[tuple[Any, ...]]
Steps = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Data:
    """A small table."""

    columns: Columns
    rows: Rows


@dataclass(frozen=True)
class Case:
    """A recipe over small tables, and what it gives; rows in any order."""

    steps: Steps
    source: Data
    result: Data
    datasets: Mapping[str, Data] = field(default_factory=dict)


def step(operation: str, *conditions: Mapping[str, str], **parameters: Any) -> dict[str, Any]:
    """A step as a recipe writes it: what is not text becomes JSON inside a text."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    written: dict[str, Any] = {"Action": {"Operation": operation, "Parameters": texts}}
    return {**written, "ConditionExpressions": list(conditions)} if conditions else written


def remove_where(column: str, *conditions: tuple[str, Any]) -> dict[str, Any]:
    """A REMOVE_VALUES step with conditions on one column, each a name and a value."""
    return step("REMOVE_VALUES", *(condition(column, name, value) for name, value in conditions), sourceColumn=column)


def condition(column: str, name: str, value: Any) -> dict[str, str]:
    """A condition; its value JSON unless it is text or missing."""
    texts = {} if value is None else {"Value": value if isinstance(value, str) else json.dumps(value)}
    return {"Condition": name, "TargetColumn": column, **texts}


def aggregate(function: str, source: str, target: str, kind: str | None = None) -> dict[str, str]:
    """An aggregate of a GROUP_BY."""
    named = {"sourceColumnName": source, "targetColumnName": target, "functionName": function}
    return named if kind is None else {**named, "targetColumnDataType": kind}


def recipe(*steps: Mapping[str, Any], name: str = "tried") -> Recipe:
    """A recipe of the steps given."""
    return Recipe.parse(name, json.dumps(steps))


def frame(name: str, columns: Columns) -> Frame:
    """The frame of a table called `name`."""
    return Frame(name, tuple(columns.items()))


def compiled(steps: Steps, columns: Columns, datasets: Mapping[str, Columns] | None = None) -> Compiled:
    """The steps compiled over a table called source; a dataset's table is called as the dataset."""
    frames = {name: frame(name, each) for name, each in (datasets or {}).items()}
    return compile_recipe(recipe(*steps), frame("source", columns), datasets=frames)


def rendered(sql: str, tables: Mapping[str, Columns], engine: str) -> str:
    """Athena SQL as `engine` runs it, the way the platform renders it."""
    schema: dict[str, object] = {name: dict(columns) for name, columns in tables.items()}
    tree = qualify(sqlglot.parse_one(sql, read="athena"), schema=schema, dialect="athena")
    return annotate_types(tree, schema=schema, dialect="athena").sql(dialect=engine)


def comparable(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows in an order of their own, with NaN equal to itself and no negative zero."""
    return sorted((tuple(map(_comparable, row)) for row in rows), key=repr)


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


_DUCKDB_TYPES = {"string": "varchar"}


class DuckDb:
    """A DuckDB of its own; each run replaces the tables of the last."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})

    def run(self, case: Case) -> Data:
        """What the case's recipe gives."""
        tables = {"source": case.source, **case.datasets}
        for name, data in tables.items():
            columns = ", ".join(f'"{column}" {_DUCKDB_TYPES.get(kind, kind)}' for column, kind in data.columns.items())
            self.connection.execute(f'CREATE OR REPLACE TABLE "{name}" ({columns})')
            if data.rows:
                places = ", ".join("?" for _ in data.columns)
                self.connection.executemany(f'INSERT INTO "{name}" VALUES ({places})', data.rows)
        result = compiled(case.steps, case.source.columns, {name: each.columns for name, each in case.datasets.items()})
        sql = rendered(result.sql, {name: data.columns for name, data in tables.items()}, "duckdb")
        found = self.connection.execute(sql)
        assert found.description is not None
        assert [column[0] for column in found.description] == [name for name, _ in result.columns]
        assert [_lake_type(str(column[1])) for column in found.description] == [kind for _, kind in result.columns]
        return Data(dict(result.columns), found.fetchall())


def _lake_type(name: str) -> str:
    return {"INTEGER": "int", "VARCHAR": "string"}.get(name, name.lower())
