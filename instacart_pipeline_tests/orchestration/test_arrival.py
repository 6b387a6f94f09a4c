"""What starts a day: the state machine as situations, then Dagster's own parts."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.orchestration.arrival import (
    NEWEST_DAYS,
    OLDER_DAYS_A_TICK,
    STARTS_A_TICK,
)
from instacart_pipeline.orchestration.arrival_memory import DayState, SensorCursor
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.automation import DAILY_JOB
from instacart_pipeline.resources.storage import listing_digest
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.orchestration.watch import MIDNIGHT, TABLES, Watch
from instacart_pipeline_tests.platform import DT, Platform, shared_instance
from instacart_pipeline_tests.reorder.building import MADE, build, make

# The state machine. A step: what happens, the seconds until the tick, how often the day was started by then, why it waits.

Step = tuple[str, float, int, str]
ARRIVING = "is still arriving"

SITUATIONS: dict[str, list[Step]] = {
    "nothing there": [("", 60, 0, ""), ("", 60, 0, "")],
    "a table missing": [("half", 60, 0, "waits for departments"), ("", 60, 0, "waits for departments")],
    "a table missing, then coming": [
        ("half", 60, 0, "waits for departments"),
        ("A", 60, 0, ARRIVING),
        ("", 60, 1, ""),
    ],
    "complete but fresh": [("A", 5, 0, ARRIVING), ("", 5, 0, ARRIVING), ("", 30, 1, "")],
    "growing between ticks": [
        ("A", 60, 0, ARRIVING),
        ("grow", 60, 0, ARRIVING),
        ("grow", 60, 0, ARRIVING),
        ("", 60, 1, ""),
    ],
    "settled": [("A", 60, 0, ARRIVING), ("", 60, 1, ""), ("", 60, 1, ""), ("", 86_400, 1, "")],
    "written again with the same content": [
        ("A", 60, 0, ARRIVING),
        ("", 60, 1, ""),
        ("A", 60, 1, ARRIVING),
        ("", 60, 1, ""),
        ("", 60, 1, ""),
    ],
    "replaced": [("A", 60, 0, ARRIVING), ("", 60, 1, ""), ("B", 60, 1, ARRIVING), ("", 60, 2, ""), ("", 60, 2, "")],
    "replaced, and back again": [
        ("A", 60, 0, ARRIVING),
        ("", 60, 1, ""),
        ("B", 60, 1, ARRIVING),
        ("", 60, 2, ""),
        ("A", 60, 2, ARRIVING),
        ("", 60, 3, ""),
        ("", 60, 3, ""),
    ],
    "half of it taken away after its start": [
        ("A", 60, 0, ARRIVING),
        ("", 60, 1, ""),
        ("lose", 60, 1, "waits for departments"),
        ("A", 60, 1, ARRIVING),
        ("", 60, 1, ""),
    ],
    "built by hand": [("A", 60, 0, ARRIVING), ("build", 60, 0, ""), ("", 60, 0, "")],
    "built by hand, then replaced": [
        ("A", 60, 0, ARRIVING),
        ("build", 60, 0, ""),
        ("B", 60, 0, ARRIVING),
        ("", 60, 1, ""),
    ],
    "replaced after a start, then built by hand": [
        ("A", 60, 0, ARRIVING),
        ("", 60, 1, ""),
        ("B", 60, 1, ARRIVING),
        ("build", 60, 1, ""),
        ("", 60, 1, ""),
    ],
    "an empty day folder": [("folders", 60, 0, "waits for aisles, departments")],
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_day_is_started_when_and_only_when_it_should_be(tmp_path: Path, situation: str) -> None:
    watch = Watch(tmp_path)
    keys: list[str] = []
    for happens, after, started, why in SITUATIONS[situation]:
        if happens == "half":
            watch.write(t.STAGED_AISLES, "A")
        elif happens == "grow":
            watch.write(t.STAGED_AISLES, "more" * int(watch.now - MIDNIGHT))
        elif happens == "lose":
            shutil.rmtree(watch.home / "lake" / "raw" / "reorder" / "departments")
        elif happens == "folders":
            for table in TABLES:
                (watch.home / "lake" / "raw" / table.system / table.name / f"dt={DT}").mkdir(parents=True)
        elif happens == "build":
            watch.build()
        elif happens:
            watch.upload(happens)
        tick = watch.tick(after)
        keys += [start.key for start in tick.starts]
        assert (len(keys), tick.waiting.get(DT, "")) == (started, why)
        assert SensorCursor.of(watch.cursor) == tick.memory
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(f"{DT}/") for key in keys)


def test_a_start_that_was_forgotten_gets_the_same_key_again(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.upload("A")
    watch.tick()
    (first,) = watch.tick().starts
    watch.cursor = None
    watch.tick()
    (again,) = watch.tick().starts
    assert again.key == first.key


def test_no_more_than_a_few_days_are_started_at_once_and_all_in_the_end(tmp_path: Path) -> None:
    days = [f"2026-11-{day:02}" for day in range(1, 21)]
    watch = Watch(tmp_path, days)
    for day in days:
        watch.upload("A", day)
    watch.tick()
    ticks = [watch.tick() for _ in range(5)]
    assert [len(tick.starts) for tick in ticks] == [STARTS_A_TICK] * 4 + [0]
    assert [start.dt for tick in ticks for start in tick.starts] == days[::-1]
    assert ticks[0].waiting[days[0]] == "is whole; its turn comes in the next tick"


@pytest.mark.parametrize("name", ["2025-12-31", "2026-13-45", "soon", "", "2026-11-20 copy"])
def test_days_that_are_no_partitions_are_left_alone(tmp_path: Path, name: str) -> None:
    watch = Watch(tmp_path)
    for _ in range(3):
        watch.upload("A", name)
        tick = watch.tick()
        assert (tick.starts, tick.waiting, tick.memory.days) == ([], {}, {})


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Watch:
    """200 days of uploads, all of them started before."""
    first = datetime(2026, 5, 1, tzinfo=timezone.utc)
    days = [f"{first + timedelta(days=number):%Y-%m-%d}" for number in range(200)]
    watch = Watch(tmp_path_factory.mktemp("years"), days, TABLES)
    states = {}
    for day in days:
        watch.upload("A", day)
        listing = listing_digest(found for files in watch.arrival.files(day).values() for found in files)
        states[day] = DayState(seen=listing, started=listing, content="A", starts=1)
    watch.cursor = SensorCursor(states).cursor()
    return watch


def test_a_tick_over_years_of_days_looks_at_few_of_them(years: Watch) -> None:
    for _ in range(3):
        years.storage.listed.clear()
        assert years.tick().starts == []
        looked_at = {entry.split()[1] for entry in years.storage.listed}
        assert len(years.storage.listed) == (NEWEST_DAYS + OLDER_DAYS_A_TICK) * len(TABLES)
        assert looked_at >= set(years.known_days[-NEWEST_DAYS:])


def test_late_uploads_of_old_days_are_found_all_the_same(years: Watch) -> None:
    days = {years.known_days[position] for position in (0, 1, 97, 192, 193)}
    years.now += 60  # a file of the same size and time would be the same file
    for day in days:
        years.upload("B", day)
    turn = -(-(len(years.known_days) - NEWEST_DAYS) // OLDER_DAYS_A_TICK)
    starts = [start.dt for _ in range(2 * turn + 2) for start in years.tick().starts]
    assert sorted(starts) == sorted(days)


# Dagster's own parts.


def today() -> str:
    return datetime.now(timezone.utc).date().isoformat()


@pytest.fixture
def live(tmp_path: Path) -> Platform:
    """A platform whose partitions reach from ten days ago to today, and whose uploads settle at once."""
    first_day = datetime.now(timezone.utc).date() - timedelta(days=10)
    return Platform(tmp_path / "home", first_day=first_day, settle_seconds=0)


@cache
def graph(first_day: date, timezone: str) -> dg.Definitions:
    """The whole graph. What starts runs knows of the settings these two alone; the resources are given to each tick."""
    return build_defs(Settings(first_day=first_day, timezone=timezone, settle_seconds=0))


def what_starts_runs(platform: Platform) -> dict[str, object]:
    return {"storage": platform.storage, "catalog": platform.catalog, "uploads": platform.resources.uploads}


def sensor_tick(platform: Platform, cursor: str | None) -> Any:
    defs = graph(platform.settings.first_day, "UTC")
    with dg.build_sensor_context(
        shared_instance(), cursor, definitions=defs, resources=what_starts_runs(platform)
    ) as context:
        return defs.resolve_sensor_def("reorder_uploads").evaluate_tick(context)


def test_the_sensor_says_what_it_waits_for_and_then_asks_for_one_run(live: Platform, upload_folder: Path) -> None:
    orders = (upload_folder / "orders.csv").rename(upload_folder / "later")
    live.upload(upload_folder, today())
    waits = sensor_tick(live, None)
    assert (waits.run_requests, waits.skip_message) == ([], f"{today()} waits for orders")

    orders.rename(upload_folder / "orders.csv")
    live.upload(upload_folder, today())
    arriving = sensor_tick(live, waits.cursor)
    assert (arriving.run_requests, arriving.skip_message) == ([], f"{today()} is still arriving")

    whole = sensor_tick(live, arriving.cursor)
    (request,) = whole.run_requests
    assert (request.partition_key, request.job_name or DAILY_JOB) == (today(), DAILY_JOB)
    assert request.run_key.startswith(f"{today()}/")

    after = sensor_tick(live, whole.cursor)
    assert (after.run_requests, after.skip_message) == ([], "No new upload.")


def test_the_sensor_leaves_odd_folders_alone(live: Platform) -> None:
    for name in ("dt=soon", "dt=2020-01-01", "dt=", "other", "dt=2026-02-30"):
        (live.raw / "reorder" / "orders" / name).mkdir(parents=True)
    assert sensor_tick(live, None).skip_message == "No new upload."


def schedule_tick(platform: Platform, name: str, at: datetime, timezone: str = "UTC") -> Any:
    defs = graph(platform.settings.first_day, timezone)
    with dg.build_schedule_context(
        shared_instance(), at, resources=what_starts_runs(platform), repository_def=defs.get_repository_def()
    ) as context:
        return defs.resolve_schedule_def(name).evaluate_tick(context)


EIGHT = datetime(2026, 11, 20, 8, tzinfo=timezone.utc)


def test_the_schedules_tick_at_their_hours_in_the_set_time_zone() -> None:
    defs = graph(Settings().first_day, "Pacific/Auckland")
    for name, cron in (("reorder_features", "0 8 * * *"), ("reorder_result", "0 9 * * *")):
        schedule = defs.resolve_schedule_def(name)
        set_so = (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name)
        assert set_so == (cron, "Pacific/Auckland", name)
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_a_schedule_skips_an_incomplete_day_saying_what_is_missing(platform: Platform, upload_folder: Path) -> None:
    (upload_folder / "products.csv").unlink()
    platform.upload(upload_folder)
    tick = schedule_tick(platform, "reorder_features", EIGHT)
    assert tick.run_requests == []
    assert tick.skip_message == f"{DT} waits for products; the sensor starts the day once it is there."


def test_a_schedule_runs_the_day_that_it_is_in_the_set_time_zone(platform: Platform, upload_folder: Path) -> None:
    platform.upload(upload_folder)
    at_eight = datetime(2026, 11, 20, 8, tzinfo=ZoneInfo("Pacific/Auckland")).astimezone(timezone.utc)
    assert f"{at_eight:%Y-%m-%d}" == "2026-11-19"
    (request,) = schedule_tick(platform, "reorder_features", at_eight, timezone="Pacific/Auckland").run_requests
    assert request.partition_key == DT


def test_the_result_waits_for_its_features_and_nothing_is_run_twice(platform: Platform, upload_folder: Path) -> None:
    platform.upload(upload_folder)
    early = schedule_tick(platform, "reorder_result", EIGHT)
    assert early.skip_message == (
        f"{DT} waits for user_features_1, user_features_2, up_features, prd_features to be built from its upload."
    )

    build(platform, upload_folder, tables=[table for table in MADE if table != t.RESULT_TABLE])
    assert schedule_tick(platform, "reorder_features", EIGHT).skip_message == f"{DT} is built from its upload as it is."
    (request,) = schedule_tick(platform, "reorder_result", EIGHT).run_requests
    assert request.partition_key == DT

    make(platform, t.RESULT_TABLE)
    assert schedule_tick(platform, "reorder_result", EIGHT).skip_message == f"{DT} is built from its upload as it is."

    aisles = upload_folder / "aisles.csv"
    aisles.write_text(aisles.read_text() + "4,bread\n")
    platform.upload(upload_folder)
    assert len(schedule_tick(platform, "reorder_features", EIGHT).run_requests) == 1
    assert "waits for" in schedule_tick(platform, "reorder_result", EIGHT).skip_message


def test_a_day_that_was_run_by_hand_is_not_started_by_the_sensor(live: Platform, upload_folder: Path) -> None:
    build(live, upload_folder, today())
    first = sensor_tick(live, None)
    second = sensor_tick(live, first.cursor)
    assert (first.run_requests, second.run_requests) == ([], [])
    assert json.loads(second.cursor)["days"][today()]["starts"] == 0
