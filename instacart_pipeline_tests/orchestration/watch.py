"""A sensor's work without Dagster, as the tests of arrival drive it: uploads, notices, ticks and what is remembered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pydantic import PrivateAttr

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.orchestration.arrival import Arrival, ReceivedNotices, Tick
from instacart_pipeline.orchestration.arrival_memory import SensorCursor
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.catalog.local import SqliteCatalog
from instacart_pipeline.resources.storage import RawObject, listing_digest
from instacart_pipeline.resources.storage.local import LocalStorage
from instacart_pipeline.resources.upload_notices import Notice, UploadNotices
from instacart_pipeline_tests.platform import DT

SETTLE = 30
TABLES = (t.STAGED_AISLES, t.STAGED_DEPARTMENTS)
HIDDEN = 300
MIDNIGHT = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()


class CountingStorage(LocalStorage):
    """The raw zone, counting how often it is asked for a day's files."""

    _listed: list[str] = PrivateAttr(default_factory=list)

    @property
    def listed(self) -> list[str]:
        return self._listed

    def objects(self, system: str, table: str, dt: str, *, limit: int = 10_000) -> Sequence[RawObject]:
        self._listed.append(f"{table} {dt}")
        return super().objects(system, table, dt, limit=limit)


@dataclass
class Message:
    """A message of a queue: what it names, until when it is hidden, how often it was given, and its latest receipt."""

    system: str
    table: str
    dt: str
    hidden_until: float = 0.0
    given: int = 0
    receipt: str = ""


class Queue(UploadNotices):
    """A queue as SQS keeps it: what was given is hidden for a while, and comes again unless it was forgotten."""

    _messages: list[Message] = PrivateAttr(default_factory=list)
    _clock: list[float] = PrivateAttr(default_factory=lambda: [MIDNIGHT])
    _down: list[bool] = PrivateAttr(default_factory=lambda: [False])

    @property
    def gives_notices(self) -> bool:
        return True

    @property
    def messages(self) -> list[Message]:
        return self._messages

    def at(self, now: float, *, down: bool = False) -> None:
        self._clock[0], self._down[0] = now, down

    def send(self, dt: str, table: str = "aisles", system: str = "reorder") -> None:
        self._messages.append(Message(system, table, dt))

    def receive(self, most: int) -> Sequence[Notice]:
        self._answer()
        given = [message for message in self._messages if message.hidden_until <= self._clock[0]][:most]
        for message in given:
            message.hidden_until, message.given = self._clock[0] + HIDDEN, message.given + 1
            message.receipt = f"{id(message)}/{message.given}"
        return [Notice(message.system, message.table, message.dt, message.receipt) for message in given]

    def forget(self, receipts: Sequence[str]) -> None:
        self._answer()
        self._messages[:] = [message for message in self._messages if message.receipt not in receipts]

    def _answer(self) -> None:
        if self._down[0]:
            raise JobFailed("the queue does not answer")


class Watch:
    """A sensor's work without Dagster: uploads happen, time passes, ticks follow each other, memory survives as text.

    Unless it is `told` of uploads through the queue it has none.
    """

    def __init__(
        self,
        home: Path,
        known_days: Sequence[str] = (DT,),
        tables: Sequence[TableContract] = TABLES,
        *,
        told: bool = False,
    ) -> None:
        self.home, self.known_days, self.tables = home, known_days, tables
        self.storage = CountingStorage(home=str(home))
        self.catalog = SqliteCatalog(home=str(home))
        self.arrival = Arrival(self.storage, self.catalog, tables, t.AISLES, SETTLE)
        self.queue = Queue()
        self.uploads: UploadNotices = self.queue if told else UploadNotices()
        self.now = MIDNIGHT
        self.cursor: str | None = None
        self.heard = ReceivedNotices(SensorCursor())

    def write(self, table: TableContract, text: str, dt: str = DT) -> None:
        """An upload of one table, now."""
        path = self.home / "lake" / "raw" / table.system / table.name / f"dt={dt}" / f"{table.name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(int(self.now * 1e9),) * 2)

    def upload(self, text: str, dt: str = DT) -> None:
        for table in self.tables:
            self.write(table, text, dt)

    def build(self, dt: str = DT) -> None:
        """A run by hand: the day is crawled and its target published."""
        uploads = {}
        for table in self.tables:
            facts = {"listing": listing_digest(self.storage.objects(table.system, table.name, dt))}
            version = Version(f"{self.now:020.3f}", f"raw/{table.name}/{dt}", -1, 0, facts=facts)
            uploads[table.qualified_name] = self.catalog.publish(table.database, table.name, dt, version).name
        target = Version(f"{self.now:020.3f}", f"target/{dt}/{self.now}", 1, 1, lineage=uploads)
        self.catalog.publish(t.AISLES.database, t.AISLES.name, dt, target)

    @property
    def memory(self) -> SensorCursor:
        return SensorCursor.of(self.cursor)

    def tick(self, after: float = 60, *, down: bool = False, recorded: bool = True) -> Tick:
        """A tick, as the sensor does it. Unless it is `recorded` the daemon died before it kept what came of it."""
        self.now += after
        self.queue.at(self.now, down=down)
        self.heard = self.arrival.hear(self.uploads, self.memory, self.known_days)
        tick = self.arrival.tick(self.heard, self.now, self.known_days)
        if recorded:
            self.cursor = tick.memory.cursor()
        return tick
