"""Clearing up: what is done after the work that counts, and what becomes of it if AWS refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import get_dagster_logger

from instacart_pipeline.resources.aws_account.errors import AwsError


@contextmanager
def log_cleanup_errors(what: str) -> Iterator[None]:
    """A block that removes `what`. If AWS refuses, that is logged: it hides neither a result nor the error that led here."""
    try:
        yield
    except AwsError as error:
        get_dagster_logger().warning(f"{what} stays behind: {error}")
