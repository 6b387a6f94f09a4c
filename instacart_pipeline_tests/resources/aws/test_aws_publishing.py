"""Publishing on AWS: once the pointer may have moved nothing takes the files away, and nobody goes on with work whose output is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from instacart_pipeline.resources.aws import attempts
from instacart_pipeline.resources.aws.attempts import Attempt, Records
from instacart_pipeline.resources.aws.jobs import ManagedJobs
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws.fault_stages import STAGES, Stage, prepared

OLD = "20260102T000000000000-cccccc"


@pytest.fixture(params=["athena", "databrew", "glue"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[str(request.param)]


@pytest.fixture
def platform(stage: Stage, aws: AwsDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AwsPlatform:
    """A platform on which every run is a retry of the same one."""
    monkeypatch.setattr(attempts, "_run", lambda: "run-1")
    return prepared(stage, AwsPlatform(tmp_path, aws.endpoint))


@contextmanager
def killed_before_its_record_was(what: str) -> Iterator[None]:
    """A block whose runs die right before they would have "closed" or "forgotten" the record of their attempt."""
    with pytest.MonkeyPatch.context() as patched:
        if what == "closed":
            patched.setattr(ManagedJobs, "_close", lambda *_: None)
        else:
            patched.setattr(Records, "forget", lambda *_: None)
        yield


def version(platform: AwsPlatform, stage: Stage) -> str:
    return platform.catalog.current(stage.table, DT).name


def records(aws: AwsDouble) -> list[str]:
    found = aws.client("s3").list_objects_v2(Bucket="lake", Prefix="work/attempts/").get("Contents", [])
    return [each["Key"] for each in found]


@pytest.mark.parametrize(
    ("service", "operation", "containing"),
    [("s3", "DeleteObject", "locks/"), ("glue", "DeleteTable", ""), ("s3", "DeleteObjects", "work/admissions")],
    ids=["the lock is let go", "the unpublished table is dropped", "the order is removed"],
)
def test_what_can_not_be_cleared_up_hides_no_result(
    platform: AwsPlatform, aws: AwsDouble, stage: Stage, service: str, operation: str, containing: str
) -> None:
    aws.faults.add("denied", service, operation, containing=containing)
    assert platform.materialize(stage.table).success
    aws.faults.clear()
    assert platform.stored(stage.table) == stage.expected


def test_a_record_that_can_not_be_removed_takes_nothing_from_readers(
    platform: AwsPlatform, aws: AwsDouble, stage: Stage
) -> None:
    aws.faults.add("denied", "s3", "DeleteObject", containing="attempts/")
    platform.materialize(stage.table)
    aws.faults.clear()
    assert platform.stored(stage.table) == stage.expected


def test_a_retry_of_a_run_that_was_killed_after_publishing_takes_what_is_published(
    platform: AwsPlatform, aws: AwsDouble, stage: Stage
) -> None:
    with killed_before_its_record_was("forgotten"):
        platform.materialize(stage.table)
    published = version(platform, stage)
    run = platform.materialize(stage.table)
    assert run.success
    assert (version(platform, stage), platform.stored(stage.table)) == (published, stage.expected)
    assert len(stage.jobs(aws)) == 1
    assert records(aws) == []


def test_a_retry_does_not_bring_back_a_version_that_was_replaced_since(
    platform: AwsPlatform, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_before_its_record_was("forgotten"):
        platform.materialize(stage.table)
    monkeypatch.setattr(attempts, "_run", lambda: "run-2")
    platform.materialize(stage.table)
    newer = version(platform, stage)
    monkeypatch.setattr(attempts, "_run", lambda: "run-1")
    assert platform.materialize(stage.table).success
    assert (version(platform, stage), platform.stored(stage.table)) == (newer, stage.expected)


def test_a_retry_of_a_run_that_died_over_publishing_publishes_all_rows(
    platform: AwsPlatform, aws: AwsDouble, stage: Stage
) -> None:
    with killed_before_its_record_was("closed"):
        aws.faults.add("denied", "glue", "UpdatePartition")
        platform.materialize(stage.table)
    assert platform.materialize(stage.table).success
    assert platform.stored(stage.table) == stage.expected
    assert len(stage.jobs(aws)) == 1


def test_a_run_that_does_the_same_work_once_more_starts_a_job_of_its_own(
    platform: AwsPlatform, aws: AwsDouble, stage: Stage
) -> None:
    assert platform.materialize(stage.table).success
    first = version(platform, stage)
    if stage.service == "glue":
        aws.faults.add("lost_request", "glue", "StartJobRun")
    assert platform.materialize(stage.table).success
    assert (version(platform, stage) > first, len(stage.jobs(aws))) == (True, 2)
    assert platform.stored(stage.table) == stage.expected


def test_a_retry_of_a_run_that_died_after_it_removed_its_output_writes_it_anew(
    platform: AwsPlatform, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_before_its_record_was("closed"), monkeypatch.context() as patched:
        patched.setattr(type(platform.aws_lake), "hold_inputs", _cancelled)
        assert not platform.materialize(stage.table).success
    assert platform.materialize(stage.table).success
    assert platform.stored(stage.table) == stage.expected
    assert platform.unpublished(stage.table) == []


def _cancelled(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_attempt_so_old_that_its_output_may_have_been_swept_is_begun_again(
    platform: AwsPlatform, aws: AwsDouble, stage: Stage
) -> None:
    with killed_before_its_record_was("closed"):
        aws.faults.add("denied", "glue", "UpdatePartition")
        platform.materialize(stage.table)
    s3 = aws.client("s3")
    (key,) = records(aws)
    held = json.loads(s3.get_object(Bucket="lake", Key=key)["Body"].read())
    s3.put_object(Bucket="lake", Key=key, Body=json.dumps({**held, "version": OLD}).encode())
    assert platform.materialize(stage.table).success
    assert platform.stored(stage.table) == stage.expected
    assert version(platform, stage) > OLD


def test_an_attempt_that_is_begun_again_has_new_tokens() -> None:
    attempt = Attempt(attempts.Work("run-1", "shop.sizes", DT, "0"), 1, OLD, {}, resumed=True)
    before = attempt.token("ctas")
    attempt.begin_again()
    assert attempt.token("ctas") != before
    assert attempt.version > OLD
