"""A small shop for the tests of consumers: its lines, its stream, and what came of them in the lookup tables and the raw zone."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from instacart_pipeline.resources.lookup_tables import Value
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline.resources.storage.local import LocalStorage
from instacart_pipeline.resources.stream import Entry, Record
from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline.retail.consumers.consumer import Consumer
from instacart_pipeline.retail.consumers.events import Event, kinesis_event
from instacart_pipeline.retail.consumers.registry import consumers
from instacart_pipeline.retail.lines import Line, read_line
from instacart_pipeline.retail.lookups import CUSTOMERS, DEAD_LETTERS, INVOICES
from instacart_pipeline.retail.tables import STAGED_STREAM, SYSTEM

ARRIVED = 1_600_000_000.0


def a_line(invoice_no: str = "536365", **changes: object) -> Line:
    held = Line(invoice_no, "85123A", "HEART", 6, "2010-12-01 08:26:00", "2.5500", "17850", "United Kingdom")
    return held._replace(**changes)  # type: ignore[arg-type]  # fields of Line


def many_lines(count: int, *, lines_an_invoice: int = 20, days: int = 3, first: int = 0) -> Iterator[Line]:
    """Lines of invoices, all different, spread over a few days."""
    for number in range(first, first + count):
        invoice = number // lines_an_invoice
        yield a_line(
            f"{500_000 + invoice}",
            stock_code=f"{10_000 + number % lines_an_invoice}",
            quantity=1 + number % 9,
            invoice_time=f"2010-12-{1 + invoice % days:02} 09:{invoice % 60:02}:00",
            customer_id=f"{12_000 + invoice % 500}",
        )


def records(
    lines: Iterable[Line | bytes], *, shard: str = "shardId-000000000000", first: int = 1, arrived: float = ARRIVED
) -> list[Record]:
    """Records of a shard; of bytes, one that holds just these."""
    held = [(line, b"") if isinstance(line, Line) else (None, line) for line in lines]
    return [
        Record(
            shard,
            str(first + place),
            line.invoice_no if line else "?",
            line.record() if line else data,
            arrived + place / 1000,
        )
        for place, (line, data) in enumerate(held)
    ]


class Shop:
    """The stream, the lookup tables and the raw zone below a folder, and the consumers over them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stream = LocalStream(home=str(home))
        self.storage = LocalStorage(home=str(home))
        self.tables = SqliteLookupTables(home=str(home))

    def consumer(self, name: str, *, window: float = 60.0) -> Consumer:
        return consumers(self.storage, self.tables, window)[name]

    def put(self, lines: Iterable[Line], *, at_once: int = 500) -> None:
        held = list(lines)
        for start in range(0, len(held), at_once):
            self.stream.put([Entry(line.invoice_no, line.record()) for line in held[start : start + at_once]])

    def invoices(self) -> Counter[str]:
        """How often each line is in the lookup table, by line_id."""
        return Counter(str(item["line_id"]) for item in self._all("invoices"))

    def customers(self) -> dict[tuple[str, str], dict[str, Value]]:
        """The invoices of customers, by customer and number."""
        return {(str(item["customer_id"]), str(item["invoice_no"])): item for item in self._all("customers")}

    def letters(self, consumer: str) -> list[dict[str, Value]]:
        return self.tables.all_of(DEAD_LETTERS, consumer)

    def days(self) -> Sequence[str]:
        return self.storage.days(SYSTEM, STAGED_STREAM.name)

    def files(self, day: str = "2010-12-01") -> dict[str, str]:
        """The texts of a day's files, by name."""
        raw = self.home / "lake" / "raw"
        found = self.storage.objects(SYSTEM, STAGED_STREAM.name, day)
        return {Path(each.path).name: (raw / each.path).read_bytes().decode() for each in found}

    def raw_lines(self) -> Counter[str]:
        """How often each line is in the raw zone, by line_id."""
        return Counter(
            read_line(row).line_id
            for day in self.days()
            for text in self.files(day).values()
            for row in csv.DictReader(text.splitlines(keepends=True))
        )

    def _all(self, table: str) -> Iterator[dict[str, Value]]:
        of_name = {"invoices": INVOICES, "customers": CUSTOMERS}[table]
        page = self.tables.scan(of_name, limit=5000)
        yield from page.items
        while page.after:
            page = self.tables.scan(of_name, after=page.after, limit=5000)
            yield from page.items


def as_lambda_sends(event: Event) -> Event:
    """An event after its way over the wire."""
    sent: Event = json.loads(json.dumps(event))
    return sent


def event_of(lines: Iterable[Line | bytes], **place: object) -> Event:
    """An event with these lines, or bytes, as its records; `place` is passed on to `records`."""
    return as_lambda_sends(kinesis_event("transactions", records(lines, **place)))  # type: ignore[arg-type]


def lag(shop: Shop, consumer: str) -> int:
    """How many records a consumer is behind."""
    return sum(each.records or 0 for each in shop.stream.lag(consumer))


def soon(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
