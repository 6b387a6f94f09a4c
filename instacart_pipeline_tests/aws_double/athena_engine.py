"""Running Athena's statements on DuckDB: SELECT, CREATE TABLE AS SELECT, UNLOAD and DROP TABLE, over the Glue catalog and S3.

Belongs here: what a statement does and how it fails. Doesn't: query executions as the API shows them (athena.py).
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from instacart_pipeline.lake.errors import UnsupportedSql
from instacart_pipeline.lake.sql import Query
from instacart_pipeline_tests.aws_double.athena_create import Target, target_of
from instacart_pipeline_tests.aws_double.athena_pruning import prune
from instacart_pipeline_tests.aws_double.athena_tables import PATH, TableRead, Tables, local, open_table
from instacart_pipeline_tests.aws_double.athena_unload import Unload
from instacart_pipeline_tests.aws_double.athena_values import Column, text
from instacart_pipeline_tests.aws_double.catalog import Catalog
from instacart_pipeline_tests.aws_double.jobs import JobCancelled, JobFailure, JobRun, Stopped
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.wire import AwsError


@dataclass
class Result:
    """What a statement came to. `scanned` is known before the statement ends, as in the service."""

    columns: Sequence[Column] = ()
    rows: list[list[str | None]] = field(default_factory=list)
    update_count: int | None = None
    scanned: int = 0


@dataclass(frozen=True)
class Statement:
    """A statement, parsed, with every table's database filled in."""

    tree: exp.Expr
    kind: str
    substatement: str
    unload: Unload | None = None


def parse(sql: str, database: str | None, parameters: Sequence[str]) -> Statement:
    """One statement. Raises AwsError InvalidRequestException, as StartQueryExecution does, if Athena could not read it."""
    if unload := Unload.of(sql):
        return replace(parse(unload.select, database, parameters), substatement="UNLOAD", unload=unload)
    try:
        found = [each for each in sqlglot.parse(sql, read="athena") if each is not None]
    except SqlglotError as error:
        raise AwsError("InvalidRequestException", f"line 1:1: mismatched input: {error}") from error
    if len(found) != 1:
        raise AwsError("InvalidRequestException", f"Only one sql statement is allowed. Got: {sql}")
    tree: exp.Expr = found[0]
    for placeholder, value in zip(list(tree.find_all(exp.Placeholder)), parameters, strict=False):
        placeholder.replace(sqlglot.parse_one(value, read="athena"))
    _fill_in(tree, database)
    if isinstance(tree, exp.Query):
        return Statement(tree, "DML", "SELECT")
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.expression, exp.Query):
        return Statement(tree, "DDL", "CREATE_TABLE_AS_SELECT")
    if isinstance(tree, exp.Drop) and tree.args.get("kind") == "TABLE":
        return Statement(tree, "DDL", "DROP_TABLE")
    raise AwsError("InvalidRequestException", f"Queries of this type are not supported by the double: {tree.key}")


class Engine:
    """Runs statements. `scan_weight` multiplies the bytes counted as scanned, to reach limits with small tables;
    `files` is the number of files a CREATE TABLE AS writes, if it has so many rows."""

    def __init__(self, objects: Objects, catalog: Catalog, folder: Path) -> None:
        self._objects, self._catalog, self._folder = objects, catalog, folder
        self.scan_weight, self.files = 1, 2

    def run(self, statement: Statement, run: JobRun, result: Result, cutoff: int | None) -> None:
        """Fill in `result`. Raises JobFailure, JobCancelled where the cutoff of scanned bytes is passed, and Stopped."""
        tree = statement.tree
        if isinstance(tree, exp.Drop):
            self._drop(tree)
            return
        target = target_of(tree, self._catalog, self._objects) if isinstance(tree, exp.Create) else None
        query: Any = tree.expression if isinstance(tree, exp.Create) else tree
        if statement.unload:
            statement.unload.require_empty(self._objects)
        scratch = self._folder / f"athena-{run.id}"
        scratch.mkdir()
        connection = duckdb.connect(config={"threads": 2, "temp_directory": str(scratch)})
        try:
            with run.stoppable_by(connection.interrupt):
                self._select(connection, Query("query", query), result, cutoff, target)
                run.check_stop()
                if target is None:
                    rows = connection.execute("SELECT * FROM result").fetchall()
                    result.rows = [[text(value) for value in row] for row in rows]
                    if statement.unload:
                        statement.unload.write(self._objects, result.rows, run.id, self.files)
                        result.rows, result.columns, result.update_count = [], (), len(rows)
                else:
                    result.update_count = self._create(connection, target, result.columns, scratch, run.id)
                    result.columns = ()
        except duckdb.InterruptException as error:
            raise Stopped from error
        except duckdb.Error as error:
            raise JobFailure(_reason(error)) from error
        finally:
            connection.close()
            shutil.rmtree(scratch, ignore_errors=True)

    def _select(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: Query,
        result: Result,
        cutoff: int | None,
        target: Target | None,
    ) -> None:
        """Put the rows of a query into the table `result` of the connection."""
        tables = [open_table(self._catalog, database, name) for database, name in query.tables()]
        try:
            tree = query.qualified(_schema(tables, hidden=f'"{PATH}"' in query.expression.sql("athena")))
        except UnsupportedSql as error:
            raise JobFailure(_resolution(str(error))) from error
        prune(connection, tree, tables)
        names = {column.name.lower() for column in tree.find_all(exp.Column)}
        registry = Tables(connection, self._objects)
        for table in tables:
            table.columns = names & set(table.types)
            registry.register(table)
            result.scanned += table.scanned * self.scan_weight
        if cutoff is not None and result.scanned > cutoff:
            raise JobCancelled("Query cancelled! : Bytes scanned limit was exceeded")
        sql = tree.sql("duckdb", comments=False)
        described = connection.execute(f"DESCRIBE {sql}").fetchall()
        if target is not None and (
            unnamed := [place for place, (n, *_) in enumerate(described, 1) if _UNNAMED.fullmatch(n)]
        ):
            raise JobFailure(f"MISSING_COLUMN_NAME: line 1:1: Column name not specified at position {unnamed[0]}")
        columns = [
            (_UNNAMED.sub(r"_col\1", name), "BIGINT" if kind == "HUGEINT" else kind) for name, kind, *_ in described
        ]
        places = ", ".join(f'"c{place}"' for place in range(len(columns)))
        names_as = [name.replace('"', '""') for name, _ in columns]
        casts = ", ".join(
            f'CAST("c{place}" AS {kind}) AS "{names_as[place]}"' for place, (_, kind) in enumerate(columns)
        )
        connection.execute(f"CREATE TEMP TABLE result AS SELECT {casts} FROM ({sql}) AS r({places})")
        result.columns = columns

    def _create(
        self, connection: duckdb.DuckDBPyConnection, target: Target, columns: Sequence[Column], folder: Path, run: str
    ) -> int:
        """Write the rows to the target and enter it in the catalog; the number of rows. Without rows there is no file."""
        rows: int = connection.execute("SELECT count(*) FROM result").fetchall()[0][0]
        files = folder / "files"
        files.mkdir()
        if rows and target.partitioned_by:
            keys = ", ".join(f'"{key}"' for key in target.partitioned_by)
            connection.execute(
                f"COPY result TO {local(files)} ({target.copy_options}, PARTITION_BY ({keys}), OVERWRITE_OR_IGNORE)"
            )
        else:
            parts = min(self.files, rows)
            for part in range(parts):
                share = f"SELECT * FROM result WHERE rowid % {parts} = {part}"
                connection.execute(f"COPY ({share}) TO {local(files / str(part))} ({target.copy_options})")
        for path in sorted(each for each in files.rglob("*") if each.is_file()):
            below = "".join(f"{part}/" for part in path.parent.relative_to(files).parts)
            # Athena's files have no extension.
            self._objects.upload(path, f"{target.location}{below}{run[:8]}_{uuid.uuid4()}")
        target.enter(self._catalog, columns, sorted(each.name for each in files.iterdir() if each.is_dir()))
        return rows

    def _drop(self, tree: exp.Drop) -> None:
        for table in tree.find_all(exp.Table):
            if not self._catalog.delete_table(table.db.lower(), table.name.lower()) and not tree.args.get("exists"):
                raise JobFailure(f"FAILED: SemanticException [Error 10001]: Table not found {table.db}.{table.name}")


_UNNAMED = re.compile(r"_col_(\d+)")


def _fill_in(tree: exp.Expr, database: str | None) -> None:
    """Give every table its database, and take the catalog's own name off."""
    known = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.catalog.lower() == "awsdatacatalog":
            table.set("catalog", None)
        if not table.db and table.name.lower() not in known:
            if not database:
                raise AwsError(
                    "InvalidRequestException",
                    f"line 1:15: Schema must be specified when session schema is not set: {table.name}",
                )
            table.set("db", exp.to_identifier(database))


def _schema(tables: Sequence[TableRead], *, hidden: bool) -> dict[str, dict[str, dict[str, str]]]:
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for table in tables:
        columns = {**table.types, **table.keys, **({PATH: "string"} if hidden else {})}
        schema.setdefault(table.database, {})[table.name] = columns
    return schema


def _resolution(problem: str) -> str:
    found = re.search(r"[Cc]olumn '?\"?([\w.$\"]+)", problem)
    if found and "resolved" in problem:
        name = found.group(1).replace('"', "").rpartition(".")[2]
        return f"COLUMN_NOT_FOUND: line 1:8: Column '{name}' cannot be resolved or requester is not authorized to access requested resources"
    return f"SYNTAX_ERROR: line 1:8: {problem}"


def _reason(error: Any) -> str:
    codes = {"ConversionException": "INVALID_CAST_ARGUMENT", "OutOfRangeException": "NUMERIC_VALUE_OUT_OF_RANGE"}
    first = str(error).splitlines()[0]
    code = codes.get(type(error).__name__, "GENERIC_INTERNAL_ERROR")
    if "out of range" in first:
        code = "NUMERIC_VALUE_OUT_OF_RANGE"
    return f"{code}: {first}"
