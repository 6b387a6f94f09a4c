"""A small disk of its own, for what happens when it is full. Needs the right to mount; a test that asks for it is skipped without."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from instacart_pipeline_tests.tiers import costs, skip_without


@dataclass(frozen=True)
class Disk:
    """A disk of 8 MB, mounted at `path`."""

    path: Path

    def fill(self) -> None:
        """Leave no room at all."""
        with (self.path / "filling").open("ab", buffering=0) as filling:
            for size in (65_536, 4_096, 1):
                with suppress(OSError):
                    while filling.write(b"x" * size) == size:
                        pass

    def free(self) -> None:
        """Make room again."""
        (self.path / "filling").unlink()


@pytest.fixture
@costs("contract")
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that is easily filled."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        skip_without("the right to mount")
    yield Disk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)
