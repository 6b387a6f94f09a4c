"""Which sale a cancellation takes back: the rule, case by case."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from instacart_pipeline.resources.lookup_tables import Value
from instacart_pipeline.retail.cancellations import cancelled_sale
from instacart_pipeline.retail.lines import Line
from instacart_pipeline.retail.lookups import invoice_item
from instacart_pipeline.retail.tables import UNKNOWN

CANCELLED = Line("C9", "85123A", "HEART", -6, "2011-03-05 10:00:00", "2.5500", "17850", "France")


def sale(invoice_no: str = "500", **changes: object) -> Line:
    held = CANCELLED._replace(invoice_no=invoice_no, quantity=6, invoice_time="2011-03-01 10:00:00")
    return held._replace(**changes)  # type: ignore[arg-type]  # fields of Line


def taken_back(candidates: Iterable[Line], cancelled: Line = CANCELLED) -> Value | None:
    found = cancelled_sale(invoice_item(cancelled), [invoice_item(line) for line in candidates])
    return found["invoice_no"] if found else None


def test_it_is_the_latest_sale_of_enough_pieces_in_whatever_order_the_candidates_come() -> None:
    sales = [
        sale("1", invoice_time="2011-03-01 09:00:00", quantity=60),
        sale("2", invoice_time="2011-03-03 09:00:00"),
        sale("3", invoice_time="2011-03-04 09:00:00", quantity=5),
        sale("4", invoice_time="2011-03-02 09:00:00"),
    ]
    assert taken_back(sales) == taken_back(reversed(sales)) == "2"


def test_one_at_the_same_price_goes_before_a_later_one_at_another() -> None:
    assert taken_back([sale("1"), sale("2", invoice_time="2011-03-04 09:00:00", unit_price="2.9500")]) == "1"
    assert taken_back([sale("2", unit_price="2.9500")]) == "2"


def test_a_sale_at_the_very_time_of_the_cancellation_counts_and_a_later_one_does_not() -> None:
    assert taken_back([sale("1", invoice_time=CANCELLED.invoice_time)]) == "1"
    assert taken_back([sale("1", invoice_time="2011-03-05 10:00:01")]) is None


def test_of_the_same_time_it_is_the_last_by_invoice_then_by_line() -> None:
    assert taken_back([sale("1"), sale("20"), sale("3")]) == "3"
    twice = [sale("3"), sale("3", repeat=2)]
    found = cancelled_sale(invoice_item(CANCELLED), [invoice_item(line) for line in twice])
    assert found is not None
    assert found["line_id"] == max(line.line_id for line in twice)


def test_capitals_of_the_code_make_no_difference() -> None:
    assert taken_back([sale("1", stock_code="85123a")]) == "1"


@pytest.mark.parametrize(
    "other",
    [
        sale("C8"),  # a cancellation
        sale("C9", quantity=6),  # its own invoice
        sale(quantity=5),
        sale(quantity=-6),
        sale(customer_id="99999"),
        sale(customer_id=UNKNOWN),
        sale(stock_code="85123B"),
    ],
)
def test_what_is_no_sale_of_that_product_to_that_customer_is_not_taken_back(other: Line) -> None:
    assert taken_back([other]) is None


def test_a_line_of_an_unknown_customer_or_that_cancels_nothing_takes_nothing_back() -> None:
    unknown = CANCELLED._replace(customer_id=UNKNOWN)
    assert taken_back([sale(customer_id=UNKNOWN)], unknown) is None
    assert taken_back([sale()], CANCELLED._replace(quantity=0)) is None
    assert taken_back([sale()], CANCELLED._replace(invoice_no="536")) is None
