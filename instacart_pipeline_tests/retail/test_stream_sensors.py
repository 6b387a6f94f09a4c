"""The sensor on the stream, as a table of situations: what it tells, once each, and what it says of a tick."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import Field

from instacart_pipeline.resources.alerts import Alert, Alerts
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline.resources.stream import Lag, StreamBusy
from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline.retail.lookups import DEAD_LETTERS
from instacart_pipeline.retail.stream_sensors import SENSOR, build_stream_sensors
from instacart_pipeline.settings import Settings

SETTINGS = replace(Settings(), stream_lag_seconds=100, dagster_url="http://dagster:3000")
BOOKS: dict[str, list[Any]] = defaultdict(list)
"""What the resources below are told and tell, by their `book`: Dagster hands out copies of a resource."""


class RecordingAlerts(Alerts):
    """Keeps what is sent; is closed while its book `<book> closed` holds anything."""

    book: str = Field(default_factory=lambda: uuid.uuid4().hex)

    def send(self, alert: Alert) -> bool:
        if BOOKS[f"{self.book} closed"]:
            raise StreamBusy("the post is closed")
        if any(sent.run_id == alert.run_id for sent in BOOKS[self.book]):
            return False
        BOOKS[self.book].append(alert)
        return True


class Lagging(LocalStream):
    """A stream whose consumers are as far behind as its book says; it can't be reached where that is None."""

    book: str = Field(default_factory=lambda: uuid.uuid4().hex)

    def lag(self, consumer: str) -> Sequence[Lag]:
        seconds = dict(BOOKS[self.book]).get(consumer, 0.0)
        if seconds is None:
            raise StreamBusy("the stream can't be reached")
        return [Lag("a", 7 if seconds else 0, seconds), Lag("b", 0, 0.0)]


class Watched:
    """The sensor over an instance of its own, ticked by hand."""

    def __init__(self, home: Path, instance: dg.DagsterInstance, settings: Settings = SETTINGS) -> None:
        self.tables, self.stream, self.post = (
            SqliteLookupTables(home=str(home)),
            Lagging(home=str(home)),
            RecordingAlerts(),
        )
        self.instance = instance
        self.cursor: str | None = None
        (self.sensor,) = build_stream_sensors(settings)
        self.resources = {"stream": self.stream, "lookup_tables": self.tables, "alerts": self.post}

    def tick(self, *, closed: bool = False, **seconds: float | None) -> str:
        """What the sensor says, with consumers so far behind."""
        BOOKS[self.stream.book] = list(seconds.items())
        BOOKS[f"{self.post.book} closed"] = [True] if closed else []
        with dg.build_sensor_context(
            self.instance,
            self.cursor,
            resources=self.resources,
            definitions=dg.Definitions(sensors=[self.sensor], resources=self.resources),
        ) as context:
            tick = self.sensor.evaluate_tick(context)
        self.cursor = tick.cursor
        return tick.skip_message or ""

    def letters(self, consumer: str, count: int) -> None:
        """Have so many dead letters."""
        held = [DEAD_LETTERS.key_of(letter) for letter in self.tables.all_of(DEAD_LETTERS, consumer)]
        self.tables.delete(DEAD_LETTERS, held)
        self.tables.put(DEAD_LETTERS, [{"consumer": consumer, "position": f"a#{n:060}"} for n in range(count)])

    @property
    def titles(self) -> list[str]:
        return [alert.title for alert in BOOKS[self.post.book]]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watched(tmp_path, instance)


BEHIND = "The stream's consumer lookups is {} s behind"


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ([0, 99, 100], []),
        ([101, 90, 101, 60, 150], ["101"]),  # around the limit it is one incident
        ([101, 0, 0, 700, 800, 10], ["101", "700"]),
    ],
)
def test_a_consumer_far_behind_is_told_once_until_it_has_caught_up(
    watched: Watched, ticks: list[float], told: list[str]
) -> None:
    for seconds in ticks:
        watched.tick(lookups=seconds)
    assert watched.titles == [BEHIND.format(seconds) for seconds in told]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([3], ["3"]),  # those from before the first tick were told to nobody
        ([0, 2, 2, 5, 5], ["2", "3"]),
        ([5, 0, 1], ["5", "1"]),  # replayed in between
    ],
)
def test_new_dead_letters_are_told_once_with_their_number(watched: Watched, counts: list[int], told: list[str]) -> None:
    for count in counts:
        watched.letters("raw_zone", count)
        watched.tick()
    assert watched.titles == [f"{count} records of the stream became dead letters of raw_zone" for count in told]


def test_an_alert_says_what_and_what_now_and_a_tick_what_it_saw(watched: Watched) -> None:
    watched.letters("lookups", 1)
    said = watched.tick(lookups=1234.0)
    assert (
        "raw_zone is 0 s behind, 0 records, with 0 dead letters; lookups is 1,234 s behind, 7 records, with 1 dead letters; told: "
        in said
    )
    lag, letters = BOOKS[watched.post.book]
    assert "start its worker with `instacart-pipeline stream work`" in lag.error
    assert "stream replay --consumer lookups --dead-letters" in letters.error
    assert (lag.job, lag.link, lag.run_id != letters.run_id) == (SENSOR, "http://dagster:3000", True)


def test_an_alert_that_could_not_be_sent_is_sent_at_the_next_tick(watched: Watched) -> None:
    watched.letters("lookups", 2)
    assert "lookups is looked at again: StreamBusy: the post is closed" in watched.tick(closed=True, lookups=200)
    assert watched.titles == []
    watched.tick(lookups=300)
    watched.tick(lookups=300)
    assert watched.titles == [BEHIND.format(300), "2 records of the stream became dead letters of lookups"]


def test_an_alert_whose_sending_broke_off_unnoticed_is_not_sent_twice(watched: Watched) -> None:
    watched.tick()
    before = watched.cursor
    watched.tick(lookups=200)
    watched.cursor = before  # the daemon was killed before it kept the cursor
    watched.tick(lookups=200)
    assert watched.titles == [BEHIND.format(200)]


def test_a_consumer_that_can_not_be_looked_at_keeps_the_other_from_nothing(watched: Watched) -> None:
    said = watched.tick(raw_zone=None, lookups=200)
    assert said.startswith(
        "raw_zone is looked at again: StreamBusy: the stream can't be reached; lookups is 200 s behind"
    )
    assert watched.titles == [BEHIND.format(200)]


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ([None] * 4 + [0] + [None] * 4, 0),
        ([None] * 7, 1),
        ([None] * 6 + [0] + [None] * 5, 2),
    ],
)
def test_a_consumer_that_can_not_be_looked_at_for_a_while_is_told_once_until_it_can_be_again(
    watched: Watched, ticks: list[float | None], told: int
) -> None:
    for seconds in ticks:
        watched.tick(lookups=seconds)
    assert watched.titles == ["The stream's consumer lookups can't be looked at"] * told
    assert all(
        "5 looks in a row failed, 30 s apart; the last: StreamBusy: the stream can't be reached" in alert.error
        for alert in BOOKS[watched.post.book]
    )


def test_looks_that_fail_are_told_once_the_alert_can_be_sent(watched: Watched) -> None:
    for _ in range(6):
        watched.tick(closed=True, lookups=None)
    assert watched.titles == []
    watched.tick(lookups=None)
    watched.tick(lookups=None)
    assert watched.titles == ["The stream's consumer lookups can't be looked at"]


def test_a_damaged_file_of_the_stream_is_told(watched: Watched, tmp_path: Path) -> None:
    watched.resources["stream"] = LocalStream(home=str(tmp_path), shards=1)
    damaged = tmp_path / "stream" / "transactions" / "shard-000.sqlite"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no database at all, but text" * 1000)
    for _ in range(6):
        watched.tick()
    assert watched.titles == [f"The stream's consumer {name} can't be looked at" for name in NAMES]
    assert "FileDamaged" in BOOKS[watched.post.book][0].error


def test_of_lambda_functions_dead_letters_are_told_and_nobody_asks_how_far_behind_they_are(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        watched = Watched(tmp_path, instance, replace(SETTINGS, profile="aws", stream_consumers="lambda"))
        watched.letters("lookups", 2)
        said = watched.tick(raw_zone=None, lookups=1_000_000.0)
        assert said.startswith("raw_zone has 0 dead letters; lookups has 2 dead letters; told: ")
        assert watched.titles == ["2 records of the stream became dead letters of lookups"]


def test_a_lag_that_was_told_is_forgotten_once_lambda_takes_over_and_told_anew_by_a_worker(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        watched = Watched(tmp_path, instance)
        by_worker = watched.sensor
        (by_lambda,) = build_stream_sensors(replace(SETTINGS, profile="aws", stream_consumers="lambda"))
        for sensor in (by_worker, by_lambda, by_worker):
            watched.sensor = sensor
            watched.tick(lookups=101)
        assert watched.titles == [BEHIND.format(101)] * 2
