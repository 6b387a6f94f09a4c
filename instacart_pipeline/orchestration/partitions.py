"""The days that a system's assets are partitioned by."""

from __future__ import annotations

from datetime import date

from dagster import DailyPartitionsDefinition, WeeklyPartitionsDefinition

MONDAY = 1
"""As cron counts the days of a week."""


def daily(first_day: date, timezone: str) -> DailyPartitionsDefinition:
    """A partition a day from `first_day` on. Today has one already: its upload is built as soon as it is there."""
    return DailyPartitionsDefinition(first_day.isoformat(), timezone=timezone, end_offset=1)


def weekly(first_day: date, timezone: str) -> WeeklyPartitionsDefinition:
    """A partition a Monday from the first one on or after `first_day`. The last Monday up to today has one already."""
    return WeeklyPartitionsDefinition(first_day.isoformat(), timezone=timezone, day_offset=MONDAY, end_offset=1)
