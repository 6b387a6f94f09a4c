"""The days that a system's assets are partitioned by."""

from __future__ import annotations

from datetime import date, timedelta

from dagster import DailyPartitionsDefinition, TimeWindowPartitionsDefinition, WeeklyPartitionsDefinition

from instacart_pipeline.lake.errors import InputInvalid

MONDAY = 1
"""As cron counts the days of a week."""


def daily(first_day: date, timezone: str) -> DailyPartitionsDefinition:
    """A partition a day from `first_day` on. Today has one already: its upload is built as soon as it is there."""
    return DailyPartitionsDefinition(first_day.isoformat(), timezone=timezone, end_offset=1)


def weekly(first_day: date, timezone: str) -> WeeklyPartitionsDefinition:
    """A partition a Monday from the first one on or after `first_day`. The last Monday up to today has one already."""
    return WeeklyPartitionsDefinition(first_day.isoformat(), timezone=timezone, day_offset=MONDAY, end_offset=1)


def mondays_around(dt: str) -> tuple[str, str]:
    """The Monday before a day, or the day itself if it is one, and the next."""
    day = date.fromisoformat(dt)
    monday = day - timedelta(days=day.weekday())
    return monday.isoformat(), (monday + timedelta(weeks=1)).isoformat()


def hold_partition(days: TimeWindowPartitionsDefinition, dt: str, begins_with: str) -> None:
    """Raise InputInvalid, saying which there are, unless `dt` is a partition of `days`; `begins_with` is the variable that says the first."""
    if days.has_partition_key(dt):
        return
    weekly = isinstance(days, WeeklyPartitionsDefinition)
    before, after = mondays_around(dt)
    if weekly and dt != before:
        raise InputInvalid(
            f"{dt} is no Monday, and a week goes by the Monday that it is told as of. Name {before} or {after}."
        )
    what, each = ("week", "weeks run from Monday") if weekly else ("day", "days run from")
    raise InputInvalid(
        f"There is no {what} {dt}: {each} {days.get_first_partition_key()} to {days.get_last_partition_key()}. "
        f"Earlier ones begin with {begins_with}."
    )
