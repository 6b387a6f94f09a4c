"""The days that a system's assets are partitioned by."""

from __future__ import annotations

from datetime import date

from dagster import DailyPartitionsDefinition


def daily(first_day: date, timezone: str) -> DailyPartitionsDefinition:
    """A partition a day from `first_day` on. Today has one already: its upload is built as soon as it is there."""
    return DailyPartitionsDefinition(first_day.isoformat(), timezone=timezone, end_offset=1)
