"""A double and a lake on it, for the tests of each service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.resources.aws.deployments import settings  # noqa: F401  # a fixture
from instacart_pipeline_tests.resources.aws.site import Site
from instacart_pipeline_tests.tiers import costs


@pytest.fixture
@costs("double", "contract")
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsDouble]:
    """An AWS with nothing in it, which the environment's credentials are good for."""
    with AwsDouble() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        yield aws


@pytest.fixture
def site(double: AwsDouble) -> Site:
    """A lake with a bucket and a workgroup."""
    return Site(double).prepare()


@pytest.fixture
@costs("process", "contract")
def processes() -> None:
    """The right to start processes."""
