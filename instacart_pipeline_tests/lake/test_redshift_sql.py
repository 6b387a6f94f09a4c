"""Redshift's text of a statement: what is written otherwise where the same words mean something else there."""

from __future__ import annotations

import pytest

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.sql import Query, schema_of

TABLE = TableContract(
    "shop_warehouse",
    "sales",
    "A row a line.",
    [
        Column("n", "int"),
        Column("weight", "double"),
        Column("day", "date"),
        Column("at", "timestamp"),
        Column("note", "string"),
    ],
)


@pytest.mark.parametrize(
    ("athena", "redshift"),
    [
        ("avg(n)", 'AVG(CAST("sales"."n" AS DOUBLE PRECISION))'),
        ("avg(weight)", 'AVG("sales"."weight")'),
        ("CAST(day AS varchar)", 'CAST("sales"."day" AS VARCHAR(65535))'),
        ("CAST(note AS varchar(3))", 'CAST("sales"."note" AS VARCHAR(3))'),
        ("date_trunc('week', day)", 'CAST(DATE_TRUNC(\'WEEK\', "sales"."day") AS DATE)'),
        ("date_trunc('week', at)", 'DATE_TRUNC(\'WEEK\', "sales"."at")'),
        ("date_add('day', 1, day)", 'CAST(DATEADD(DAY, 1, "sales"."day") AS DATE)'),
        (
            "greatest(n, 1)",
            'CASE WHEN "sales"."n" IS NULL OR 1 IS NULL THEN NULL ELSE GREATEST("sales"."n", 1) END',
        ),
        ("n / 2", '"sales"."n" / 2'),
        ("count_if(n > 1)", 'COUNT(CASE WHEN "sales"."n" > 1 THEN 1 END)'),
        ("note = 'it''s \\ odd'", '"sales"."note" = \'it\\\'s \\\\ odd\''),
        ("row_number() OVER (ORDER BY n DESC)", 'ROW_NUMBER() OVER (ORDER BY "sales"."n" DESC NULLS LAST)'),
    ],
)
def test_what_redshift_would_take_otherwise_is_written_so_that_it_does_not(athena: str, redshift: str) -> None:
    text = Query.parse("asked", f"SELECT {athena} AS x FROM shop_warehouse.sales").render(
        "redshift", schema_of([TABLE])
    )
    assert " ".join(text.split()) == f'SELECT {redshift} AS "x" FROM "shop_warehouse"."sales" AS "sales"'
