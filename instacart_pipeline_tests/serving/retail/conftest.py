"""Fixtures: a desk of a test's own, and one that tests share who only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from instacart_pipeline_tests.serving.retail.desk import Desk, desk


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Desk]:
    """A desk with an empty stream."""
    with desk(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk of all tests of this folder, whose stream holds whatever they put."""
    with desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """The file that tells a Faulty stream in this test's folder how to fail."""
    return tmp_path / "fault"
