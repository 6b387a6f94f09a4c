"""Runs of a system follow each other, one that was killed holds up nobody, and what dagster.yaml says of runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.orchestration.one_run import (
    ONE_RUN_OF,
    STARTED_BY,
    alone,
    fail_dead_commands,
    tags_of,
    unfinished,
)
from instacart_pipeline.settings import PROJECT

STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def under_way(instance: dg.DagsterInstance, **tags: str) -> str:
    """A run of the system that started and has not ended."""
    run = dg.DagsterRun("some_job", status=STARTED, tags={**tags_of("shop"), **tags})
    return instance.add_run(run).run_id


def test_a_command_waits_for_a_run_under_way_and_says_so(instance: dg.DagsterInstance) -> None:
    run_id, told, entered = under_way(instance), list[str](), threading.Event()

    def command() -> None:
        with alone(instance, "shop", told.append):
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
        with alone(instance, "shop", told.append):
            entered.set()

    with alone(instance, "shop", told.append), alone(instance, "mart", told.append):
        thread = threading.Thread(target=command)
        thread.start()
        assert not entered.wait(0.5)
        assert told == ["Another command runs shop. Runs of it follow each other; this one waits."]
    thread.join(30)
    assert entered.is_set()


def test_the_run_of_a_command_that_was_killed_is_failed_and_no_other(instance: dg.DagsterInstance) -> None:
    dead, other = under_way(instance, **{STARTED_BY: "cli"}), under_way(instance)
    with alone(instance, "mart", print):
        fail_dead_commands(instance, "shop")
    assert [run.run_id for run in unfinished(instance, "shop")] == [other]
    assert instance.get_run_by_id(dead).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]


def test_the_run_of_a_living_command_is_left_alone(instance: dg.DagsterInstance) -> None:
    with alone(instance, "shop", print):
        living = under_way(instance, **{STARTED_BY: "cli"})
        fail_dead_commands(instance, "shop")
        assert [run.run_id for run in unfinished(instance, "shop")] == [living]


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
