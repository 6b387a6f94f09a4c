"""A double for the tests of the double, with what most of them begin with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.support import BUCKET, Lake
from instacart_pipeline_tests.tiers import costs


@pytest.fixture
@costs("deep")
def aws() -> Iterator[AwsDouble]:
    """A double with an empty bucket and an empty database `shop`."""
    with AwsDouble() as double:
        place: dict[str, Any] = {"LocationConstraint": double.environment()["AWS_DEFAULT_REGION"]}
        double.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        double.client("glue").create_database(DatabaseInput={"Name": "shop"})
        double.requests.clear()
        yield double


@pytest.fixture
@costs("deep")
def doubles() -> type[AwsDouble]:
    """For tests that start doubles of their own."""
    return AwsDouble


@pytest.fixture
def lake(aws: AwsDouble) -> Lake:
    """Short ways to put things into the double."""
    return Lake(aws)
