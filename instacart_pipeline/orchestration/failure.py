"""What happens when a run fails or is cancelled: people are told, and what it left running is stopped.

Belongs here: noticing runs that are over, and turning a failed one into an alert. Doesn't: where alerts go
(resources/alerts/), and how a job is stopped (resources/orphaned_jobs/__init__.py).

Dagster's own sensors on the status of runs go on to the next run when their function fails: an alert that could not be sent
would be lost, and a job that could not be stopped would go on costing. So these sensors keep what failed and try it again.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunsFilter,
    RunStatusChangeRecordsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from instacart_pipeline.orchestration.lost_runs import end_lost_runs
from instacart_pipeline.resources.alerts import Alert, Alerts
from instacart_pipeline.resources.orphaned_jobs import OrphanedJobs
from instacart_pipeline.settings import Settings

RUNS_A_TICK = 10
"""Most runs that are over and looked after in a tick, and most of those that are tried again."""
TRIES = 120
"""So often a run is looked after before it is given up, a tick each time: about an hour."""
_BEGIN_SECONDS = 20.0
"""No run is begun with later in a tick, which may take a minute."""
_INTERVAL_SECONDS = 30
EndEvent = Literal[DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED]
_ALIVE = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.MANAGED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def alert_of(instance: DagsterInstance, run: DagsterRun, dagster_url: str) -> Alert:
    """The alert for a failed run: the first step that failed says why; a run that was killed has none that did."""
    failures = instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
    error = "The run ended without a failed step: its process was killed or lost."
    for record in failures:
        if record.dagster_event and (found := record.dagster_event.step_failure_data.error):
            cause = found.cause or found
            error = f"{record.dagster_event.step_key}: {cause.message.strip()}"
            break
    return Alert(
        run.run_id, run.job_name, run.tags.get("dagster/partition", ""), error, f"{dagster_url}/runs/{run.run_id}"
    )


def stop_left(instance: DagsterInstance, run: DagsterRun, orphaned_jobs: OrphanedJobs) -> list[str]:
    """Stop the jobs that a run left behind, unless a retry of it takes them over. Returns their ids."""
    first = run.root_run_id or run.run_id
    if run.tags.get("dagster/will_retry") == "true":
        return []
    retries = RunsFilter(tags={"dagster/root_run_id": first}, statuses=_ALIVE)
    if instance.get_runs(retries, limit=1):
        return []
    return list(orphaned_jobs.stop(first))


def build_failure_sensors(settings: Settings) -> list[SensorDefinition]:
    """Sensors on runs that failed or were cancelled, of whatever job, also those whose process was killed."""

    @sensor(
        name="failed_runs",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Fails the runs whose process is gone, sends an alert for each failed run, and stops the jobs it left running.",
    )
    def failed_runs(context: SensorEvaluationContext, alerts: Alerts, orphaned_jobs: OrphanedJobs) -> SensorResult:
        def look_after(run: DagsterRun) -> None:
            try:
                alerts.send(alert_of(context.instance, run, settings.dagster_url))
            finally:
                _stop_and_say(context, run, orphaned_jobs)

        if context.cursor:  # the first tick only notes where it starts from, and would pass them over
            end_lost_runs(context.instance)
        return _tick(context, DagsterEventType.RUN_FAILURE, look_after)

    @sensor(
        name="canceled_runs",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Stops the jobs that a cancelled run left running.",
    )
    def canceled_runs(context: SensorEvaluationContext, orphaned_jobs: OrphanedJobs) -> SensorResult:
        return _tick(context, DagsterEventType.RUN_CANCELED, lambda run: _stop_and_say(context, run, orphaned_jobs))

    return [failed_runs, canceled_runs]


def _stop_and_say(context: SensorEvaluationContext, run: DagsterRun, orphaned_jobs: OrphanedJobs) -> None:
    if stopped := stop_left(context.instance, run, orphaned_jobs):
        context.log.info(f"Stopped what the run {run.run_id} left running: {', '.join(stopped)}")


@dataclass(frozen=True)
class RunStatusCursor:
    """What such a sensor remembers: the last event it has seen, and the runs to try again with how often they were tried."""

    after: int
    again: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None) -> "RunStatusCursor | None":
        """The memory that a cursor holds. The cursor of Dagster's own sensors, used before, names the last event too."""
        if not cursor:
            return None
        held = json.loads(cursor)
        return cls(held["after"] if "after" in held else held["record_id"], held.get("again", {}))

    def cursor(self) -> str:
        """The memory as a cursor."""
        return json.dumps({"after": self.after, "again": dict(self.again)})


def _tick(context: SensorEvaluationContext, event: EndEvent, look_after: Callable[[DagsterRun], None]) -> SensorResult:
    """Look after the runs that ended by `event` since the last tick, and after those that could not be then."""
    memory = RunStatusCursor.of(context.cursor)
    if memory is None:
        newest = context.instance.fetch_run_status_changes(event, limit=1).records
        memory = RunStatusCursor(newest[0].storage_id if newest else 0)
        return SensorResult(cursor=memory.cursor(), skip_reason=SkipReason("Watches from now on."))
    ended = context.instance.fetch_run_status_changes(
        RunStatusChangeRecordsFilter(event, after_storage_id=memory.after), limit=RUNS_A_TICK, ascending=True
    ).records
    again, after, troubles = dict(memory.again), memory.after, list[str]()
    due = [(record.run_id, record.storage_id) for record in ended]
    due += [(run_id, after) for run_id in list(again)[:RUNS_A_TICK]]
    started = time.monotonic()
    for run_id, event_id in due:
        if time.monotonic() - started > _BEGIN_SECONDS:
            break
        after = max(after, event_id)
        tries = again.pop(run_id, 0) + 1
        run = context.instance.get_run_by_id(run_id)
        if run is None or not _is_ours(context, run):
            continue
        try:
            look_after(run)
        except Exception as error:  # whatever it is: the other runs are looked after, and this one again
            troubles.append(f"{run_id} {'will be tried again' if tries < TRIES else 'is given up'}: {error}")
            context.log.warning(troubles[-1], exc_info=error)
            if tries < TRIES:
                again[run_id] = tries  # at the end of those to try again, so that all have their turn
    told = "; ".join(troubles) or (f"Runs looked after: {len(due)}." if due else "Nothing new.")
    return SensorResult(cursor=RunStatusCursor(after, again).cursor(), skip_reason=SkipReason(told))


def _is_ours(context: SensorEvaluationContext, run: DagsterRun) -> bool:
    """Whether the run is of this code location. One from the command line belongs to none, and counts as ours."""
    here, origin = context.code_location_origin, run.remote_job_origin
    if here is None or origin is None:
        return True
    return bool(origin.repository_origin.code_location_origin.location_name == here.location_name)
