"""Portable SQL: .sql files in Athena's dialect, bound to values and rendered for the engine that runs them.

Belongs here: loading, binding, holding a statement to the portable subset, translating. Doesn't: running it.

A statement is always parsed as Athena SQL (Trino), qualified and type-annotated from the tables' columns before it is
rendered: only then do division, comparison and casts mean on DuckDB and Spark what they mean on Athena.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.errors import UnsupportedSql
from instacart_pipeline.lake.redshift_sql import as_redshift_means

Engine = Literal["duckdb", "spark", "athena", "redshift"]
Schema = Mapping[str, Mapping[str, Mapping[str, str]]]
"""database -> table -> column -> type, the types by their Glue names."""


@dataclass(frozen=True)
class Query:
    """One SELECT in Athena SQL, parsed. `name` is what errors and logs call it."""

    name: str
    expression: exp.Query

    @classmethod
    def load(cls, path: Path) -> Query:
        """The query of a .sql file, named as the file is."""
        return cls.parse(path.stem, path.read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, name: str, text: str) -> Query:
        """The query in `text`. Raises UnsupportedSql if it is not exactly one readable SELECT."""
        try:
            statements = [statement for statement in sqlglot.parse(text, read="athena") if statement is not None]
        except SqlglotError as error:
            raise UnsupportedSql(f"{name}: not readable as Athena SQL: {_plain(error)}") from error
        if len(statements) != 1:
            raise UnsupportedSql(f"{name}: holds {len(statements)} statements; give one SELECT at a time.")
        statement = statements[0]
        if not isinstance(statement, exp.Query):
            raise UnsupportedSql(
                f"{name}: {statement.key.upper()} is not a SELECT. Tables of the lake are written by the pipeline's assets only."
            )
        return cls(name, statement)

    def bind(self, **values: str | float | date) -> Query:
        """The query with each `:name` replaced by a typed literal. Raises UnsupportedSql if names don't match values."""
        wanted = {str(placeholder.name) for placeholder in self.expression.find_all(exp.Placeholder)}
        if wanted != set(values):
            raise UnsupportedSql(f"{self.name}: takes parameters {sorted(wanted)}, was given {sorted(values)}.")
        return self.given(**values)

    def given(self, **values: str | float | date) -> Query:
        """The query with the placeholders of these names replaced, the others left to `bind`."""
        bound = self.expression.copy()
        for placeholder in list(bound.find_all(exp.Placeholder)):
            if str(placeholder.name) in values:
                placeholder.replace(_literal(values[str(placeholder.name)]))
        return Query(self.name, bound)

    def tables(self) -> list[tuple[str, str]]:
        """The (database, table) pairs the query reads, sorted. Raises UnsupportedSql on a table without its database."""
        ctes = {cte.alias for cte in self.expression.find_all(exp.CTE)}
        found = set()
        for table in self.expression.find_all(exp.Table):
            if table.db:
                found.add((table.db.lower(), table.name.lower()))
            elif table.name not in ctes:
                raise UnsupportedSql(
                    f"{self.name}: {table.sql(dialect='athena')} lacks its database; write it as database.table, such as reorder_curated.orders."
                )
        return sorted(found)

    def qualified(self, schema: Schema) -> exp.Query:
        """The query with every column resolved against `schema` and every expression typed."""
        plain: dict[str, object] = {db: {name: dict(c) for name, c in tables.items()} for db, tables in schema.items()}
        try:
            tree = qualify(self.expression.transform(_counting), schema=plain, dialect="athena")
            typed = annotate_types(tree, schema=plain, dialect="athena")
        except SqlglotError as error:
            raise UnsupportedSql(f"{self.name}: {_plain(error)}") from error
        if not isinstance(typed, exp.Query):
            raise UnsupportedSql(f"{self.name}: not a SELECT.")
        return typed

    def render(self, engine: Engine, schema: Schema) -> str:
        """The query's text for `engine`."""
        tree = self.qualified(schema)
        if engine == "redshift":
            tree = as_redshift_means(tree)
        return tree.sql(dialect=engine, pretty=True, comments=False)


def schema_of(tables: Iterator[TableContract] | list[TableContract]) -> dict[str, dict[str, dict[str, str]]]:
    """The schema that contracts describe, the partition column included."""
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for table in tables:
        columns = {column.name: str(column.type) for column in table.columns}
        schema.setdefault(table.database, {})[table.name] = {**columns, PARTITION: "string"}
    return schema


def _counting(node: exp.Expr) -> exp.Expr:
    """count_if written as a count: of no rows at all DuckDB's count_if makes NULL, where Athena's makes 0."""
    if isinstance(node, exp.CountIf) and not isinstance(node.this, exp.Distinct):
        return exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))]))
    return node


def _literal(value: str | float | date) -> exp.Expr:
    if isinstance(value, date):
        return exp.cast(exp.Literal.string(value.isoformat()), "date")
    return exp.convert(value)


def _plain(error: Exception) -> str:
    """A parser's message without its terminal colours."""
    return str(error).replace("\x1b[4m", "").replace("\x1b[0m", "")
