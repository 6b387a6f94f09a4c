"""Without a filter the API says what the published analyses say: the statements of the analyses, the warehouse, the files, the sums."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.retail import sandbox_tables as t
from instacart_pipeline.retail.analysis_assets import analysis_sql
from instacart_pipeline.retail.tables import TRANSACTIONS
from instacart_pipeline.retail.warehouse_assets import warehouse_sql
from instacart_pipeline.retail.warehouse_tables import DATES, SALES_LINES
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.serving.retail import books
from instacart_pipeline_tests.serving.retail.books import DT
from instacart_pipeline_tests.tiers import skip_without


def analysed(platform: Platform, transactions: Sequence[Row]) -> None:
    """Publish the analyses as of DT, and what the dashboard reads, by their own statements."""
    platform.put_rows(TRANSACTIONS, transactions, dt=DT)
    warehouse = platform.resources.warehouse
    warehouse.load(warehouse_sql(SALES_LINES), SALES_LINES, [DT])
    warehouse.rebuild(warehouse_sql(DATES), DATES, DT)
    for table in t.SANDBOX_TABLES:
        warehouse.publish(analysis_sql(table), table, DT)


def published(platform: Platform) -> dict[str, list[Row]]:
    """The rows of the analyses by the names of the API; of a season the best product alone, as the table has it."""

    def rows(table: TableContract, by: str) -> list[Row]:
        found = sorted(platform.rows(table, DT), key=lambda row: row[by])
        return [{name: row[name] for name in table.column_names} for row in found]

    order = ("winter", "spring", "summer", "autumn")
    best = sorted(rows(t.BEST_PRODUCT_BY_SEASON, "season"), key=lambda row: order.index(row["season"]))
    return {
        "months": rows(t.MONTHLY_REVENUE, "month"),
        "quarters": rows(t.QUARTERLY_REVENUE, "quarter"),
        "weeks": [{**row, "week_start": str(row["week_start"])} for row in rows(t.WEEKLY_SALES, "week_start")],
        "seasons": [{"season": row.pop("season"), "products": [row]} for row in best],
        "customers": rows(t.TOP_CUSTOMERS, "rank"),
        "countries": rows(t.REVENUE_BY_COUNTRY, "rank"),
    }


def told(platform: Platform) -> dict[str, list[Row]]:
    with books.api(books.days_of(platform)) as client:
        answer: Any = client.get("/v1/sales", params={"top": 100}).json()
    for season in answer["seasons"]:
        del season["products"][1:]
    return books.told(answer)


def test_made_up_books_are_told_as_the_analyses_tell_them(platform: Platform) -> None:
    rows = [_transaction(number, line.day.isoformat(), line) for number, line in enumerate(books.some_lines(seed=11))]
    analysed(platform, rows)
    assert told(platform) == published(platform)


def test_the_real_year_is_told_as_the_analyses_tell_it(platform: Platform, real_data: Path) -> None:
    files = sorted((real_data / "online_retail" / "by-day").glob("*.csv"))
    if not files:
        skip_without("real data")
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.string()), include_columns=_COLUMNS)
    year = pa.concat_tables(csv.read_csv(file, convert_options=as_text) for file in files).to_pylist()
    analysed(platform, [_cleaned(number, row) for number, row in enumerate(year)])
    found = told(platform)
    assert found == published(platform)
    assert found["months"][0] == {"month": "2010-12", "revenue": Decimal("748957.02")}
    assert sum(row["revenue"] for row in found["quarters"]) == Decimal("9747747.934")


_COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]


def _cleaned(number: int, row: dict[str, str]) -> Row:
    line = books.Line(
        datetime.fromisoformat(row["InvoiceDate"]).date(),
        row["Country"].strip(),
        row["InvoiceNo"].strip(),
        row["CustomerID"].removesuffix(".0") or books.UNKNOWN,
        row["StockCode"].strip(),
        int(row["Quantity"]),
        Decimal(row["UnitPrice"]),
    )
    return _transaction(number, row["InvoiceDate"], line, row["Description"].strip(" ") or None)


def _transaction(number: int, time: str, line: books.Line, description: str | None = None) -> Row:
    return {
        "line_id": str(number),
        "invoice_no": line.invoice,
        "stock_code": line.product,
        "description": description or books.NAMES.get(line.product),
        "quantity": line.quantity,
        "invoice_time": datetime.fromisoformat(time),
        "unit_price": line.price,
        "amount": line.amount,
        "customer_id": line.customer,
        "country": line.country,
        "is_product": line.product[:5].isdigit(),
        "is_cancellation": line.invoice[0] == "C",
        "repeat": 1,
        "came_by": "upload",
    }
