"""Artefacts on AWS: published once by whichever try of a run comes to it, and nothing is left of a try that comes to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.resources.managed_jobs import attempts
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Records
from instacart_pipeline.resources.managed_jobs.job_service import JobStatus, JobSucceeded
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs
from instacart_pipeline.resources.sagemaker.aws.artefacts import Artefacts, Produced
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws_site import Site
from instacart_pipeline_tests.resources.toy_model import CODE

OLD = "20260102T000000000000-cccccc"
RECORD = "s3://lake/work/attempts/run=run-1"


class Bench:
    """Makes one artefact without any job, in a run of which every try is a retry. `written` is where it has written so far."""

    def __init__(self, site: Site) -> None:
        self.site, self.artefacts, self.written = site, Artefacts(site.lake), list[str]()

    def make(self, after: Callable[[], None] = lambda: None) -> Artefact:
        def write(_: Attempt, location: str) -> Produced:
            self.written.append(location)
            self.artefacts.objects.put(f"{location}/model.tar.gz", b"model")
            after()
            return Produced(
                JobSucceeded("job", "https://jobs.example/job", JobStatus("Completed")), metrics={"loss": 0.25}
            )

        return self.artefacts.build("toy", "model", DT, CODE, "definition", {}, {}, write)

    def versions(self) -> list[str]:
        """Where something lies."""
        return sorted({f"s3://lake/{key.rpartition('/')[0]}" for key in self.site.keys("models/") if "/v=" in key})


@pytest.fixture
def bench(site: Site, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(attempts, "_run", lambda: "run-1")
    return Bench(site)


def test_a_retry_of_a_run_that_was_killed_after_publishing_takes_what_is_published(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Records, "forget", lambda *_: None)
        made = bench.make()
    assert bench.make() == made == bench.artefacts.find("toy", "model", DT)
    assert bench.written == bench.versions() == [made.location]


def test_a_retry_of_a_run_that_died_over_publishing_goes_on_with_its_version(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _die_over_publishing(bench, monkeypatch)
    made = bench.make()
    assert bench.written == [made.location, made.location]
    assert bench.artefacts.find("toy", "model", DT) == made


def test_an_attempt_so_old_that_its_output_may_have_been_swept_is_begun_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _die_over_publishing(bench, monkeypatch)
    (record,) = bench.artefacts.objects.listed(RECORD)
    held = json.loads(bench.artefacts.objects.text(f"s3://lake/{record.key}"))
    bench.artefacts.objects.put(f"s3://lake/{record.key}", json.dumps({**held, "version": OLD}).encode())
    made = bench.make()
    assert made.version > OLD
    assert bench.written[-1] == made.location


def test_a_try_that_fails_leaves_the_version_before_and_nothing_else(bench: Bench) -> None:
    made = bench.make()

    def fail() -> None:
        raise JobFailed("no such column")

    with pytest.raises(JobFailed):
        bench.make(after=fail)
    assert bench.artefacts.find("toy", "model", DT) == made
    assert bench.versions() == [made.location]


def _die_over_publishing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is written, and the process is killed before anybody can know it."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Artefacts, "publish", killed)
        patched.setattr(ManagedJobs, "_close", lambda *_: None)
        bench.make()
