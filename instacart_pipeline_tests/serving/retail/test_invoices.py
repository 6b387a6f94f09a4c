"""Invoices over HTTP: what was posted is found again once the consumer has read it, page by page, with what cancellations take back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from instacart_pipeline_tests.serving.retail.sales_client import SalesClient, a_line, message, sales_client
from instacart_pipeline_tests.tiers import costs

SOLD = {"InvoiceNo": "536365", "StockCode": "85123A", "CustomerID": "17850"}


@pytest.fixture(scope="module")
@costs("contract")
def books(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Invoices of two customers and of one unknown: sales, a cancellation of one of them, an invoice of 2,500 lines."""
    home: Path = tmp_path_factory.mktemp("books")
    with sales_client(home) as opened:
        opened.post(
            [
                a_line(**SOLD, Quantity=6, UnitPrice="2.55"),
                a_line(**SOLD, Quantity=6, UnitPrice="2.55"),
                a_line(**{**SOLD, "StockCode": "71053"}, Quantity=2, UnitPrice="3.3901", Description=""),
                a_line(
                    InvoiceNo="536400",
                    StockCode="85123a",
                    Quantity=10,
                    UnitPrice="2.10",
                    InvoiceDate="2010-12-02T09:00",
                ),
                a_line(InvoiceNo="C536500", Quantity=-4, UnitPrice="2.55", InvoiceDate="2010-12-03 10:00"),
                a_line(InvoiceNo="C536501", StockCode="99999", Quantity=-4, InvoiceDate="2010-12-03 10:00"),
                a_line(InvoiceNo="A/1", CustomerID="", Quantity=1, UnitPrice="-11062.06", StockCode="B"),
                a_line(InvoiceNo="C600000", CustomerID="", Quantity=-1),
                *(
                    a_line(
                        InvoiceNo="540000",
                        CustomerID="12346",
                        Quantity=number,
                        InvoiceDate=f"2011-01-01 {number % 24:02}:00",
                    )
                    for number in range(1, 2501)
                ),
            ]
        ).raise_for_status()
        opened.fill_lookups()
        yield opened


def test_an_invoice_comes_to_the_sum_of_its_lines(books: SalesClient) -> None:
    assert books.client.get("/v1/invoices/536365").json() == {
        "customer_id": "17850",
        "invoice_no": "536365",
        "invoice_time": "2010-12-01 08:26:00",
        "country": "United Kingdom",
        "lines": 3,
        "quantity": 14,
        "amount": "37.3802",
        "is_cancellation": False,
        "complete": True,
    }
    unknown = books.client.get("/v1/invoices/A%2F1").json()
    assert (unknown["customer_id"], unknown["amount"]) == ("unknown", "-11062.0600")


def test_a_line_is_told_as_it_was_posted(books: SalesClient) -> None:
    told = books.client.get("/v1/invoices/536365/lines").json()
    assert (told["invoice_no"], told["after"], len(told["lines"])) == ("536365", None, 3)
    assert {line["line_id"] for line in told["lines"]} == {
        line.line_id for line in books.lines() if line.invoice_no == "536365"
    }
    by_code = {(line["stock_code"], line["repeat"]): line for line in told["lines"]}
    other = by_code["71053", 1]
    assert {name: other[name] for name in other if name != "line_id"} == {
        "invoice_no": "536365",
        "stock_code": "71053",
        "description": None,
        "quantity": 2,
        "invoice_time": "2010-12-01 08:26:00",
        "unit_price": "3.3901",
        "customer_id": "17850",
        "country": "United Kingdom",
        "repeat": 1,
        "is_product": True,
        "is_cancellation": False,
        "cancels": None,
    }


def test_a_cancelled_line_names_the_sale_it_takes_back(books: SalesClient) -> None:
    (line,) = books.client.get("/v1/invoices/C536500/lines").json()["lines"]
    sold = [one for one in books.lines() if one.invoice_no == "536365" and one.stock_code == "85123A"]
    assert line["cancels"] == {"invoice_no": "536365", "line_id": max(one.line_id for one in sold)}, "at the same price"


@pytest.mark.parametrize("invoice", ["C536501", "C600000"])
def test_a_cancellation_of_nothing_known_names_none(books: SalesClient, invoice: str) -> None:
    (line,) = books.client.get(f"/v1/invoices/{invoice}/lines").json()["lines"]
    assert (line["is_cancellation"], line["cancels"]) == (True, None)


def test_a_customers_invoices_come_cancellations_first_then_the_newest(books: SalesClient) -> None:
    told = books.client.get("/v1/customers/17850/invoices").json()
    assert [one["invoice_no"] for one in told["invoices"]] == ["C536501", "C536500", "536400", "536365"]
    assert told["after"] is None
    assert told["invoices"][3] == books.client.get("/v1/invoices/536365").json()


@pytest.mark.parametrize("limit", [1, 3])
def test_a_customers_invoices_come_in_pages(books: SalesClient, limit: int) -> None:
    found = pages(books.client, "/v1/customers/17850/invoices", "invoices", limit)
    assert [one["invoice_no"] for one in found] == ["C536501", "C536500", "536400", "536365"]


def test_an_invoice_of_thousands_of_lines_comes_in_pages_in_the_order_of_time(books: SalesClient) -> None:
    found = pages(books.client, "/v1/invoices/540000/lines", "lines", 700)
    assert sorted(line["quantity"] for line in found) == list(range(1, 2501))
    times = [line["invoice_time"] for line in found]
    assert times == sorted(times)
    assert books.client.get("/v1/invoices/540000").json()["lines"] == 2500


def pages(client: httpx.Client, path: str, name: str, limit: int) -> list[Any]:
    found: list[Any] = []
    after = ""
    while True:
        told = client.get(path, params={"limit": limit, "after": after}).raise_for_status().json()
        found += told[name]
        assert len(told[name]) <= limit
        if told["after"] is None:
            return found
        after = told["after"]


def test_invoices_whose_customer_is_not_known_are_found_together(books: SalesClient) -> None:
    found = books.client.get("/v1/customers/unknown/invoices").json()
    assert [invoice["invoice_no"] for invoice in found["invoices"]] == ["C600000", "A/1"]


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("/v1/invoices/536366", "unknown_invoice", "There is no invoice 536366."),
        ("/v1/invoices/536366/lines", "unknown_invoice", "There is no invoice 536366."),
        ("/v1/customers/1/invoices", "unknown_customer", "no invoices of a customer 1."),
    ],
)
def test_what_is_not_found_may_take_a_moment(books: SalesClient, path: str, code: str, told: str) -> None:
    said = message(books.client.get(path), 404, code)
    assert told in said
    assert "A line that was just sent takes a moment to be found." in said


@pytest.mark.parametrize("path", ["/v1/invoices/536365/lines", "/v1/customers/17850/invoices"])
@pytest.mark.parametrize("query", ["after=nowhere", "after=W10=", "limit=0", "limit=1001", "limit=x"])
def test_a_page_that_none_ended_at_is_told(books: SalesClient, path: str, query: str) -> None:
    assert message(books.client.get(f"{path}?{query}"), 422, "invalid").startswith(query.partition("=")[0])


def test_the_originals_address_leads_to_a_customers_invoices(books: SalesClient) -> None:
    answer = books.client.get("/v1/transactions?CustomerID=17850", follow_redirects=True)
    assert answer.url.path == "/v1/customers/17850/invoices"
    assert len(answer.json()["invoices"]) == 4
