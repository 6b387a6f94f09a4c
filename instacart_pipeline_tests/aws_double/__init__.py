"""An AWS on loopback for tests: real HTTP to unchanged boto3, real work by embedded engines, faults on demand.

`server.AwsDouble` is the way in. One module a service; what they share is wire.py (requests and answers), jobs.py (work
under way), faults.py and outcomes.py (what goes wrong), journal.py (what was asked).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from unittest.mock import patch

from instacart_pipeline_tests.aws_double.server import AwsDouble

if TYPE_CHECKING:
    from instacart_pipeline_tests.aws_double.node_double import NodeDouble

Double = TypeVar("Double", "AwsDouble", "NodeDouble")


@contextmanager
def opened(double: Double) -> Iterator[Double]:
    """An open double, which the credentials in the environment are good for meanwhile."""
    with double, patch.dict(os.environ, double.environment()):
        yield double


__all__ = ["AwsDouble", "opened"]
