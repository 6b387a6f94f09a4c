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


def weekly(first_day: date) -> WeeklyPartitionsDefinition:
    """A partition a Monday from the first one on or after `first_day`. The last Monday up to today has one already.

    Mondays begin in UTC, whatever the time zone of days and schedules: what happened is dated in UTC, so elsewhere a dump could be taken for
    the week's before the week has ended.
    """
    return WeeklyPartitionsDefinition(first_day.isoformat(), timezone="UTC", day_offset=MONDAY, end_offset=1)


def mondays_around(dt: str) -> tuple[str, str]:
    """The Monday before a day, or the day itself if it is one, and the next."""
    day = date.fromisoformat(dt)
    monday = day - timedelta(days=day.weekday())
    return monday.isoformat(), (monday + timedelta(weeks=1)).isoformat()


def require_partition(days: TimeWindowPartitionsDefinition, dt: str, begins_with: str) -> None:
    """Raise InputInvalid, saying which there are, unless `dt` is a partition of `days`; `begins_with` is the variable that says the first."""
    if days.has_partition_key(dt):
        return
    is_weekly = isinstance(days, WeeklyPartitionsDefinition)
    before, after = mondays_around(dt)
    if is_weekly and dt != before:
        raise InputInvalid(
            f"{dt} is no Monday, and a week goes by the Monday that it is told as of. Name {before} or {after}."
        )
    raise InputInvalid(f"There is no {'week' if is_weekly else 'day'} {dt}: {why_none(days, dt, begins_with)}.")


def why_none(days: TimeWindowPartitionsDefinition, dt: str, begins_with: str) -> str:
    """Why a day, or a Monday of weeks, is none of `days`, in words without a full stop; `begins_with` is the variable that says the first."""
    day, monday, each = ("day", "", "days")
    if isinstance(days, WeeklyPartitionsDefinition):
        day, monday, each = ("Monday", "Monday ", "weeks")
    first, last = days.get_first_partition_key(), days.get_last_partition_key()
    if first is None or last is None:
        return f"there are no {each} yet, as {begins_with} lets them begin with {days.start:%Y-%m-%d}"
    if dt > last:
        return f"that {day} has not come yet, and the last that has is {last}"
    return f"{each} run from {monday}{first} to {last}. Earlier ones begin with {begins_with}"
