"""What happens when a run fails or is cancelled: alerts, and an end to what it left running."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from pydantic import Field

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.orchestration import failure
from instacart_pipeline.orchestration.failure import alert_of, build_failure_sensors, stop_left
from instacart_pipeline.orchestration.lost_runs import lock_run
from instacart_pipeline.reorder.automation import DAILY_JOB
from instacart_pipeline.resources.alerts import Alert, Alerts
from instacart_pipeline.resources.alerts.local import LogFileAlerts
from instacart_pipeline.resources.orphaned_jobs import OrphanedJobs
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.platform import DT, Platform

URL = "http://dagster:3000"


BOOKS: dict[str, list[str]] = defaultdict(list)
"""What the resources below write down, by their `book`: Dagster hands out copies of a resource."""


class RecordingAlerts(Alerts):
    """Keeps what is sent, once a run; the first `failures` of the tries fail."""

    book: str = Field(default_factory=lambda: uuid.uuid4().hex)
    failures: int = 0

    @property
    def sent(self) -> list[str]:
        return BOOKS[f"{self.book} sent"]

    @property
    def tries(self) -> list[str]:
        return BOOKS[f"{self.book} tries"]

    def send(self, alert: Alert) -> bool:
        self.tries.append(alert.run_id)
        if len(self.tries) <= self.failures:
            raise JobFailed("the post is closed")
        if alert.run_id in self.sent:
            return False
        self.sent.append(alert.run_id)
        return True


class Stopper(OrphanedJobs):
    """Keeps whose orphaned jobs it was told to stop."""

    book: str = Field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def told(self) -> list[str]:
        return BOOKS[self.book]

    def stop(self, run_id: str) -> Sequence[str]:
        self.told.append(run_id)
        return [f"job of {run_id}"]


@dg.job
def nightly() -> None:
    """Any job: the sensors are on whatever run ended."""


class Sensors:
    """The sensors on ended runs over an instance of their own, ticked by hand; what they remember survives as text."""

    def __init__(self, instance: dg.DagsterInstance, alerts: Alerts, orphaned_jobs: OrphanedJobs) -> None:
        self.instance, self.resources = instance, {"alerts": alerts, "orphaned_jobs": orphaned_jobs}
        self.definitions = dg.Definitions(
            jobs=[nightly], sensors=build_failure_sensors(Settings(dagster_url=URL)), resources=self.resources
        )
        self.cursors: dict[str, str | None] = {"failed_runs": None, "canceled_runs": None}
        for name in self.cursors:
            self.tick(name)

    def tick(self, name: str = "failed_runs") -> str:
        """What the sensor says it did."""
        asked = {"failed_runs": ("alerts", "orphaned_jobs"), "canceled_runs": ("orphaned_jobs",)}[name]
        with dg.build_sensor_context(
            self.instance,
            self.cursors[name],
            definitions=self.definitions,
            resources={key: self.resources[key] for key in asked},
        ) as context:
            tick = self.definitions.resolve_sensor_def(name).evaluate_tick(context)
        self.cursors[name] = tick.cursor
        return tick.skip_message or ""

    def run(self, ends: str = "failed", **tags: str) -> dg.DagsterRun:
        """A run that ended so."""
        root = tags.get("dagster/root_run_id")
        run = self.instance.create_run_for_job(nightly, tags=tags, root_run_id=root, parent_run_id=root)
        if ends == "failed":
            self.instance.report_run_failed(run)
        elif ends == "canceled":
            self.instance.report_run_canceled(run)
        return run


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick looks after fewer runs and gives them up sooner than in earnest, and takes as long as it needs."""
    monkeypatch.setattr(failure, "RUNS_A_TICK", 3)
    monkeypatch.setattr(failure, "TRIES", 4)
    monkeypatch.setattr(failure, "_BEGIN_SECONDS", 600.0)


@pytest.fixture
def post() -> RecordingAlerts:
    return RecordingAlerts()


@pytest.fixture
def stopper() -> Stopper:
    return Stopper()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def sensors(instance: dg.DagsterInstance, post: RecordingAlerts, stopper: Stopper) -> Sensors:
    return Sensors(instance, post, stopper)


# Alerts.


def test_an_alert_of_a_failed_run_gives_its_first_error_and_its_page(
    platform: Platform, upload_folder: Path, instance: dg.DagsterInstance
) -> None:
    (upload_folder / "orders.csv").unlink()
    platform.upload(upload_folder)
    job = build_defs(platform.settings).resolve_job_def(DAILY_JOB)
    result = job.execute_in_process(instance=instance, partition_key=DT, raise_on_error=False)
    assert not result.success
    alert = alert_of(instance, result.dagster_run, URL)
    assert (alert.run_id, alert.job, alert.dt) == (result.run_id, DAILY_JOB, DT)
    assert alert.error.startswith("reorder_staging: ")
    assert f"reorder upload of {DT} lacks orders" in alert.error
    assert alert.link == f"{URL}/runs/{result.run_id}"


def test_an_alert_of_a_run_that_just_ended_says_so(sensors: Sensors) -> None:
    alert = alert_of(sensors.instance, sensors.run(), URL)
    assert alert.error == "The run ended without a failed step: its process was killed or lost."


def test_a_run_whose_process_is_gone_is_alerted_by_the_next_tick(sensors: Sensors, post: RecordingAlerts) -> None:
    run = sensors.run(ends="lost")
    lock_run(sensors.instance, run.run_id).close()  # as the kernel does when the process ends
    sensors.tick()
    assert post.sent == [run.run_id]


def test_each_failed_run_is_alerted_once_and_those_before_the_first_tick_are_not(
    instance: dg.DagsterInstance, post: RecordingAlerts, stopper: Stopper
) -> None:
    Sensors(instance, post, stopper).run()
    sensors = Sensors(instance, post, stopper)
    runs = [sensors.run().run_id, sensors.run().run_id]
    sensors.run("canceled")
    assert [sensors.tick() for _ in range(2)] == ["Runs looked after: 2.", "Nothing new."]
    assert post.sent == post.tries == runs


def test_an_alert_that_could_not_be_sent_is_sent_later_and_holds_up_no_other(
    instance: dg.DagsterInstance, stopper: Stopper
) -> None:
    post = RecordingAlerts(failures=3)
    sensors = Sensors(instance, post, stopper)
    first, second = sensors.run().run_id, sensors.run().run_id
    assert sensors.tick().count("will be tried again: the post is closed") == 2
    third = sensors.run().run_id
    sensors.tick()
    assert post.sent == [first, second]
    sensors.tick()
    assert post.sent == [first, second, third]
    assert sensors.tick() == "Nothing new."


def test_a_run_is_given_up_in_the_end_saying_so(instance: dg.DagsterInstance, stopper: Stopper) -> None:
    sensors = Sensors(instance, RecordingAlerts(failures=10_000), stopper)
    sensors.run()
    said = [sensors.tick() for _ in range(failure.TRIES + 1)]
    tries = said[: failure.TRIES]
    assert ["will be tried again" in text for text in tries] == [True] * (failure.TRIES - 1) + [False]
    assert "is given up" in tries[-1]
    assert said[-1] == "Nothing new."


def test_many_failures_at_once_are_alerted_a_few_a_tick_and_all_in_the_end(
    sensors: Sensors, post: RecordingAlerts
) -> None:
    a_tick = failure.RUNS_A_TICK
    runs = [sensors.run().run_id for _ in range(2 * a_tick + 1)]
    counts = []
    for _ in range(4):
        sensors.tick()
        counts.append(len(post.sent))
    assert counts == [a_tick, 2 * a_tick, len(runs), len(runs)]
    assert post.sent == runs


def test_the_cursor_of_dagsters_own_sensor_is_gone_on_with(sensors: Sensors, post: RecordingAlerts) -> None:
    before = sensors.run()
    (event,) = sensors.instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    after = sensors.run()
    own = {"__class__": "RunStatusSensorCursor", "record_id": event.storage_id, "update_timestamp": None}
    sensors.cursors["failed_runs"] = json.dumps(own)
    sensors.tick()
    assert (before.run_id in post.sent, post.sent) == (False, [after.run_id])


def test_the_log_of_alerts_holds_a_line_a_run(tmp_path: Path) -> None:
    log = tmp_path / "below" / "alerts.log"
    alerts = LogFileAlerts(path=str(log))
    one, other = Alert("1", "job", DT, "two\nlines, é", f"{URL}/runs/1"), Alert("2", "job", "", "another")
    assert [alerts.send(alert) for alert in (one, other, one)] == [True, True, False]
    written = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(line["run_id"], line["error"]) for line in written] == [("1", "two\nlines, é"), ("2", "another")]
    assert written[0]["link"] == f"{URL}/runs/1"
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in written)


# Orphaned jobs.


@pytest.mark.parametrize(("ends", "sensor"), [("failed", "failed_runs"), ("canceled", "canceled_runs")])
def test_what_a_run_left_is_stopped_once_it_is_over(sensors: Sensors, stopper: Stopper, ends: str, sensor: str) -> None:
    run = sensors.run(ends)
    sensors.run("goes on")
    sensors.tick("failed_runs")
    sensors.tick("canceled_runs")
    sensors.tick(sensor)
    assert stopper.told == [run.run_id]


def test_what_a_run_left_is_stopped_although_its_alert_could_not_be_sent(
    instance: dg.DagsterInstance, stopper: Stopper
) -> None:
    sensors = Sensors(instance, RecordingAlerts(failures=1), stopper)
    run = sensors.run()
    sensors.tick()
    assert stopper.told == [run.run_id]


def test_a_run_that_is_retried_keeps_its_jobs_for_the_retry(sensors: Sensors, stopper: Stopper) -> None:
    first = sensors.run(**{"dagster/will_retry": "true"})
    sensors.tick()
    assert stopper.told == []
    sensors.run(**{"dagster/will_retry": "false", "dagster/root_run_id": first.run_id})
    sensors.tick()
    assert stopper.told == [first.run_id]


def test_the_jobs_of_a_run_that_somebody_has_started_again_are_left_to_that(sensors: Sensors, stopper: Stopper) -> None:
    first = sensors.run()
    sensors.run("goes on", **{"dagster/root_run_id": first.run_id})
    assert stop_left(sensors.instance, first, stopper) == []
    assert stopper.told == []
