"""The crawler: finds the tables and days of the raw zone and enters them in the catalog.

Belongs here: what a crawl promises and reports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.lake.versions import Version


@dataclass(frozen=True)
class CrawledTable:
    """One table as a crawl found it at one day.

    `columns` are (name, inferred type). `change` is against the catalog as it was: new, changed, unchanged or gone.
    `files` are paths below the raw zone. `problem` says why the day can't be read, if it can't.
    """

    table: TableContract
    dt: str
    change: str
    columns: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    bytes: int = 0
    version: Version | None = None
    missing_columns: tuple[str, ...] = ()
    extra_columns: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Crawl:
    """The report of one crawl: a table each, and how long it took."""

    tables: Mapping[str, CrawledTable]
    seconds: float
    service: Mapping[str, str | int | float] = field(default_factory=dict)


class Crawler(ConfigurableResource[Any], ABC):
    """Enters raw files in the catalog. Reads samples, never whole files, and changes no file."""

    @abstractmethod
    def crawl(self, tables: Sequence[TableContract], dt: str) -> Crawl:
        """Find the files of day `dt` of the staging tables `tables`, infer columns, and update catalog tables and partitions.

        A day with no files is reported as gone, and its partition dropped. A partition gets a new version whenever its
        files are not the ones of the last crawl.
        """

    def crawl_days(self, tables: Sequence[TableContract], days: Sequence[str]) -> Mapping[str, Crawl | InputInvalid]:
        """The same for each of `days`, in as few runs of the crawler as it takes; what is wrong with a day's input stands for its crawl.

        What a run of the crawler took and cost is told with the first day that has files.
        """
        return {dt: self._tried(tables, dt) for dt in days}

    def _tried(self, tables: Sequence[TableContract], dt: str) -> Crawl | InputInvalid:
        try:
            return self.crawl(tables, dt)
        except InputInvalid as error:
            return error
