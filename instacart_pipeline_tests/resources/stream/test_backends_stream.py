"""What the stream promises, whichever backend: order, durability, claims, positions, rewinding, lag."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from instacart_pipeline.resources.stream import START, Entry, Rewind, Shard, Stream, StreamBusy
from instacart_pipeline_tests.resources.stream_children import hold
from instacart_pipeline_tests.resources.streams import (
    PATIENCE_SECONDS,
    SHARDS,
    StreamBackend,
    eventually,
    position_of,
    read_all,
    read_on,
    the,
)

WORKER = "lookups"


def entries(keys: int, each: int, by: str = "") -> list[Entry]:
    """`each` numbered entries of each of `keys` keys, the keys taking turns."""
    return [Entry(f"{by}key-{key}", f"{by}{number}".encode()) for number in range(each) for key in range(keys)]


def only_shard(stream: Stream, numbered: int, key: str = "one") -> tuple[Shard, list[str]]:
    """Puts records 0, 1, ... of one key; returns their shard and their sequences."""
    stream.put([Entry(key, str(number).encode()) for number in range(numbered)])
    held = read_all(stream, numbered)
    assert {record.key for record in held} == {key}
    (shard,) = {record.shard for record in held}
    return Shard(shard), [record.sequence for record in held]


# Putting and reading.


def test_a_fresh_stream_has_its_shards_and_no_records(stream: Stream) -> None:
    state = stream.state()
    assert len({shard.id for shard in state.shards}) == SHARDS
    assert state.records in {None, 0}
    for shard in state.shards:
        batch = stream.read(shard.id, START, 10)
        assert (list(batch.records), batch.ended) == ([], False)


def test_a_record_comes_back_as_it_was_put_with_its_place_and_time(stream: Stream) -> None:
    put = {"größe/🍎 #1": bytes(range(256)), "a": b"{}", "b" * 256: b"x", "C536379": "é".encode()}
    stream.put([Entry(key, data) for key, data in put.items()])
    held = read_all(stream, len(put))
    assert {record.key: record.data for record in held} == put
    for record in held:
        assert record.shard in {shard.id for shard in stream.state().shards}
        assert abs(record.arrived - time.time()) < 60
        assert int(record.sequence) > 0


def test_putting_nothing_is_no_error(stream: Stream) -> None:
    stream.put([])
    assert read_all(stream, 0) == []


def test_more_entries_than_a_request_holds_keep_the_order_of_each_key(stream: Stream) -> None:
    given = entries(keys=17, each=33)
    stream.put(given[:7])
    stream.put(given[7:])
    held = read_all(stream, len(given))
    assert len(held) == len(given) == 561
    for key in range(17):
        mine = [record for record in held if record.key == f"key-{key}"]
        assert [record.data for record in mine] == [str(number).encode() for number in range(33)]
        assert len({record.shard for record in mine}) == 1


def test_many_keys_fill_all_shards(stream: Stream) -> None:
    stream.put(entries(keys=200, each=1))
    counts = {shard.id: 0 for shard in stream.state().shards}
    for record in read_all(stream, 200):
        counts[record.shard] += 1
    assert min(counts.values()) >= 200 / SHARDS / 3


def test_large_records_come_back_whole_and_in_order(stream: Stream) -> None:
    given = [bytes([number]) * 500_000 for number in range(12)]
    stream.put([Entry("large", data) for data in given])
    assert [record.data for record in read_all(stream, 12)] == given


def test_reading_goes_on_after_a_position_and_keeps_to_its_limit(stream: Stream) -> None:
    shard, sequences = only_shard(stream, 10)
    assert [record.sequence for record in read_on(stream, shard.id, START, 3)] == sequences[:3]
    assert [record.sequence for record in read_on(stream, shard.id, sequences[2], 4)] == sequences[3:7]
    assert [record.sequence for record in read_on(stream, shard.id, sequences[6], 3)] == sequences[7:]
    assert list(stream.read(shard.id, sequences[9], 1000).records) == []
    for limit in (1, 3):
        assert len(stream.read(shard.id, START, limit).records) <= limit
    assert sequences == sorted(set(sequences), key=int)


def test_what_is_put_later_follows_in_the_shard(stream_backend: StreamBackend) -> None:
    first, other = stream_backend.open(), stream_backend.open()
    shard, sequences = only_shard(first, 2)
    other.put([Entry("one", b"2")])
    (later,) = read_on(first, shard.id, sequences[-1], 1)
    assert later.data == b"2"
    assert int(later.sequence) > int(sequences[-1])


def test_of_many_writers_at_once_none_loses_a_record_or_its_order(stream_backend: StreamBackend) -> None:
    writers, numbers = range(4), range(12)

    def put(writer: int) -> None:
        stream = stream_backend.open()
        for number in numbers:
            stream.put([Entry(f"key-{writer}", f"{writer}-{number}".encode())])

    with ThreadPoolExecutor(len(writers)) as threads:
        list(threads.map(put, writers))
    held = read_all(stream_backend.open(), len(writers) * len(numbers))
    for writer in writers:
        mine = [record.data.decode() for record in held if record.key == f"key-{writer}"]
        assert list(dict.fromkeys(mine)) == [f"{writer}-{number}" for number in numbers]


# Claims and positions.


def test_a_shard_has_one_worker_of_a_consumer_at_a_time(stream_backend: StreamBackend) -> None:
    mine, other = stream_backend.open(), stream_backend.open()
    shard, next_shard, *_ = mine.state().shards
    with mine.claim(WORKER, shard) as claim:
        assert the(claim).position == START
        for worker in (mine, other):
            with worker.claim(WORKER, shard) as second:
                assert second is None
        with other.claim("raw_zone", shard) as of_another_consumer, other.claim(WORKER, next_shard) as of_another_shard:
            assert of_another_consumer is not None
            assert of_another_shard is not None
    with other.claim(WORKER, shard) as afterwards:
        assert afterwards is not None


def test_of_threads_that_claim_a_shard_at_once_one_gets_it(stream_backend: StreamBackend) -> None:
    stream, shard = stream_backend.open(), stream_backend.open().state().shards[0]
    at_once, tried = threading.Barrier(6), threading.Barrier(6)

    def claims(_: int) -> bool:
        at_once.wait()
        with stream.claim(WORKER, shard) as claim:
            tried.wait()
            return claim is not None

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(claims, range(6))) == [False] * 5 + [True]


def test_an_error_in_the_block_ends_the_claim_and_goes_on_up(stream: Stream) -> None:
    shard = stream.state().shards[0]
    with pytest.raises(ZeroDivisionError), stream.claim(WORKER, shard):
        _ = 1 // 0
    with stream.claim(WORKER, shard) as claim:
        assert claim is not None


def test_a_committed_position_is_where_the_next_worker_begins(stream_backend: StreamBackend) -> None:
    stream = stream_backend.open()
    shard, sequences = only_shard(stream, 5)
    with stream.claim(WORKER, shard) as claim:
        the(claim).commit(sequences[1])
        the(claim).commit(sequences[2])
        assert the(claim).position == sequences[2]
    for opened in (stream, stream_backend.open()):
        assert position_of(opened, WORKER, shard) == sequences[2]
        assert position_of(opened, "raw_zone", shard) == START
    assert [record.data for record in read_on(stream, shard.id, sequences[2], 2)] == [b"3", b"4"]


def test_the_shard_of_a_killed_worker_is_taken_over_where_it_committed_last(
    stream_backend: StreamBackend, tmp_path: Path, child_processes: ForkServerContext
) -> None:
    stream = stream_backend.open()
    shard, sequences = only_shard(stream, 4)
    held = tmp_path / "held"
    worker = child_processes.Process(target=hold, args=(stream_backend.open_to_die, WORKER, shard, sequences[1], held))
    worker.start()
    eventually(held.exists)
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    # Within no time, where a claim ends with its worker.
    within = PATIENCE_SECONDS if stream_backend.leases else 0.0
    assert position_of(stream, WORKER, shard, within) == sequences[1]


# Rewinding.


def test_a_consumer_rewound_to_the_start_reads_all_again_and_others_dont(stream: Stream) -> None:
    shard, sequences = only_shard(stream, 3)
    for consumer in (WORKER, "raw_zone"):
        with stream.claim(consumer, shard) as claim:
            the(claim).commit(sequences[-1])
    stream.rewind(WORKER, Rewind())
    again = read_on(stream, shard.id, position_of(stream, WORKER, shard), 3)
    assert [record.sequence for record in again] == sequences
    assert position_of(stream, "raw_zone", shard) == sequences[-1]


def test_a_consumer_rewound_to_a_time_reads_what_arrived_from_then_on(stream_backend: StreamBackend) -> None:
    stream = stream_backend.open()
    shard, early = only_shard(stream, 2)
    time.sleep(2 * stream_backend.tick_seconds)
    since = time.time()
    time.sleep(2 * stream_backend.tick_seconds)
    stream.put([Entry("one", b"late")])
    (late,) = read_on(stream, shard.id, early[-1], 1)
    with stream.claim(WORKER, shard) as claim:
        the(claim).commit(late.sequence)
    stream.rewind(WORKER, Rewind("since", since))
    assert [record.data for record in read_on(stream, shard.id, position_of(stream, WORKER, shard), 1)] == [b"late"]
    stream.rewind(WORKER, Rewind("since", since - 3600))
    again = read_on(stream, shard.id, position_of(stream, WORKER, shard), 3)
    assert [record.data for record in again] == [b"0", b"1", b"late"]


def test_a_consumer_rewound_to_now_reads_only_what_is_still_to_come(stream_backend: StreamBackend) -> None:
    stream = stream_backend.open()
    shard, _ = only_shard(stream, 3)
    time.sleep(2 * stream_backend.tick_seconds)
    stream.rewind(WORKER, Rewind("since", time.time()))
    time.sleep(2 * stream_backend.tick_seconds)
    stream.put([Entry("one", b"new")])
    assert [record.data for record in read_on(stream, shard.id, position_of(stream, WORKER, shard), 1)] == [b"new"]


def test_a_consumer_at_work_is_not_rewound_at_any_of_its_shards(stream: Stream) -> None:
    shard, sequences = only_shard(stream, 3)
    with stream.claim(WORKER, shard) as claim:
        the(claim).commit(sequences[-1])
    for busy in stream.state().shards:
        if busy != shard:
            with stream.claim(WORKER, busy), pytest.raises(StreamBusy, match="Stop the workers"):
                stream.rewind(WORKER, Rewind())
    assert position_of(stream, WORKER, shard) == sequences[-1]


# Lag.


def test_lag_is_what_a_consumer_has_not_committed(stream: Stream) -> None:
    shard, sequences = only_shard(stream, 4)

    def lag() -> tuple[int | None, float]:
        by_shard = {lag.shard: lag for lag in stream.lag(WORKER)}
        assert set(by_shard) == {shard.id for shard in stream.state().shards}
        for other in set(by_shard) - {shard.id}:
            assert by_shard[other].records in {None, 0}
            assert by_shard[other].seconds == 0
        return by_shard[shard.id].records, by_shard[shard.id].seconds

    time.sleep(0.01)
    records, seconds = lag()
    assert records in {None, 4}
    assert 0 < seconds < 60
    with stream.claim(WORKER, shard) as claim:
        the(claim).commit(sequences[2])
        assert lag()[0] in {None, 1}
        the(claim).commit(sequences[3])
    records, seconds = lag()
    assert records in {None, 0}
    assert seconds == 0


def test_trimming_leaves_what_is_within_the_retention(stream: Stream) -> None:
    shard, sequences = only_shard(stream, 3)
    assert stream.trim() == 0
    assert [record.sequence for record in read_on(stream, shard.id, START, 3)] == sequences


def test_all_shards_can_be_worked_on_at_once_and_every_record_is_dealt_with(stream_backend: StreamBackend) -> None:
    stream = stream_backend.open()
    given = entries(keys=30, each=4)
    stream.put(given)
    read_all(stream, len(given))
    with ExitStack() as claims:
        claimed = [the(claims.enter_context(stream.claim(WORKER, shard))) for shard in stream.state().shards]

        def work(number: int) -> list[tuple[str, bytes]]:
            claim, dealt_with = claimed[number], []
            for _ in range(3):  # empty answers in a row
                while batch := stream.read(claim.shard.id, claim.position, 7).records:
                    dealt_with += [(record.key, record.data) for record in batch]
                    claim.commit(batch[-1].sequence)
            return dealt_with

        with ThreadPoolExecutor(len(claimed)) as threads:
            seen = [record for shard in threads.map(work, range(len(claimed))) for record in shard]
    assert sorted(seen) == sorted((entry.key, entry.data) for entry in given)
    assert all(lag.records in {None, 0} for lag in stream.lag(WORKER))
