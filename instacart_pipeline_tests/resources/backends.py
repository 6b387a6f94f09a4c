"""Both backends of every resource, as one contract suite drives them: a platform, and one day of it for each test.

Belongs here: uploading to a day and reading from it, in terms of the abstract resources alone.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.crawler import Crawl
from instacart_pipeline.resources.ingest import Ingest
from instacart_pipeline.resources.published import Published
from instacart_pipeline_tests.platform import Platform, Row

Files = Mapping[str, str | bytes]

LOCAL_ALONE = pytest.mark.parametrize("backend_double", ["local"], indirect=True)
"""On a test: both backends go through the same code here, so it runs on the cheaper one."""
ONLY_DEEP_ON_AWS = pytest.mark.parametrize("backend_double", ["aws-deep"], indirect=True)
"""On a test: this machine's side of it is proved beside its function."""
DEEP_ON_AWS = pytest.mark.parametrize("backend_double", ["local", "aws-deep"], indirect=True)
"""On a test: on AWS it starts Spark, or repeats in depth what a cheaper test has proved."""


@dataclass(frozen=True)
class Day:
    """A day of a backend that nothing else uses, so that tests share the backend and don't disturb each other."""

    backend: Platform
    dt: str
    folder: Path

    def put(self, staged: TableContract, files: Files | str | bytes) -> None:
        """Make `files` the day's files of a table; a text alone is the file named after it."""
        given = files if isinstance(files, Mapping) else {f"{staged.name}.csv": files}
        paths = []
        for name, content in given.items():
            paths.append(self.folder / name)
            paths[-1].write_bytes(content.encode() if isinstance(content, str) else content)
        self.backend.storage.put(staged.system, staged.name, self.dt, paths)

    def crawl(self, *tables: TableContract) -> Crawl:
        """Crawl the day."""
        return self.backend.resources.crawler.crawl(tables, self.dt)

    def ingest_table(
        self, staged: TableContract, files: Files | str | bytes | None = None, ingest: Ingest | None = None
    ) -> Published:
        """Admit a table, after uploading and crawling `files` if there are any."""
        if files is not None:
            self.put(staged, files)
            self.crawl(staged)
        return (ingest or self.backend.resources.ingest).ingest_table(staged, t.CURATED_TABLES[staged], self.dt)

    def strict_ingest(self, max_rejected: float) -> Ingest:
        """The backend's ingest under another setting."""
        return build_resources(replace(self.backend.settings, max_rejected=max_rejected)).ingest

    def put_rows(self, table: TableContract, rows: Sequence[Row], *, name: str = "") -> Version:
        """See Platform."""
        return self.backend.put_rows(table, rows, dt=self.dt, name=name)

    def rows(self, table: TableContract) -> list[Row]:
        """The day of a table as readers see it, sorted by all columns."""
        return self.backend.rows(table, self.dt)

    def tuples(self, table: TableContract) -> list[tuple[Any, ...]]:
        """The same, without the names."""
        return [tuple(row.values()) for row in self.rows(table)]

    def rejects(self, table: TableContract) -> list[Row]:
        """The rejects of an ingested table, as they stand in the files."""
        return sorted(self.backend.rejects(table, self.dt), key=lambda row: (row["file"], row["line"]))

    def current(self, table: TableContract) -> Version:
        """The version that readers see."""
        return self.backend.catalog.current(table, self.dt)

    def find(self, table: TableContract) -> Version | None:
        """The same, or None."""
        return self.backend.catalog.find(table, self.dt)

    def orphaned_files(self, *tables: TableContract) -> list[str]:
        """What lies unpublished in the day's folders of tables."""
        return [name for table in tables for name in self.backend.unpublished(table, self.dt)]

    def clear(self) -> None:
        """Remove what was uploaded: crawls of other days would meet it."""
        for table in t.STAGED:
            self.backend.storage.put(table.system, table.name, self.dt, [])


def packed(content: str | bytes) -> bytes:
    """The content gzipped, the same bytes every time."""
    return gzip.compress(content.encode() if isinstance(content, str) else content, mtime=0)
