"""The days and weeks that there are, and what is said of one that is not."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from dagster import TimeWindowPartitionsDefinition

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.orchestration.partitions import daily, mondays_around, require_partition, weekly

FIRST = date(2024, 1, 1)


@pytest.mark.parametrize(
    ("dt", "before", "after"),
    [
        ("2026-11-23", "2026-11-23", "2026-11-30"),
        ("2026-11-24", "2026-11-23", "2026-11-30"),
        ("2026-11-29", "2026-11-23", "2026-11-30"),
        ("2027-01-01", "2026-12-28", "2027-01-04"),
        ("2024-02-29", "2024-02-26", "2024-03-04"),
    ],
)
def test_every_day_lies_between_two_mondays(dt: str, before: str, after: str) -> None:
    assert mondays_around(dt) == (before, after)


def test_a_day_that_is_no_monday_is_refused_naming_the_mondays_around_it() -> None:
    with pytest.raises(InputInvalid, match=r"2024-07-25 is no Monday, .* Name 2024-07-22 or 2024-07-29\."):
        require_partition(weekly(FIRST), "2024-07-25", "INSTACART_CUSTOMERS_FIRST_DAY")


TODAY = date.today()  # the machine's day is UTC's, as the partitions'
MONDAY, NEXT = (TODAY - timedelta(days=TODAY.weekday() - days) for days in (0, 7))
YEARS_AHEAD = date(TODAY.year + 2, 1, 1)
# What there is, a day that is none of it, and what is said.
NONE_OF_THEM: dict[str, tuple[TimeWindowPartitionsDefinition, str, str]] = {
    "a week before the first": (
        weekly(FIRST),
        "2023-12-25",
        f"There is no week 2023-12-25: weeks run from Monday 2024-01-01 to {MONDAY}. Earlier ones begin with THE_FIRST_DAY.",
    ),
    "a Monday to come": (
        weekly(FIRST),
        f"{NEXT}",
        f"There is no week {NEXT}: that Monday has not come yet, and the last that has is {MONDAY}.",
    ),
    "no week yet": (
        weekly(YEARS_AHEAD),
        f"{MONDAY}",
        f"There is no week {MONDAY}: there are no weeks yet, as THE_FIRST_DAY lets them begin with {YEARS_AHEAD}.",
    ),
    "a day before the first": (
        daily(FIRST, "UTC"),
        "2023-12-31",
        f"There is no day 2023-12-31: days run from 2024-01-01 to {TODAY}. Earlier ones begin with THE_FIRST_DAY.",
    ),
    "a day to come": (
        daily(FIRST, "UTC"),
        f"{TODAY + timedelta(days=1)}",
        f"There is no day {TODAY + timedelta(days=1)}: that day has not come yet, and the last that has is {TODAY}.",
    ),
    "no day yet": (
        daily(YEARS_AHEAD, "UTC"),
        f"{TODAY}",
        f"There is no day {TODAY}: there are no days yet, as THE_FIRST_DAY lets them begin with {YEARS_AHEAD}.",
    ),
}


@pytest.mark.parametrize("case", NONE_OF_THEM)
def test_a_day_that_there_is_not_is_refused_saying_why(case: str) -> None:
    days, dt, said = NONE_OF_THEM[case]
    with pytest.raises(InputInvalid, match=f"^{re.escape(said)}$"):
        require_partition(days, dt, "THE_FIRST_DAY")


def test_a_day_of_a_daily_system_may_be_any_from_its_first_to_today() -> None:
    for dt in ("2024-01-01", "2024-07-25", TODAY.isoformat()):
        require_partition(daily(FIRST, "UTC"), dt, "INSTACART_FIRST_DAY")


def test_the_last_monday_up_to_today_is_a_week_already() -> None:
    require_partition(weekly(FIRST), MONDAY.isoformat(), "")
