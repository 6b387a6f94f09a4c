"""Running a Dagster job from the command line, and starting Dagster's own processes.

Belongs here: the Dagster instance, following a run, and reading its outcome. Doesn't: printing it (output.py).
"""

import fcntl
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
    JobDefinition,
    RunsFilter,
    TimeWindowPartitionsDefinition,
    build_reconstructable_job,
    execute_job,
)
from sqlalchemy.exc import SQLAlchemyError

from instacart_pipeline.cli import output
from instacart_pipeline.cli.run_reports import RunReport
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import InputInvalid, PipelineError
from instacart_pipeline.lake.zones import parse_day
from instacart_pipeline.orchestration.day_ranges import FROM_DAY
from instacart_pipeline.orchestration.failure import alert_of
from instacart_pipeline.orchestration.instance import dagster_home
from instacart_pipeline.orchestration.lost_runs import STARTED_BY, end_lost_runs
from instacart_pipeline.orchestration.one_run import ONE_RUN_OF, exclusive_run
from instacart_pipeline.resources.doctor.local import damaged_dagster_files
from instacart_pipeline.resources.local_machine.sqlite_file import FileDamaged, FileUnusable
from instacart_pipeline.settings import CONFIG, PROJECT, Settings

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class _Days:
    """The days of a run, both ends included."""

    first: str
    last: str

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    def tags(self) -> dict[str, str]:
        """The tags by which a run knows its days."""
        return {"dagster/partition": self.last, **({FROM_DAY: self.first} if self.first < self.last else {})}


def daily_job(name: str) -> JobDefinition:
    """A job of the definitions, by name; child processes of a run find it through this."""
    from instacart_pipeline.definitions import defs  # noqa: PLC0415  # reads the environment

    return defs.resolve_job_def(name)


def run_job(name: str, dt: str, *, last: str = "", quiet: bool) -> RunReport:
    """Run a job for a day, or in one run for each from `dt` to `last`, showing progress unless `quiet`.

    Raises InputInvalid if there is no such day.
    """
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # as the definitions

    settings = Settings.from_env()
    days, job = _Days(dt, last or dt), daily_job(name)
    for day in (days.first, days.last):
        _require_day(job, parse_day(day))
    report = RunReport(name, str(days), settings.lake if settings.profile == "aws" else str(settings.home))
    started = time.perf_counter()
    with dagster_instance(settings) as instance:
        with output.run_progress(name, len(job.nodes), quiet=quiet) as show:

            def note(entry: EventLogEntry) -> None:
                report.note(entry)
                show(entry)

            def send_alert(run: DagsterRun) -> None:
                try:
                    build_resources(settings).alerts.send(alert_of(instance, run, settings.dagster_url))
                except (PipelineError, OSError) as error:
                    # The daemon, where one is up, sends it; what the run itself failed of is to be seen all the same.
                    report.errors.append(("alert", f"The alert was not sent: {error}"))

            def end_lost() -> None:
                for lost in end_lost_runs(instance):
                    output.note(f"Run {lost.run_id} ({lost.job_name}) was lost: its process is gone. It is failed now.")
                    send_alert(lost)

            end_lost()
            end_by_signals()
            system = job.tags.get(ONE_RUN_OF)
            with exclusive_run(instance, system, output.note, end_lost) if system else nullcontext():
                run = _run(name, instance, days, note)
        if run.status is DagsterRunStatus.CANCELED:
            output.note(f"Run {run.run_id} was canceled.")
            raise KeyboardInterrupt
        report.run_id, report.success, report.seconds = run.run_id, run.is_success, time.perf_counter() - started
        if not report.success:
            send_alert(run)
    return report


def end_by_signals() -> None:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, whose handler Dagster changes meanwhile. nohup has SIGHUP ignored: so it stays."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        of_ctrl_c = signal.getsignal(signal.SIGINT)
        (of_ctrl_c if callable(of_ctrl_c) else signal.default_int_handler)(number, frame)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """The Dagster instance: DAGSTER_HOME if it is set, else below INSTACART_HOME with the project's dagster.yaml.

    Raises FileDamaged and FileUnusable of its files, also for what the block does with it.
    """
    prepare_dagster_home(settings)
    home = dagster_home(settings)
    try:
        # Dagster makes its SQLite files when it first opens them, and two processes doing so at once get in each other's way.
        with (home / ".opening").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            instance = DagsterInstance.get()
            instance.get_runs(limit=1)
            instance.get_asset_keys(limit=1)
        with instance:
            yield instance
    except SQLAlchemyError as error:
        for damaged in damaged_dagster_files(home):
            raise FileDamaged(f"{damaged.found}. {damaged.remedy}") from error
        text = f"Dagster can't use its files in {home}: {getattr(error, 'orig', error)}. Make room on its disk, then go on."
        raise FileUnusable(text) from error


def prepare_dagster_home(settings: Settings) -> None:
    """Make the folder for Dagster's own state and set DAGSTER_HOME and INSTACART_HOME for this process and its children."""
    os.environ["INSTACART_HOME"] = str(settings.home)
    if not os.environ.get("DAGSTER_HOME"):
        home = dagster_home(settings)
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists():
            config.unlink(missing_ok=True)
            config.symlink_to(CONFIG / "dagster.yaml")
        os.environ["DAGSTER_HOME"] = str(home)


def serve_dagster(host: str, port: int) -> None:
    """Become `dagster dev`: the UI and the daemon, with the project's workspace."""
    with dagster_instance(Settings.from_env()):
        pass  # what is wrong with Dagster's files is said in our words
    os.chdir(PROJECT)
    # A shell starts what it puts in the background deaf to Ctrl-C, and Dagster's children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    options = ["-w", str(CONFIG / "workspace.yaml"), "-h", host, "-p", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", "dagster", "dev", *options])  # noqa: S606


def _run(name: str, instance: DagsterInstance, days: _Days, note: Callable[[EventLogEntry], None]) -> DagsterRun:
    token = str(uuid.uuid4())
    ended = threading.Event()

    def follow() -> None:
        cursor, last = None, False
        with suppress(SQLAlchemyError):  # the run itself says what is wrong with Dagster's files
            while not last:
                last = ended.wait(0.5)
                for run in instance.get_runs(RunsFilter(tags={STARTED_BY: token}), limit=1):
                    connection = instance.get_records_for_run(run.run_id, cursor=cursor)
                    cursor = connection.cursor
                    for record in connection.records:
                        note(record.event_log_entry)

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        # Dagster can't run it again: it has no code location to run it in.
        tags = {**days.tags(), STARTED_BY: token, "dagster/max_retries": "0"}
        result = execute_job(reconstructable_job(name), instance, run_config=_QUIET, tags=tags)
    finally:
        ended.set()
        follower.join()
    return result.dagster_run


def reconstructable_job(name: str) -> Any:
    """The job in the form that child processes can load it again from."""
    return build_reconstructable_job("instacart_pipeline.cli.running", "daily_job", (name,), {})


def uploaded_between(tables: Sequence[TableContract], first: str, last: str) -> list[str]:
    """The days from `first` to `last` that any of `tables` has files of, in order. Raises InputInvalid if there is none."""
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # as the definitions

    if parse_day(first) > parse_day(last):
        raise InputInvalid(f"{first} comes after {last}. Name the earlier day with --from.")
    storage = build_resources(Settings.from_env()).storage
    there = {day for table in tables for day in storage.days(table.system, table.name) if first <= day <= last}
    if not there:
        names = " or ".join(table.name for table in tables)
        raise InputInvalid(f"No day from {first} to {last} has a file of {names} in the raw zone. Upload them first.")
    return sorted(there)


def _require_day(job: JobDefinition, dt: str) -> None:
    """Raise InputInvalid unless there is such a day, or week, of the system that a job is of."""
    from instacart_pipeline.orchestration.partitions import require_partition  # noqa: PLC0415
    from instacart_pipeline.systems import FIRST_DAYS  # noqa: PLC0415

    days, keys = job.partitions_def, job.asset_layer.executable_asset_keys
    if isinstance(days, TimeWindowPartitionsDefinition):
        require_partition(days, dt, FIRST_DAYS[next(iter(keys)).path[0]])
