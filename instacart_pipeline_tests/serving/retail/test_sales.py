"""The sales over HTTP: the same numbers as the analyses, of any country and days; and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.retail import sandbox_tables as t
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.retail import books
from instacart_pipeline_tests.serving.retail.books import DT, Line
from instacart_pipeline_tests.tiers import costs

LINES = books.some_lines()
KEY = "a-key-of-sixteen"


@pytest.fixture(scope="module")
@costs("contract")
def year(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    platform = Platform(tmp_path_factory.mktemp("sales"))
    books.put(platform, LINES)
    return platform


@pytest.fixture(scope="module")
def client(year: Platform) -> Iterator[httpx.Client]:
    with books.api(books.days_of(year)) as client:
        yield client


def ask(client: httpx.Client, **choice: str | int) -> Any:
    answer = client.get("/v1/sales", params={"top": 100, **choice})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_without_a_filter_every_number_is_the_analyses(client: httpx.Client) -> None:
    told = ask(client)
    assert books.told(told) == books.expected(LINES)
    assert told["as_of"] == DT
    assert told["covered"] == {"first": str(min(line.day for line in LINES)), "last": DT}
    assert told["choices"]["countries"] == ["EIRE", "France", "Germany", "Iceland", "United Kingdom"]


@pytest.mark.parametrize(
    ("country", "first", "last"),
    [
        ("Germany", None, None),
        (None, "2011-03-15", "2011-08-02"),
        ("France", "2011-01-04", None),
        ("United Kingdom", None, "2010-12-31"),
        ("EIRE", "2011-06-06", "2011-06-12"),
        ("EIRE", "2011-06-06", "2011-07-31"),
    ],
)
def test_a_country_and_days_are_added_up_alone(
    client: httpx.Client, country: str | None, first: str | None, last: str | None
) -> None:
    choice = {name: value for name, value in (("country", country), ("from", first), ("to", last)) if value}
    at_days = [line for line in LINES if (first or "") <= str(line.day) <= (last or "9999")]
    chosen = [line for line in at_days if country in (None, line.country)]
    told = ask(client, **choice)
    expected = books.expected(chosen)
    expected["countries"] = books.expected(at_days)["countries"]  # the others stay, to be compared with
    assert books.told(told) == expected
    assert told["choice"] == {"country": country, "first": first, "last": last}
    invoices = {line.invoice for line in chosen if line.invoice[0] != "C"}
    revenue = sum((line.amount for line in chosen), Decimal(0))
    assert told["totals"] == {
        "revenue": f"{revenue:.4f}",
        "quantity": sum(line.quantity for line in chosen),
        "lines": len(chosen),
        "invoices": len(invoices),
        "revenue_per_invoice": f"{revenue / len(invoices):.4f}" if invoices else None,
        "customers": len({line.customer for line in chosen} - {books.UNKNOWN}),
    }


def test_as_many_are_listed_as_asked_for(client: httpx.Client) -> None:
    told = ask(client, top=3)
    expected = books.expected(LINES, top=3)
    assert told["customers"] == ask(client)["customers"][:3]
    assert books.told(told) == expected
    assert len(client.get("/v1/sales").json()["customers"]) == 10


def test_periods_that_are_not_whole_say_so(client: httpx.Client) -> None:
    told = ask(client, **{"from": "2011-02-01", "to": "2011-06-15"})
    assert [one["month"] for one in told["months"] if one["partial"]] == ["2011-06"]
    assert [one["quarter"] for one in told["quarters"] if one["partial"]] == ["2011Q1", "2011Q2"]
    assert [one["week_start"] for one in told["weeks"] if one["partial"]] == ["2011-01-31", "2011-06-13"]


def test_days_without_data_are_an_empty_answer(client: httpx.Client) -> None:
    for choice in ({"from": "2012-01-01"}, {"to": "2009-12-31"}, {"from": "2010-12-25", "to": "2010-12-26"}):
        told = ask(client, **choice)
        assert set(map(len, books.told(told).values())) == {0}
        assert told["totals"]["revenue"] == "0.0000"
        assert told["totals"]["revenue_per_invoice"] is None


@pytest.mark.parametrize(
    ("choice", "status", "words"),
    [
        (
            {"country": "Atlantis"},
            404,
            "Nothing was sold to 'Atlantis' up to 2011-12-09. There are sales to EIRE, France",
        ),
        ({"country": "germany"}, 404, "Nothing was sold to 'germany'"),
        ({"from": "2011-05-02", "to": "2011-05-01"}, 422, "from: 2011-05-02 is after to: 2011-05-01. Turn them round."),
        ({"from": "yesterday"}, 422, "from: Value error, write a day as 2011-01-31"),
        ({"to": "2011-02-30"}, 422, "to: "),
        ({"from": "1300000000"}, 422, "from: "),
        ({"country": ""}, 422, "country: "),
        ({"top": 101}, 422, "top: "),
    ],
)
def test_what_can_not_be_meant_is_refused_in_words(
    client: httpx.Client, choice: dict[str, str], status: int, words: str
) -> None:
    answer = client.get("/v1/sales", params=choice)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_before_the_first_day_the_commands_that_make_one_are_named(platform: Platform) -> None:
    days = books.days_of(platform)
    with books.api(days) as client:
        answer = client.get("/v1/sales")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "`instacart-pipeline upload retail DIR`" in answer.json()["error"]["message"]
        assert "`instacart-pipeline run retail --dt DAY`" in answer.json()["error"]["message"]
        assert client.get("/health").json()["sales"]["status"] == "unused"
        books.put(platform, LINES)
        days.try_to_look()
        assert client.get("/v1/sales").status_code == 200
        assert client.get("/health").json()["sales"] == {"status": "ok", "trouble": [], "day": DT}


def test_a_day_without_a_single_sale_is_served(platform: Platform) -> None:
    books.put(platform, [])
    with books.api(books.days_of(platform)) as client:
        told = ask(client)
        assert set(map(len, books.told(told).values())) == {0}
        assert told["choices"] == {"countries": [], "first_day": None, "last_day": DT}
        assert told["covered"] is None


def test_amounts_stay_exact_where_floats_would_not(platform: Platform) -> None:
    large, small = Decimal("61234567890123.4567"), Decimal("0.0001")
    lines = [
        Line(date(2011, 1, 3), "Germany", "1", "1", "10002", 1, large),
        Line(date(2011, 1, 4), "Germany", "2", "1", "10002", 1, small),
        Line(date(2011, 1, 4), "Germany", "C3", "2", "22423", -1, large + small),
    ]
    books.put(platform, lines)
    with books.api(books.days_of(platform)) as client:
        told = ask(client)
        assert books.told(told) == books.expected(lines)
        assert told["totals"]["revenue"] == "0.0000"
        assert [one["revenue"] for one in told["customers"]] == ["61234567890123.4568", "-61234567890123.4568"]


@pytest.fixture
@costs("deep")
def under_load(platform: Platform) -> Platform:
    return platform


def test_a_new_day_and_a_new_version_take_over_without_an_answer_lost(under_load: Platform) -> None:
    """Each answer is of one state of the tables, whole: its months add up to its total, and so do its countries."""
    books.put(under_load, LINES)
    states = {2: LINES[:700], 3: LINES[:1100], 4: LINES}
    stop, failures, seen = threading.Event(), list[str](), set[tuple[str, str]]()

    def hammer(url: str) -> None:
        with web.client_of(url) as asking:
            while not stop.is_set():
                told = ask(asking)
                total = Decimal(told["totals"]["revenue"])
                by_month = sum(Decimal(one["revenue"]) for one in told["months"])
                by_country = sum(Decimal(one["revenue"]) for one in told["countries"])
                if not total == by_month == by_country:
                    failures.append(f"{total} {by_month} {by_country}")
                seen.add((told["as_of"], told["totals"]["revenue"]))

    def state(dt: str, lines: list[Line]) -> tuple[str, str]:
        return dt, f"{sum((line.amount for line in lines), Decimal(0)):.4f}"

    with books.listening(under_load, look_every=0.05) as url, ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(hammer, url) for _ in range(2)]
        try:
            web.until(lambda: state(DT, LINES) in seen)
            for number, lines in states.items():
                books.put(under_load, lines, dt="2011-12-10", version=f"2026010{number}T000000000000-000000")
                web.until(lambda lines=lines: state("2011-12-10", lines) in seen)
        finally:
            stop.set()
    for each in asking:
        each.result()  # raises what was no answer
    assert failures == []
    assert seen == {state(DT, LINES), *(state("2011-12-10", lines) for lines in states.values())}


def test_tables_of_two_loads_wait_for_each_other(platform: Platform) -> None:
    books.put(platform, LINES)
    days = books.days_of(platform)
    with books.api(days) as client:
        for table in (t.DAILY_PRODUCT_SALES, t.DAILY_SALES, t.PRODUCTS_SOLD, t.DAILY_CUSTOMER_SALES):
            before = platform.catalog.current(table, DT)
            load = "1" if table == t.DAILY_SALES else "2"
            newer = Version("20260301T0", before.location, 1, 1, {"retail_warehouse.sales_lines": load})
            platform.catalog.publish(table.database, table.name, DT, replace(newer, facts={"load": load}))
        days.try_to_look()
        (trouble,) = client.get("/health").json()["sales"]["trouble"]
        assert "computed from different loads of retail_warehouse.sales_lines" in trouble
        assert books.told(ask(client)) == books.expected(LINES)


def test_files_that_can_not_be_read_leave_the_day_before_in_place(platform: Platform) -> None:
    books.put(platform, LINES)
    rest = books.tables_of(LINES[:10])
    sales = rest.pop(t.DAILY_SALES)
    days = books.days_of(platform)
    with books.api(days) as client:
        for table, rows in rest.items():
            put = platform.put_rows(table, rows, dt="2011-12-10")
            (Path(put.location) / "part-00000.parquet").write_bytes(b"no Parquet")
        platform.put_rows(t.DAILY_SALES, sales, dt="2011-12-10")  # now the day is whole
        days.try_to_look()
        health = client.get("/health").json()["sales"]
        assert (health["status"], health["day"]) == ("ok", DT)
        assert "A newer day can't be served" in health["trouble"][0]
        assert books.told(ask(client)) == books.expected(LINES)


def test_sales_are_behind_the_key_and_the_page_is_not(platform: Platform) -> None:
    books.put(platform, LINES)
    with books.api(books.days_of(platform), [KEY]) as client:
        assert client.get("/v1/sales").status_code == 401
        assert client.get("/v1/sales", headers={"X-API-Key": KEY}).status_code == 200
        page = client.get("/sales")
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-cache"
        assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.fixture(scope="module")
@costs("contract")
def url(year: Platform) -> Iterator[str]:
    with books.listening(year) as url:
        yield url


def test_every_answer_is_as_described(client: httpx.Client, url: str, examples: int) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    bounded = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    statuses = set()

    def hold(case: Any) -> None:
        answer = case.call(base_url=url)
        statuses.add(answer.status_code)
        if b"Turn them round" not in answer.content:  # no schema can say that one parameter lies before another
            case.validate_response(answer)

    modes: Any = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    for mode in modes:
        bounded(given(case=schema["/v1/sales"]["GET"].as_strategy(generation_mode=mode))(hold))()
    assert {200, 404, 422} <= statuses
