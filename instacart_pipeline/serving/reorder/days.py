"""The day of predictions that is served, and the change to a newer one.

Belongs here: building once for all processes, changing over, and removing what nobody reads. Doesn't: which day it is (serving/days.py), the files
(building.py).

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.serving.days import DayLooker, NoDay, WholeDay, newest
from instacart_pipeline.serving.reorder import building
from instacart_pipeline.serving.reorder.store import READING, Store

if TYPE_CHECKING:
    from instacart_pipeline.resources.catalog import Catalog
    from instacart_pipeline.resources.table_files import TableFiles

_log = logging.getLogger(__name__)
_MAKING = ".making-"


class Days(DayLooker):
    """The day that is served. `current` changes from one store to the next in one step; who has the old one keeps it."""

    def __init__(self, catalog: Catalog, files: TableFiles, home: Path) -> None:
        super().__init__()
        self.catalog, self.files, self.home = catalog, files, home
        self._store: Store | None = None
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
        """See DayLooker."""
        with self._looking:
            day, self.trouble = newest(self.catalog, building.TABLES, self._store.dt if self._store else None)
            if day is None:
                return False
            if self._store is not None and (self._store.dt, self._store.versions) == (day.dt, day.names):
                self._sweep()
                return False
            started = time.perf_counter()
            self._store = self._opened(day)
            _log.info("Serving the day %s, ready in %.1f s", day.dt, time.perf_counter() - started)
            return True

    def _opened(self, day: WholeDay) -> Store:
        told = json.dumps([building.FORMAT, day.dt, sorted(day.names.items())])
        folder = self.home / hashlib.sha256(told.encode()).hexdigest()[:16]
        with self._locked():
            if not (folder / building.META).exists():
                self._build(folder, day)
            return Store(folder)

    def _build(self, folder: Path, day: WholeDay) -> None:
        for orphaned_files in self.home.glob(
            f"{_MAKING}*"
        ):  # of killed processes, as nobody else makes one under the lock
            shutil.rmtree(orphaned_files, ignore_errors=True)
        making = self.home / f"{_MAKING}{secrets.token_hex(4)}"
        (target := making / "store").mkdir(parents=True)
        (scratch := making / "tables").mkdir()
        try:
            folders = {table: self.files.folder(version, scratch) for table, version in day.versions.items()}
            building.build(target, day.dt, folders, day.names)
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
