"""Partition pruning: which partitions a statement reads, by the conditions on partition keys in its WHERE clauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from duckdb import DuckDBPyConnection
from sqlglot import exp

from instacart_pipeline_tests.aws_double.athena_tables import TableRead
from instacart_pipeline_tests.aws_double.athena_values import duckdb_type


def prune(connection: DuckDBPyConnection, tree: exp.Query, tables: Sequence[TableRead]) -> None:
    """Leave each table only the partitions that some mention of it in the qualified statement can need."""
    for table in tables:
        if not table.partitions:
            continue
        wanted: set[int] = set()
        for mention in tree.find_all(exp.Table):
            if (mention.db.lower(), mention.name.lower()) == (table.database, table.name):
                wanted |= _matching(connection, table, list(_conditions(mention, table)))
        table.partitions = [each for place, each in enumerate(table.partitions) if place in wanted]


def _conditions(mention: exp.Table, table: TableRead) -> Iterator[exp.Expr]:
    """The parts of the mention's WHERE clause that are about the table's keys alone."""
    select = mention.parent_select
    where = select.args.get("where") if isinstance(select, exp.Select) else None
    alias = mention.alias_or_name
    for part in where.this.flatten() if where and isinstance(where.this, exp.And) else [where.this] if where else []:
        columns = list(part.find_all(exp.Column))
        if (
            columns
            and not part.find(exp.Query)
            and all(c.table == alias and c.name.lower() in table.keys for c in columns)
        ):
            yield part


def _matching(connection: DuckDBPyConnection, table: TableRead, conditions: list[exp.Expr]) -> set[int]:
    partitions = table.partitions or []
    if not conditions:
        return set(range(len(partitions)))
    plain = []
    for condition in conditions:
        copy = condition.copy()
        for column in list(copy.find_all(exp.Column)):
            column.set("table", None)
        plain.append(copy.sql("duckdb"))
    keys = ", ".join(
        f'CAST("k{place}" AS {duckdb_type(kind)}) AS "{name}"' for place, (name, kind) in enumerate(table.keys.items())
    )
    places = ", ".join(f'"k{place}"' for place in range(len(table.keys)))
    rows = ", ".join(
        f"({place}, {', '.join(_text(value) for value in each['Values'])})" for place, each in enumerate(partitions)
    )
    sql = f"SELECT place FROM (SELECT place, {keys} FROM (VALUES {rows}) AS v(place, {places})) WHERE {' AND '.join(f'({c})' for c in plain)}"
    return {place for (place,) in connection.execute(sql).fetchall()}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
