"""Days that look back at the day before, such as weeks of customers: the oldest of those due start first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from instacart_pipeline.orchestration.arrival import NEWEST_DAYS, OLDER_DAYS_A_TICK, STARTS_A_TICK, StartLimits
from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.orchestration.watch import Watch

ALL = range(12)
WEEKS = [(date(2026, 9, 7) + timedelta(weeks=number)).isoformat() for number in ALL]
# A step: what happens, to which of the twelve weeks, and which of them the tick that follows starts.
Step = tuple[str, Sequence[int], list[int]]
AFTER_ALL: list[Step] = [("A", ALL, []), ("", (), [0, 1, 2, 3, 4]), ("", (), [5, 6, 7, 8, 9]), ("", (), [10, 11])]

SITUATIONS: dict[str, list[Step]] = {
    "all at once": [*AFTER_ALL, ("", (), [])],
    "the newest first": [
        ("A", (9, 10, 11), []),
        ("A", range(9), []),
        ("", (), [0, 1, 2, 3, 4]),
        ("", (), [5, 6, 7, 8, 9]),
    ],
    "all again": [*AFTER_ALL, ("B", ALL, []), ("", (), [0, 1, 2, 3, 4]), ("", (), [5, 6, 7, 8, 9]), ("", (), [10, 11])],
    "an old one comes while others wait": [
        ("A", range(1, 12), []),
        ("", (), [1, 2, 3, 4, 5]),
        ("A", (0,), [6, 7, 8, 9, 10]),  # the week after it was started already
        ("", (), [0, 11]),
    ],
    "the one before is replaced": [
        ("A", ALL, []),
        ("B", (1,), [0]),
        ("", (), [1, 2, 3, 4, 5]),
        ("", (), [6, 7, 8, 9, 10]),
    ],
    "one is built by hand": [
        ("A", ALL, []),
        ("build", (1,), [0, 2, 3, 4, 5]),
        ("", (), [6, 7, 8, 9, 10]),
        ("", (), [11]),
    ],
    "one lacks a table": [
        ("A", (0, 1, *range(3, 12)), []),
        ("half", (2,), [0, 1, 3, 4, 5]),
        ("", (), [6, 7, 8, 9, 10]),
        ("A", (2,), [11]),
        ("", (), [2]),
    ],
    "one was never uploaded": [("A", (0, 1, 3, 4), []), ("", (), [0, 1, 3, 4])],
}


def in_order(home: Path, days: Sequence[str]) -> Watch:
    watch = Watch(home, days)
    watch.arrival.pace = StartLimits(open_days=520, oldest_first=True)
    return watch


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_oldest_of_those_due_start_first(tmp_path: Path, situation: str) -> None:
    watch = in_order(tmp_path, WEEKS)
    for happens, numbers, started in SITUATIONS[situation]:
        for dt in (WEEKS[number] for number in numbers):
            if happens == "half":
                watch.write(t.STAGED_AISLES, "A", dt)
            elif happens == "build":
                watch.build(dt)
            else:
                watch.upload(happens, dt)
        assert [start.dt for start in watch.tick().starts] == [WEEKS[number] for number in started]


def test_a_week_says_which_goes_before_it(tmp_path: Path) -> None:
    watch = in_order(tmp_path, WEEKS[:3])
    for dt in WEEKS[:3]:
        watch.upload("A", dt)
    watch.tick()
    watch.upload("B", WEEKS[0])
    assert watch.tick().waiting == {
        WEEKS[0]: "is still arriving",
        WEEKS[1]: f"is whole; {WEEKS[0]} goes before it",
        WEEKS[2]: f"is whole; {WEEKS[1]} goes before it",
    }


def test_years_of_weeks_start_in_order_when_they_come_and_when_all_come_again(tmp_path: Path) -> None:
    weeks = [(date(2024, 1, 1) + timedelta(weeks=number)).isoformat() for number in range(100)]
    watch = in_order(tmp_path, weeks)
    turn = -(-(len(weeks) - NEWEST_DAYS) // OLDER_DAYS_A_TICK)
    for text in "AB":
        for dt in weeks:
            watch.upload(text, dt)
        ticks = [watch.tick() for _ in range(turn + 2 + len(weeks) // STARTS_A_TICK)]
        assert [start.dt for tick in ticks for start in tick.starts] == weeks


def test_weeks_that_were_started_are_looked_at_in_turn_only(tmp_path: Path) -> None:
    weeks = [(date(2024, 1, 1) + timedelta(weeks=number)).isoformat() for number in range(60)]
    watch = in_order(tmp_path, weeks)
    for dt in weeks:
        watch.upload("A", dt)
    for _ in range(2 + len(weeks) // STARTS_A_TICK):
        watch.tick()
    watch.storage.listed.clear()
    assert watch.tick().starts == []
    assert len({entry.split()[1] for entry in watch.storage.listed}) == NEWEST_DAYS + OLDER_DAYS_A_TICK
