"""Which day is served: the newest whose tables are there and of one upload, and the change to a newer one.

Belongs here: looking, building once for all processes, changing over, and removing what nobody reads. Doesn't: the files (building.py).

Below `home` each set of table versions has a folder. It is made under a name that nobody reads and renamed when it is whole, under
a lock, so that processes that notice a new day at once make it once. A folder goes when nobody holds the lock on its READING file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.versions import MixedUploads, lineage_of
from instacart_pipeline.serving.reorder import building
from instacart_pipeline.serving.reorder.store import READING, Store

if TYPE_CHECKING:
    from instacart_pipeline.lake.versions import Version
    from instacart_pipeline.resources.catalog import Catalog
    from instacart_pipeline.resources.table_files import TableFiles

_log = logging.getLogger(__name__)
_MAKING = ".making-"
_TRY_AGAIN_SECONDS = 15.0


class NoDay(PipelineError):
    """No day is ready to be served."""


class Days:
    """The day that is served. `current` changes from one store to the next in one step; who has the old one keeps it."""

    def __init__(self, catalog: Catalog, files: TableFiles, home: Path) -> None:
        self.catalog, self.files, self.home = catalog, files, home
        self.trouble = ""
        self._store: Store | None = None
        self._not_before = 0.0
        self._looking = threading.Lock()

    @property
    def current(self) -> Store:
        """The store to answer from. Raises NoDay."""
        store = self._store
        if store is None:
            raise NoDay(
                self.trouble
                or f"No day has {building.OPEN_PAIRS} yet. Make one with `instacart-pipeline run reorder-model --dt DAY`."
            )
        return store

    def look(self) -> bool:
        """Take over the newest day, if that is another than the current one; whether it is. Raises what keeps it from that."""
        with self._looking:
            newest, mixed = self._newest()
            self.trouble = mixed
            if newest is None:
                return False
            dt, versions = newest
            names = {table: version.name for table, version in versions.items()}
            if self._store is not None and (self._store.dt, self._store.versions) == (dt, names):
                self._sweep()
                return False
            started = time.perf_counter()
            self._store = self._opened(dt, versions, names)
            _log.info("Serving the day %s, ready in %.1f s", dt, time.perf_counter() - started)
            return True

    def keep_looking(self, stop: threading.Event, every: float) -> None:
        """Look again and again until `stop`. What fails leaves the current day in place, and is said in `trouble`."""
        while not stop.wait(every):
            self.try_to_look()

    def try_to_look(self) -> None:
        """Look once, in the same way. What a build failed of is not built again at every look."""
        if time.monotonic() < self._not_before:
            return
        try:
            self.look()
        except Exception as error:  # noqa: BLE001  # whatever a file may hold: who looks must go on looking
            told = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            if told != self.trouble:
                _log.warning("The newest day can't be served: %s", told)
            self.trouble = told
            self._not_before = time.monotonic() + _TRY_AGAIN_SECONDS

    def _newest(self) -> tuple[tuple[str, Mapping[str, Version]] | None, str]:
        """The newest day that all tables have, of one upload, with the version of each table; and why a newer one has to wait."""
        waits = ""
        database, name = building.OPEN_PAIRS.split(".")
        for found in reversed(self.catalog.partitions(database, name)):
            versions = {building.OPEN_PAIRS: found.version}
            for table in building.TABLES[1:]:
                of, called = table.split(".")
                versions.update((table, there.version) for there in self.catalog.partitions(of, called, found.dt))
            if len(versions) < len(building.TABLES):
                continue
            try:
                lineage_of(versions)
            except MixedUploads as error:
                waits = waits or str(error)
                # The day is being built again; until that is through, the version of it being served is the whole one.
                if self._store is not None and self._store.dt == found.dt:
                    break
                continue
            return (found.dt, versions), waits
        return None, waits

    def _opened(self, dt: str, versions: Mapping[str, Version], names: Mapping[str, str]) -> Store:
        told = json.dumps([building.FORMAT, dt, sorted(names.items())])
        folder = self.home / hashlib.sha256(told.encode()).hexdigest()[:16]
        with self._locked():
            if not (folder / building.META).exists():
                self._build(folder, dt, versions, names)
            return Store(folder)

    def _build(self, folder: Path, dt: str, versions: Mapping[str, Version], names: Mapping[str, str]) -> None:
        for litter in self.home.glob(f"{_MAKING}*"):  # of killed processes, as nobody else makes one under the lock
            shutil.rmtree(litter, ignore_errors=True)
        making = self.home / f"{_MAKING}{secrets.token_hex(4)}"
        (target := making / "store").mkdir(parents=True)
        (scratch := making / "tables").mkdir()
        try:
            folders = {table: self.files.folder(version, scratch) for table, version in versions.items()}
            building.build(target, dt, folders, names)
            shutil.rmtree(folder, ignore_errors=True)  # half of one, whose removal was cut short
            target.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove the folders of other days that no process reads."""
        current = self._store.folder.name if self._store else ""
        others = [
            path for path in self.home.iterdir() if path.is_dir() and path.name[0] != "." and path.name != current
        ]
        if not others:
            return
        with self._locked():
            for path in others:
                _remove_unread(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _remove_unread(path: Path) -> None:
    with suppress(BlockingIOError, FileNotFoundError), (path / READING).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (path / building.META).unlink(missing_ok=True)  # without it the rest is no store
        shutil.rmtree(path, ignore_errors=True)
