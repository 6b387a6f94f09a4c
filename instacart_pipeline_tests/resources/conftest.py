"""Fixtures of the contract suite that every resource's two backends pass (test_backends_*.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline_tests import faulty_run
from instacart_pipeline_tests.aws_double import AwsDouble, opened
from instacart_pipeline_tests.aws_double.jobs import JobRun
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.resources.aws_account.deployments import settings  # noqa: F401  # a fixture
from instacart_pipeline_tests.resources.aws_site import GATED, Opened, Site
from instacart_pipeline_tests.resources.aws_streams import moto_site, node_site  # noqa: F401  # fixtures
from instacart_pipeline_tests.resources.backends import Day
from instacart_pipeline_tests.resources.streams import (  # noqa: F401  # fixtures
    lookups,
    lookups_backend,
    plain,
    stream,
    stream_backend,
    things,
)
from instacart_pipeline_tests.tiers import costs

_DAYS = count()


AWS_SETTINGS: dict[str, Any] = {"aws_region": REGION, "max_rejected": 1.0, "threads": 1}


@pytest.fixture(scope="session")
def deployments() -> list[Snapshot]:
    """What a double holds once the platform is deployed to it; nothing until that was done once."""
    return []


@pytest.fixture(scope="module", params=["local", "aws"])
@costs("contract", deep_params=("aws-deep",))
def backend_double(
    request: pytest.FixtureRequest, deployments: list[Snapshot], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AwsDouble | None]:
    """The AWS that the backend runs on, deployed to, its credentials in the environment; none for the backend of this machine.

    Tests that need one of the two alone, or are deep on AWS, say so with a mark of backends.py.
    """
    if request.param == "local":
        yield None
        return
    with opened(AwsDouble()) as double:
        if not deployments:
            place: Any = {"LocationConstraint": REGION}
            double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=place)
            AwsPlatform(tmp_path_factory.mktemp("deploying"), double.endpoint, **AWS_SETTINGS).deploy_for_one_table()
            deployments.append(double.snapshot())
        else:
            double.restore(deployments[0])
        yield double


@pytest.fixture(scope="module")
def backend(backend_double: AwsDouble | None, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A platform of either profile, shared by the tests of a module. Any share of rows may be rejected."""
    home = tmp_path_factory.mktemp("backend")
    if backend_double is None:
        return Platform(home, max_rejected=1.0, threads=1)
    return AwsPlatform(home, backend_double.endpoint, **AWS_SETTINGS)


@pytest.fixture
def day(backend: Platform, tmp_path: Path) -> Iterator[Day]:
    """A day of the backend that is this test's own."""
    dt = (date(2026, 1, 1) + timedelta(days=next(_DAYS))).isoformat()
    made = Day(backend, dt, tmp_path)
    yield made
    made.clear()


@pytest.fixture
@costs("contract")
def child_processes() -> ForkServerContext:
    """Makes child processes of the test: multiprocessing's forkserver, which has everything imported."""
    return faulty_run.processes


@pytest.fixture
def jobs_started(backend_double: AwsDouble | None) -> Callable[[], int]:
    """How many jobs of AWS were started so far; on one machine there are none."""
    return lambda: len(backend_double.jobs()) if backend_double else 0


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


@pytest.fixture
@costs("contract")
def processes() -> None:
    """The right to start processes."""
