"""The lake on this machine: its folders, and how a new version of a table is written there without ever showing half of it.

Belongs here: version folders, their locks, sweeping, retention, and the embedded engine's limits. Doesn't: what is written.

A folder is locked (flock) by the process that writes it, on a file in it that is removed once the version is published. The kernel
lets go of the lock when the process ends, however it ends, so a folder with the file and without the lock was never published, and its
writer is gone: it is orphaned. A folder without the file was published once. If the catalog doesn't name it, the catalog was lost or
restored from before: it may be the only copy, and is never removed. A second lock, one a lake, is held while a folder is made and
locked, and while orphaned ones are looked for: nobody meets a folder in between.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, ResourceDependency, get_dagster_logger

from instacart_pipeline.engine.connection import connected
from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import Zones, new_version
from instacart_pipeline.resources.catalog import Catalog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

A_TENTH = 0.1
"""Most of the lake's bytes that is removed without anybody having seen a list of it."""
_LOCK = ".writing"
_DAY = f"{PARTITION}="
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
        self.sweep(table, dt, most=A_TENTH)
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
                    # What can't be removed now, or is being removed by a sweeper already, is orphaned files from here on.
                    shutil.rmtree(path, ignore_errors=True)

    def publish(self, table: TableContract, dt: str, version: Version) -> Version:
        """Move the catalog's pointer to a finished version; see Catalog.publish."""
        return self.catalog.publish(table.database, table.name, dt, version)

    def orphaned(self, table: TableContract, dt: str) -> list[Path]:
        """Version folders of a day of a table that were never published, and that no living process writes."""
        return [path for path in self._unnamed(table, dt) if was_left(path)]

    def unnamed(self, table: TableContract, dt: str) -> list[Path]:
        """Version folders of a day of a table that were published, and that the catalog doesn't name: it was lost, or restored from before."""
        return [path for path in self._unnamed(table, dt) if not was_left(path)]

    def expired(self, table: TableContract, dt: str) -> list[Path]:
        """Folders of earlier versions of a day of a table, past their retention."""
        current = self.catalog.find(table, dt)
        found = current.expired(timedelta(days=self.retention_days)) if current else []
        return [Path(location) for location in found if self.has(Path(location))]

    def sweep(self, table: TableContract, dt: str, *, most: float = 1.0) -> list[Path]:
        """Remove orphaned folders of a day of a table, and expired ones; these only if they are at most a share `most` of the lake's bytes.

        Returns what was removed.
        """
        removed, expired = self.orphaned(table, dt), self.expired(table, dt)
        if self.is_at_most(most, expired):
            removed += expired
        for path in removed:
            shutil.rmtree(path, ignore_errors=True)
        if gone := [str(path) for path in expired if path in removed]:
            self.catalog.forget_retired(table.database, table.name, dt, gone)
        return removed

    def is_at_most(self, share: float, folders: Sequence[Path]) -> bool:
        """Whether folders hold at most such a share of the lake's bytes; says so in the log if they hold more."""
        if not folders or share >= 1 or sum(map(size_of, folders)) <= share * size_of(Path(self.home) / "lake"):
            return True
        get_dagster_logger().warning(
            "%d versions past their retention stay, as they are more than %.0f %% of the lake's bytes: %s. "
            "`instacart-pipeline sweep` lists them, and removes them with --apply.",
            *(len(folders), 100 * share, ", ".join(map(str, folders))),
        )
        return False

    def has(self, path: Path) -> bool:
        """Whether a folder is one of this lake's own: nothing outside it is ever removed."""
        return path.is_relative_to(Path(self.home) / "lake")

    def days(self, table: TableContract) -> list[str]:
        """The days that a table has a folder of, in order."""
        return sorted(day.name.removeprefix(_DAY) for day in Path(self.zones.table(table)).glob(f"{_DAY}*"))

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

    def _unnamed(self, table: TableContract, dt: str) -> list[Path]:
        # The lock is asked for first: a writer publishes before it lets go, so that whoever gets the lock afterwards
        # finds the version in the catalog.
        day = Path(self.zones.partition(table, dt))
        return [path for path in self.unwritten(day, "v=*") if not self._is_known(table, dt, path)]

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


def was_left(folder: Path) -> bool:
    """Whether a version folder that nobody writes was never published: its writer's lock file is still there, or it didn't come to that."""
    return (folder / _LOCK).exists() or next(folder.iterdir(), None) is None


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder and below it. Files that are removed meanwhile count as nothing."""
    total, pending = 0, [folder]
    while pending:
        with suppress(FileNotFoundError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def _is_unlocked(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True
