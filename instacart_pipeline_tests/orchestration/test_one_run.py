"""Runs of a system follow each other, one that was killed holds up nobody, and what dagster.yaml says of runs."""

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.cli.running import end_by_signals, prepare_dagster_home
from instacart_pipeline.definitions import build_defs
from instacart_pipeline.orchestration.lost_runs import STARTED_BY, end_lost_runs, lock_run, locking
from instacart_pipeline.orchestration.one_run import ONE_RUN_OF, exclusive_run, tags_of, unfinished
from instacart_pipeline.settings import PROJECT, Settings

STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    # Copying what a run prints, and telemetry, start processes.
    no_logs = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    quiet = {"compute_logs": no_logs, "telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(tmp_path), quiet) as made:
        yield made


def under_way(instance: dg.DagsterInstance, **tags: str) -> str:
    """A run of the system that started and has not ended."""
    run = dg.DagsterRun("some_job", status=STARTED, tags={**tags_of("shop"), **tags})
    return instance.add_run(run).run_id


def test_a_command_waits_for_a_run_under_way_and_says_so(instance: dg.DagsterInstance) -> None:
    run_id, told, entered = under_way(instance), list[str](), threading.Event()

    def command() -> None:
        with exclusive_run(instance, "shop", told.append, list):
            entered.set()

    thread = threading.Thread(target=command)
    thread.start()
    assert not entered.wait(0.5)
    instance.report_run_failed(instance.get_run_by_id(run_id))  # type: ignore[arg-type]
    thread.join(30)
    assert entered.is_set()
    assert [f"Run {run_id} (some_job) is under way" in text for text in told] == [True]


def test_commands_follow_each_other_and_those_of_another_system_do_not_wait(instance: dg.DagsterInstance) -> None:
    told, entered = list[str](), threading.Event()

    def command() -> None:
        with exclusive_run(instance, "shop", told.append, list):
            entered.set()

    with exclusive_run(instance, "shop", told.append, list), exclusive_run(instance, "mart", told.append, list):
        thread = threading.Thread(target=command)
        thread.start()
        assert not entered.wait(0.5)
        assert told == ["Another command runs shop. Runs of it follow each other; this one waits."]
    thread.join(30)
    assert entered.is_set()


@pytest.mark.parametrize("status", ["FAILURE", "CANCELED"])
def test_a_run_whose_process_is_gone_is_ended_once_and_one_whose_process_lives_goes_on(
    instance: dg.DagsterInstance, status: str
) -> None:
    gone, living, unknown = (under_way(instance) for _ in range(3))
    lock_run(instance, gone).close()  # as the kernel does when the process ends
    if status == "CANCELED":
        instance.report_run_canceling(instance.get_run_by_id(gone))  # type: ignore[arg-type]
    with lock_run(instance, living):
        assert [run.run_id for run in end_lost_runs(instance)] == ([gone] if status == "FAILURE" else [])
        assert end_lost_runs(instance) == []
    assert instance.get_run_by_id(gone).status.value == status  # type: ignore[union-attr]
    assert {run.run_id for run in unfinished(instance, "shop")} == {living, unknown}


def test_a_run_of_another_machine_is_left_to_that_machine(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock_run(instance, under_way(instance)):
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert end_lost_runs(instance) == []
    assert len(unfinished(instance, "shop")) == 1


def test_a_command_that_was_killed_before_its_run_started_holds_up_nothing(instance: dg.DagsterInstance) -> None:
    instance.add_run(dg.DagsterRun("some_job", tags={**tags_of("shop"), STARTED_BY: "cli"}))
    assert unfinished(instance, "shop") == []


@dg.op(config_schema=int)
def interrupted(context: dg.OpExecutionContext) -> None:
    signal.raise_signal(context.op_config)


@dg.job(executor_def=locking(dg.in_process_executor))
def some_job() -> None:
    interrupted()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_commands_run_as_canceled(instance: dg.DagsterInstance, number: int) -> None:
    job, config = dg.reconstructable(some_job), {"ops": {"interrupted": {"config": int(number)}}}
    end_by_signals()
    ended = dg.execute_job(job, instance, run_config=config, tags={STARTED_BY: "cli"})
    assert ended.dagster_run.status is dg.DagsterRunStatus.CANCELED


def test_every_job_is_terminated_after_a_day() -> None:
    jobs = [job for job in build_defs(Settings()).resolve_all_job_defs() if not job.name.startswith("__")]
    assert {job.tags.get("dagster/max_runtime") for job in jobs} == {"86400"}


def test_the_projects_instance_runs_a_lost_run_again_once_and_one_run_per_day_and_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.from_config(str(PROJECT)) as instance:
        assert (instance.run_retries_max_retries, instance.run_retries_retry_on_asset_or_op_failure) == (1, False)
        assert instance.run_monitoring_enabled
        queue = instance.get_concurrency_config().run_queue_config
    assert queue
    by_value = {"applyLimitPerUniqueValue": True}
    assert list(queue.tag_concurrency_limits) == [
        {"key": key, "value": by_value, "limit": 1} for key in ("dagster/partition", ONE_RUN_OF)
    ]


def test_dagster_started_in_the_clone_without_a_variable_keeps_its_runs_where_commands_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTACART_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    with dg.DagsterInstance.from_config(str(PROJECT)) as by_dagster:
        assert by_dagster.root_directory == str(tmp_path / "home" / "dagster")
        run_id = by_dagster.add_run(dg.DagsterRun("some_job")).run_id
    prepare_dagster_home(Settings.from_env())
    with dg.DagsterInstance.get() as by_command:
        assert by_command.has_run(run_id)
