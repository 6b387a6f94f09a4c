"""Arrival: when a day's upload has come whole, and whether it still has to be built.

Belongs here: the state machine behind every system's sensor and schedules, free of Dagster so that its situations can be
tested as a table. Doesn't: which tables or jobs (the systems' automation.py).
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.orchestration.arrival_memory import DayState, SensorCursor
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.storage import RawObject, Storage, listing_digest
from instacart_pipeline.resources.upload_notices import UploadNotices

NEWEST_DAYS = 7
OLDER_DAYS_A_TICK = 20
"""Besides the newest days, so many older ones are looked at in a tick, in turn: a late re-upload is found all the same."""
STARTS_A_TICK = 5
"""At most so many days are started at once; the others follow in the next ticks."""
DIGESTS_A_TICK = 20
"""The content of at most so many days is digested in a tick, started or not."""
NOTICED_A_TICK = 50
"""At most so many days are looked at because a notice named them, the latest named first; the others follow."""
MESSAGES_A_TICK = 100
"""At most so many messages are received in a tick."""
FALLBACK_SECONDS = 600.0
"""While notices tell what changed, the newest and the older days are looked at only so often, lest a notice was lost."""
_LOOKS_AT_ONCE = 8
Reached = Callable[[str, Version], bool]
"""Whether a version of a day went on to where it has to go, such as the warehouse."""


@dataclass(frozen=True)
class StartLimits:
    """How many days are taken at once, and how often the same.

    `starts` are those that a tick may start. `open_days` are those not seen before, or seen arriving, that a tick looks at without
    waiting for their turn: of a system whose days are uploaded many at once. A day that was started is not started again within
    `again_after` seconds. With `oldest_first`, of the days that are due the oldest start first, and none while the day before it among the
    uploaded is still to be started: of a system whose days look back at the day before. Else the newest do.
    """

    starts: int = STARTS_A_TICK
    open_days: int = 0
    again_after: float = 0.0
    oldest_first: bool = False


@dataclass(frozen=True)
class Start:
    """A day to be built. `key` is the same if, and only if, this very upload was started before."""

    dt: str
    key: str


@dataclass(frozen=True)
class Tick:
    """What a look at the raw zone came to: days to start, why others wait, and what to remember.

    `unknown` are days that have a folder of a table, seen as it looked around, and are none of the known.
    """

    starts: Sequence[Start]
    waiting: Mapping[str, str]
    memory: SensorCursor
    unknown: Sequence[str] = ()


@dataclass(frozen=True)
class ReceivedNotices:
    """What notices came to: the memory to go on with, the days they named, what they named that is none, and any trouble.

    `told`: notices are given and were had, so that a day nobody named has most likely not changed.
    """

    memory: SensorCursor
    days: Sequence[str] = ()
    unrecognized: Sequence[str] = ()
    trouble: str = ""
    told: bool = False


@dataclass(frozen=True)
class _Around:
    """A look at which days are uploaded: those to look at at once and in turn, and from where on next time; the day that goes before another."""

    next_older: int
    newest: Sequence[str] = ()
    older: Sequence[str] = ()
    before: Mapping[str, str] = field(default_factory=dict)
    unknown: Sequence[str] = ()


class Arrival:
    """Watches the uploads of `tables` of one system. An upload counts as whole once it stood still for `settle_seconds`.

    A day needs all of `tables`, or, with `any_makes_a_day`, any of them. It counts as built if `target` was computed from just its files
    and that version has `reached` where it has to go.
    """

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        tables: Sequence[TableContract],
        target: TableContract,
        settle_seconds: float,
        *,
        any_makes_a_day: bool = False,
        reached: Reached = lambda _dt, _version: True,
        pace: StartLimits = StartLimits(),
    ) -> None:
        self.storage, self.catalog, self.tables, self.target, self.settle = (
            storage,
            catalog,
            tables,
            target,
            settle_seconds,
        )
        self.any_makes_a_day, self.reached, self.pace = any_makes_a_day, reached, pace

    def hear(self, uploads: UploadNotices, memory: SensorCursor, known_days: Sequence[str]) -> ReceivedNotices:
        """Take in notices, for the tick that follows.

        The messages of the tick before are forgotten only now: its memory has come back, so what followed from them is
        recorded. If it was not, an older memory comes back, and the messages come again. Without its source of notices a
        system is watched all the same.
        """
        try:
            uploads.forget(memory.receipts)
            memory = replace(memory, receipts=())
            notices = uploads.receive(MESSAGES_A_TICK)
        except PipelineError as error:
            return ReceivedNotices(
                memory, trouble=f"Notices of uploads can't be had, days are only looked at in turn: {error}"
            )
        tables, known = {(table.system, table.name) for table in self.tables}, set(known_days)
        days, unrecognized = dict[str, None](), dict[str, None]()
        for notice in notices:
            if (notice.system, notice.table) in tables and notice.dt in known:
                days[notice.dt] = None
            else:
                unrecognized[f"{notice.system}/{notice.table} of {notice.dt}"] = None
        receipts = tuple(dict.fromkeys(notice.receipt for notice in notices))
        return ReceivedNotices(
            replace(memory, receipts=receipts), tuple(days), tuple(unrecognized), told=uploads.gives_notices
        )

    def tick(self, heard: ReceivedNotices, now: float, known_days: Sequence[str]) -> Tick:
        """Look at the newest days, at some older ones in turn, and at those that notices named, now or before.

        `now` is in seconds since 1970; others than `known_days` are left alone. A day is started when every table of it is
        there, nothing has changed since the look before, the newest file is older than the settling time, and its content
        is not what was started last. A day that was named is looked at in each tick until it is started or known to be
        built, or nothing of it is left. While notices tell what changed, so is one that is still arriving, and the newest and
        older days are looked at every FALLBACK_SECONDS only.
        """
        memory, known = heard.memory, set(known_days)
        around, looked = _Around(memory.next_older), memory.looked
        if not heard.told or not 0 <= now - memory.looked < FALLBACK_SECONDS:
            around, looked = self._around(memory, known), now if heard.told else 0.0
        named = [day for day in dict.fromkeys([*heard.days, *memory.noticed]) if day in known]
        named, named_later = named[:NOTICED_A_TICK], named[NOTICED_A_TICK:]
        looked_at = list(dict.fromkeys([*around.newest, *named, *around.older]))
        if self.pace.oldest_first:
            looked_at.sort()
        states, waiting, incomplete = dict(memory.days), dict[str, str](), set[str]()
        starts: list[Start] = []
        digested = 0
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            looks = dict(zip(looked_at, pool.map(self.files, looked_at), strict=True))
        for day, files in looks.items():
            state = states.get(day, DayState())
            if missing := self._missing(files):
                if day in named and not any(files.values()):
                    continue  # nothing of it is left
                incomplete.add(day)
                waiting[day] = f"waits for {(' or ' if self.any_makes_a_day else ', ').join(missing)}"
                continue
            listing = listing_digest(found for objects in files.values() for found in objects)
            if listing == state.started:
                states[day] = replace(state, seen=listing)
                continue
            newest_file = max(found.modified_ns for objects in files.values() for found in objects) / 1e9
            if listing != state.seen or now - newest_file < self.settle:
                states[day] = replace(state, seen=listing)
                waiting[day] = "is still arriving"
                continue
            if 0 <= now - state.at < self.pace.again_after:
                states[day] = replace(state, seen=listing)
                waiting[day] = "was started a while ago; what came since is built later"
                continue
            if len(starts) == self.pace.starts or digested == max(DIGESTS_A_TICK, self.pace.starts):
                waiting[day] = "is whole; its turn comes in the next tick"
                continue
            if (earlier := around.before.get(day)) in waiting and earlier not in incomplete:
                waiting[day] = f"is whole; {earlier} goes before it"
                continue
            digested += 1
            content = self._content(files)
            if content == state.content or self._is_built(day, self.target, files):
                states[day] = replace(state, started=listing, content=content)
                continue
            states[day] = DayState(listing, listing, content, state.starts + 1, now)
            starts.append(Start(day, f"{day}/{content[:16]}/{state.starts + 1}"))
        # Uploads that were abandoned half-way come last, so that they hold up nobody, however many there are.
        arriving = [day for day in (looked_at if heard.told else named) if day in waiting and day not in incomplete]
        remembered = (*arriving, *named_later, *(day for day in named if day in incomplete))
        return Tick(
            starts,
            waiting,
            SensorCursor(states, around.next_older, remembered, memory.receipts, looked),
            around.unknown,
        )

    def files(self, dt: str) -> dict[str, Sequence[RawObject]]:
        """The files of a day, by table."""
        return {table.name: self.storage.objects(table.system, table.name, dt) for table in self.tables}

    def missing(self, dt: str) -> list[str]:
        """The tables, and parts of tables, that have no file at a day; none if any table makes a day and one has files."""
        return self._missing(self.files(dt))

    def is_built(self, dt: str, target: TableContract) -> bool:
        """Whether `target` at `dt` was computed from the files that lie in the raw zone now."""
        return self._is_built(dt, target, self.files(dt))

    def unbuilt(self, known_days: Collection[str], most: int) -> list[str]:
        """Of the newest `most` days of `known_days` that have come, those that are not built, in order."""

        def is_due(dt: str) -> bool:
            files = self.files(dt)
            return not self._missing(files) and not self._is_built(dt, self.target, files)

        days = self._uploaded(set(known_days))[0][:most]
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            return sorted(dt for dt, due in zip(days, pool.map(is_due, days), strict=True) if due)

    def _around(self, memory: SensorCursor, known_days: Collection[str]) -> "_Around":
        uploaded, unknown = self._uploaded(known_days)
        newest, older, next_older = _in_turn(uploaded, memory.next_older)
        still_open = [day for day in uploaded if day not in memory.days or memory.days[day].is_open][
            : self.pace.open_days
        ]
        # What an open day may have to wait for is looked at with it.
        before = dict(pairwise(uploaded)) if self.pace.oldest_first else {}
        newest += [*still_open, *(before[day] for day in still_open if day in before)]
        return _Around(next_older, newest, older, before, unknown)

    def _missing(self, files: Mapping[str, Sequence[RawObject]]) -> list[str]:
        if self.any_makes_a_day and any(files.values()):
            return []
        return [
            lacking for table in self.tables for lacking in table.missing_of([each.path for each in files[table.name]])
        ]

    def _uploaded(self, known_days: Collection[str]) -> tuple[list[str], list[str]]:
        """The days that any table has a folder of, the newest first: those of `known_days`, and others."""
        found = sorted({day for of in self.tables for day in self.storage.days(of.system, of.name)}, reverse=True)
        return [day for day in found if day in known_days], [day for day in found if day not in known_days]

    def _is_built(self, dt: str, target: TableContract, files: Mapping[str, Sequence[RawObject]]) -> bool:
        built = self.catalog.find(target, dt)
        if built is None:
            return False
        for table in self.tables:
            upload, there = self.catalog.find(table, dt), files[table.name]
            if self.any_makes_a_day and not there:
                # What it was built from, if it was from that table too, is gone.
                if upload is not None or table.qualified_name in built.lineage:
                    return False
                continue
            if upload is None or upload.facts.get("listing") != listing_digest(there):
                return False
            from_it = built.lineage.get(table.qualified_name, "" if self.any_makes_a_day else upload.name)
            if from_it != upload.name:
                return False
        return target is not self.target or self.reached(dt, built)

    def _content(self, files: Mapping[str, Sequence[RawObject]]) -> str:
        digest = hashlib.sha256()
        for objects in files.values():
            for found, etag in zip(objects, self.storage.etags(objects), strict=True):
                digest.update(f"{found.path}\0{etag}\n".encode())
        return digest.hexdigest()


def _in_turn(days: Sequence[str], position: int) -> tuple[list[str], list[str], int]:
    """The newest of `days`, the next few of the others from `position` on, and the position to go on from."""
    newest, older = list(days[:NEWEST_DAYS]), list(days[NEWEST_DAYS:])
    if len(older) <= OLDER_DAYS_A_TICK:
        return newest, older, 0
    start = position % len(older)
    picked = (older + older)[start : start + OLDER_DAYS_A_TICK]
    return newest, picked, (start + OLDER_DAYS_A_TICK) % len(older)
