"""The worker: batches, what is committed, failures, and several workers on the shards of one stream."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import PrivateAttr

from instacart_pipeline.resources.lookup_tables import LookupsBusy
from instacart_pipeline.resources.stream import (
    Batch,
    Claim,
    ClaimLost,
    Entry,
    Lag,
    Record,
    Rewind,
    Shard,
    StreamState,
)
from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline.retail.consumers.consumer import Consumer, RecordLine
from instacart_pipeline.retail.consumers.event_source_mapping import Delivered, EventSourceMapping
from instacart_pipeline.retail.consumers.events import ALL_DONE, Answer, Event, Failure, failed_from
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline_tests.retail.consumers.shop import Shop, a_line, lag, many_lines, soon


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def drain(shop: Shop, consumer: Consumer) -> list[Delivered]:
    seen: list[Delivered] = []
    EventSourceMapping(shop.stream, consumer, 0.01, on_batch=seen.append).run(threading.Event(), until_empty=True)
    return seen


@contextmanager
def working(*mappings: EventSourceMapping) -> Iterator[None]:
    """Workers in threads, until the end of the block."""
    stopping = threading.Event()
    threads = [threading.Thread(target=mapping.run, args=(stopping,)) for mapping in mappings]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


def test_everything_is_read_in_batches_of_at_most_the_consumers_size_and_committed(shop: Shop) -> None:
    shop.put(many_lines(5000))
    seen = drain(shop, shop.consumer("lookups"))
    assert sum(each.done for each in seen) == len(shop.invoices()) == 5000
    assert max(each.records for each in seen) <= 2000
    assert lag(shop, "lookups") == 0
    assert drain(shop, shop.consumer("lookups")) == []


def test_nothing_is_given_before_its_window_is_over_and_until_empty_waits_for_none(shop: Shop) -> None:
    shop.put([a_line()])
    begun = time.time()
    with working(EventSourceMapping(shop.stream, shop.consumer("raw_zone", window=1.0), 0.01)):
        time.sleep(0.4)
        assert shop.raw_lines() == {}
        soon(lambda: bool(shop.raw_lines()))
    assert time.time() - begun > 0.9
    shop.put([a_line("2")])
    drain(shop, shop.consumer("raw_zone", window=3600))
    assert len(shop.raw_lines()) == 2


class Counted(LocalStream):
    """Keeps how many records each read gave."""

    _reads: list[int] = PrivateAttr(default_factory=list)

    def read(self, shard: str, after: str, limit: int) -> Batch:
        batch = super().read(shard, after, limit)
        self._reads.append(len(batch.records))
        return batch


def test_a_full_batch_waits_for_no_window_and_no_record_is_read_more_than_twice(shop: Shop) -> None:
    stream, kept = Counted(home=str(shop.home), shards=1), list[int]()
    shop.stream = stream
    consumer = Consumer("patient", 100, 20.0, shop.tables, lambda taken: kept.append(len(taken)))
    lines = list(many_lines(350))
    shop.put(lines[:40])
    with working(
        EventSourceMapping(stream, consumer, 0.01, turn_seconds=0.05)
    ):  # which gives the shard back in between
        soon(lambda: sum(stream._reads) == 40)
        shop.put(lines[40:70])
        soon(lambda: sum(stream._reads) == 70)
        assert kept == []
        shop.put(lines[70:])
        soon(lambda: kept == [100, 100, 100])
        time.sleep(0.1)
    assert (kept, lag(shop, "patient")) == ([100, 100, 100], 50)
    assert sum(stream._reads) == 100 + 100 + 100 + 100 + 50


def test_a_consumer_that_fails_for_a_while_holds_its_place_and_goes_on_there(shop: Shop) -> None:
    kept: list[str] = []
    tries: list[int] = []

    def store(taken: Sequence[RecordLine]) -> None:
        tries.append(len(taken))
        if len(tries) < 4:
            raise LookupsBusy("not now")
        kept.extend(each.line.line_id for each in taken)

    lines = list(many_lines(60, lines_an_invoice=60))
    shop.put(lines)
    seen = drain(shop, Consumer("moody", 20, 0.0, shop.tables, store))
    assert kept == [line.line_id for line in lines]
    assert [each.done for each in seen] == [0, 0, 0, 20, 20, 20]


def test_what_was_dealt_with_before_a_failure_is_committed(shop: Shop) -> None:
    given: list[list[str]] = []

    class Half(Consumer):
        """Reports the sixth record of its first batch, and one further on."""

        def handle(self, event: Event, context: object = None) -> Answer:
            del context
            sequences = [each["kinesis"]["sequenceNumber"] for each in event["Records"]]
            given.append(sequences)
            failed = [sequences[8], sequences[5]] if len(given) == 1 else []
            return {"batchItemFailures": [Failure(itemIdentifier=sequence) for sequence in failed]}

    shop.put(many_lines(10, lines_an_invoice=10))
    seen = drain(shop, Half("half", 100, 0.0, shop.tables, lambda _: None))
    assert (len(given[0]), given[1:]) == (10, [given[0][5:]])
    assert [each.done for each in seen] == [5, 5]


def test_an_answer_that_names_no_record_of_the_batch_fails_it_whole(shop: Shop) -> None:
    given: list[int] = []

    class Odd(Consumer):
        def handle(self, event: Event, context: object = None) -> Answer:
            del context
            given.append(len(event["Records"]))
            return failed_from("") if len(given) == 1 else ALL_DONE

    shop.put(many_lines(10, lines_an_invoice=10))
    drain(shop, Odd("odd", 100, 0.0, shop.tables, lambda _: None))
    assert given == [10, 10]


def test_an_error_of_any_kind_at_one_shard_holds_up_no_other(shop: Shop) -> None:
    lines = list(many_lines(400))
    shop.put(lines)
    bad = next(shard for shard in shop.stream.state().shards if shop.stream.read(shard.id, "", 1).records)
    poison = {record.data for record in shop.stream.read(bad.id, "", 1000).records}
    kept: list[str] = []

    def store(taken: Sequence[RecordLine]) -> None:
        if any(each.record.data in poison for each in taken):
            raise ZeroDivisionError
        kept.extend(each.line.line_id for each in taken)

    with working(EventSourceMapping(shop.stream, Consumer("unlucky", 50, 0.0, shop.tables, store), 0.01)):
        soon(lambda: len(kept) == len(lines) - len(poison))
    assert lag(shop, "unlucky") == len(poison)


def test_two_workers_share_the_shards_and_take_over_from_one_that_stops(shop: Shop) -> None:
    by_worker: dict[str, set[str]] = {"one": set(), "other": set()}

    def worker(name: str) -> EventSourceMapping:
        def tell(delivered: Delivered) -> None:
            by_worker[name].add(delivered.shard)

        return EventSourceMapping(shop.stream, shop.consumer("lookups"), 0.01, turn_seconds=0.3, on_batch=tell)

    lines = list(many_lines(6000))
    feeding = iter(range(0, len(lines), 100))

    def feed() -> None:
        place = next(feeding)
        shop.put(lines[place : place + 100])

    with working(worker("one")):
        with working(worker("other")):
            while not (by_worker["one"] and by_worker["other"]):
                feed()
                time.sleep(0.05)
        rest = list(feeding)
        for place in rest:
            shop.put(lines[place : place + 100])
        soon(lambda: lag(shop, "lookups") == 0)
    given = shop.invoices()
    assert set(given.values()) == {1}
    assert len(given) == len(lines)
    assert {each["lines"] for each in shop.customers().values()} == {20}


def test_a_worker_that_is_told_to_stop_ends_between_two_batches(shop: Shop) -> None:
    shop.put(many_lines(2000, lines_an_invoice=2000))
    stopping = threading.Event()
    kept: list[int] = []

    def store(taken: Sequence[RecordLine]) -> None:
        kept.append(len(taken))
        if len(kept) == 3:
            stopping.set()

    EventSourceMapping(shop.stream, Consumer("obedient", 100, 0.0, shop.tables, store), 0.01).run(stopping)
    assert (kept, lag(shop, "obedient")) == ([100, 100, 100], 1700)
    shop.stream.rewind("obedient", Rewind())  # which it could not while a claim is held


class Closing:
    """A stream of two shards, the second made of the first, which is closed; its claims are lost once."""

    name = "closing"

    def __init__(self) -> None:
        self.records = {"a": ["1", "2"], "b": ["1"]}
        self.done: dict[str, str] = {}
        self.finished: list[str] = []
        self.to_lose = 1

    def state(self) -> StreamState:
        return StreamState(self.name, [Shard("a"), Shard("b", ("a",))])

    def read(self, shard: str, after: str, limit: int) -> Batch:
        left = [sequence for sequence in self.records[shard] if sequence > after][:limit]
        return Batch([Record(shard, s, "k", a_line(s).record(), 1.0) for s in left], shard == "a")

    @contextmanager
    def claim(self, consumer: str, shard: Shard) -> Iterator[Claim | None]:
        del consumer
        ready = shard.id not in self.finished and all(parent in self.finished for parent in shard.parents)
        yield _ClosingClaim(self, shard) if ready else None

    def lag(self, consumer: str) -> list[Lag]:
        del consumer
        left = {s: [n for n in held if n > self.done.get(s, "")] for s, held in self.records.items()}
        return [Lag(shard, len(held), 0.0) for shard, held in left.items()]

    def trim(self) -> int:
        return 0


class _ClosingClaim(Claim):
    def __init__(self, stream: Closing, shard: Shard) -> None:
        self.stream, self.shard, self.position = stream, shard, stream.done.get(shard.id, "")

    def commit(self, sequence: str) -> None:
        if self.stream.to_lose:
            self.stream.to_lose -= 1
            raise ClaimLost("somebody else has it")
        self.stream.done[self.shard.id] = self.position = sequence

    def finish(self) -> None:
        self.stream.finished.append(self.shard.id)


def test_a_closed_shard_is_finished_and_then_those_made_of_it_are_read_and_a_lost_claim_is_taken_anew(
    shop: Shop,
) -> None:
    stream, kept = Closing(), list[tuple[str, str]]()
    consumer = Consumer(
        "c", 10, 0.0, shop.tables, lambda taken: kept.extend((t.record.shard, t.record.sequence) for t in taken)
    )
    EventSourceMapping(stream, consumer, 0.01).run(threading.Event(), until_empty=True)  # type: ignore[arg-type]  # a stream in all but name
    assert kept == [("a", "1"), ("a", "2")] * 2 + [("b", "1")]
    assert stream.finished == ["a"]


def test_a_key_that_floods_one_shard_does_not_keep_the_others_waiting(shop: Shop) -> None:
    shop.stream.put([Entry("flood", a_line("flood", repeat=n).record()) for n in range(1, 2001)])
    shop.put(many_lines(1000))
    seen = drain(shop, Consumer("fair", 400, 0.0, shop.tables, lambda _: None))
    shards = [each.shard for each in seen]
    assert set(shards[:4]) == {shard.id for shard in shop.stream.state().shards}
    assert len(shards) > 6


@pytest.mark.parametrize("name", NAMES)
def test_what_was_made_of_a_stream_that_is_lost_stays_beside_what_is_made_of_the_next(shop: Shop, name: str) -> None:
    lines = list(many_lines(40, lines_an_invoice=40))
    for part in (lines[:20], lines[20:]):
        shop.put(part)
        shop.stream.put([Entry("?", b"no line")])
        drain(shop, shop.consumer(name))
        shutil.rmtree(shop.home / "stream")
    found = shop.raw_lines() if name == "raw_zone" else shop.invoices()
    assert found == dict.fromkeys((line.line_id for line in lines), 1)
    assert len(shop.letters(name)) == 2
