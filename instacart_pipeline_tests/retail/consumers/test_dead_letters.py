"""Records that can't be dealt with: which become dead letters, which come again, and that the others go on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from instacart_pipeline.lake.errors import InputInvalid, PipelineError
from instacart_pipeline.resources.lookup_tables import Item, LookupsBusy, LookupTable
from instacart_pipeline.resources.lookup_tables.aws.dynamo import MOST_ITEM_BYTES, size_of
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline.resources.storage import FileNotWritten
from instacart_pipeline.resources.storage.local import LocalStorage
from instacart_pipeline.retail.consumers.consumer import Consumer, RecordLine, record_of
from instacart_pipeline.retail.consumers.events import (
    ALL_DONE,
    failed_from,
)
from instacart_pipeline.retail.consumers.registry import NAMES, consumers
from instacart_pipeline.retail.lookups import DEAD_LETTERS
from instacart_pipeline_tests.retail.consumers.shop import (
    ARRIVED,
    Shop,
    a_line,
    event_of,
    many_lines,
    records,
)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\x00 no JSON", "is no line of an invoice: JSONDecodeError"),
        (b'{"invoiceno": "1"}', "KeyError: 'stockcode'"),
        (b"[1, 2]", "TypeError"),
        (a_line()._replace(invoice_no="").record(), "not as `read_line` leaves lines"),
        (a_line()._replace(invoice_no="9" * 65).record(), "not as"),
        (a_line()._replace(invoice_time="2010-02-30 08:00:00").record(), "not as"),
        (a_line()._replace(invoice_time="../../etc").record(), "not as"),
        (a_line()._replace(country="U\x00K").record(), "not as"),
        (a_line()._replace(quantity=True).record(), "not as"),
        (a_line()._replace(repeat=0).record(), "not as"),
        (a_line()._replace(stock_code=5).record(), "TypeError"),  # type: ignore[arg-type]  # which is the fault
        (a_line()._replace(unit_price="2.5").record(), "not as"),
    ],
)
def test_a_poisoned_record_in_the_middle_becomes_a_dead_letter_and_the_others_go_on(
    shop: Shop, name: str, data: bytes, reason: str
) -> None:
    lines = list(many_lines(10))
    assert shop.consumer(name).handle(event_of([*lines[:5], data, *lines[5:]])) == ALL_DONE
    (letter,) = shop.letters(name)
    assert reason in str(letter["reason"])
    assert letter["position"] == f"shardId-000000000000#{6:060}"
    assert record_of(letter) == records([data], first=6, arrived=float(int(ARRIVED)))[0]
    found = shop.raw_lines() if name == "raw_zone" else shop.invoices()
    assert found == dict.fromkeys((line.line_id for line in lines), 1)


@pytest.mark.parametrize("data", [b"x" * 1_000_000, a_line().record() + b" " * 500_000 + b"and more"])
def test_a_poisoned_record_of_any_size_makes_a_letter_that_a_table_takes_and_that_no_replay_makes_a_line_of(
    shop: Shop, data: bytes
) -> None:
    lookups = shop.consumer("lookups")
    assert lookups.handle(event_of([a_line(), data])) == ALL_DONE
    (letter,) = shop.letters("lookups")
    assert size_of(letter) < MOST_ITEM_BYTES
    size, digest = f"{len(data):,}", hashlib.sha256(data).hexdigest()
    assert f"The first 196,608 of its {size} bytes are kept here, of SHA-256 {digest}: no replay" in str(
        letter["reason"]
    )
    held = record_of(letter).data
    assert held.startswith(data[:196_608])
    (again,) = lookups.deal_with([record_of(letter)])
    assert DEAD_LETTERS.key_of(again) == DEAD_LETTERS.key_of(letter)


def test_a_record_that_just_fits_is_kept_whole(shop: Shop) -> None:
    data = b"x" * 196_608
    shop.consumer("lookups").handle(event_of([data]))
    (letter,) = shop.letters("lookups")
    assert record_of(letter).data == data
    assert size_of(letter) < MOST_ITEM_BYTES


class BusyTables(SqliteLookupTables):
    """Takes no items of the table `table`, for now."""

    table: str

    def put(self, table: LookupTable, items: Iterable[Item]) -> None:
        if table.name == self.table:
            raise LookupsBusy(f"{table.name} is busy")
        super().put(table, items)


class FullStorage(LocalStorage):
    """Has room for one day alone."""

    def add(self, system: str, table: str, dt: str, name: str, content: bytes) -> bool:
        if dt != "2010-12-01":
            raise FileNotWritten("no room")
        return super().add(system, table, dt, name, content)


def test_a_failure_that_may_pass_has_all_records_come_again_and_makes_no_dead_letters(shop: Shop) -> None:
    event = event_of(many_lines(100), first=41)
    busy = consumers(FullStorage(home=str(shop.home)), BusyTables(home=str(shop.home), table="invoices"), 60)
    for name in NAMES:
        assert busy[name].handle(event) == failed_from("41")
        assert shop.letters(name) == []
        assert shop.consumer(name).handle(event) == ALL_DONE
    assert set(shop.raw_lines().values()) == set(shop.invoices().values()) == {1}
    assert len(shop.raw_lines()) == len(shop.invoices()) == 100


def test_a_dead_letter_that_can_not_be_kept_comes_again(shop: Shop) -> None:
    busy = consumers(shop.storage, BusyTables(home=str(shop.home), table="dead_letters"), 60)["lookups"]
    event = event_of([a_line(), b"no line"])
    assert busy.handle(event) == failed_from("1")
    assert shop.consumer("lookups").handle(event) == ALL_DONE
    assert len(shop.letters("lookups")) == len(shop.invoices()) == 1


def test_a_line_that_is_refused_for_good_is_found_among_the_others(shop: Shop) -> None:
    kept: list[str] = []

    def store(taken: list[RecordLine]) -> None:
        if any(each.line.invoice_no == "13" for each in taken):
            raise InputInvalid("13 is too much")
        kept.extend(each.line.invoice_no for each in taken)

    picky = Consumer("picky", 100, 0.0, shop.tables, store)  # type: ignore[arg-type]  # a list is a sequence
    assert picky.handle(event_of(a_line(str(number)) for number in range(11, 16))) == ALL_DONE
    assert kept == ["11", "12", "14", "15"]
    assert [letter["reason"] for letter in shop.letters("picky")] == ["13 is too much"]


def test_whoever_wants_to_know_is_told_of_dead_letters_once_they_are_kept(shop: Shop) -> None:
    told: list[int] = []
    consumer = Consumer("deaf", 100, 0.0, shop.tables, lambda _: None, told.append)
    consumer.handle(event_of([b"1", a_line(), b"2"]))
    assert (told, len(shop.letters("deaf"))) == ([2], 2)


def test_an_error_of_ours_that_is_no_fault_of_the_input_is_never_for_good() -> None:
    assert not issubclass(FileNotWritten, InputInvalid)
    assert not issubclass(LookupsBusy, InputInvalid)
    assert issubclass(InputInvalid, PipelineError)
