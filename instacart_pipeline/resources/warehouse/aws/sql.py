"""The statements of the warehouse on Redshift.

Belongs here: SQL as text. Names come from contracts and from this module, values are written as literals. Doesn't: running any of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlglot
from sqlglot import exp

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.redshift_sql import LONGEST_TEXT, as_redshift_means
from instacart_pipeline.lake.rule_sql import verification
from instacart_pipeline.lake.sql import Query, Schema
from instacart_pipeline.resources.warehouse.loads import Load, columns_of, loads_of

_TYPES = {"string": f"varchar({LONGEST_TEXT})", "int": "integer", "double": "double precision"}
_LAKE_TYPES = {
    "character varying": "string",
    "integer": "int",
    "double precision": "double",
    "timestamp without time zone": "timestamp",
}
LAKE_ROWS = "lake_rows"
"""The temporary table, one a transaction, that a day of a table of the lake is copied into."""
_STAGED = "staged_"
_TOGETHER = ("rows", "together")
_LOADS_AT_ONCE = 100


def redshift_type(name: str) -> str:
    """A contract's type as Redshift calls it."""
    return _TYPES.get(name, name)


def text(value: str) -> str:
    """A string literal."""
    return exp.Literal.string(value).sql("redshift")


def texts(values: Iterable[str]) -> str:
    """A list of string literals, for IN."""
    return ", ".join(text(value) for value in sorted(values))


def quoted(table: TableContract) -> str:
    """A table, as statements name it."""
    return f'"{table.database}"."{table.name}"'


def staged(target: TableContract, version: str) -> TableContract:
    """The table that the rows of a load wait in until they are judged: one an attempt."""
    return target.moved_to(target.database, name=f"{_STAGED}{target.name}_{version.lower().replace('-', '_')}")


def version_of_staged(name: str) -> str | None:
    """The version whose rows wait in a table of this name, if it is one of those."""
    return "-".join(name.upper().rsplit("_", 2)[-2:]) if name.startswith(_STAGED) else None


def made(table: TableContract) -> str:
    """The statement that makes a table, if there is none."""
    return f"CREATE TABLE IF NOT EXISTS {quoted(table)} ({_columns(columns_of(table))})"


def schema_made(database: str) -> list[str]:
    """The statements that make a schema with its table of loads, if there is none."""
    return [f'CREATE SCHEMA IF NOT EXISTS "{database}"', made(loads_of(database))]


def columns_there(databases: Collection[str]) -> str:
    """The statement that asks for the columns of every table of these schemas."""
    return (
        "SELECT table_schema, table_name, column_name, data_type, numeric_precision, numeric_scale FROM information_schema.columns"
        f" WHERE table_schema IN ({texts(databases)}) ORDER BY table_schema, table_name, ordinal_position"
    )


def schema_from(rows: Iterable[Mapping[str, object]]) -> dict[str, dict[str, dict[str, str]]]:
    """The schema that the answer to `columns_there` tells."""
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        kind = str(row["data_type"])
        if kind == "numeric":
            kind = f"decimal({row['numeric_precision']},{row['numeric_scale']})"
        columns = schema.setdefault(str(row["table_schema"]), {}).setdefault(str(row["table_name"]), {})
        columns[str(row["column_name"])] = _LAKE_TYPES.get(kind, kind)
    return schema


def rendered(query: Query, schema: Schema, standing: Mapping[tuple[str, str], str] | None = None) -> str:
    """A query's text. `standing` gives SELECTs that stand for tables, by database and name."""
    tree = as_redshift_means(query.qualified(schema))
    for table in list(tree.find_all(exp.Table)):
        if select := (standing or {}).get((table.db, table.name)):
            stands = sqlglot.parse_one(select, read="redshift")
            table.replace(exp.Subquery(this=stands, alias=table.args["alias"]))
    return tree.sql("redshift", comments=False)


def lake_rows_made(columns: Mapping[str, str]) -> str:
    """The statement that makes the temporary table, in the column order of the lake's files."""
    return f"CREATE TEMP TABLE {LAKE_ROWS} ({_columns(columns)})"


def copied(location: str, role: str) -> str:
    """The statement that copies a version into the temporary table. COPY goes by the order of columns, and fails if there is no file."""
    return f"COPY {LAKE_ROWS} FROM {text(f'{location}/')} IAM_ROLE {text(role)} FORMAT AS PARQUET"


def lake_rows_at(columns: Iterable[str], dt: str) -> str:
    """The temporary table's rows with their day."""
    return f"SELECT {_names(columns)}, {text(dt)} AS {PARTITION} FROM {LAKE_ROWS}"


def inserted(select: str, waiting: TableContract, dt: str) -> str:
    """The statement that stages the rows of a SELECT."""
    casts = ", ".join(f'CAST("{c.name}" AS {redshift_type(c.type)})' for c in waiting.columns)
    return f"INSERT INTO {quoted(waiting)} SELECT {casts}, {text(dt)} FROM ({select}) AS made"


def judged(waiting: TableContract, target: TableContract, days: Collection[str]) -> str:
    """The statement that counts what breaks the contract among staged rows, doubled ones among those that stay too; see `verification`.

    Without `days` no row stays.
    """
    schema = {waiting.database: {waiting.name: columns_of(target)}, _TOGETHER[0]: {_TOGETHER[1]: columns_of(target)}}
    names = _names(columns_of(target))
    staying = f" UNION ALL SELECT {names} FROM {quoted(target)} WHERE NOT {at_days(days)}" if days else ""
    together = f"SELECT {names} FROM {quoted(waiting)}{staying}"
    asked = verification(target, waiting.qualified_name, "", ".".join(_TOGETHER))
    return rendered(Query.parse(target.name, asked), schema, {_TOGETHER: together})


def counted(waiting: TableContract) -> str:
    """The statement that counts staged rows by day."""
    return f"SELECT {PARTITION}, count(*) AS n FROM {quoted(waiting)} GROUP BY {PARTITION}"


def loads_there(database: str, tables: Collection[str]) -> str:
    """The statement that asks which loads brought what is in some tables."""
    return (
        f"SELECT table_name, {PARTITION}, version, row_count, lineage FROM {quoted(loads_of(database))}"
        f" WHERE table_name IN ({texts(tables)}) ORDER BY table_name, {PARTITION}"
    )


def swapped(
    target: TableContract,
    waiting: TableContract,
    days: Collection[str],
    version: str,
    loads: Sequence[Load],
    *,
    anew: bool,
) -> list[str]:
    """The statements that put staged rows in the place of those of `days`, or of all if there are none, in one transaction.

    Loads wait for each other at the table of loads. What could have changed before this one's turn is looked at again: a later load
    of the same days, or a row of another day that is like one of these, makes the transaction fail. The last statement counts all rows.
    """
    record, own = quoted(loads_of(target.database)), f"table_name = {text(target.name)}"
    names = _names(columns_of(target))
    of_days = f" AND {at_days(days)}" if days else ""
    emptied = [f"DELETE FROM {quoted(target)}{f' WHERE {at_days(days)}' if days else ''}"]
    if anew:
        emptied = [f"DROP TABLE IF EXISTS {quoted(target)}", made(target)]
    return [
        f"LOCK TABLE {record}",
        _refused_if(
            f"SELECT 1 AS found FROM {record} WHERE {own}{of_days} AND version > {text(version)}",
            "a later load of these days came first",
        ),
        *emptied,
        f"INSERT INTO {quoted(target)} ({names}) SELECT {names} FROM {quoted(waiting)}",
        *(
            _refused_if(_doubled(target, columns), "a row is like one of another load that came first")
            for columns in target.unique_sets
        ),
        f"DELETE FROM {record} WHERE {own}{of_days}",
        *_recorded(target, loads),
        f"DROP TABLE {quoted(waiting)}",
        f"SELECT count(*) AS n FROM {quoted(target)}",
    ]


def unloaded(select: str, target: TableContract, location: str, role: str) -> str:
    """The statement that writes the rows of a SELECT as one Parquet file, in the contract's columns, types and order."""
    casts = ", ".join(f'CAST("{c.name}" AS {redshift_type(c.type)}) AS "{c.name}"' for c in target.columns)
    order = f" ORDER BY {_names(target.sorted_by)}" if target.sorted_by else ""
    inner = f"SELECT {casts} FROM ({select}) AS made{order}"
    return f"UNLOAD ({text(inner)}) TO {text(f'{location}/')} IAM_ROLE {text(role)} FORMAT AS PARQUET PARALLEL OFF"


def at_days(days: Collection[str]) -> str:
    """The predicate of these days."""
    return f"{PARTITION} IN ({texts(days)})"


def _recorded(target: TableContract, loads: Sequence[Load]) -> Iterable[str]:
    names = _names(columns_of(loads_of(target.database)))
    for start in range(0, len(loads), _LOADS_AT_ONCE):
        rows = ", ".join(
            f"({text(target.name)}, {text(load.version)}, {text(load.loaded_at.isoformat(' '))}, {load.rows}, {text(load.lineage_json)}, {text(load.dt)})"
            for load in loads[start : start + _LOADS_AT_ONCE]
        )
        yield f"INSERT INTO {quoted(loads_of(target.database))} ({names}) VALUES {rows}"


def _doubled(target: TableContract, columns: Sequence[str]) -> str:
    known = " AND ".join(f'"{name}" IS NOT NULL' for name in columns)
    return f"SELECT 1 AS found FROM {quoted(target)} WHERE {known} GROUP BY {_names(columns)} HAVING count(*) > 1"


def _refused_if(found: str, problem: str) -> str:
    """A statement that fails if a SELECT finds anything: its text is no number."""
    return f"SELECT CAST(CASE WHEN count(*) = 0 THEN '0' ELSE {text(problem)} END AS integer) FROM ({found}) AS guarded"


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}" {redshift_type(kind)}' for name, kind in columns.items())


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
