"""The analyses say of a day what was known on it, exactly, and show it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import schema_of
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline.retail import charts
from instacart_pipeline.retail import sandbox_tables as s
from instacart_pipeline.retail import warehouse_tables as w
from instacart_pipeline.retail.analysis_assets import BY_PERIOD, analysis_sql
from instacart_pipeline.retail.lines import Line
from instacart_pipeline.retail.tables import TRANSACTIONS, UNKNOWN
from instacart_pipeline.retail.warehouse_assets import warehouse_sql
from instacart_pipeline_tests.retail.shop import Shop, line
from instacart_pipeline_tests.tiers import costs

D1, D2, D3, D4 = "2011-02-28", "2011-03-01", "2011-03-02", "2011-03-03"
SCHEMA = schema_of([TRANSACTIONS, *w.WAREHOUSE_TABLES])
LINES = [
    line("1", f"{D1} 10:00", 10, "3.0000"),
    line("1", f"{D1} 10:00", 10, "3.0000"),
    line("2", f"{D1} 11:00", 1, "1.2345", stock_code="22423", description="CAKESTAND", country="France"),
    line("C3", f"{D2} 10:00", -4, "3.0000"),
    line("4", f"{D2} 11:00", 5, "2.0000", customer_id="7", stock_code="22423", description="CAKE STAND"),
    line("4", f"{D2} 11:00", 1, "18.0000", customer_id="7", stock_code="POST", description="POSTAGE"),
    line("5", f"{D4} 09:00", 100, "1.0000", customer_id=UNKNOWN, stock_code="22423", description="CAKE STAND"),
    line("6", f"{D4} 10:00", 1, "0.5000", country="Belgium"),
]
LATE = line("9", f"{D2} 16:00", 1000, "9.0000", customer_id="8", country="Japan", stock_code="20000")


@pytest.fixture
@costs("contract")
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path / "home")
    made.sold(LINES)
    return made


@pytest.mark.parametrize("table", s.SANDBOX_TABLES, ids=lambda table: table.name)
def test_a_statement_makes_its_contracts_columns_of_the_tables_that_the_asset_says(table: TableContract) -> None:
    query = analysis_sql(table)
    read = [w.DATES, w.SALES_LINES] if table in BY_PERIOD else [w.SALES_LINES]
    assert query.tables() == [(each.database, each.name) for each in read]
    assert tuple(query.bind(dt=D1).qualified(SCHEMA).named_selects) == table.column_names


@pytest.mark.parametrize("table", w.WAREHOUSE_TABLES, ids=lambda table: table.name)
def test_a_statement_of_the_warehouse_makes_its_contracts_columns(table: TableContract) -> None:
    query = warehouse_sql(table)
    read = TRANSACTIONS if table is w.SALES_LINES else w.SALES_LINES
    assert query.tables() == [(read.database, read.name)]
    assert tuple(query.given(dt=D1).bind().qualified(SCHEMA).named_selects) == table.column_names


@pytest.mark.parametrize(
    "query",
    [*map(warehouse_sql, w.WAREHOUSE_TABLES), *map(analysis_sql, s.SANDBOX_TABLES)],
    ids=lambda query: query.name,
)
def test_a_statement_is_written_for_redshift_without_what_it_lacks(query: Any) -> None:
    text = query.given(dt=D1).bind().qualified(SCHEMA).sql("redshift")
    assert not any(lacking in text for lacking in ("MONTH(", "YEAR(", "IF(", "COUNT_IF", " STRING", "DOUBLE)"))


def test_the_analyses_are_exact(shop: Shop) -> None:
    shop.load(D1, D2, D4)
    found = shop.as_of(D4)
    assert _amounts(found["monthly_revenue"], "month") == {"2011-02": "61.2345", "2011-03": "116.5000"}
    assert _amounts(found["quarterly_revenue"], "quarter") == {"2011Q1": "177.7345"}
    assert found["weekly_sales"] == [
        {"week_start": date(2011, 2, 28), "revenue": Decimal("177.7345"), "quantity": 124, "invoices": 5}
    ]
    assert found["best_product_by_season"] == [
        _best("spring", "22423", "CAKE STAND", "110.0000", 105),
        _best("winter", "85123A", "WHITE HANGING HEART", "60.0000", 20),
    ]
    customers = sorted(found["top_customers"], key=lambda row: row["rank"])
    assert [(row["rank"], row["customer_id"], row["country"], row["invoices"]) for row in customers] == [
        (1, "17850", "Belgium", 3),
        (2, "7", "United Kingdom", 1),
    ]
    assert [tuple(row.values()) for row in found["revenue_by_country"]] == [
        (1, "United Kingdom", Decimal("176.0000"), 6, 3, 2),
        (2, "France", Decimal("1.2345"), 1, 1, 1),
        (3, "Belgium", Decimal("0.5000"), 1, 1, 1),
    ]
    for table in (s.DAILY_SALES, s.REVENUE_BY_COUNTRY, s.WEEKLY_SALES):
        assert sum(row["revenue"] for row in found[table.name]) == Decimal("177.7345")
    assert sum(row["revenue"] for row in found["daily_product_sales"]) == Decimal("159.7345")
    assert sum(row["revenue"] for row in found["daily_customer_sales"]) == Decimal("77.7345")


def test_an_analysis_as_of_a_day_knows_the_lines_up_to_it_those_that_came_late_too_and_no_later_ones(
    shop: Shop,
) -> None:
    shop.load(D1, D2)
    first, second = shop.as_of(D1), shop.as_of(D2)
    assert first["products_sold"] != second["products_sold"]
    shop.load(D3, D4)
    assert (shop.as_of(D1), shop.as_of(D2)) == (first, second)
    assert shop.as_of(D3) == second  # nothing was sold on it
    shop.sold([*(each for each in LINES if each.day == D2), LATE])
    fourth = shop.as_of(D4)
    shop.load(D2)
    assert shop.as_of(D1) == first
    for dt, before in ((D2, second), (D4, fourth)):
        assert {name for name, rows in shop.as_of(dt).items() if rows != before[name]} == set(before)


def test_what_is_published_changes_only_for_the_days_that_are_run_again(shop: Shop) -> None:
    some = [s.PRODUCTS_SOLD]
    shop.load(D1, D2, D3)
    assert shop.run(D1, D3, warehouse=[], analyses=some).success
    before = {dt: shop.published(dt, some) for dt in (D1, D2, D3)}
    shop.sold([*(each for each in LINES if each.day == D2), LATE])
    shop.load(D2)
    shop.warehouse.publish(analysis_sql(s.PRODUCTS_SOLD), s.PRODUCTS_SOLD, D2)
    after = {dt: shop.published(dt, some) for dt in (D1, D2, D3)}
    assert {dt: after[dt] for dt in (D1, D3)} == {dt: before[dt] for dt in (D1, D3)}
    assert after[D2] == shop.as_of(D2, some) != before[D2]


def test_a_day_that_the_dimension_lacks_is_refused_rather_than_left_out(shop: Shop) -> None:
    shop.load(D1, D2)
    shop.load(D4, rebuilt=[])
    for table in (s.MONTHLY_REVENUE, s.WEEKLY_SALES):
        with pytest.raises(VersionRefused, match="no_nulls"):
            shop.warehouse.publish(analysis_sql(table), table, D4)


def test_of_equals_the_first_code_customer_and_country_go_before(shop: Shop) -> None:
    def alike(number: int, **changes: Any) -> Line:
        return line(str(number), f"{D1} 10:00", 1, "5.0000", **changes)

    countries = ["Spain", "France", "EIRE"]
    shop.sold(
        alike(number, customer_id=str(900 - number), country=country, stock_code=f"2000{9 - number}")
        for number, country in enumerate(countries)
    )
    shop.load(D1)
    found = shop.as_of(D1, [s.BEST_PRODUCT_BY_SEASON, s.TOP_CUSTOMERS, s.REVENUE_BY_COUNTRY])
    assert [row["product_code"] for row in found["best_product_by_season"]] == ["20007"]
    assert [row["customer_id"] for row in found["top_customers"]] == ["898", "899", "900"]
    assert [row["country"] for row in found["revenue_by_country"]] == sorted(countries)


def test_a_hundred_customers_are_the_top(shop: Shop) -> None:
    shop.sold(line(str(number), f"{D1} 10:00", number, customer_id=str(number)) for number in range(1, 103))
    shop.load(D1)
    found = sorted(shop.as_of(D1, [s.TOP_CUSTOMERS])["top_customers"], key=lambda row: row["rank"])
    assert [row["customer_id"] for row in found] == [str(number) for number in range(102, 2, -1)]


@pytest.mark.parametrize("table", charts.OF, ids=lambda table: table.name)
def test_a_chart_is_drawn_of_nothing_and_of_amounts_below_zero(table: TableContract) -> None:
    row = {
        "month": "2011-03",
        "quarter": "2011Q1",
        "week_start": date(2011, 2, 28),
        "season": "spring",
        "product_code": "22423",
        "description": None,
        "rank": 1,
        "customer_id": "7",
        "country": "France",
        "quantity": -3,
        "invoices": 1,
    }
    for rows in ([], [{**row, "revenue": Decimal("-12.5000")}]):
        assert _width(charts.OF[table](rows, D4)) == 800


@pytest.mark.filterwarnings("ignore:Glyph")  # the font has no sign for it, and draws a box
def test_a_chart_shows_whatever_names_clients_chose() -> None:
    rows = [
        {
            **dict.fromkeys(("country", "customer_id", "product_code", "description"), name),
            **{"rank": rank, "season": season, "quantity": 1, "invoices": 1, "revenue": Decimal(10 - rank)},
        }
        for rank, (season, name) in enumerate(
            zip(
                ("winter", "spring", "summer", "autumn"),
                (r"$\foo$", "$", "a\nb\tc\0\u65e5\u672c", "x" * 10_000),
                strict=True,
            ),
            1,
        )
    ]
    for draw in (charts.revenue_by_country, charts.top_customers, charts.best_product_by_season):
        assert _width(draw(rows, D4)) == 800


def _amounts(rows: list[dict[str, Any]], by: str) -> Mapping[str, str]:
    return {row[by]: str(row["revenue"]) for row in rows}


def _best(season: str, code: str, description: str, revenue: str, quantity: int) -> dict[str, Any]:
    told = {"season": season, "product_code": code, "description": description}
    return {**told, "revenue": Decimal(revenue), "quantity": quantity}


def _width(png: bytes) -> int:
    assert png.startswith(b"\x89PNG")
    return int(struct.unpack(">I", png[16:20])[0])
