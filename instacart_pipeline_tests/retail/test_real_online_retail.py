"""The real lines of UCI Online Retail, the whole year: loaded, rebuilt and analysed exactly."""

from __future__ import annotations

import csv
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.published import Published
from instacart_pipeline.retail import sandbox_tables as s
from instacart_pipeline.retail import warehouse_tables as w
from instacart_pipeline.retail.analysis_assets import analysis_sql
from instacart_pipeline.retail.lines import Line, counted, folded, read_line
from instacart_pipeline.retail.warehouse_assets import REBUILT, warehouse_sql
from instacart_pipeline_tests.retail.shop import Shop, require_to_the_rule

pytestmark = pytest.mark.timeout(600)

LAST_DAY = "2011-12-09"
BY_MONTH = {
    "2010-12": "748957.02",
    "2011-01": "560000.26",
    "2011-02": "498062.65",
    "2011-03": "683267.08",
    "2011-04": "493207.121",
    "2011-05": "723333.51",
    "2011-06": "691123.12",
    "2011-07": "681300.111",
    "2011-08": "682680.51",
    "2011-09": "1019687.622",
    "2011-10": "1070704.67",
    "2011-11": "1461756.25",
    "2011-12": "433668.01",
}
BY_QUARTER = {
    "2010Q4": "748957.02",
    "2011Q1": "1741329.99",
    "2011Q2": "1907663.751",
    "2011Q3": "2383668.243",
    "2011Q4": "2966128.93",
}


class Year:
    """The year in the warehouse; `lines` is every line as `read_line` leaves it."""

    def __init__(self, home: Path, files: list[Path]) -> None:
        self.shop = Shop(home)
        self.lines: list[Line] = []
        for file in files:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                reader = csv.reader(opened)
                names = [folded(name) for name in next(reader)]
                of_the_day = list(counted(read_line(dict(zip(names, row, strict=True))) for row in reader))
            assert {line.day for line in of_the_day} == {file.stem}
            self.shop.put(file.stem, of_the_day)
            self.lines += of_the_day
        warehouse = self.shop.warehouse
        self.loaded = warehouse.load(warehouse_sql(w.SALES_LINES), w.SALES_LINES, [file.stem for file in files])
        for table in REBUILT:
            warehouse.rebuild(warehouse_sql(table), table, LAST_DAY)
        self.published: dict[str, Published] = {
            table.name: warehouse.publish(analysis_sql(table), table, LAST_DAY) for table in s.SANDBOX_TABLES
        }

    def told(self, select: str) -> list[tuple[Any, ...]]:
        """The rows of a query over the lake."""
        return [tuple(row.values()) for row in self.shop.platform.sql(select)]

    def stored(self, select: str) -> list[tuple[Any, ...]]:
        """The rows of a query over the warehouse."""
        return [tuple(row.values()) for row in self.shop.stored(select)]


@pytest.fixture(scope="module")
def year(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Year:
    return Year(tmp_path_factory.mktemp("year"), sorted((real_data / "online_retail" / "by-day").glob("*.csv")))


def test_the_lines_are_all_read_and_all_told_apart(year: Year) -> None:
    assert len({line.line_id for line in year.lines}) == 541_909
    assert Counter(line.repeat > 1 for line in year.lines) == {False: 536_641, True: 5_268}


def test_every_line_is_there_once_and_the_amounts_are_exact(year: Year) -> None:
    assert (year.loaded.rows, year.loaded.total) == (541_909, 541_909)
    assert len(year.shop.warehouse.days(w.SALES_LINES)) == 305
    cancelled = "sum(CASE WHEN is_cancellation THEN amount END), count_if(is_cancellation)"
    assert year.stored(
        f"SELECT sum(amount), {cancelled}, count(DISTINCT line_id) FROM retail_warehouse.sales_lines"
    ) == [(Decimal("9747747.934"), Decimal("-896812.49"), 9_288, 541_909)]


@pytest.mark.parametrize(
    ("table", "rows"), [(w.PRODUCTS, 3_958), (w.CUSTOMERS, 4_372), (w.DATES, 305), (w.CANCELLATIONS, 9_288)]
)
def test_the_dimensions_have_a_row_for_each(year: Year, table: Any, rows: int) -> None:
    assert year.stored(f"SELECT count(*) FROM {table.qualified_name}") == [(rows,)]


def test_the_thirteen_months_and_five_quarters_are_exact(year: Year) -> None:
    months = year.told(
        f"SELECT month, revenue FROM retail_sandbox.monthly_revenue WHERE dt = '{LAST_DAY}' ORDER BY month"
    )
    assert months == [(month, Decimal(amount)) for month, amount in BY_MONTH.items()]
    quarters = year.told("SELECT quarter, revenue FROM retail_sandbox.quarterly_revenue ORDER BY quarter")
    assert quarters == [(quarter, Decimal(amount)) for quarter, amount in BY_QUARTER.items()]


def test_the_countries_are_exact(year: Year) -> None:
    found = year.told("SELECT country, lines, revenue FROM retail_sandbox.revenue_by_country ORDER BY rank")
    assert len(found) == 38
    assert found[0] == ("United Kingdom", 495_478, Decimal("8187806.364"))


@pytest.mark.parametrize("table", [s.WEEKLY_SALES, s.REVENUE_BY_COUNTRY, s.DAILY_SALES])
def test_whatever_it_is_parted_by_the_parts_make_the_whole(year: Year, table: Any) -> None:
    assert year.told(f"SELECT sum(revenue) FROM {table.qualified_name}") == [(Decimal("9747747.934"),)]


def test_the_best_products_are_neither_cancelled_on_the_same_day_nor_postage(year: Year) -> None:
    found = year.told("SELECT season, product_code, quantity, revenue FROM retail_sandbox.best_product_by_season")
    # The summer's is sold dearly: 60 baskets at 649.50 are taken back as M, manual, which names no product.
    assert sorted(found) == [
        ("autumn", "23084", 21_423, Decimal("47371.5800")),
        ("spring", "22423", 3_453, Decimal("43328.7700")),
        ("summer", "22502", 275, Decimal("40933.5100")),
        ("winter", "22423", 4_240, Decimal("55008.8200")),
    ]


def test_customers_are_those_who_are_known(year: Year) -> None:
    found = year.told("SELECT rank, customer_id, country, revenue FROM retail_sandbox.top_customers ORDER BY rank")
    assert len(found) == 100
    assert found[0] == (1, "14646", "Netherlands", Decimal("279489.0200"))


def test_each_cancellation_takes_back_what_the_rule_of_one_line_names(year: Year) -> None:
    assert require_to_the_rule(year.shop, year.lines) == 7_511


def test_months_as_of_an_earlier_day_are_the_same_but_for_the_one_that_lasted(year: Year) -> None:
    query: Query = analysis_sql(s.MONTHLY_REVENUE).bind(dt="2011-11-30")
    found = {row["month"]: row["revenue"] for row in year.shop.warehouse.query(query).table.to_pylist()}
    assert found == {month: Decimal(amount) for month, amount in BY_MONTH.items() if month < "2011-12"}
