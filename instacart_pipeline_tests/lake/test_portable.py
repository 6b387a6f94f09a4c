"""The portable subset of Athena SQL: every file is inside it, and what is inside it means the same on every engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from sqlglot import exp

import instacart_pipeline
from instacart_pipeline.customers import mart_tables as customers_mart
from instacart_pipeline.customers import tables as customers
from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.errors import UnsupportedSql
from instacart_pipeline.lake.portable import ALLOWED, problems, unproven_functions
from instacart_pipeline.lake.sql import Query, schema_of
from instacart_pipeline.reorder.model_tables import MODEL_TABLES
from instacart_pipeline.reorder.tables import TABLES
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.tables import CURATED_TABLES, TRANSACTIONS
from instacart_pipeline.retail.warehouse_tables import WAREHOUSE_TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PACKAGE = Path(instacart_pipeline.__file__).parent
SQL_FILES = sorted(PACKAGE.glob("*/sql/**/*.sql"))
ALL_TABLES = [
    *(*TABLES, *MODEL_TABLES),
    *(*CURATED_TABLES.values(), TRANSACTIONS, *WAREHOUSE_TABLES, *SANDBOX_TABLES),
    *(
        *customers.CURATED_TABLES.values(),
        *customers.DERIVED,
        *customers_mart.MART_TABLES,
        *customers_mart.WAREHOUSE_TABLES,
    ),
]
NUMBERS = TableContract(
    "test_curated",
    "numbers",
    "Whole and floating numbers, texts and days, NULLs among them.",
    [
        Column("id", "bigint", key=True),
        Column("whole", "int"),
        Column("wide", "bigint"),
        Column("number", "double"),
        Column("text", "string"),
        Column("day", "date"),
    ],
)
ROWS = [
    (1, 7, 70_000_000_000, 2.75, " Milk ", "2026-11-20"),
    (2, -7, -3, -2.75, "12", "2024-02-29"),
    (3, None, None, None, None, None),
    (4, 0, 9, 0.5, "héllo", "1999-12-31"),
    (5, 2, 2, 100.0, "x2", "2026-01-01"),
]
SAMPLES = {
    exp.Count: ["count(*)", "count(whole)", "count(DISTINCT whole)"],
    exp.CountIf: ["count_if(whole > 0)"],
    exp.Sum: ["sum(whole)", "sum(wide)", "sum(number)"],
    exp.Min: ["min(number)", "min(text)"],
    exp.Max: ["max(wide)", "max(day)"],
    exp.Avg: ["avg(whole)", "avg(number)"],
    exp.Coalesce: ["coalesce(whole, 5)", "coalesce(text, 'none')"],
    exp.Nullif: ["nullif(whole, 0)"],
    exp.If: ["if(whole > 0, 1, 0)"],
    exp.Case: ["CASE WHEN whole > 0 THEN 'more' WHEN whole = 0 THEN 'none' ELSE 'less' END"],
    exp.Cast: [
        "CAST(whole AS double) / 2",
        "CAST(floor(number) AS bigint)",
        "CAST(whole AS varchar)",
        "CAST(day AS varchar)",
        "CAST(CAST(day AS timestamp) AS date)",
        "CAST(CAST(number AS decimal(18, 4)) AS varchar)",
        "CAST(whole * CAST(number AS decimal(18, 4)) AS decimal(18, 4))",
    ],
    exp.TryCast: ["try_cast(text AS bigint)", "try_cast(text AS double)"],
    exp.Greatest: ["greatest(coalesce(whole, 0), 3)"],
    exp.Least: ["least(coalesce(number, 0.0), 1.5)"],
    exp.Abs: ["abs(whole)", "abs(number)"],
    exp.Floor: ["floor(number)"],
    exp.Ceil: ["ceil(number)"],
    exp.Sqrt: ["sqrt(abs(number))"],
    exp.Ln: ["ln(abs(number))"],
    exp.Exp: ["exp(number / 50)"],
    exp.Pow: ["power(number, 2)"],
    exp.Sin: ["sin(number)", "sin(radians(number) / 2)"],
    exp.Cos: ["cos(number)", "cos(radians(number))"],
    exp.Asin: ["asin(number / 100)", "asin(least(coalesce(abs(number), 0), 1e0))"],
    exp.Radians: ["radians(number)", "radians(whole)"],
    exp.Lower: ["lower(text)"],
    exp.Upper: ["upper(text)"],
    exp.Trim: ["trim(text)", "trim(BOTH ' ' FROM text)"],
    exp.Length: ["length(text)"],
    exp.Substring: ["substr(text, 2, 2)"],
    exp.Concat: ["concat(coalesce(text, ''), '!')"],
    exp.DPipe: ["text || '!'"],
    exp.RegexpLike: ["regexp_like(text, '^[0-9]{2}')"],
    exp.LowerHex: ["lower(to_hex(md5(to_utf8(text))))"],
    exp.MD5Digest: ["lower(to_hex(md5(to_utf8(text || '|' || CAST(CAST(number AS decimal(18, 4)) AS varchar)))))"],
    exp.Encode: ["lower(to_hex(md5(to_utf8(coalesce(text, '')))))"],
    exp.Year: ["year(day)"],
    exp.Month: ["month(day)"],
    exp.Day: ["day(day)"],
    exp.TimestampTrunc: ["CAST(date_trunc('week', day) AS date)", "date_trunc('second', CAST(day AS timestamp))"],
    exp.TimeToStr: ["date_format(CAST(day AS timestamp), '%Y-%m-%d %H:%i:%s')"],
    exp.DateDiff: [
        "date_diff('day', CAST(day AS date), CAST('2026-11-20' AS date))",
        "date_diff('day', CAST('2024-03-01 23:59:59' AS date), CAST(CAST(day AS timestamp) AS date))",
    ],
    exp.RowNumber: ["row_number() OVER (ORDER BY id NULLS FIRST)"],
    exp.Lag: ["lag(whole) OVER (ORDER BY id NULLS FIRST)"],
    exp.Lead: ["lead(text) OVER (ORDER BY id NULLS FIRST)"],
    exp.And: ["whole > 0 AND number > 0"],
    exp.Or: ["whole > 0 OR number > 0"],
    exp.Exists: ["EXISTS (SELECT 1 FROM test_curated.numbers AS o WHERE o.id = 1)"],
}
AGGREGATES = (exp.Count, exp.CountIf, exp.Sum, exp.Min, exp.Max, exp.Avg)


def test_there_are_statements_to_hold_to_the_subset() -> None:
    assert {path.stem for path in SQL_FILES} >= {"order_products_prior", "order_products_train", "result_table"}


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_statement_is_inside_the_portable_subset(path: Path) -> None:
    given: dict[str, str | int] = {
        "windows": 1,
        "open": 0,
        "dt": "2026-11-20",
        "first": "2026-11-20",
        "last": "2026-11-21",
        "since": "2025-11-20",
    }
    query = Query.load(path).given(**given).bind()
    inputs = [table for table in ALL_TABLES if (table.database, table.name) in query.tables()]
    assert problems(query, schema_of(ALL_TABLES), inputs) == []


@pytest.mark.parametrize(
    ("select", "why"),
    [
        ("whole / wide", "divides whole numbers"),
        ("CAST(text AS bigint)", "casts text; use TRY_CAST"),
        ("CAST(number AS bigint)", "drops a fraction"),
        ("row_number() OVER (PARTITION BY whole ORDER BY number)", "not unique; ties"),
        (
            "(SELECT min(place) FROM (SELECT row_number() OVER (ORDER BY whole) AS place FROM test_curated.numbers GROUP BY whole, text))",
            "not unique; ties",
        ),
        ("regexp_extract(text, 'x')", "regexp_extract is not on the list"),
        ("slice(ARRAY[1], 1, 1)", "is not on the list"),
        ("date_diff('day', day, day)", "is not on the list"),
        ("date_diff('day', CAST(day AS timestamp), CAST(day AS date))", "is not on the list"),
        ("date_diff('month', CAST(day AS date), CAST(day AS date))", "is not on the list"),
    ],
)
def test_a_statement_outside_the_subset_is_told_why(select: str, why: str) -> None:
    query = Query.parse("q", f"SELECT {select} AS value FROM test_curated.numbers")
    assert any(why in problem for problem in problems(query, schema_of([NUMBERS]), [NUMBERS]))


@pytest.mark.parametrize(
    ("parted_by", "outside"),
    [("id, whole, wide, number, text, day, dt", False), ("whole, wide, number, text, day, dt", True)],
)
def test_rows_alike_in_everything_may_be_numbered_in_any_order(parted_by: str, *, outside: bool) -> None:
    whole = TableContract("test_curated", "keyless", "No row is told from another.", [*NUMBERS.columns])
    text = (
        f"SELECT row_number() OVER (PARTITION BY {parted_by} ORDER BY text NULLS LAST) AS n FROM test_curated.keyless"
    )
    read = text.replace("test_curated.keyless", f"(SELECT {parted_by}, id AS id_2 FROM test_curated.keyless) AS rows_2")
    keyless = schema_of([whole])
    assert bool(problems(Query.parse("q", text), keyless, [])) is outside
    assert problems(Query.parse("q", read), keyless, []) != []


def test_every_allowed_function_has_a_sample() -> None:
    assert set(SAMPLES) == set(ALLOWED)


def test_a_query_by_hand_names_its_unproven_functions() -> None:
    assert unproven_functions(
        Query.parse("q", "SELECT sum(whole), width_bucket(1, 2, 3, 4) FROM test_curated.numbers")
    ) == ["width_bucket"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1; SELECT 2", "holds 2 statements"),
        ("DROP TABLE reorder_curated.orders", "is not a SELECT"),
        ("SELEC 1 FROM", "not readable as Athena SQL"),
        ("SELECT * FROM orders", "lacks its database"),
    ],
)
def test_what_is_no_single_select_on_qualified_tables_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnsupportedSql, match=message):
        Query.parse("q", text).tables()


def test_parameters_become_literals_and_must_match() -> None:
    query = Query.parse("q", "SELECT id FROM test_curated.numbers WHERE text = :text")
    assert (
        query.bind(text="it's; DROP TABLE x").render("duckdb", schema_of([NUMBERS])).count("'it''s; DROP TABLE x'") == 1
    )
    with pytest.raises(UnsupportedSql, match="takes parameters"):
        query.bind(other="x")


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(UnsupportedSql, match="nope"):
        Query.parse("q", "SELECT nope FROM test_curated.numbers").render("duckdb", schema_of([NUMBERS]))


def test_whole_numbers_divide_as_on_athena() -> None:
    text = Query.parse("q", "SELECT whole / 2 AS half FROM test_curated.numbers WHERE id = 1").render(
        "duckdb", schema_of([NUMBERS])
    )
    assert _on_duckdb(text) == [(3,)]


@pytest.mark.parametrize("aggregated", [False, True], ids=["by row", "aggregates"])
def test_every_allowed_function_gives_the_same_on_duckdb_and_spark(spark: SparkSession, *, aggregated: bool) -> None:
    columns = "id bigint, whole int, wide bigint, number double, text string, day string"
    frame = spark.createDataFrame(ROWS, columns).selectExpr(
        "id", "whole", "wide", "number", "text", "CAST(day AS date) AS day"
    )
    frame.createOrReplaceTempView("numbers")
    samples = [each for kind, of_kind in SAMPLES.items() if (kind in AGGREGATES) is aggregated for each in of_kind]
    selected = ", ".join(f"{sample} AS sample_{number}" for number, sample in enumerate(samples))
    order = "" if aggregated else " ORDER BY id NULLS FIRST"
    query, schema = Query.parse("samples", f"SELECT {selected} FROM test_curated.numbers{order}"), schema_of([NUMBERS])
    ours = _on_duckdb(query.render("duckdb", schema))
    theirs = spark.sql(query.render("spark", schema).replace("`test_curated`.", "")).collect()
    assert len(ours) == len(theirs) == (1 if aggregated else len(ROWS))
    by_sample = zip(samples, zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    assert [each for each in by_sample if not all(map(_alike, each[1], each[2]))] == []


def _on_duckdb(text: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA test_curated")
        connection.execute(
            "CREATE TABLE test_curated.numbers (id BIGINT, whole INT, wide BIGINT, number DOUBLE, text VARCHAR, day DATE, dt VARCHAR)"
        )
        connection.executemany("INSERT INTO test_curated.numbers VALUES (?, ?, ?, ?, ?, ?, '2026-11-20')", ROWS)
        return connection.execute(text).fetchall()


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) or isinstance(theirs, float):
        return ours is not None and theirs is not None and math.isclose(ours, theirs, rel_tol=1e-12)
    return bool(ours == theirs)
