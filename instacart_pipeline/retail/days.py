"""The days that lines may be of: those that are partitions, and tomorrow, which is about to be one.

Belongs here: telling which day is none, so that whoever takes lines refuses them, rather than leaving them where no run ever looks.
Doesn't: the partitions themselves (orchestration/partitions.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class LineDays:
    """From `first` to tomorrow, by the clock of `zone`: a shop whose clock is ahead may already be there."""

    first: date
    zone: ZoneInfo

    def bounds(self) -> tuple[str, str]:
        """The first and the last day, as of now: 2010-12-01."""
        return self.first.isoformat(), (datetime.now(self.zone).date() + timedelta(days=1)).isoformat()

    def outside(self, days: Iterable[str]) -> list[str]:
        """Those of `days` that are none of them, each once, in order."""
        first, last = self.bounds()
        return sorted({day for day in days if not first <= day <= last})
