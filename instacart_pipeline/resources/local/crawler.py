"""The crawler on this machine: folders of CSV files become tables of the local catalog."""

import time
from collections.abc import Sequence
from pathlib import Path

from dagster import ResourceDependency

from instacart_pipeline.embedded.csv_files import CsvFile, csv_files
from instacart_pipeline.embedded.csv_samples import SAMPLED_ROWS, inferred_columns
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import FileUnreadable
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.crawler import Crawl, CrawledTable, Crawler
from instacart_pipeline.resources.local.lake import LocalLake
from instacart_pipeline.resources.local.storage import raw_objects
from instacart_pipeline.resources.storage import listing_digest


class LocalCrawler(Crawler):
    """Crawls the raw folders of the lake."""

    lake: ResourceDependency[LocalLake]

    def crawl(self, tables: Sequence[TableContract], dt: str) -> Crawl:
        """See Crawler."""
        started = time.perf_counter()
        found = {table.name: self._crawl_table(table, dt) for table in tables}
        return Crawl(found, time.perf_counter() - started, {"files": sum(len(table.files) for table in found.values())})

    def _crawl_table(self, table: TableContract, dt: str) -> CrawledTable:
        catalog, zones = self.lake.catalog, self.lake.zones
        folder = Path(zones.raw_partition(table.system, table.name, dt))
        files = csv_files(folder)
        known = catalog.find(table, dt)
        if not files:
            catalog.drop_partition(table.database, table.name, dt)
            return CrawledTable(table, dt, "gone" if known else "missing")
        size = sum(path.stat().st_size for path in files)
        listing = listing_digest(raw_objects(folder, Path(zones.zone("raw"))))
        names = tuple(str(path.relative_to(zones.zone("raw"))) for path in files)
        try:
            samples = [CsvFile.sample(path, SAMPLED_ROWS) for path in files]
        except FileUnreadable as error:
            return CrawledTable(table, dt, "unreadable", (), names, size, problem=str(error))
        empty = [file.path for file, records in samples if not records]
        if empty:
            problem = f"{empty[0]} holds only a header. Upload it again with its rows, or remove it."
            return CrawledTable(table, dt, "unreadable", (), names, size, problem=problem)
        columns = inferred_columns(samples)
        change = "new" if known is None else "unchanged" if known.facts.get("listing") == listing else "changed"
        version = known
        if version is None or change != "unchanged":
            # Rows are counted where they are read, on the way to curated; a crawl samples.
            version = Version(new_version(), str(folder), -1, size, facts={"listing": listing})
            version = catalog.publish(table.database, table.name, dt, version)
        catalog.put_table(
            CatalogTable(
                table.database,
                table.name,
                columns,
                zones.table(table),
                table.description,
                parameters={"classification": "csv", "delimiter": ",", "skip.header.line.count": "1"},
            )
        )
        header = {name for name, _ in columns}
        lacking = tuple(
            f"{name} ({file.path.relative_to(zones.zone('raw'))})"
            for file, _ in samples
            for name in table.column_names
            if name not in file.header
        )
        extra = tuple(sorted(header - set(table.column_names)))
        return CrawledTable(table, dt, change, columns, names, size, version, lacking, extra)
