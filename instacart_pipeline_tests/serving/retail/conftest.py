"""Fixtures: a desk of a test's own, and one that tests share who only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from instacart_pipeline_tests.serving.retail.sales_client import SalesClient, sales_client
from instacart_pipeline_tests.tiers import costs


@pytest.fixture
@costs("contract")
def folder(tmp_path: Path) -> Path:
    """Where a desk of a test's own keeps its stream and its lookup tables."""
    return tmp_path


@pytest.fixture
def own(folder: Path) -> Iterator[SalesClient]:
    """A desk with an empty stream."""
    with sales_client(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
@costs("contract")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SalesClient]:
    """A desk of all tests of a file, whose stream holds whatever they put."""
    with sales_client(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture
def fault(folder: Path) -> Path:
    """The file that says how a Faulty stream in this test's folder fails."""
    return folder / "fault"
