"""The days and weeks that there are, and what is said of one that is not."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.orchestration.partitions import daily, hold_partition, mondays_around, weekly

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
        hold_partition(weekly(FIRST), "2024-07-25", "INSTACART_CUSTOMERS_FIRST_DAY")


@pytest.mark.parametrize(
    "dt", ["2023-12-25", (date.today() + timedelta(days=7 - date.today().weekday())).isoformat()]
)  # UTC here
def test_a_monday_before_the_first_or_after_today_is_refused_naming_the_first_and_the_last(dt: str) -> None:
    weeks = weekly(FIRST)
    last = weeks.get_last_partition_key()
    with pytest.raises(InputInvalid, match=rf"There is no week {dt}: weeks run from Monday 2024-01-01 to {last}\."):
        hold_partition(weeks, dt, "INSTACART_CUSTOMERS_FIRST_DAY")


def test_a_day_of_a_daily_system_may_be_any_from_its_first_on() -> None:
    hold_partition(daily(FIRST, "UTC"), "2024-07-25", "INSTACART_FIRST_DAY")
    with pytest.raises(
        InputInvalid, match=r"There is no day 2023-12-31: .* Earlier ones begin with INSTACART_FIRST_DAY"
    ):
        hold_partition(daily(FIRST, "UTC"), "2023-12-31", "INSTACART_FIRST_DAY")


def test_the_last_monday_up_to_today_is_a_week_already() -> None:
    today = date.today()  # the machine's day is UTC's, as the partitions'
    hold_partition(weekly(FIRST), (today - timedelta(days=today.weekday())).isoformat(), "")
