"""What a sensor on uploads remembers from tick to tick, and how it is kept as the sensor's cursor.

Belongs here: that alone. What is made of it stands in arrival.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class DayState:
    """What is remembered of a day: the listing last seen, the listing and content last started, how often it was, and when last
    (seconds since 1970)."""

    seen: str = ""
    started: str = ""
    content: str = ""
    starts: int = 0
    at: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether something came of the day that was not started yet."""
        return self.seen != self.started


@dataclass(frozen=True)
class SensorCursor:
    """What a sensor remembers between ticks.

    `noticed` are days that a notice named, or that were seen arriving while notices are given, and that were neither started
    nor known to be built so far; `receipts` are those of the messages taken in by the last tick; `looked` is when the newest
    and older days were looked at last, in seconds since 1970. It stays small: a state and a name at most for each day that is a partition,
    a quarter of a kilobyte together, and the receipts of MESSAGES_A_TICK messages.
    """

    days: Mapping[str, DayState] = field(default_factory=dict)
    next_older: int = 0
    noticed: Sequence[str] = ()
    receipts: Sequence[str] = ()
    looked: float = 0.0

    @classmethod
    def of(cls, cursor: str | None) -> "SensorCursor":
        """The memory that a cursor holds; an empty one for none. Older cursors lack what was not remembered then."""
        if not cursor:
            return cls()
        held = json.loads(cursor)
        days = {day: DayState(**state) for day, state in held["days"].items()}
        noticed, receipts = tuple(held.get("noticed", ())), tuple(held.get("receipts", ()))
        return cls(days, held["next_older"], noticed, receipts, held.get("looked", 0.0))

    def cursor(self) -> str:
        """The memory as a cursor."""
        return json.dumps(
            {
                "days": {day: asdict(state) for day, state in self.days.items()},
                "next_older": self.next_older,
                "noticed": list(self.noticed),
                "receipts": list(self.receipts),
                "looked": self.looked,
            }
        )
