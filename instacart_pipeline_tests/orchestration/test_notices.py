"""Notices of uploads in the state machine: days that are named are looked at wherever they lie, and nothing is lost or done twice."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from instacart_pipeline.orchestration.arrival import (
    FALLBACK_SECONDS,
    MESSAGES_A_TICK,
    NEWEST_DAYS,
    NOTICED_A_TICK,
    OLDER_DAYS_A_TICK,
)
from instacart_pipeline.orchestration.arrival_memory import SensorCursor
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.storage import RawObject, Storage
from instacart_pipeline_tests.orchestration.watch import HIDDEN, SETTLE, TABLES, Watch

FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAYS = [f"{FIRST + timedelta(days=number):%Y-%m-%d}" for number in range(320)]
OLD = DAYS[100]
UNNOTICED = (len(DAYS) - NEWEST_DAYS) // OLDER_DAYS_A_TICK
"""So many looks around go by before the turn of all the older days comes to an end."""


def watch_of(home: Path) -> Watch:
    """A watch over 320 days, of which only one old day is anything but an empty folder; its turn has just gone by."""
    watch = Watch(home, DAYS, told=True)
    for day in DAYS:
        (home / "lake" / "raw" / "reorder" / "aisles" / f"dt={day}").mkdir(parents=True)
    older = DAYS[::-1][NEWEST_DAYS:]
    watch.cursor = SensorCursor(next_older=older.index(OLD) + 1).cursor()
    return watch


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return watch_of(tmp_path)


# A step: what happens, then a tick; how often the day was started by then, whether it is remembered as named, how many
# messages are in the queue afterwards. "died" says that the daemon died before it recorded the tick.

Step = tuple[str, int, bool, int]

SITUATIONS: dict[str, list[Step]] = {
    "named": [("A named", 0, True, 1), ("", 1, False, 0), ("", 1, False, 0)],
    "not named: its turn comes later": [("A", 0, False, 0), ("", 0, False, 0), ("", 0, False, 0)],
    "named by many messages at once": [("A named named named", 0, True, 3), ("", 1, False, 0)],
    "named file by file": [("A named", 0, True, 1), ("named", 1, False, 1), ("", 1, False, 0)],
    "named again after its start": [
        ("A named", 0, True, 1),
        ("", 1, False, 0),
        ("named", 1, False, 1),
        ("", 1, False, 0),
    ],
    "replaced, and named": [
        ("A named", 0, True, 1),
        ("", 1, False, 0),
        ("B named", 1, True, 1),
        ("", 2, False, 0),
    ],
    "growing from tick to tick, named once": [
        ("A named", 0, True, 1),
        ("B", 0, True, 0),
        ("C", 0, True, 0),
        ("D", 0, True, 0),
        ("", 1, False, 0),
    ],
    "half of it, and no notice of the rest": [
        ("half named", 0, True, 1),
        ("", 0, True, 0),
        ("A", 0, True, 0),
        ("", 1, False, 0),
    ],
    "named before it is there, and again when it is": [
        ("named", 0, False, 1),
        ("", 0, False, 0),
        ("A named", 0, True, 1),
        ("", 1, False, 0),
    ],
    "taken away altogether": [("A named", 0, True, 1), ("gone", 0, False, 0), ("", 0, False, 0)],
    "built by hand": [("A named", 0, True, 1), ("built", 0, False, 0), ("named", 0, False, 1), ("", 0, False, 0)],
    "the daemon dies with the first tick: the message comes again": [
        ("A named died", 0, False, 1),
        ("", 0, False, 1),
        ("later", 0, True, 1),
        ("", 1, False, 0),
    ],
    "the daemon dies with the tick that starts it: the same start again": [
        ("A named", 0, True, 1),
        ("died", 1, True, 0),
        ("", 1, False, 0),
        ("", 1, False, 0),
    ],
    "the daemon dies again and again": [
        ("A named", 0, True, 1),
        *[("died", 1, True, 0)] * 5,
        ("", 1, False, 0),
    ],
    "the daemon dies, and another message comes meanwhile": [
        ("A named", 0, True, 1),
        ("named died", 1, True, 1),
        ("", 1, False, 1),
        ("later", 1, False, 1),
        ("", 1, False, 0),
    ],
    "the queue fails before the message is deleted": [
        ("A named", 0, True, 1),
        ("down", 1, False, 1),
        ("down", 1, False, 1),
        ("", 1, False, 0),
    ],
    "the queue fails for so long that the message is seen again": [
        ("A named", 0, True, 1),
        ("down", 1, False, 1),
        ("later", 1, False, 0),
        ("", 1, False, 0),
    ],
    "the queue fails before the message is received": [
        ("A named down", 0, False, 1),
        ("", 0, True, 1),
        ("", 1, False, 0),
    ],
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_named_day_is_started_once_for_each_content_and_no_message_is_lost(watch: Watch, situation: str) -> None:
    keys: set[str] = set()
    for happens, started, remembered, in_queue in SITUATIONS[situation]:
        words = happens.split()
        for word in words:
            if word == "half":
                watch.write(t.STAGED_AISLES, "A", OLD)
            elif word == "gone":
                for table in TABLES:
                    shutil.rmtree(
                        watch.home / "lake" / "raw" / "reorder" / table.name / f"dt={OLD}", ignore_errors=True
                    )
            elif word == "built":
                watch.build(OLD)
            elif word == "named":
                watch.queue.send(OLD)
            elif len(word) == 1:
                watch.upload(word, OLD)
        tick = watch.tick(HIDDEN + 60 if "later" in words else 60, down="down" in words, recorded="died" not in words)
        keys |= {start.key for start in tick.starts}
        assert bool(watch.heard.trouble) == ("down" in words)
        assert (len(keys), OLD in watch.memory.noticed, len(watch.queue.messages)) == (started, remembered, in_queue)
        if "died" not in words:
            assert watch.memory == tick.memory


def looked_at(watch: Watch) -> set[str]:
    """The days that were looked at since this was asked last."""
    days = {entry.split()[1] for entry in watch.storage.listed}
    watch.storage.listed.clear()
    return days


def test_a_new_day_whose_notice_was_lost_is_found_within_the_interval_and_followed_from_then_on(watch: Watch) -> None:
    watch.tick()
    watch.upload("A", DAYS[-1])
    told = [watch.tick(FALLBACK_SECONDS / 4).waiting.get(DAYS[-1], "") for _ in range(4)]
    assert told == ["", "", "", "is still arriving"]
    (start,) = watch.tick(SETTLE).starts
    assert start.dt == DAYS[-1]


def test_an_older_day_whose_notice_was_lost_is_found_in_its_turn_and_followed_from_then_on(watch: Watch) -> None:
    watch.upload("A", OLD)
    starts: list[str] = []
    for _ in range(UNNOTICED + 1):
        starts += [start.dt for start in watch.tick(FALLBACK_SECONDS).starts]
    starts += [start.dt for start in watch.tick(SETTLE).starts]
    assert starts == [OLD]


def test_between_two_looks_around_nothing_is_looked_at_but_what_was_named_or_is_arriving(watch: Watch) -> None:
    around = set(DAYS[-NEWEST_DAYS:])
    watch.tick()
    assert looked_at(watch) > around
    watch.tick()
    assert looked_at(watch) == set()
    watch.upload("A", OLD)
    watch.queue.send(OLD)
    for _ in range(2):
        watch.tick()
        assert looked_at(watch) == {OLD}
    watch.tick()
    assert looked_at(watch) == set()
    turn = watch.memory.next_older
    watch.tick(FALLBACK_SECONDS)
    assert looked_at(watch) > around
    assert watch.memory.next_older == turn + OLDER_DAYS_A_TICK


def test_all_days_of_a_look_around_that_are_arriving_are_followed_until_they_are_started(watch: Watch) -> None:
    for day in DAYS[-NEWEST_DAYS:]:
        watch.upload("A", day)
    starts = [start.dt for _ in range(4) for start in watch.tick().starts]
    assert starts == DAYS[: -NEWEST_DAYS - 1 : -1]
    assert watch.memory.noticed == ()


def test_while_the_queue_fails_every_tick_looks_around_and_so_does_the_first_after(watch: Watch) -> None:
    watch.tick()
    for down in (True, True, False):
        looked_at(watch)
        watch.tick(down=down)
        assert looked_at(watch) > set(DAYS[-NEWEST_DAYS:])
    looked_at(watch)
    watch.tick()
    assert looked_at(watch) == set()


def test_a_clock_that_was_set_back_does_not_put_off_the_look_around(watch: Watch) -> None:
    watch.tick()
    looked_at(watch)
    watch.tick(-86_400)
    assert looked_at(watch) > set(DAYS[-NEWEST_DAYS:])


def test_without_its_queue_the_sensor_goes_on_and_says_so(watch: Watch) -> None:
    watch.upload("A", DAYS[-1])
    watch.tick(down=True)
    (start,) = watch.tick(down=True).starts
    assert start.dt == DAYS[-1]
    assert watch.heard.trouble == (
        "Notices of uploads can't be had, days are only looked at in turn: the queue does not answer"
    )


def test_what_a_notice_names_that_is_none_is_told_and_forgotten(watch: Watch) -> None:
    watch.queue.send("1999-12-31")
    watch.queue.send(OLD, table="aisles_old")
    watch.queue.send(OLD, system="retail")
    tick = watch.tick()
    assert list(watch.heard.unrecognized) == [
        "reorder/aisles of 1999-12-31",
        f"reorder/aisles_old of {OLD}",
        f"retail/aisles of {OLD}",
    ]
    assert tick.memory.noticed == ()
    watch.tick()
    assert watch.queue.messages == []


def test_a_cursor_from_before_looks_around_were_spared_is_gone_on_with(watch: Watch) -> None:
    watch.tick()
    held = json.loads(watch.cursor or "")
    del held["looked"]
    watch.cursor = json.dumps(held)
    watch.upload("A", DAYS[-1])
    assert watch.tick().waiting[DAYS[-1]] == "is still arriving"


def test_a_cursor_from_before_there_were_notices_is_gone_on_with(watch: Watch) -> None:
    watch.upload("A", DAYS[-1])
    watch.tick()
    held = json.loads(watch.cursor or "")
    del held["noticed"], held["receipts"], held["looked"]
    watch.cursor = json.dumps(held)
    (start,) = watch.tick().starts
    assert start.dt == DAYS[-1]


# Many at once.


def test_a_flood_of_messages_is_taken_in_a_few_a_tick_and_every_day_is_started_once(watch: Watch) -> None:
    for day in DAYS:
        watch.upload("A", day)
        for table in TABLES:
            watch.queue.send(day, table.name)
    starts: list[str] = []
    longest = 0
    for _ in range(150):
        in_queue = len(watch.queue.messages)
        watch.storage.listed.clear()
        starts += [start.dt for start in watch.tick().starts]
        assert in_queue - len(watch.queue.messages) <= MESSAGES_A_TICK
        assert len(watch.memory.receipts) <= MESSAGES_A_TICK
        looks = len(watch.storage.listed) / len(TABLES)
        assert looks <= NEWEST_DAYS + OLDER_DAYS_A_TICK + NOTICED_A_TICK
        longest = max(longest, len(watch.cursor or ""))
    assert sorted(starts) == DAYS
    assert (watch.queue.messages, watch.memory.noticed) == ([], ())
    assert longest < 350 * len(DAYS) + 100 * MESSAGES_A_TICK


def test_uploads_that_were_abandoned_half_way_hold_up_nobody(watch: Watch) -> None:
    abandoned = DAYS[: 3 * NOTICED_A_TICK]
    for day in abandoned:
        if day != OLD:
            watch.write(t.STAGED_AISLES, "half", day)
            watch.queue.send(day)
    for _ in range(6):
        watch.tick()
    assert len(watch.memory.noticed) == len(abandoned) - 1
    watch.upload("A", OLD)
    watch.queue.send(OLD)
    watch.tick()
    (start,) = watch.tick().starts
    assert start.dt == OLD


def test_a_settled_day_that_is_named_without_end_is_digested_once(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests: list[str] = []
    etag = watch.storage.etag

    def counted(_: Storage, found: RawObject) -> str:
        digests.append(found.path)
        return etag(found)

    monkeypatch.setattr(type(watch.storage), "etag", counted)
    watch.upload("A", OLD)
    for _ in range(10):
        watch.queue.send(OLD)
        watch.tick()
    assert len(digests) == len(TABLES)


def test_a_start_and_the_messages_it_came_from_are_recorded_together(watch: Watch) -> None:
    watch.upload("A", OLD)
    watch.queue.send(OLD)
    first = watch.tick()
    assert (first.memory.noticed, len(first.memory.receipts)) == ((OLD,), 1)
    second = watch.tick()
    assert (second.memory.noticed, second.memory.receipts) == ((), ())
    assert second.memory.days[OLD].starts == 1
