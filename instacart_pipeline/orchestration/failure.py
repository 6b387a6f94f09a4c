"""Telling people of failed runs.

Belongs here: turning a failed run into an alert. Doesn't: where alerts go (resources/alerts.py).
"""

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DefaultSensorStatus,
    RunFailureSensorContext,
    SensorDefinition,
    run_failure_sensor,
)

from instacart_pipeline.resources.alerts import Alert, Alerts


def alert_of(instance: DagsterInstance, run: DagsterRun) -> Alert:
    """The alert for a failed run: the first step that failed says why; a run that was killed has none that did."""
    failures = instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
    error = "The run ended without a failed step: its process was killed or lost."
    for record in failures:
        if record.dagster_event and (found := record.dagster_event.step_failure_data.error):
            cause = found.cause or found
            error = f"{record.dagster_event.step_key}: {cause.message.strip()}"
            break
    return Alert(run.run_id, run.job_name, run.tags.get("dagster/partition", ""), error)


def build_failure_sensor() -> SensorDefinition:
    """A sensor that alerts of every failed run, of whatever job, also of one whose process was killed."""

    @run_failure_sensor(
        name="failed_runs",
        default_status=DefaultSensorStatus.RUNNING,
        description="Sends an alert for each failed run.",
    )
    def failed_runs(context: RunFailureSensorContext, alerts: Alerts) -> None:
        alerts.send(alert_of(context.instance, context.dagster_run))

    return failed_runs
