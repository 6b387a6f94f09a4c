"""A day of raw files as a crawl looks at it, the same for both backends.

Belongs here: what the files of a table and day tell of its columns, what became of them since the last crawl, and entering
that in the catalog. Doesn't: listing files and reading their first rows, which each backend does where they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from instacart_pipeline.engine.csv_files import CsvFile, inferred_columns
from instacart_pipeline.engine.csv_records import Record
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import FileUnreadable, TableNotFound
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import Zones, new_version
from instacart_pipeline.resources.catalog import Catalog, CatalogTable
from instacart_pipeline.resources.crawler import CrawledTable
from instacart_pipeline.resources.storage import RawObject, listing_digest

Sampled = tuple[CsvFile, list[Record]]
"""A file's header and its first records."""

_CSV = {"classification": "csv", "delimiter": ",", "skip.header.line.count": "1"}


@dataclass(frozen=True)
class CrawledDay:
    """What the files of one table and day hold. `headers` has the columns of each file; `problem` says what can't be read."""

    table: TableContract
    dt: str
    files: tuple[RawObject, ...]
    headers: tuple[tuple[str, ...], ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @classmethod
    def of(
        cls,
        table: TableContract,
        dt: str,
        zones: Zones,
        files: Sequence[RawObject],
        sample: Callable[[Sequence[RawObject]], Sequence[Sampled]],
    ) -> CrawledDay:
        """Look at `files`, of which `sample` gives the headers and first records, in their order."""
        try:
            samples = sample(files)
        except FileUnreadable as error:
            return cls(table, dt, tuple(files), problem=str(error))
        empty = [found.path for found, (_, records) in zip(files, samples, strict=True) if not records]
        if empty:
            problem = (
                f"{zones.zone('raw')}/{empty[0]} holds only a header. Upload it again with its rows, or remove it."
            )
            return cls(table, dt, tuple(files), problem=problem)
        headers = tuple(file.header for file, _ in samples)
        return cls(table, dt, tuple(files), headers, inferred_columns(samples))

    def enter(self, catalog: Catalog, zones: Zones) -> CrawledTable:
        """Bring the catalog up to date, and report. A day that can't be read keeps the entry it has."""
        table, dt = self.table, self.dt
        known = catalog.find(table, dt)
        if not self.files:
            catalog.drop_partition(table.database, table.name, dt)
            return CrawledTable(table, dt, "gone" if known else "missing")
        size = sum(found.size for found in self.files)
        names = tuple(found.path for found in self.files)
        if self.problem:
            return CrawledTable(table, dt, "unreadable", (), names, size, problem=self.problem)
        catalog.put_table(self._definition(catalog, zones))
        listing = listing_digest(self.files)
        change = "new" if known is None else "unchanged" if known.facts.get("listing") == listing else "changed"
        version = known
        if version is None or change != "unchanged":
            # Rows are counted where they are read, on the way to curated; a crawl samples.
            location = zones.raw_partition(table.system, table.name, dt)
            version = Version(new_version(), location, -1, size, facts={"listing": listing})
            version = catalog.publish(table.database, table.name, dt, version)
        lacking = tuple(
            f"{name} ({found.path})"
            for found, header in zip(self.files, self.headers, strict=True)
            for name in table.column_names
            if name not in header
        )
        extra = tuple(sorted({name for name, _ in self.columns} - set(table.column_names)))
        return CrawledTable(table, dt, change, self.columns, names, size, version, lacking, extra)

    def _definition(self, catalog: Catalog, zones: Zones) -> CatalogTable:
        """The table as it was found, with what others keep among its parameters."""
        table = self.table
        try:
            kept = catalog.table(table.database, table.name).parameters
        except TableNotFound:
            kept = {}
        location = zones.table(table)
        return CatalogTable(
            table.database, table.name, self.columns, location, table.description, parameters={**kept, **_CSV}
        )
