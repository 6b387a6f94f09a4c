"""A double and a lake on it, for the tests of each service: opened once a module, and as new for each test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from instacart_pipeline_tests.aws_double import AwsDouble, opened
from instacart_pipeline_tests.aws_double.jobs import JobRun, JobTiming
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.resources.aws.deployments import settings  # noqa: F401  # a fixture
from instacart_pipeline_tests.resources.aws.site import Site
from instacart_pipeline_tests.tiers import costs

GATED = 12_345.0
"""Seconds that no job of a test lasts: outcomes.slow takes it for jobs at the gate."""


@dataclass
class Opened:
    """A double that stays open, and what it is to hold when a test begins."""

    double: AwsDouble
    empty: Snapshot
    prepared: Snapshot

    def holding(self, what: Snapshot) -> AwsDouble:
        """The double, as it was when the snapshot was taken."""
        self.double.pace = JobTiming()
        self.double.restore(what)
        return self.double

    def kept(self, prepare: Callable[[Site], object]) -> Snapshot:
        """What there is once a lake was prepared further."""
        prepare(Site(self.holding(self.prepared)))
        return self.double.snapshot()


@pytest.fixture(scope="module")
@costs("contract")
def opened_double() -> Iterator[Opened]:
    """An AWS of the module's own, which the environment's credentials are good for."""
    with opened(AwsDouble()) as double:
        empty = double.snapshot()
        Site(double).prepare()
        yield Opened(double, empty, double.snapshot())


@pytest.fixture
def double(opened_double: Opened) -> AwsDouble:
    """An AWS with nothing in it, which the environment's credentials are good for."""
    return opened_double.holding(opened_double.empty)


@pytest.fixture
def aws(double: AwsDouble) -> AwsDouble:
    """The same with an empty bucket `lake`."""
    double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    double.requests.clear()
    return double


@pytest.fixture
def site(opened_double: Opened) -> Site:
    """A lake with a bucket and a workgroup."""
    return Site(opened_double.holding(opened_double.prepared))


@pytest.fixture
@costs("contract")
def processes() -> None:
    """The right to start processes."""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Jobs of the double that run for GATED seconds run until the gate is opened; gives what opens it."""
    opened, pause = threading.Event(), JobRun.pause

    def pause_at_the_gate(run: JobRun, seconds: float | None) -> None:
        if seconds == GATED:
            assert opened.wait(GATED)
        else:
            pause(run, seconds)

    monkeypatch.setattr(JobRun, "pause", pause_at_the_gate)
    yield opened.set
    opened.set()
