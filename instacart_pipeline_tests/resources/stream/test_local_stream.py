"""The stream on this machine under faults: killed writers and readers, a full disk, removed and damaged files, a clock set back."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from contextlib import suppress
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random

import pytest

from instacart_pipeline.resources.local_machine.sqlite_file import FileDamaged
from instacart_pipeline.resources.stream import START, ClaimLost, Entry, Rewind, Shard, StreamFull
from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline_tests.resources.disks import Disk
from instacart_pipeline_tests.resources.stream_children import put_once, put_until_killed, read_whole
from instacart_pipeline_tests.resources.streams import eventually, the

KILLS = 3
WORKER = "lookups"


def stream_at(home: Path, shards: int = 4, retention_hours: int = 168) -> LocalStream:
    return LocalStream(home=str(home), shards=shards, retention_hours=retention_hours)


def texts(stream: LocalStream, shard: str = "") -> list[str]:
    """What the stream holds, shard by shard."""
    found: list[str] = []
    for each in [shard] if shard else [shard.id for shard in stream.state().shards]:
        after = START
        while records := stream.read(each, after, 500).records:
            found += [record.data.decode() for record in records]
            after = records[-1].sequence
    return found


def numbered(first: int, count: int, key: str = "one") -> list[Entry]:
    return [Entry(key, str(number).encode()) for number in range(first, first + count)]


def files(home: Path) -> list[Path]:
    return sorted((home / "stream" / "transactions").glob("shard-*.sqlite"))


# Killed processes.


def test_every_put_of_a_killed_writer_that_returned_is_there_once_and_in_order(
    tmp_path: Path, child_processes: ForkServerContext
) -> None:
    random, acknowledged = Random(20101201), tmp_path / "acknowledged"  # noqa: S311  # moments to kill at
    acknowledged.touch()
    opened = partial(LocalStream, home=str(tmp_path))
    for life in range(KILLS):
        size = acknowledged.stat().st_size
        writer = child_processes.Process(target=put_until_killed, args=(opened, life, acknowledged))
        writer.start()
        eventually(lambda size=size: acknowledged.stat().st_size > size)  # type: ignore[misc]  # binds the loop's
        time.sleep(random.uniform(0, 0.15))
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
    returned = acknowledged.read_text().split()
    held = texts(stream_at(tmp_path))
    assert len({text.split(".")[1] for text in returned}) == KILLS
    assert len(held) == len(set(held))
    assert set(returned) <= set(held)
    for thread in range(6):
        mine = [tuple(map(int, text.split("."))) for text in held if text.startswith(f"{thread}.")]
        assert mine == sorted(mine)
    for file in files(tmp_path):
        with sqlite3.connect(file) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.usefixtures("child_processes")
def test_a_forked_child_opens_files_of_its_own(tmp_path: Path) -> None:
    stream = stream_at(tmp_path)
    stream.put(numbered(0, 3))
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            stream.put(numbered(3, 3))
            os._exit(0 if texts(stream) == [str(number) for number in range(6)] else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    stream.put(numbered(6, 3))
    assert texts(stream) == [str(number) for number in range(9)]


# Full disks.


def test_on_a_full_disk_a_put_fails_whole_and_everything_goes_on_once_there_is_room(small_disk: Disk) -> None:
    stream = stream_at(small_disk.path)
    stream.put(numbered(0, 10))
    (shard,) = [file.stem for file in files(small_disk.path) if texts(stream, file.stem)]
    small_disk.fill()
    stored, large = 10, "x" * 1000
    with pytest.raises(StreamFull, match=r"shard-00\d.sqlite can't be written: .* Make room on its disk, then go on."):
        for _ in range(1000):
            stream.put([Entry("one", large.encode())] * 20)
            stored += 20
    for _ in range(3):
        with pytest.raises(StreamFull):
            stream.put([Entry("one", large.encode())] * 200)
        assert len(texts(stream)) == stored
        assert stream.state().records == stored
    small_disk.free()
    stream.put(numbered(10, 5))
    assert [text for text in texts(stream, shard) if text != large] == [str(number) for number in range(15)]
    assert len(texts(stream)) == stored + 5


def test_a_position_is_kept_through_a_full_disk(small_disk: Disk) -> None:
    stream = stream_at(small_disk.path)
    stream.put(numbered(0, 4))
    (shard,) = [file.stem for file in files(small_disk.path) if texts(stream, file.stem)]
    with stream.claim(WORKER, Shard(shard)) as claim:
        the(claim).commit("2")
        small_disk.fill()
        with pytest.raises(StreamFull):
            for _ in range(10_000):
                the(claim).commit("3")
        small_disk.free()
        the(claim).commit("4")
    with stream.claim(WORKER, Shard(shard)) as claim:
        assert the(claim).position == "4"


def test_the_first_put_of_all_on_a_full_disk_says_so(small_disk: Disk) -> None:
    small_disk.fill()
    stream = stream_at(small_disk.path)
    with pytest.raises(StreamFull, match="Make room on its disk"):
        stream.put(numbered(0, 1))
    small_disk.free()
    stream.put(numbered(0, 1))
    assert texts(stream) == ["0"]


# Files that were removed, damaged or made under other settings.


def test_a_stream_whose_folder_was_removed_begins_anew_for_writers_and_consumers(tmp_path: Path) -> None:
    stream = stream_at(tmp_path)
    stream.put(numbered(0, 5))
    shard = next(file.stem for file in files(tmp_path) if texts(stream, file.stem))
    with stream.claim(WORKER, Shard(shard)) as claim:
        the(claim).commit("5")
        shutil.rmtree(tmp_path / "stream")
        with pytest.raises(ClaimLost, match="was removed"):
            the(claim).commit("5")
    stream.put(numbered(100, 3))
    assert texts(stream) == texts(stream_at(tmp_path)) == ["100", "101", "102"]
    with stream.claim(WORKER, Shard(shard)) as claim:
        assert the(claim).position == START


def test_a_file_that_is_made_in_place_of_a_lost_one_gives_none_of_its_numbers_again(tmp_path: Path) -> None:
    stream, numbers, last = stream_at(tmp_path, shards=1), list[int](), START
    for _ in range(3):
        stream.put(numbered(0, 500))
        with stream.claim(WORKER, Shard("shard-000")) as claim:
            new = stream.read("shard-000", last, 1000).records  # by a worker that still goes by a position of old
            last = new[-1].sequence
            the(claim).commit(last)
            assert [lag.records for lag in stream.lag(WORKER)] == [0]
        numbers += [int(record.sequence) for record in new]
        (file,) = files(tmp_path)
        for part in file.parent.glob("shard-000.sqlite*"):
            part.rename(tmp_path / part.name)
    assert len(numbers) == 1500
    assert numbers == sorted(set(numbers))
    assert max(numbers) < 2**53  # so that they are told from each other in any language


def test_processes_that_make_a_file_at_once_begin_at_one_number(
    tmp_path: Path, child_processes: ForkServerContext
) -> None:
    opened = partial(LocalStream, home=str(tmp_path), shards=1)
    writers = [child_processes.Process(target=put_once, args=(opened,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    held = [int(record.sequence) for record in stream_at(tmp_path, shards=1).read("shard-000", START, 10).records]
    assert held == list(range(held[0], held[0] + 4))


def test_a_damaged_file_is_named_and_the_other_shards_go_on(tmp_path: Path) -> None:
    stream_at(tmp_path, shards=1).put(numbered(0, 1))
    shutil.copytree(tmp_path / "stream", tmp_path / "copy" / "stream")
    (damaged,) = files(tmp_path / "copy")
    for beside in damaged.parent.glob("*-wal"):
        beside.unlink()
    damaged.write_bytes(b"no database at all, but text" * 1000)
    stream = stream_at(tmp_path / "copy", shards=2)
    for use in (partial(stream.read, "shard-000", START, 1), stream.state, partial(stream.lag, WORKER)):
        with pytest.raises(FileDamaged, match=r"shard-000.sqlite is damaged: .* Move it aside"):
            use()
    assert list(stream.read("shard-001", START, 1).records) == []


def test_all_shards_that_were_written_to_are_read_whatever_their_number_is_now(tmp_path: Path) -> None:
    for shards in (4, 2, 6):
        stream_at(tmp_path, shards=shards).put([Entry(f"key-{n}", f"{shards}-{n}".encode()) for n in range(60)])
    for shards in (1, 6):
        stream = stream_at(tmp_path, shards=shards)
        assert sorted(texts(stream)) == sorted(f"{shards}-{n}" for shards in (4, 2, 6) for n in range(60))
        assert stream.state().records == sum(lag.records or 0 for lag in stream.lag(WORKER)) == 180


# Time.


def test_records_past_the_retention_go_and_numbers_are_never_given_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, now = stream_at(tmp_path, shards=1, retention_hours=1), time.time()
    for hours_ago in (3, 2, 0.5):
        monkeypatch.setattr(time, "time", lambda hours_ago=hours_ago: now - hours_ago * 3600)
        stream.put(numbered(0, 3))
    monkeypatch.setattr(time, "time", lambda: now)
    assert [lag.records for lag in stream.lag(WORKER)] == [9]
    first = int(stream.read("shard-000", START, 1).records[0].sequence)
    assert (stream.trim(), stream.trim()) == (6, 0)
    held = [int(record.sequence) for record in stream.read("shard-000", START, 10).records]
    assert held == [first + 6, first + 7, first + 8]
    assert [(lag.records, round(lag.seconds)) for lag in stream.lag(WORKER)] == [(3, 1800)]
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    assert stream.trim() == 3
    assert (stream.state().records, texts(stream)) == (0, [])
    stream.put(numbered(0, 1))
    assert [int(record.sequence) for record in stream.read("shard-000", START, 10).records] == [first + 9]


def test_what_a_consumer_has_not_read_is_kept_past_the_retention(tmp_path: Path) -> None:
    stream = LocalStream(home=str(tmp_path), shards=1, retention_hours=0, consumers=[WORKER, "raw_zone"])
    stream.put(numbered(0, 10))
    time.sleep(0.01)
    held = [record.sequence for record in stream.read("shard-000", START, 10).records]
    assert stream.trim() == 0
    with stream.claim(WORKER, Shard("shard-000")) as claim, stream.claim("raw_zone", Shard("shard-000")) as other:
        the(claim).commit(held[7])
        assert stream.trim() == 0  # the other one never began
        the(other).commit(held[3])
        assert (stream.trim(), texts(stream)) == (4, [str(number) for number in range(4, 10)])
    assert [lag.records for lag in (*stream.lag(WORKER), *stream.lag("raw_zone"))] == [2, 6]
    stream.rewind(WORKER, Rewind())
    assert stream.trim() == 0


def test_trimming_many_records_removes_all_of_them(tmp_path: Path) -> None:
    stream = stream_at(tmp_path, shards=1, retention_hours=0)
    stream.put(numbered(0, 12_000))
    time.sleep(0.01)
    assert stream.trim() == 12_000
    assert stream.state().records == 0


def test_a_clock_that_is_set_back_hides_no_record_from_a_rewind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, now = stream_at(tmp_path, shards=1), time.time()
    for moment in (0.0, 100.0, 40.0, 110.0):
        monkeypatch.setattr(time, "time", lambda moment=moment: now + moment)
        stream.put(numbered(int(moment), 1))
    for since, first in ((-5.0, 0), (0.0, 0), (0.1, 1), (99.0, 1), (100.1, 3), (111.0, 4)):
        stream.rewind(WORKER, Rewind("since", now + since))
        with stream.claim(WORKER, Shard("shard-000")) as claim:
            after = the(claim).position
        left = [record.data for record in stream.read("shard-000", after, 10).records]
        assert left == [b"0", b"100", b"40", b"110"][first:]


# Memory.


def test_reading_a_long_shard_takes_the_memory_of_a_batch(tmp_path: Path, child_processes: ForkServerContext) -> None:
    stream, data = stream_at(tmp_path, shards=1), b"x" * 4000
    for _ in range(2):
        stream.put([Entry("one", data)] * 10_000)
    reader = child_processes.Process(
        target=read_whole, args=(partial(LocalStream, home=str(tmp_path), shards=1), "shard-000", tmp_path / "grown")
    )
    reader.start()
    reader.join()
    read, kilobytes = map(int, (tmp_path / "grown").read_text().split())
    assert read == 20_000
    assert kilobytes < 30_000  # of 60,000 that came after the first batches
