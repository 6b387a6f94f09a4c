"""The consumers as functions of events: what comes of lines, and of the same event twice."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.resources.lookup_tables import Item, LookupsBusy, LookupTable, LookupTables, Page
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline.retail.consumers.events import (
    ALL_DONE,
    Event,
    EventInvalid,
    kinesis_event,
    records_of,
)
from instacart_pipeline.retail.consumers.lookups import invoice_of, lookups, parts_of
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline.retail.lines import Line
from instacart_pipeline.retail.lookups import BY_PRODUCT, INVOICES
from instacart_pipeline.retail.tables import UNKNOWN
from instacart_pipeline_tests.retail.consumers.shop import (
    Shop,
    a_line,
    as_lambda_sends,
    event_of,
    many_lines,
)

SHARD = "shardId-000000000006"
SEQUENCE = "49590338271490256608559692538361571095921575989136588898"
# As AWS's documentation of Lambda has it, but for the data.
AWS_EVENT: Event = {
    "Records": [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "536365",
                "sequenceNumber": SEQUENCE,
                "data": base64.b64encode(a_line().record()).decode(),
                "approximateArrivalTimestamp": 1545084650.987,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{SHARD}:{SEQUENCE}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
            "awsRegion": "us-east-2",
            "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
        }
    ]
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# Events.


def test_an_event_of_lambda_is_read_and_ours_has_its_shape() -> None:
    (record,) = records_of(AWS_EVENT)
    assert (record.shard, record.sequence, record.key, record.arrived) == (SHARD, SEQUENCE, "536365", 1545084650.987)
    assert Line.of_record(record.data) == a_line()
    ours = kinesis_event("transactions", [record])
    assert records_of(as_lambda_sends(ours)) == [record]
    assert ours["Records"][0].keys() == AWS_EVENT["Records"][0].keys()
    assert ours["Records"][0]["kinesis"] == AWS_EVENT["Records"][0]["kinesis"]
    assert ours["Records"][0]["eventID"] == AWS_EVENT["Records"][0]["eventID"]


@pytest.mark.parametrize("event", [{}, {"Records": [{"s3": {}}]}, [], {"Records": 5}])
def test_an_event_of_something_else_is_refused_as_a_whole(shop: Shop, event: Event) -> None:
    with pytest.raises(EventInvalid, match="event source mapping"):
        shop.consumer("lookups").handle(event)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_event_is_done(shop: Shop, name: str) -> None:
    assert shop.consumer(name).handle({"Records": []}) == ALL_DONE


@pytest.mark.parametrize("name", NAMES)
def test_the_same_event_twice_changes_nothing(shop: Shop, name: str) -> None:
    def state() -> object:
        raw = {day: shop.files(day) for day in shop.days()}
        return raw, shop.invoices(), shop.customers(), shop.letters(name)

    event = event_of([*many_lines(50), b"no line", a_line()])
    assert shop.consumer(name).handle(event) == ALL_DONE
    before = state()
    assert shop.consumer(name).handle(event) == ALL_DONE
    assert state() == before


# The raw zone.


def test_lines_become_a_file_a_day_named_by_the_places_they_have_in_the_stream(shop: Shop) -> None:
    lines = [
        a_line("1"),
        a_line("2", invoice_time="2010-12-02 09:00:00"),
        a_line("3"),
        a_line("4", invoice_time="2010-12-02 09:00:00"),
    ]
    assert shop.consumer("raw_zone").handle(event_of(lines, first=7)) == ALL_DONE
    assert shop.days() == ["2010-12-01", "2010-12-02"]
    assert list(shop.files("2010-12-02")) == ["shardId-000000000000-00000000000000000008-00000000000000000010.csv"]
    assert shop.files()["shardId-000000000000-00000000000000000007-00000000000000000009.csv"] == (
        "invoiceno,stockcode,description,quantity,invoicedate,unitprice,customerid,country,repeat\n"
        "1,85123A,HEART,6,2010-12-01 08:26:00,2.5500,17850,United Kingdom,1\n"
        "3,85123A,HEART,6,2010-12-01 08:26:00,2.5500,17850,United Kingdom,1\n"
    )


@pytest.mark.parametrize("text", ['a, "b"', "two\nlines", "'", "größe ☕", '""', None])
def test_every_text_is_read_back_as_it_was(shop: Shop, text: str | None) -> None:
    line = a_line(description=text, customer_id=UNKNOWN, repeat=2)
    shop.consumer("raw_zone").handle(event_of([line]))
    (file,) = shop.files().values()
    (row,) = csv.DictReader(io.StringIO(file, newline=""))
    assert (row["description"], row["customerid"], row["repeat"]) == (text or "", "", "2")
    assert shop.raw_lines() == {line.line_id: 1}


def test_a_longer_and_a_shorter_reading_of_the_same_records_take_no_line_away(shop: Shop) -> None:
    lines = list(many_lines(30))
    raw_zone = shop.consumer("raw_zone")
    for count in (20, 30, 10):  # a worker killed after 20, another that went on, a third that comes late
        raw_zone.handle(event_of(lines[:count]))
    assert shop.raw_lines().keys() == {line.line_id for line in lines}


# The lookup tables.


def test_each_line_becomes_an_item_of_its_invoice_found_by_customer_and_product_too(shop: Shop) -> None:
    lines = [a_line(stock_code="85123a"), a_line(stock_code="POST", customer_id=UNKNOWN, description=None)]
    assert shop.consumer("lookups").handle(event_of(lines)) == ALL_DONE
    post, heart = sorted(shop.tables.all_of(INVOICES, "536365"), key=lambda item: bool(item["is_product"]))
    assert heart == {
        "invoice_no": "536365",
        "line_key": f"2010-12-01 08:26:00#{lines[0].line_id}",
        "line_id": lines[0].line_id,
        "stock_code": "85123a",
        "description": "HEART",
        "quantity": 6,
        "invoice_time": "2010-12-01 08:26:00",
        "unit_price": "2.5500",
        "customer_id": "17850",
        "country": "United Kingdom",
        "repeat": 1,
        "is_product": True,
        "is_cancellation": False,
        "customer_product": "17850#85123A",
    }
    assert shop.tables.all_of(INVOICES, "17850#85123A", index=BY_PRODUCT) == [heart]
    assert "customer_product" not in post
    assert "description" not in post


def test_a_customers_invoice_is_the_sum_of_its_lines_to_the_penny(shop: Shop) -> None:
    lines = [
        a_line("C1", quantity=-3, unit_price="0.1000", invoice_time="2010-12-01 09:00:00", country="France"),
        a_line("C1", quantity=-1, unit_price="0.2000", invoice_time="2010-12-01 08:00:00"),
        a_line("C1", quantity=2, unit_price="-0.0001"),
        a_line("C1", quantity=7, customer_id=UNKNOWN),
    ]
    shop.consumer("lookups").handle(event_of(lines))
    found = shop.customers()
    assert found.pop((UNKNOWN, "C1"))["quantity"] == 7
    assert found == {
        ("17850", "C1"): {
            "customer_id": "17850",
            "invoice_no": "C1",
            "invoice_time": "2010-12-01 08:00:00",
            "country": "United Kingdom",
            "lines": 3,
            "quantity": -2,
            "amount": "-0.5002",
            "is_cancellation": True,
            "invoice_lines": 4,
            "complete": True,
        }
    }


def test_late_lines_and_reruns_in_any_order_never_lower_or_double_a_count(shop: Shop) -> None:
    consumer = shop.consumer("lookups")
    first, second = (
        event_of([a_line(stock_code="1")]),
        event_of([a_line(stock_code="2"), a_line(stock_code="3")], first=2),
    )
    counts = []
    for event in (second, first, second, first):
        consumer.handle(event)
        counts.append(shop.customers()["17850", "536365"]["lines"])
    assert counts == [2, 3, 3, 3]


def test_what_an_invoice_comes_to_is_read_from_two_items_however_long_it_is(shop: Shop) -> None:
    lines = [a_line("1", stock_code=f"{number}") for number in range(300)]
    shop.consumer("lookups").handle(event_of([*lines, a_line("2"), a_line("2", customer_id="12345")]))
    seen: list[int] = []

    class Watched(SqliteLookupTables):
        def query(self, table: LookupTable, partition: str, **how: Any) -> Page:
            page = super().query(table, partition, **how)
            seen.append(len(page.items))
            return page

    tables = Watched(home=str(shop.home))
    found = invoice_of(tables, "1")
    assert (seen, found) == ([1], shop.customers()["17850", "1"])
    of_two = invoice_of(tables, "2")
    assert of_two is not None
    assert (of_two["lines"], of_two["quantity"], invoice_of(tables, "3")) == (2, 12, None)


def test_of_a_very_long_invoice_the_first_lines_are_summed_and_all_are_kept(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instacart_pipeline.retail.consumers.lookups.MOST_SUMMED", 100)
    lines = [a_line("1", quantity=1, stock_code=f"{number}") for number in range(200)]
    consumer, told = shop.consumer("lookups"), []
    for first in range(0, 200, 50):
        consumer.handle(event_of(lines[first : first + 50], first=first + 1))
        item = shop.customers()["17850", "1"]
        told.append((item["lines"], item["quantity"], item["complete"]))
    assert told == [(50, 50, True), (100, 100, True), (100, 100, False), (100, 100, False)]
    assert len(shop.invoices()) == 200
    assert invoice_of(shop.tables, "1") == shop.customers()["17850", "1"]
    assert shop.letters("lookups") == []


def injected(
    shop: Shop, before_sizes: Callable[[], object] = lambda: None, *, dies: bool = False
) -> tuple[LookupTables, list[str]]:
    """Tables that do something before they tell sizes of invoices, or die before sums are stored; and which invoices were read back."""
    read: list[str] = []

    class FaultyLookupTables(SqliteLookupTables):
        def sizes(self, table: LookupTable, partitions: Sequence[str], limit: int) -> dict[str, int]:
            before_sizes()
            return super().sizes(table, partitions, limit)

        def query(self, table: LookupTable, partition: str, **how: Any) -> Page:
            read.append(partition)
            return super().query(table, partition, **how)

        def put_if_greater(self, table: LookupTable, items: Iterable[Item], attribute: str) -> None:
            if dies:
                raise LookupsBusy("It died between the lines and their sums.")
            super().put_if_greater(table, items, attribute)

    return FaultyLookupTables(home=str(shop.home)), read


def test_only_an_invoice_with_lines_of_another_batch_is_read_back(shop: Shop) -> None:
    tables, read = injected(shop)
    consumer = lookups(tables)
    lines = [a_line(invoice, stock_code=f"{number}") for invoice in ("1", "2") for number in range(3)]
    assert consumer.handle(event_of([*lines[:5], lines[0]])) == ALL_DONE
    assert (read, {item["lines"] for item in shop.customers().values()}) == ([], {3, 2})
    assert consumer.handle(event_of([lines[5], a_line("3")], first=6)) == ALL_DONE
    assert read == ["2"]
    assert [item["lines"] for _, item in sorted(shop.customers().items())] == [3, 3, 1]
    by_reading = {key: dict(parts_of(tables, key[1])[key[0]]) for key in shop.customers()}
    assert shop.customers() == by_reading


def test_lines_that_another_worker_stores_at_the_same_moment_are_in_the_sum(shop: Shop) -> None:
    mine, others = a_line("1", stock_code="1", quantity=1), a_line("1", stock_code="2", quantity=10)
    meanwhile = partial(shop.consumer("lookups").handle, event_of([others], first=2))
    for first, before_sizes in ((1, meanwhile), (2, lambda: None)):
        assert lookups(injected(shop, before_sizes)[0]).handle(event_of([mine], first=first)) == ALL_DONE
        item = shop.customers()["17850", "1"]
        assert (item["lines"], item["quantity"], item["invoice_lines"]) == (2, 11, 2)


@pytest.mark.parametrize("again", [(0,), (1,), (0, 1), (1, 0)])
def test_a_worker_that_died_before_the_sum_leaves_nothing_that_the_next_one_misses(
    shop: Shop, again: tuple[int, ...]
) -> None:
    events = [event_of([a_line("1", stock_code=code, quantity=1)], first=int(code)) for code in ("1", "2")]
    dying = lookups(injected(shop, dies=True)[0])
    assert [bool(dying.handle(event)["batchItemFailures"]) for event in events] == [True, True]
    assert (len(shop.invoices()), shop.customers()) == (2, {})
    for place in again:
        assert shop.consumer("lookups").handle(events[place]) == ALL_DONE
        assert shop.customers()["17850", "1"]["quantity"] == 2


def test_a_line_of_another_customer_is_told_of_those_that_were_summed_before_it(shop: Shop) -> None:
    consumer = shop.consumer("lookups")
    consumer.handle(event_of([a_line("1", stock_code="1"), a_line("1", stock_code="2")]))
    consumer.handle(event_of([a_line("1", customer_id="12345")], first=3))
    assert {item["invoice_lines"] for item in shop.customers().values()} == {3}
    found = invoice_of(shop.tables, "1")
    assert found is not None
    assert found["lines"] == 3


def test_an_invoice_of_two_customers_is_a_part_of_each(shop: Shop) -> None:
    shop.consumer("lookups").handle(event_of([a_line(quantity=1), a_line(quantity=2, customer_id="12345")]))
    assert {key: item["quantity"] for key, item in shop.customers().items()} == {
        ("17850", "536365"): 1,
        ("12345", "536365"): 2,
    }
