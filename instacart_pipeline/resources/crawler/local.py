"""The crawler on this machine: folders of CSV files become tables of the local catalog."""

import time
from collections.abc import Sequence
from pathlib import Path

from dagster import ResourceDependency

from instacart_pipeline.engine.csv_files import CsvFile, sampled_rows
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.crawler import Crawl, CrawledTable, Crawler
from instacart_pipeline.resources.crawler.crawled_day import CrawledDay, Sampled
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.storage import RawObject
from instacart_pipeline.resources.storage.local import raw_objects


class LocalCrawler(Crawler):
    """Crawls the raw folders of the lake."""

    lake: ResourceDependency[LocalLake]

    def crawl(self, tables: Sequence[TableContract], dt: str) -> Crawl:
        """See Crawler."""
        started = time.perf_counter()
        found = {table.name: self._crawl_table(table, dt) for table in tables}
        return Crawl(found, time.perf_counter() - started, {"files": sum(len(table.files) for table in found.values())})

    def _crawl_table(self, table: TableContract, dt: str) -> CrawledTable:
        zones = self.lake.zones
        raw = Path(zones.zone("raw"))

        def sample(files: Sequence[RawObject]) -> list[Sampled]:
            rows = sampled_rows(len(files))
            return [CsvFile.sample(raw / found.path, rows) for found in files]

        files = raw_objects(Path(zones.raw_partition(table.system, table.name, dt)), raw)
        return CrawledDay.of(table, dt, zones, files, sample).enter(self.lake.catalog, zones)
