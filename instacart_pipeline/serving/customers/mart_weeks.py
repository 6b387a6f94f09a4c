"""The weeks of the customer mart: the newest in memory, and the change to a newer one; any other when it is asked for.

Belongs here: which version is served. Doesn't: reading it (mart_store.py).
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.customers.mart_tables import CUSTOMER_MART
from instacart_pipeline.customers.tables import DISTRIBUTION_CENTERS
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.serving.customers.mart_store import Mart, read
from instacart_pipeline.serving.days import DayLooker, NoDay

if TYPE_CHECKING:
    from instacart_pipeline.lake.versions import Version
    from instacart_pipeline.resources.catalog import Catalog
    from instacart_pipeline.resources.table_files import TableFiles

_log = logging.getLogger(__name__)
_KEPT = 2
"""Weeks other than the newest that stay in memory, those asked for last; a million customers take about 100 MB."""


class WeekUnreadable(PipelineError):
    """The files of a week that was asked for can't be read."""


class MartWeeks(DayLooker):
    """The weeks that are served. The newest changes in one step; who has the old one keeps it."""

    def __init__(self, catalog: Catalog, files: TableFiles) -> None:
        super().__init__()
        self.catalog, self.files = catalog, files
        self._newest: Mart | None = None
        self._there: Mapping[str, Version] = {}
        self._kept: dict[str, Mart] = {}
        self._reading = threading.Lock()

    @property
    def weeks(self) -> Sequence[str]:
        """The Mondays there is a mart as of, the newest first."""
        return sorted(self._there, reverse=True)

    @property
    def current(self) -> Mart:
        """The newest week that can be read. Raises NoDay."""
        newest = self._newest
        if newest is None:
            raise NoDay(
                self.trouble
                or f"There is no {CUSTOMER_MART.qualified_name} yet. Upload the tables of the shop with `instacart-pipeline upload customers "
                f"DIR --dt MONDAY`, then make it with `instacart-pipeline run customers --dt MONDAY`."
            )
        return newest

    def of(self, week: str) -> Mart:
        """The mart as of a Monday. Raises KeyError if there is none; NoDay while there is none at all; WeekUnreadable."""
        newest = self.current
        if week == newest.dt:
            return newest
        version = self._there[week]
        with self._reading:
            inputs = self._inputs(week, version)
            kept = self._kept.pop(week, None)
            if kept is None or kept.versions != _names(inputs):
                try:
                    kept = self._read(week, inputs)
                except Exception as error:
                    raise WeekUnreadable(
                        f"The mart as of {week} can't be read ({error}). Make it again with `instacart-pipeline run customers --dt {week}`."
                    ) from error
            self._kept[week] = kept
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            return kept

    def look(self) -> bool:
        """See DayLooker."""
        with self._reading:
            found = self.catalog.partitions(CUSTOMER_MART.database, CUSTOMER_MART.name)
            self._there = {partition.dt: partition.version for partition in found}
            self.trouble = ""
            if not self._there:
                return False
            week = max(self._there)
            inputs = self._inputs(week, self._there[week])
            served = self._newest
            if served is not None and (served.dt, served.versions) == (week, _names(inputs)):
                return False
            started = time.perf_counter()
            self._newest = self._read(week, inputs)
            self._kept.pop(week, None)
            _log.info("Serving the customers as of %s, read in %.1f s", week, time.perf_counter() - started)
            return True

    def _inputs(self, week: str, mart: Version) -> dict[str, Version]:
        """The versions to read: the mart's and, if they are known, those of the centres that it was made of; others may be elsewhere."""
        centers = self.catalog.find(DISTRIBUTION_CENTERS, week)
        if centers is None or mart.lineage.get(DISTRIBUTION_CENTERS.qualified_name, centers.name) != centers.name:
            return {CUSTOMER_MART.name: mart}
        return {CUSTOMER_MART.name: mart, DISTRIBUTION_CENTERS.name: centers}

    def _read(self, week: str, inputs: Mapping[str, Version]) -> Mart:
        with tempfile.TemporaryDirectory(prefix="mart-") as scratch:
            folders = {name: self.files.folder(version, Path(scratch)) for name, version in inputs.items()}
            return read(week, _names(inputs), folders[CUSTOMER_MART.name], folders.get(DISTRIBUTION_CENTERS.name))


def _names(inputs: Mapping[str, Version]) -> dict[str, str]:
    return {table: version.name for table, version in inputs.items()}
