"""The lake on this machine: its folders, and how a new version of a table is written there without ever showing half of it.

Belongs here: version folders, their locks, sweeping, retention, and the embedded engine's limits. Doesn't: what is written.

A folder is locked (flock) by the process that writes it. The kernel lets go of the lock when the process ends, however it
ends, so "unlocked and unpublished" means that the writer is gone and the folder is litter. A second lock, one a lake, is held
while a folder is made and locked, and while litter is looked for: nobody meets a folder in between.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, ResourceDependency

from instacart_pipeline.embedded.engine import connected
from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import Zones, new_version
from instacart_pipeline.resources.catalog import Catalog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LOCK = ".writing"
_OUTSIDE_THE_ENGINE = 400_000_000
"""Bytes of the memory setting left to what runs beside the engine: Python, Dagster, and buffers of the checks."""


@dataclass(frozen=True)
class VersionFolder:
    """A folder that is being written: nobody reads it until the catalog points at it."""

    name: str
    path: Path


class LocalLake(ConfigurableResource[Any]):
    """The lake below the folder `home`. `memory` (bytes) and `threads` bound each embedded engine."""

    catalog: ResourceDependency[Catalog]
    home: str
    memory: int
    threads: int
    retention_days: int

    @property
    def zones(self) -> Zones:
        """The lake's prefixes, which are folders here."""
        return Zones(f"{self.home}/lake")

    @contextmanager
    def new_version(self, table: TableContract, dt: str) -> Iterator[VersionFolder]:
        """A new, locked version folder of a day of a table. Left unpublished, it is removed at the end of the block.

        What killed writers left behind for the same day, and versions past their retention, are removed first.
        """
        self.sweep(table, dt)
        name = new_version()
        path = Path(self.zones.version(table, dt, name))
        with self.written(path, lambda: self._is_known(table, dt, path)):
            yield VersionFolder(name, path)

    @contextmanager
    def written(self, path: Path, is_known: Callable[[], bool]) -> Iterator[None]:
        """A new folder, locked by this process for the length of the block, and removed at its end unless it is known then."""
        with self._locked(path):
            try:
                yield
            finally:
                if is_known():
                    (path / _LOCK).unlink(missing_ok=True)
                else:
                    # What can't be removed now, or is being removed by a sweeper already, is litter from here on.
                    shutil.rmtree(path, ignore_errors=True)

    def publish(self, table: TableContract, dt: str, version: Version) -> Version:
        """Move the catalog's pointer to a finished version; see Catalog.publish."""
        return self.catalog.publish(table.database, table.name, dt, version)

    def leftovers(self, table: TableContract, dt: str) -> list[Path]:
        """Version folders of a day of a table that no catalog entry knows and no living process writes."""
        day = Path(self.zones.partition(table, dt))
        # The lock is asked for first: a writer publishes before it lets go, so that whoever gets the lock afterwards
        # finds the version in the catalog.
        return [path for path in self.unwritten(day, "v=*") if not self._is_known(table, dt, path)]

    def sweep(self, table: TableContract, dt: str) -> list[Path]:
        """Remove leftovers of a day of a table, and its earlier versions past their retention. Returns what was removed."""
        removed = self.leftovers(table, dt)
        current = self.catalog.find(table, dt)
        expired = current.expired(timedelta(days=self.retention_days)) if current else []
        removed += [Path(location) for location in expired]
        for path in removed:
            shutil.rmtree(path, ignore_errors=True)
        if expired:
            self.catalog.forget_retired(table.database, table.name, dt, expired)
        return removed

    def sweep_all(self, tables: tuple[TableContract, ...]) -> list[Path]:
        """Sweep every day of `tables`; returns what was removed."""
        return [
            path
            for table in tables
            if table.zone != "staging"
            for day in sorted(Path(self.zones.table(table)).glob(f"{PARTITION}=*"))
            for path in self.sweep(table, day.name.removeprefix(f"{PARTITION}="))
        ]

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what an engine spills, removed at the end; those of killed processes are removed on the way."""
        root = Path(self.home) / "scratch"
        root.mkdir(parents=True, exist_ok=True)
        for stale in self.unwritten(root, "s=*"):
            shutil.rmtree(stale, ignore_errors=True)
        path = root / f"s={new_version()}"
        with self._locked(path):
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def engine(self) -> Iterator["DuckDBPyConnection"]:
        """An embedded engine of its own, within the lake's memory and threads, spilling to scratch.

        What the engine raises inside the block leaves it as JobFailed.
        """
        with self.scratch() as spill, connected(self.memory - _OUTSIDE_THE_ENGINE, self.threads, spill) as connection:
            yield connection

    def _is_known(self, table: TableContract, dt: str, path: Path) -> bool:
        current = self.catalog.find(table, dt)
        return current is not None and str(path) in {current.location, *(location for location, _ in current.retired)}

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """A new folder, locked by this process for the length of the block."""
        with self._nobody_looking():
            path.mkdir(parents=True)
            lock = (path / _LOCK).open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        with lock:
            yield

    def unwritten(self, folder: Path, pattern: str) -> list[Path]:
        """The folders in `folder` that no living process writes."""
        with self._nobody_looking():
            return [path for path in sorted(folder.glob(pattern)) if _is_unlocked(path)]

    @contextmanager
    def _nobody_looking(self) -> Iterator[None]:
        home = Path(self.home)
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".making").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_unlocked(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True
