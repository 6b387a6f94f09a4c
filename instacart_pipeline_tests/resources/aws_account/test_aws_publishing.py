"""Publishing on AWS: once the pointer may have moved nothing takes the files away, and nobody goes on with work whose output is gone.

A query of Athena stands for all that AwsLake.build publishes, whichever job writes it; ingest publishes by itself.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.aws_account.errors import AwsDenied
from instacart_pipeline.resources.managed_jobs import attempts
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Records
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs
from instacart_pipeline.resources.published import Published
from instacart_pipeline_tests.platform import DT, Row
from instacart_pipeline_tests.resources.managed_jobs.fault_stages import Scene, staged
from instacart_pipeline_tests.tiers import costs

OLD = "20260102T000000000000-cccccc"


class Publishing:
    """A piece of work whose every try is a retry of the same run, until another run begins."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene, self.aws, self.table = scene, scene.aws, scene.stage.table
        self.lake, self.expected = scene.platform.aws_lake, scene.stage.expected
        self.run = ""
        monkeypatch.setattr(attempts, "_run", lambda: self.run)
        self.begin_another_run()
        self._jobs, self._unpublished = len(scene.jobs()), self.unpublished()

    def begin_another_run(self) -> str:
        self.run = uuid.uuid4().hex
        return self.run

    def make(self) -> Published:
        resources = self.scene.platform.resources
        if self.scene.stage.service == "athena":
            return resources.athena.create_table_as(sql(self.table.name), self.table, DT)
        return resources.ingest.ingest_table(t.STAGED_AISLES, self.table, DT)

    def rows(self) -> list[Row]:
        return self.scene.platform.stored(self.table)

    def version(self) -> str:
        return self.scene.platform.catalog.current(self.table, DT).name

    def jobs(self) -> int:
        """Jobs that were started since the test began."""
        return len(self.scene.jobs()) - self._jobs

    def unpublished(self) -> list[str]:
        return self.scene.platform.unpublished(self.table)

    def left(self) -> list[str]:
        """Versions that were written since the test began, and never published."""
        return [version for version in self.unpublished() if version not in self._unpublished]

    def records(self) -> list[str]:
        """The addresses of what is remembered of the run."""
        return [
            f"s3://lake/{found.key}" for found in self.lake.objects.listed(f"s3://lake/work/attempts/run={self.run}")
        ]

    def die_over_publishing(self) -> None:
        """Be killed when all is written and judged, and the catalog did not take it."""
        fault = self.aws.faults.add("denied", "glue", "UpdatePartition", containing=f'"{self.table.name}"')
        with killed_before_its_record_was("closed"), pytest.raises(AwsDenied):
            self.make()
        assert fault.hits == 1


@pytest.fixture(scope="module", params=["athena", "glue"])
@costs("contract", deep_params=("glue",))
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A service that makes one table, of which there is a version from before. The one of Glue is ingest."""
    with staged(str(request.param), tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def publishing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publishing]:
    """The work, with faults and a run of the test's own."""
    yield Publishing(scene, monkeypatch)
    scene.aws.faults.clear()
    scene.platform.aws_lake.objects.remove_below(
        "s3://lake/work/locks"
    )  # the one that was not let go is good for minutes


@contextmanager
def killed_before_its_record_was(what: str) -> Iterator[None]:
    """A block whose runs die right before they would have "closed" or "forgotten" the record of their attempt."""
    with pytest.MonkeyPatch.context() as patched:
        if what == "closed":
            patched.setattr(ManagedJobs, "_close", lambda *_: None)
        else:
            patched.setattr(Records, "forget", lambda *_: None)
        yield


def test_what_can_not_be_cleared_up_hides_no_result(publishing: Publishing) -> None:
    """The lock, the record of the attempt, and what only this service leaves: an unpublished table, or an order."""
    faults = [
        publishing.aws.faults.add("denied", "s3", "DeleteObject", containing="locks/"),
        publishing.aws.faults.add("denied", "s3", "DeleteObject", containing="attempts/"),
        publishing.aws.faults.add("denied", "s3", "DeleteObjects", containing="work/ingest")
        if publishing.scene.stage.service == "glue"
        else publishing.aws.faults.add("denied", "glue", "DeleteTable"),
    ]
    before = publishing.version()
    assert publishing.make().version.name == publishing.version() > before
    assert publishing.rows() == publishing.expected
    assert [fault.hits for fault in faults] == [1, 1, 1]


def test_a_retry_of_a_run_that_was_killed_after_publishing_takes_what_is_published(publishing: Publishing) -> None:
    with killed_before_its_record_was("forgotten"):
        published = publishing.make().version
    assert publishing.make().version == published
    assert (publishing.version(), publishing.rows()) == (published.name, publishing.expected)
    assert (publishing.jobs(), publishing.records()) == (1, [])


def test_a_retry_does_not_bring_back_a_version_that_was_replaced_since(publishing: Publishing) -> None:
    first = publishing.run
    with killed_before_its_record_was("forgotten"):
        publishing.make()
    publishing.begin_another_run()
    newer = publishing.make().version
    publishing.run = first
    assert publishing.make().superseded
    assert (publishing.version(), publishing.rows()) == (newer.name, publishing.expected)


def test_a_retry_of_a_run_that_died_over_publishing_publishes_all_rows(publishing: Publishing) -> None:
    before = publishing.version()
    publishing.die_over_publishing()
    assert publishing.version() == before
    publishing.make()
    assert publishing.version() > before
    assert (publishing.rows(), publishing.jobs()) == (publishing.expected, 1)


def test_a_run_that_does_the_same_work_once_more_starts_a_job_of_its_own(publishing: Publishing) -> None:
    first = publishing.make().version.name
    if publishing.scene.stage.service == "glue":  # it is looked for among the job's runs, where the first one is
        publishing.aws.faults.add("lost_request", "glue", "StartJobRun")
    assert publishing.make().version.name == publishing.version() > first
    assert (publishing.rows(), publishing.jobs()) == (publishing.expected, 2)


def test_a_retry_of_a_run_that_died_after_it_removed_its_output_writes_it_anew(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_before_its_record_was("closed"), monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(publishing.lake), "require_inputs", _cancelled)
        publishing.make()
    assert publishing.left() == []
    publishing.make()
    assert (publishing.rows(), publishing.left()) == (publishing.expected, [])


def _cancelled(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_attempt_so_old_that_its_output_may_have_been_swept_is_begun_again(publishing: Publishing) -> None:
    publishing.die_over_publishing()
    (record,) = publishing.records()
    held = json.loads(publishing.lake.objects.text(record))
    publishing.lake.objects.put(record, json.dumps({**held, "version": OLD}).encode())
    assert publishing.make().version.name == publishing.version() > OLD
    assert (publishing.rows(), publishing.jobs()) == (publishing.expected, 2)


def test_an_attempt_that_is_begun_again_has_new_tokens() -> None:
    attempt = Attempt(attempts.Work("run-1", "shop.sizes", DT, "0"), 1, OLD, {}, resumed=True)
    before = attempt.token("ctas")
    attempt.start_new_attempt()
    assert attempt.token("ctas") != before
    assert attempt.version > OLD
