"""Arrival: when a day's upload has come whole, and whether it still has to be built.

Belongs here: the state machine behind every system's sensor and schedules, free of Dagster so that its situations can be
tested as a table. Doesn't: which tables or jobs (the systems' automation.py).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.storage import RawObject, Storage, listing_digest

NEWEST_DAYS = 7
OLDER_DAYS_A_TICK = 20
"""Besides the newest days, so many older ones are looked at in a tick, in turn: a late re-upload is found all the same."""
STARTS_A_TICK = 5
"""At most so many days are started at once; the others follow in the next ticks. Also bounds how much is digested."""


@dataclass(frozen=True)
class DayState:
    """What is remembered of a day: the listing last seen, the listing and content last started, and how often it was."""

    seen: str = ""
    started: str = ""
    content: str = ""
    starts: int = 0


@dataclass(frozen=True)
class Memory:
    """What a sensor remembers between ticks."""

    days: Mapping[str, DayState] = field(default_factory=dict)
    next_older: int = 0

    @classmethod
    def of(cls, cursor: str | None) -> "Memory":
        """The memory that a cursor holds; an empty one for none."""
        if not cursor:
            return cls()
        held = json.loads(cursor)
        return cls({day: DayState(**state) for day, state in held["days"].items()}, held["next_older"])

    def cursor(self) -> str:
        """The memory as a cursor."""
        return json.dumps(
            {"days": {day: asdict(state) for day, state in self.days.items()}, "next_older": self.next_older}
        )


@dataclass(frozen=True)
class Start:
    """A day to be built. `key` is the same if, and only if, this very upload was started before."""

    dt: str
    key: str


@dataclass(frozen=True)
class Tick:
    """What a look at the raw zone came to: days to start, why others wait, and what to remember."""

    starts: Sequence[Start]
    waiting: Mapping[str, str]
    memory: Memory


class Arrival:
    """Watches the uploads of `tables` of one system. An upload counts as whole once it stood still for `settle_seconds`."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        tables: Sequence[TableContract],
        target: TableContract,
        settle_seconds: float,
    ) -> None:
        self.storage, self.catalog, self.tables, self.target, self.settle = (
            storage,
            catalog,
            tables,
            target,
            settle_seconds,
        )

    def tick(self, memory: Memory, now: float, known_days: Sequence[str]) -> Tick:
        """Look at the newest days and at some older ones. `now` is in seconds since 1970; others than `known_days` are left alone.

        A day is started when every table of it is there, nothing has changed since the look before, the newest file is
        older than the settling time, and its content is not what was started last.
        """
        uploaded = sorted(
            {day for table in self.tables for day in self.storage.days(table.system, table.name)}, reverse=True
        )
        known = set(known_days)
        days = [day for day in uploaded if day in known]
        looked_at, next_older = _in_turn(days, memory.next_older)
        states, waiting = dict(memory.days), dict[str, str]()
        starts: list[Start] = []
        for day in looked_at:
            state = states.get(day, DayState())
            files = self.files(day)
            missing = [table.name for table in self.tables if not files[table.name]]
            if missing:
                waiting[day] = f"waits for {', '.join(missing)}"
                continue
            listing = listing_digest(found for objects in files.values() for found in objects)
            if listing == state.started:
                continue
            newest = max(found.modified_ns for objects in files.values() for found in objects) / 1e9
            if listing != state.seen or now - newest < self.settle:
                states[day] = replace(state, seen=listing)
                waiting[day] = "is still arriving"
                continue
            if len(starts) == STARTS_A_TICK:
                waiting[day] = "is whole; its turn comes in the next tick"
                continue
            content = self._content(files)
            if content == state.content or self.is_built(day, self.target):
                states[day] = replace(state, started=listing, content=content)
                continue
            states[day] = DayState(listing, listing, content, state.starts + 1)
            starts.append(Start(day, f"{day}/{content[:16]}/{state.starts + 1}"))
        return Tick(starts, waiting, Memory(states, next_older))

    def files(self, dt: str) -> dict[str, Sequence[RawObject]]:
        """The files of a day, by table."""
        return {table.name: self.storage.objects(table.system, table.name, dt) for table in self.tables}

    def missing(self, dt: str) -> list[str]:
        """The tables that have no file at a day."""
        return [name for name, files in self.files(dt).items() if not files]

    def is_built(self, dt: str, target: TableContract) -> bool:
        """Whether `target` at `dt` was computed from the files that lie in the raw zone now."""
        built = self.catalog.find(target, dt)
        if built is None:
            return False
        for table in self.tables:
            upload = self.catalog.find(table, dt)
            objects = self.storage.objects(table.system, table.name, dt)
            if upload is None or upload.facts.get("listing") != listing_digest(objects):
                return False
            if built.lineage.get(table.qualified_name, upload.name) != upload.name:
                return False
        return True

    def _content(self, files: Mapping[str, Sequence[RawObject]]) -> str:
        digest = hashlib.sha256()
        for objects in files.values():
            for found in objects:
                digest.update(f"{found.path}\0{self.storage.etag(found)}\n".encode())
        return digest.hexdigest()


def _in_turn(days: Sequence[str], position: int) -> tuple[list[str], int]:
    """The newest of `days` and the next few of the others from `position` on, with the position to go on from."""
    newest, older = list(days[:NEWEST_DAYS]), list(days[NEWEST_DAYS:])
    if len(older) <= OLDER_DAYS_A_TICK:
        return newest + older, 0
    start = position % len(older)
    picked = (older + older)[start : start + OLDER_DAYS_A_TICK]
    return newest + picked, (start + OLDER_DAYS_A_TICK) % len(older)
