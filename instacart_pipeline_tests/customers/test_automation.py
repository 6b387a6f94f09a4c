"""What starts a week of customers: once its seven tables are there, and the warehouse has not what they say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.automation import WEEKLY_JOB
from instacart_pipeline.customers.mart_assets import warehouse_sql
from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.orchestration.one_run import tags_of
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.storage import listing_digest
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.customers.mart import mart_row, profile_row
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.tiers import costs

THIS = date.today() - timedelta(days=date.today().weekday())  # the platform's time zone is UTC, as this machine's
DT, LAST = THIS.isoformat(), (THIS - timedelta(weeks=1)).isoformat()
NO_MONDAY, NEXT = (THIS - timedelta(days=3)).isoformat(), (THIS + timedelta(weeks=1)).isoformat()
FIRST = date(2024, 1, 1)
TEN = datetime(THIS.year, THIS.month, THIS.day, 10, tzinfo=timezone.utc)


@dataclass
class Watch:
    """What starts weeks, over a raw zone, a catalog and a warehouse of its own."""

    platform: Platform
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    cursor: str | None = None
    running: dict[str, str] = field(default_factory=dict)

    def upload(self, text: str, dt: str = DT, *, without: str = "") -> None:
        """Upload a week's seven files, of no use but to be there, all but one."""
        folder = self.platform.home / "upload"
        folder.mkdir(parents=True, exist_ok=True)
        for table in t.STAGED:
            if table.name != without:
                file = folder / f"{table.name}.csv"
                file.write_text(text)
                self.platform.storage.put(t.SYSTEM, table.name, dt, [file])

    def build(self, dt: str = DT, *, loaded: bool = True) -> None:
        """What a run leaves: the uploads entered, the mart made of them, and, unless it fails before, all of it in the warehouse."""
        catalog, lineage = self.platform.catalog, dict[str, str]()
        for table in t.STAGED:
            location = self.platform.zones.raw_partition(table.system, table.name, dt)
            files = self.platform.storage.objects(t.SYSTEM, table.name, dt)
            catalog.put_table(CatalogTable.of(table, "raw"))
            version = Version(new_version(), location, -1, 0, facts={"listing": listing_digest(files)})
            lineage[table.qualified_name] = catalog.publish(table.database, table.name, dt, version).name
        made = self.platform.put_rows(m.CUSTOMER_MART, [mart_row(1)], dt=dt, name=new_version(), lineage=lineage)
        told = {**lineage, m.CUSTOMER_MART.qualified_name: made.name}
        self.platform.put_rows(m.SEGMENT_PROFILES, [profile_row()], dt=dt, name=new_version(), lineage=told)
        for target in m.WAREHOUSE_TABLES if loaded else ():
            self.platform.resources.warehouse.load(warehouse_sql(target), target, [dt])

    def lose(self, name: str, dt: str = DT) -> None:
        shutil.rmtree(self.platform.raw / t.SYSTEM / name / f"dt={dt}")

    def sensor(self) -> tuple[list[str], str]:
        """A tick of the sensor: the weeks it starts, and what it says otherwise."""
        with (
            self._instance() as instance,
            dg.build_sensor_context(
                instance, self.cursor, definitions=self.definitions, resources=self._resources()
            ) as context,
        ):
            tick = self.definitions.resolve_sensor_def("customers_uploads").evaluate_tick(context)
        self.cursor = tick.cursor
        return [request.partition_key or "" for request in tick.run_requests or ()], tick.skip_message or ""

    def schedule(self) -> tuple[list[str], str]:
        """A tick of the schedule on this week's Monday at ten."""
        with (
            self._instance() as instance,
            dg.build_schedule_context(
                instance, TEN, resources=self._resources(), repository_def=self.definitions.get_repository_def()
            ) as context,
        ):
            tick = self.definitions.resolve_schedule_def(WEEKLY_JOB).evaluate_tick(context)
        return [request.partition_key or "" for request in tick.run_requests or ()], tick.skip_message or ""

    def _resources(self) -> dict[str, Any]:
        found = self.platform.resources
        return {"storage": found.storage, "catalog": found.catalog, "warehouse": found.warehouse}

    @contextmanager
    def _instance(self) -> Iterator[dg.DagsterInstance]:
        runs = [
            self.instance.add_run(
                dg.DagsterRun(
                    WEEKLY_JOB,
                    status=dg.DagsterRunStatus.STARTED,
                    tags={**tags_of(t.SYSTEM), "dagster/partition": dt},
                )
            )
            for dt in self.running
        ]
        yield self.instance
        for run in runs:
            self.instance.delete_run(run.run_id)


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """The project's own; the resources that are looked at are each test's."""
    return build_defs(Settings(home=Path("/nowhere"), settle_seconds=0, timezone="UTC"))


@pytest.fixture(scope="module")
@costs("contract")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Without any run but while a tick needs one. A schedule's context takes no ephemeral one."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


@pytest.fixture
def watch(tmp_path: Path, definitions: dg.Definitions, instance: dg.DagsterInstance) -> Watch:
    return Watch(Platform(tmp_path / "home"), definitions, instance)


# What happens, what two ticks of the sensor start between them, and what the second says; what the schedule starts, and says.
Situation = tuple[str, list[str], str, list[str], str]
ALL = ", ".join(table.name for table in t.STAGED)
SITUATIONS: dict[str, Situation] = {
    "nothing there": ("", [], "No new upload.", [], f"{DT} waits for {ALL}; the sensor starts"),
    "a table missing": ("half", [], f"{DT} waits for events", [], f"{DT} waits for events; the sensor starts"),
    "whole": ("A", [DT], "", [DT], ""),
    "built": ("A built", [], "No new upload.", [], f"{DT} is built from its upload as it is."),
    "built, but not in the warehouse": ("A made", [DT], "", [DT], ""),
    "uploaded again after it was built": ("A built B", [DT], "", [DT], ""),
    "a table taken away after it was built": (
        "A built lose",
        [],
        f"{DT} waits for events",
        [],
        f"{DT} waits for events",
    ),
    "a run of it under way": ("A running", [], "No new upload.", [], f"A run of {DT} is queued or under way."),
    "a week before it too": ("A earlier", [LAST, DT], "", [DT], ""),
    "a day that is no Monday": (
        "odd",
        [],
        f"{NO_MONDAY} is no Monday, so nothing is built of its files: upload them as {LAST} or {DT}",
        [],
        f"{DT} waits for {ALL}",
    ),
    "the week to come": (
        "early",
        [],
        f"{NEXT} is none of the weeks there are: that Monday has not come yet",
        [],
        f"{DT} waits for {ALL}",
    ),
    "a week before the first": (
        "old",
        [],
        f"{FIRST - timedelta(weeks=1)} is none of the weeks there are: weeks run from Monday {FIRST} to {DT}. "
        "Earlier ones begin with INSTACART_CUSTOMERS_FIRST_DAY",
        [],
        f"{DT} waits for {ALL}",
    ),
    "what is no day": ("strange", [], "soon is no day", [], f"{DT} waits for {ALL}"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_week_is_started_when_and_only_when_it_should_be(watch: Watch, situation: str) -> None:
    happens, by_sensor, sensor_says, by_schedule, schedule_says = SITUATIONS[situation]
    for word in happens.split():
        match word:
            case "half":
                watch.upload("A", without="events")
            case "built" | "made":
                watch.build(loaded=word == "built")
            case "lose":
                watch.lose("events")
            case "running":
                watch.running[DT] = "run"
            case "earlier":
                watch.upload("A", LAST)
            case "odd":
                watch.upload("A", NO_MONDAY)
            case "old":
                watch.upload("A", (FIRST - timedelta(weeks=1)).isoformat())
            case "early":
                watch.upload("A", NEXT)
            case "strange":
                (watch.platform.raw / t.SYSTEM / "users" / "dt=soon").mkdir(parents=True)
            case _:
                watch.upload(word)
    first, _ = watch.sensor()
    second, told = watch.sensor()
    assert [*first, *second] == by_sensor
    assert told.startswith(sensor_says)
    started, told = watch.schedule()
    assert started == by_schedule
    assert told.startswith(schedule_says)


def test_many_weeks_start_in_their_order_five_a_tick(watch: Watch) -> None:
    weeks = [(THIS - timedelta(weeks=back)).isoformat() for back in reversed(range(7))]
    for dt in weeks:
        watch.upload("A", dt)
    assert [watch.sensor()[0] for _ in range(4)] == [[], weeks[:5], weeks[5:], []]


def test_a_week_that_was_run_by_hand_meanwhile_is_started_by_nobody_until_it_is_uploaded_again(watch: Watch) -> None:
    watch.upload("A")
    watch.running[DT] = "run"
    assert [watch.sensor()[0], watch.sensor()[0]] == [[], []]
    watch.build()
    watch.running.clear()
    assert [watch.sensor()[0], watch.sensor()[0]] == [[], []]
    watch.upload("B")
    assert [watch.sensor()[0], watch.sensor()[0], watch.sensor()[0]] == [[], [DT], []]


def test_the_week_is_built_on_mondays_at_ten_in_utc_and_its_runs_follow_each_other(
    tmp_path: Path,
) -> None:
    defs = build_defs(Platform(tmp_path, timezone="Europe/Berlin").settings)
    schedule = defs.resolve_schedule_def(WEEKLY_JOB)
    # What happened is dated in UTC: east of it a Monday begins before the week has ended.
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 10 * * 1", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert defs.resolve_job_def(WEEKLY_JOB).tags.items() >= tags_of(t.SYSTEM).items()


def test_the_job_makes_every_table_of_the_system(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def(WEEKLY_JOB)
    made = {"/".join(key.path) for key in job.asset_layer.executable_asset_keys}
    tables = (*t.STAGED, *t.CURATED_TABLES.values(), *t.DERIVED, *m.MART_TABLES, *m.WAREHOUSE_TABLES)
    assert made == {"/".join(table.asset_key) for table in tables} | {"customers/models/segmentation"}


def test_the_mart_is_expected_on_mondays_by_noon_and_other_results_each_day_by_ten(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    def expected(*path: str) -> str:
        policy = graph.get(dg.AssetKey(path)).freshness_policy
        return getattr(policy, "deadline_cron", "")

    assert {expected(*table.asset_key) for table in m.MART_TABLES} == {"0 12 * * 1"}
    assert expected("reorder", "sandbox", "result_table") == "0 10 * * *"
