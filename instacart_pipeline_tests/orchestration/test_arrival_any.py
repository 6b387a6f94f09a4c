"""A system of which any table makes a day: when the day counts as come, and when as built."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.orchestration.arrival import (
    NEWEST_DAYS,
    OLDER_DAYS_A_TICK,
    Arrival,
    ReceivedNotices,
    StartLimits,
)
from instacart_pipeline.orchestration.arrival_memory import SensorCursor
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.catalog.local import SqliteCatalog
from instacart_pipeline.resources.storage import RawObject, listing_digest
from instacart_pipeline.resources.storage.local import LocalStorage
from instacart_pipeline.retail import tables as t

DT = "2011-03-07"
NOW = 1_800_000_000.0
FILE, STREAM = t.STAGED


class Site:
    """A raw zone and a catalog, with a day's arrival watched."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.storage, self.catalog = LocalStorage(home=str(home)), SqliteCatalog(home=str(home))
        self.arrival = Arrival(self.storage, self.catalog, t.STAGED, t.TRANSACTIONS, 180, any_makes_a_day=True)
        self.memory = SensorCursor()

    def came(self, *ways: str, age: float = 1000) -> None:
        """Files of the day, last written `age` seconds before NOW."""
        for table in (FILE, STREAM):
            path = self._home / "lake" / "raw" / t.SYSTEM / table.name / f"dt={DT}" / "lines.csv"
            path.unlink(missing_ok=True)
            if table.name in ways:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("x\n1\n")
                os.utime(path, (NOW - age, NOW - age))

    def built(self, *ways: str) -> None:
        """The catalog as a crawl and a run over the day's files leave it; the transactions are built from `ways`."""
        lineage = dict[str, str]()
        for table in t.STAGED:
            self.catalog.put_table(CatalogTable.of(table, "raw"))
            self.catalog.drop_partition(table.database, table.name, DT)
            if files := self.storage.objects(t.SYSTEM, table.name, DT):
                version = Version(
                    f"20260101T00000000000{len(lineage)}-a", "raw", -1, 4, facts={"listing": listing_digest(files)}
                )
                self.catalog.publish(table.database, table.name, DT, version)
                lineage |= {table.qualified_name: version.name} if table.name in ways else {}
        self.catalog.put_table(CatalogTable.of(t.TRANSACTIONS, "curated"))
        self.catalog.publish(
            t.TRANSACTIONS.database, t.TRANSACTIONS.name, DT, Version("20260102T000000-a", "c", 1, 1, lineage)
        )

    def tick(self, now: float = NOW) -> tuple[int, str]:
        """How many days a look starts, and why the day waits."""
        looked = self.arrival.tick(ReceivedNotices(self.memory), now, [DT])
        self.memory = looked.memory
        return len(looked.starts), looked.waiting.get(DT, "")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("ways", [(FILE.name,), (STREAM.name,), (FILE.name, STREAM.name)])
def test_a_day_that_came_either_way_is_started_once_it_stood_still(site: Site, ways: tuple[str, ...]) -> None:
    site.came(*ways)
    assert [site.tick(), site.tick(), site.tick()] == [(0, "is still arriving"), (1, ""), (0, "")]
    assert site.arrival.missing(DT) == []


def test_a_day_of_which_nothing_came_waits_for_either(site: Site) -> None:
    site.came(FILE.name)
    site.came()
    assert site.tick() == (0, "waits for uploaded_lines or streamed_lines")
    assert site.arrival.missing(DT) == ["uploaded_lines", "streamed_lines"]


def test_a_file_the_stream_wrote_a_moment_ago_holds_the_day_back(site: Site) -> None:
    site.came(STREAM.name, age=60)
    assert [site.tick(), site.tick()] == [(0, "is still arriving")] * 2


@pytest.mark.parametrize(
    ("lie_there", "built_from", "is_built"),
    [
        ((FILE.name,), (FILE.name,), True),
        ((STREAM.name,), (STREAM.name,), True),
        ((FILE.name, STREAM.name), (FILE.name, STREAM.name), True),
        ((FILE.name, STREAM.name), (FILE.name,), False),
    ],
)
def test_a_day_is_built_if_it_was_built_from_all_that_came(
    site: Site, lie_there: tuple[str, ...], built_from: tuple[str, ...], *, is_built: bool
) -> None:
    site.came(*lie_there)
    site.built(*built_from)
    assert site.arrival.is_built(DT, t.TRANSACTIONS) is is_built


def test_a_day_whose_one_way_in_was_taken_back_is_not_built(site: Site) -> None:
    site.came(FILE.name, STREAM.name)
    site.built(FILE.name, STREAM.name)
    site.came(FILE.name)
    assert not site.arrival.is_built(DT, t.TRANSACTIONS)


@pytest.mark.parametrize("reached", [True, False])
def test_a_day_is_built_only_once_its_version_went_where_it_has_to_go(site: Site, *, reached: bool) -> None:
    asked = list[tuple[str, str]]()

    def has(dt: str, version: Version) -> bool:
        asked.append((dt, version.name))
        return reached

    site.came(FILE.name)
    site.built(FILE.name)
    site.arrival.reached = has
    assert site.arrival.is_built(DT, t.TRANSACTIONS) is reached
    assert site.arrival.unbuilt([DT], 10) == ([] if reached else [DT])
    assert [site.tick()[0] for _ in range(3)] == [0, 0 if reached else 1, 0]
    assert set(asked) == {(DT, "20260102T000000-a")}


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (0, (0, "is still arriving")),
        (3599, (0, "was started a while ago; what came since is built later")),
        (3600, (1, "")),
    ],
)
def test_a_day_is_not_started_again_within_the_hour(site: Site, after: float, told: tuple[int, str]) -> None:
    site.arrival.pace = StartLimits(again_after=3600)
    site.came(FILE.name)
    assert [site.tick()[0], site.tick()[0]] == [0, 1]
    site.came(FILE.name, STREAM.name, age=500)
    site.tick(NOW + after / 2)
    if after == 0:
        site.came(FILE.name, STREAM.name, age=400)
    assert site.tick(NOW + after) == told
    assert site.tick(NOW + after) == (
        (0, "was started a while ago; what came since is built later") if after < 3600 else (0, "")
    )
    assert SensorCursor.of(site.memory.cursor()) == site.memory


def test_days_uploaded_many_at_once_are_started_together_and_then_looked_at_in_turn(site: Site, tmp_path: Path) -> None:
    days = [f"2011-{month:02}-{day:02}" for month in (1, 2, 3, 4) for day in range(1, 29)]
    for dt in days:
        path = tmp_path / "lake" / "raw" / t.SYSTEM / FILE.name / f"dt={dt}" / "lines.csv"
        path.parent.mkdir(parents=True)
        path.write_text("x\n1\n")
        os.utime(path, (NOW - 1000, NOW - 1000))
    site.arrival.pace = StartLimits(starts=100, open_days=400)
    started = list[list[str]]()
    for _ in range(4):
        tick = site.arrival.tick(ReceivedNotices(site.memory), NOW, days)
        site.memory = tick.memory
        started.append(sorted(start.dt for start in tick.starts))
    assert [len(each) for each in started] == [0, 100, len(days) - 100, 0]
    assert started[1] == days[-100:]
    looked_at, files = list[str](), site.arrival.files

    def look(dt: str) -> dict[str, Sequence[RawObject]]:
        looked_at.append(dt)
        return files(dt)

    site.arrival.files = look  # type: ignore[method-assign]
    site.arrival.tick(ReceivedNotices(site.memory), NOW, days)
    assert len(set(looked_at)) == NEWEST_DAYS + OLDER_DAYS_A_TICK
