"""The fact is loaded by day, the rest rebuilt from it, and nothing goes on from a warehouse that differs from the lake."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline.resources.warehouse import Loaded
from instacart_pipeline.resources.warehouse.local import LocalWarehouse
from instacart_pipeline.retail import sandbox_tables as s
from instacart_pipeline.retail import warehouse_tables as w
from instacart_pipeline.retail.lines import Line, counted
from instacart_pipeline.retail.tables import TRANSACTIONS, UNKNOWN
from instacart_pipeline.retail.warehouse_assets import warehouse_sql
from instacart_pipeline_tests.retail.shop import Shop, line, require_to_the_rule
from instacart_pipeline_tests.tiers import costs

D1, D2, D3 = "2011-03-01", "2011-03-02", "2011-03-03"


@pytest.fixture
@costs("contract")
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "home")


def test_days_in_one_run_are_loaded_together_and_the_rest_is_rebuilt_once(shop: Shop) -> None:
    shop.sold([line("1", f"{D1} 10:00"), line("2", f"{D2} 10:00", 2), line("C3", f"{D3} 10:00", -2)])
    assert shop.run(D1, D3, analyses=[]).success
    assert shop.stored("SELECT dt, amount FROM retail_warehouse.sales_lines ORDER BY dt") == [
        {"dt": D1, "amount": Decimal("15.3000")},
        {"dt": D2, "amount": Decimal("5.1000")},
        {"dt": D3, "amount": Decimal("-5.1000")},
    ]
    for table in (w.PRODUCTS, w.CUSTOMERS, w.DATES, w.CANCELLATIONS):
        assert dict(shop.warehouse.days(table)).keys() == {D3}
    assert shop.recorded_days(w.SALES_LINES) == {D1, D2, D3}
    told = shop.metadata(w.SALES_LINES)
    assert (told["dagster/row_count"], told["total"]) == (3, 3)
    assert "retail_curated.transactions" in told["lineage"]


def test_a_day_loaded_again_takes_the_place_of_its_lines_alone(shop: Shop) -> None:
    shop.sold([line("1", f"{D1} 10:00"), line("2", f"{D2} 10:00")])
    shop.load(D1, D2, rebuilt=[])
    shop.sold([line("1", f"{D1} 10:00", 7)])
    again = shop.load(D1, rebuilt=[])
    assert (again.rows, again.total) == (1, 2)
    assert shop.stored("SELECT dt, quantity FROM retail_warehouse.sales_lines ORDER BY dt") == [
        {"dt": D1, "quantity": 7},
        {"dt": D2, "quantity": 6},
    ]


def test_without_a_day_loaded_there_is_nothing_to_rebuild_and_the_error_says_what_to_do(shop: Shop) -> None:
    shop.sold([line("1", f"{D3} 10:00")])
    run = shop.run(D2, warehouse=[w.SALES_LINES, w.PRODUCTS], analyses=[])
    assert not run.success
    assert "Load one with `instacart-pipeline run retail --dt" in run.errors["retail__warehouse__products"]


class Forgetful(LocalWarehouse):
    """Loses cancelled pieces on the way in."""

    def load(self, query: Query, target: TableContract, days: Sequence[str]) -> Loaded:
        return super().load(Query(query.name, query.expression.where("quantity > 0")), target, days)


def test_a_warehouse_that_differs_from_the_lake_stops_everything_after_it_and_says_where(shop: Shop) -> None:
    shop.sold([line("1", f"{D1} 10:00"), line("2", f"{D2} 10:00"), line("C3", f"{D2} 11:00", -2)])
    shop.warehouse = Forgetful(lake=shop.platform.lake)
    run = shop.run(D1, D2, warehouse=[w.SALES_LINES, w.PRODUCTS], analyses=[s.PRODUCTS_SOLD])
    assert run.failed_checks == {("sales_lines", "warehouse_equals_the_lake")}
    assert run.materialized == {"sales_lines"}
    (check,) = (each for each in shop.evaluations() if each.check_name == "warehouse_equals_the_lake")
    assert f"{D2}: 1 lines of 15.3000 in the warehouse, 2 of 10.2000 in the lake. 1 of 2 days differ." in str(
        check.description
    )


def test_a_warehouse_that_lacks_days_of_the_lake_stops_the_analyses_and_names_the_command_that_loads_them(
    shop: Shop,
) -> None:
    shop.sold([line("1", f"{D1} 10:00"), line("2", f"{D2} 10:00"), line("3", f"{D3} 10:00")])
    assert shop.run(D1, D3, analyses=[s.MONTHLY_REVENUE]).success
    before = shop.published(D3, [s.MONTHLY_REVENUE])
    (shop.platform.home / "warehouse.duckdb").unlink()
    run = shop.run(D3, analyses=[s.MONTHLY_REVENUE])
    assert run.failed_checks == {("sales_lines", "every_day_loaded")}
    (check,) = [check for check in shop.evaluations() if not check.passed]
    assert check.description == (
        f"The warehouse lacks 2 days that the lake has ({D1} to {D2}). "
        f"Bring them back with `instacart-pipeline run retail --from {D1} --to {D2}`."
    )
    assert shop.published(D3, [s.MONTHLY_REVENUE]) == before
    shop.load(D1, D2, rebuilt=[])
    assert shop.run(D3, analyses=[s.MONTHLY_REVENUE]).success
    assert shop.published(D3, [s.MONTHLY_REVENUE]) == before


def test_a_catalog_that_lacks_days_of_the_lake_stops_the_analyses_too(shop: Shop) -> None:
    shop.sold([line("1", f"{D1} 10:00"), line("3", f"{D3} 10:00")])
    assert shop.run(D1, D3, analyses=[]).success
    for lost in shop.platform.home.glob("catalog.sqlite*"):
        lost.unlink()
    shop.sold([line("3", f"{D3} 10:00", 7)])
    assert shop.platform.catalog.lost_days(TRANSACTIONS) == [D1]
    run = shop.run(D3, analyses=[])
    assert run.failed_checks == {("sales_lines", "every_day_loaded")}
    (check,) = [check for check in shop.evaluations() if not check.passed]
    assert check.description
    assert check.description.startswith(f"The catalog lacks 1 days whose lines lie in the lake ({D1}): it was lost")


def test_a_line_that_is_loaded_for_another_day_already_is_refused_and_what_was_there_stays(shop: Shop) -> None:
    shop.sold([line("1", f"{D1} 10:00")])
    shop.load(D1)
    shop.put(D2, [line("1", f"{D1} 10:00")])
    with pytest.raises(VersionRefused) as refused:
        shop.load(D2)
    assert [outcome.rule for outcome in refused.value.outcomes if not outcome.passed] == ["unique_line_id"]
    assert shop.stored("SELECT dt FROM retail_warehouse.sales_lines") == [{"dt": D1}]


def test_a_product_is_called_what_it_is_called_most_often_and_capitals_make_no_other_product(shop: Shop) -> None:
    def named(number: int, code: str, name: str | None) -> Line:
        return line(str(number), f"{D1} 10:00", stock_code=code, description=name)

    lines = [
        *(named(number, "85123A", "HEART") for number in range(2)),
        *(named(number, "85123a", "HEARTS") for number in range(2, 5)),
        *(named(number, "22423", name) for number, name in enumerate(["CAKESTAND", "BAKESTAND"])),
        *(named(number, "84966A", None) for number in range(2)),
        named(9, "POST", "POSTAGE"),
    ]
    shop.sold(lines)
    shop.load(D1, rebuilt=[w.PRODUCTS])
    products = shop.stored("SELECT product_code, description, is_product FROM retail_warehouse.products ORDER BY 1")
    assert [tuple(row.values()) for row in products] == [
        ("22423", "BAKESTAND", True),
        ("84966A", None, True),
        ("85123A", "HEARTS", True),
        ("POST", "POSTAGE", False),
    ]
    assert shop.as_of(D1, [s.PRODUCTS_SOLD])["products_sold"] == [
        {"product_code": row["product_code"], "description": row["description"]}
        for row in products
        if row["is_product"]
    ]


def test_a_customer_lives_where_the_latest_line_says(shop: Shop) -> None:
    lines = [
        line("1", f"{D1} 10:00", country="Spain"),
        line("2", f"{D2} 10:00", country="France"),
        line("C3", f"{D2} 10:00", -1, country="Belgium"),
        line("4", f"{D2} 10:00", customer_id=UNKNOWN, country="EIRE"),
    ]
    shop.sold(lines)
    shop.load(D1, D2, rebuilt=[w.CUSTOMERS])
    assert shop.stored(
        "SELECT customer_id, country, first_invoice, last_invoice, invoices FROM retail_warehouse.customers"
    ) == [
        {
            "customer_id": "17850",
            "country": "Belgium",
            "first_invoice": date(2011, 3, 1),
            "last_invoice": date(2011, 3, 2),
            "invoices": 2,
        }
    ]


def test_every_day_of_two_years_belongs_to_the_month_quarter_week_and_season_of_the_calendar(shop: Shop) -> None:
    days = [date(2010, 12, 1) + timedelta(days=number) for number in range(760)]
    seasons = ["winter", "winter", *["spring"] * 3, *["summer"] * 3, *["autumn"] * 3, "winter"]
    # In one partition: the dimension goes by the day of sale, and 760 partitions would take a minute to write.
    shop.put(D1, [line("1", f"{day} 10:00") for day in days])
    shop.warehouse.load(warehouse_sql(w.SALES_LINES), w.SALES_LINES, [D1])
    shop.warehouse.rebuild(warehouse_sql(w.DATES), w.DATES, D1)
    found = shop.stored("SELECT sale_date, month, quarter, week_start, season FROM retail_warehouse.dates ORDER BY 1")
    assert [tuple(row.values()) for row in found] == [
        (
            day,
            f"{day:%Y-%m}",
            f"{day.year}Q{(day.month + 2) // 3}",
            day - timedelta(days=day.weekday()),
            seasons[day.month - 1],
        )
        for day in days
    ]


def test_a_cancellation_takes_back_the_sale_that_the_rule_of_one_line_names(shop: Shop) -> None:
    """Few customers, products, prices and times, so that every tie occurs; the lines come in a fixed shuffle."""
    chance = random.Random(7)  # noqa: S311  # no secret
    times = [f"{dt} {hour}:00" for dt in (D1, D2, D3) for hour in (10, 11)]

    def any_line(number: int, cancelled: bool) -> Line:
        return line(
            f"{'C' if cancelled else ''}{number % 97}",
            chance.choice(times),
            chance.choice([-3, -2, -1] if cancelled else [1, 2, 3, -1, 0]),
            chance.choice(["1.0000", "2.0000"]),
            customer_id=chance.choice(["1", "2", UNKNOWN]),
            stock_code=chance.choice(["85123A", "85123a", "22423", "M"]),
        )

    lines = list(counted(any_line(number, number % 3 == 0) for number in range(600)))
    shop.sold(lines)
    shop.load(D1, D2, D3, rebuilt=[w.CANCELLATIONS])
    assert require_to_the_rule(shop, lines) > 100


def test_one_sale_may_be_taken_back_in_parts(shop: Shop) -> None:
    lines = [line("1", f"{D1} 10:00", 6), line("C2", f"{D2} 10:00", -4), line("C3", f"{D3} 10:00", -5)]
    shop.sold(lines)
    shop.load(D1, D2, D3, rebuilt=[w.CANCELLATIONS])
    assert shop.stored(
        "SELECT invoice_no, cancels_invoice_no FROM retail_warehouse.cancellations ORDER BY invoice_no"
    ) == [{"invoice_no": "C2", "cancels_invoice_no": "1"}, {"invoice_no": "C3", "cancels_invoice_no": "1"}]
