"""Ticks of what starts the retail system's runs, through Dagster: on a raw zone, a catalog and a warehouse of their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.orchestration.day_ranges import DAYS_TAG, FAILED_DAYS
from instacart_pipeline.orchestration.one_run import ONE_RUN_OF
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.retail import tables as t
from instacart_pipeline.retail.automation import (
    ANALYSES_JOB,
    DAYS_JOB,
    OF_LOAD,
    EndedAnalysesRun,
    RetryDecision,
    again_after,
)
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.warehouse_tables import SALES_LINES
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.retail.shop import Shop, line
from instacart_pipeline_tests.retail.ticking import SETTINGS, Started, Ticks, arrived
from instacart_pipeline_tests.tiers import costs

MONDAY, TUESDAY, TOO_EARLY = "2011-03-07", "2011-03-08", "2010-11-30"
FAILURE, SUCCESS, CANCELED = DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS, DagsterRunStatus.CANCELED


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """The real ones, built once: what a tick looks at comes with its context."""
    return build_defs(Platform(tmp_path_factory.mktemp("unused"), **SETTINGS).settings)


@pytest.fixture
@costs("contract")
def ticks(tmp_path: Path, definitions: dg.Definitions) -> Iterator[Ticks]:
    platform = Platform(tmp_path / "home", **SETTINGS)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticks(definitions, platform, instance, platform.resources.warehouse)


@pytest.fixture
@costs("contract")
def kept(tmp_path: Path, definitions: dg.Definitions) -> Iterator[Ticks]:
    """Ticks over an instance on the disk: a schedule sees no other one."""
    platform = Platform(tmp_path / "home", **SETTINGS)
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield Ticks(definitions, platform, instance, platform.resources.warehouse)


def days_of(requests: Started) -> list[tuple[str | None, str | None]]:
    return [(request.partition_key, request.tags.get(DAYS_TAG)) for request in requests]


# The sensor on what arrives


def test_new_files_start_one_run_of_their_days_once_they_stand_still(ticks: Ticks) -> None:
    assert ticks.sensor("retail_arrivals") == ((), "Nothing new.")
    arrived(ticks.platform, TUESDAY)
    arrived(ticks.platform, MONDAY)
    requests, told = ticks.sensor("retail_arrivals")
    assert (list(requests), told) == ([], f"{TUESDAY} is still arriving; {MONDAY} is still arriving")
    requests, told = ticks.sensor("retail_arrivals")
    assert (days_of(requests), told) == ([(TUESDAY, f"{MONDAY} {TUESDAY}")], "")
    assert requests[0].run_key
    assert ticks.sensor("retail_arrivals") == ((), "Nothing new.")


def test_a_run_that_the_sensor_starts_is_the_only_one_of_its_system(ticks: Ticks) -> None:
    job = ticks._definitions.resolve_job_def(DAYS_JOB)
    assert job.tags[ONE_RUN_OF] == t.SYSTEM


def test_days_that_a_run_under_way_sees_to_are_not_started_once_more(kept: Ticks) -> None:
    arrived(kept.platform, MONDAY)
    kept.run(DAYS_JOB, dg.RunRequest(partition_key=MONDAY), DagsterRunStatus.STARTED)
    for _ in range(2):
        assert kept.sensor("retail_arrivals") == ((), "Nothing new.")
    assert kept.schedule() == ((), "Every day that has come is built, or about to be.")


def test_a_quiet_tick_names_the_days_that_are_left_out(ticks: Ticks) -> None:
    arrived(ticks.platform, TOO_EARLY)
    later = (datetime.now(timezone.utc) + timedelta(days=9)).date().isoformat()
    arrived(ticks.platform, later)
    (ticks.platform.raw / t.SYSTEM / t.STAGED_STREAM.name / "dt=2009-01-01").mkdir(parents=True)  # no file of it
    for _ in range(2):
        requests, told = ticks.sensor("retail_arrivals")
        assert (list(requests), told) == (
            [],
            f"no run builds {TOO_EARLY}, {later}: days run from 2010-12-01 (INSTACART_RETAIL_FIRST_DAY) to today",
        )


def test_of_many_days_left_out_the_first_are_named(ticks: Ticks) -> None:
    for number in range(1, 15):
        arrived(ticks.platform, f"2009-01-{number:02}")
    told = ticks.sensor("retail_arrivals")[1]
    assert told.startswith("no run builds 2009-01-01, 2009-01-02,")
    assert "2009-01-10 and 4 days more: days run" in told


def test_a_failed_run_of_several_days_is_gone_on_with_once_without_those_at_fault(ticks: Ticks) -> None:
    tags = {DAYS_TAG: f"{MONDAY} {TUESDAY} 2011-03-09", FAILED_DAYS: TUESDAY}
    run = ticks.run(DAYS_JOB, dg.RunRequest(partition_key="2011-03-09", tags=tags), FAILURE)
    requests, _ = ticks.sensor("retail_arrivals")
    assert days_of(requests) == [("2011-03-09", f"{MONDAY} 2011-03-09")]
    assert requests[0].run_key == f"without those at fault in {run}"  # Dagster starts one run a key


# The schedule


def test_the_schedule_starts_what_came_and_is_not_in_the_warehouse_in_one_run(kept: Ticks) -> None:
    assert kept.schedule() == ((), "Every day that has come is built, or about to be.")
    arrived(kept.platform, MONDAY)
    arrived(kept.platform, TUESDAY)
    arrived(kept.platform, TOO_EARLY)
    assert days_of(kept.schedule()[0]) == [(TUESDAY, f"{MONDAY} {TUESDAY}")]


# The sensor on what was loaded


def load(shop: Shop, *days: str) -> None:
    """What a run leaves that loads days: the lines in the warehouse, and that Dagster knows of it."""
    for dt in days:
        shop.load(dt, rebuilt=[])
        shop.instance.report_runless_asset_event(dg.AssetMaterialization(SALES_LINES.asset_key, partition=dt))


def publish(shop: Shop) -> None:
    """What a run of the analyses leaves: their tables as of Tuesday, computed from the newest load."""
    newest = max(found.version for found in shop.warehouse.loads(SALES_LINES).values())
    for table in SANDBOX_TABLES:
        version = Version(new_version(), f"s/{table.name}", 1, 1, {SALES_LINES.qualified_name: newest})
        shop.platform.catalog.put_table(CatalogTable.of(table, "sandbox"))
        shop.platform.catalog.publish(table.database, table.name, TUESDAY, version)


@pytest.fixture
@costs("contract")
def sold(tmp_path: Path, definitions: dg.Definitions) -> Iterator[tuple[Shop, Ticks]]:
    """A shop of two days, whose older day was loaded last, and ticks over it."""
    shop = Shop(tmp_path)
    with shop.instance:
        shop.sold([line("1", f"{MONDAY} 10:00"), line("2", f"{TUESDAY} 10:00")])
        load(shop, TUESDAY, MONDAY)
        yield shop, Ticks(definitions, shop.platform, shop.instance, shop.warehouse)


def test_after_a_load_the_analyses_are_published_as_of_the_newest_day_and_then_it_is_quiet(
    sold: tuple[Shop, Ticks],
) -> None:
    shop, ticks = sold
    ((request,), _) = ticks.sensor("retail_analyses")
    assert request.partition_key == TUESDAY
    assert request.tags[OF_LOAD]
    assert ticks.sensor("retail_analyses") == ((), "Nothing was loaded since.")
    publish(shop)
    ticks.run(ANALYSES_JOB, request, SUCCESS)
    assert ticks.sensor("retail_analyses") == ((), "Nothing was loaded since.")
    load(shop, MONDAY)
    ((later,), _) = ticks.sensor("retail_analyses")
    assert later.run_key != request.run_key


def test_the_analyses_wait_for_a_run_of_the_system_and_for_a_first_load(ticks: Ticks, sold: tuple[Shop, Ticks]) -> None:
    assert ticks.sensor("retail_analyses") == ((), "Nothing was loaded yet.")
    _, after_load = sold
    run = after_load.run(DAYS_JOB, dg.RunRequest(partition_key=MONDAY), DagsterRunStatus.STARTED)
    assert after_load.sensor("retail_analyses") == ((), f"{DAYS_JOB} is queued or under way.")
    after_load.instance.delete_run(run)
    assert len(after_load.sensor("retail_analyses")[0]) == 1


def test_analyses_whose_run_failed_are_started_again_a_few_times_and_not_for_ever(
    sold: tuple[Shop, Ticks], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ticks = sold
    monkeypatch.setattr("instacart_pipeline.retail.automation._AGAIN_AFTER", (0.0, 0.0))
    keys, last = list[str | None](), ""
    for _ in range(3):
        ((request,), _) = ticks.sensor("retail_analyses")
        assert request.partition_key == TUESDAY
        keys.append(request.run_key)
        last = ticks.run(ANALYSES_JOB, request, FAILURE)
    assert len(set(keys)) == 3  # one that Dagster has seen would start nothing
    for _ in range(2):
        requests, told = ticks.sensor("retail_analyses")
        assert not requests
        assert f"failed 3 times, the last in run {last}, which says why." in told


def test_after_a_failure_they_wait_and_are_left_alone_once_somebody_has_published_them(
    sold: tuple[Shop, Ticks], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, ticks = sold
    ((request,), _) = ticks.sensor("retail_analyses")
    run = ticks.run(ANALYSES_JOB, request, FAILURE)
    requests, told = ticks.sensor("retail_analyses")
    assert not requests
    assert f"failed once, the last in run {run}; they are started again in " in told
    publish(shop)
    monkeypatch.setattr("instacart_pipeline.retail.automation._AGAIN_AFTER", (0.0,))
    assert ticks.sensor("retail_analyses") == ((), "The analyses are of the newest load.")
    # From then on not even the warehouse is asked, which may cost money.
    monkeypatch.setattr(type(ticks.warehouse), "loads", lambda *_: pytest.fail("the warehouse was asked"))
    assert ticks.sensor("retail_analyses") == ((), "Nothing was loaded since.")


# How the runs of a load's analyses ended, newest first, and when; seconds now; whether they are due again, and what is said.
AGAIN = {
    "none was started": ([], 0, False, "Nothing was loaded since."),
    "it succeeded": ([(SUCCESS, 0)], 9_999, False, "Nothing was loaded since."),
    "it failed just now": (
        [(FAILURE, 100)],
        399,
        False,
        "failed once, the last in run 0; they are started again in 1 s.",
    ),
    "it failed a while ago": ([(FAILURE, 100)], 400, True, ""),
    "it failed, and then succeeded": ([(SUCCESS, 500), (FAILURE, 100)], 9_999, False, "Nothing was loaded since."),
    "it was cancelled": ([(CANCELED, 100)], 9_999, False, "Nothing was loaded since."),
    "it failed, and was then cancelled": ([(CANCELED, 500), (FAILURE, 0)], 9_999, False, "Nothing was loaded since."),
    "it was cancelled, and then failed": ([(FAILURE, 500), (CANCELED, 0)], 800, True, ""),
    "it failed twice just now": ([(FAILURE, 500), (FAILURE, 0)], 800, False, "failed 2 times"),
    "it failed twice a while ago": ([(FAILURE, 500), (FAILURE, 0)], 2_300, True, ""),
    "it failed three times": ([(FAILURE, 900)] * 3, 8_099, False, "started again in 1 s"),
    "it failed three times long ago": ([(FAILURE, 900)] * 3, 8_100, True, ""),
    "it failed four times": ([(FAILURE, 0)] * 4, 10**9, False, "run the job retail_analyses for the newest day"),
}


@pytest.mark.parametrize(("ends", "now", "due", "told"), AGAIN.values(), ids=AGAIN)
def test_failed_analyses_are_due_again_after_a_pause_that_grows(
    ends: list[tuple[DagsterRunStatus, float]], now: float, due: bool, told: str
) -> None:
    found: RetryDecision = again_after([EndedAnalysesRun(str(place), *end) for place, end in enumerate(ends)], now)
    assert (found.due, found.failures) == (due, sum(status == FAILURE for status, _ in ends))
    assert told in found.why
