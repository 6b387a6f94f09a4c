"""The crawler on AWS: a Glue crawl, and then a look of one's own at the day.

Glue's crawler enters tables for every tool that reads the catalog. It says neither what changed in a day nor which file lacks
a column, so the backend looks at the first bytes of the day's files itself, judges them as on one machine, and gives partitions
their versions.
"""

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster import ResourceDependency, get_dagster_logger

from instacart_pipeline.engine.csv_files import CsvFile, sampled_rows
from instacart_pipeline.engine.csv_records import CHUNK
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import FileUnreadable, InputInvalid, PipelineError, UploadChanged
from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsNotFound, AwsUnavailable
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.aws_account.objects import split
from instacart_pipeline.resources.crawler import Crawl, Crawler
from instacart_pipeline.resources.crawler.aws.crawls import CrawlBook, GlueCrawls, crawler_name
from instacart_pipeline.resources.crawler.crawled_day import CrawledDay, Sampled
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.storage import RawObject, Storage

__all__ = ["GlueCrawler", "GlueCrawls", "crawler_name"]

_FILES_AT_ONCE = 8
_READS = 3
"""How often the first bytes of a file are asked for, if the answer breaks off in the middle."""


class GlueCrawler(Crawler):
    """Crawls the raw zone in S3. Of each file the first MiB is read, at most, besides what Glue's crawler samples.

    A crawler does one crawl at a time, of all days. Runs take turns, and each has a crawl of its own that began after its
    files came.
    """

    lake: ResourceDependency[AwsLake]
    storage: ResourceDependency[Storage]

    def crawl(self, tables: Sequence[TableContract], dt: str) -> Crawl:
        """See Crawler. `tables` are one system's. Raises JobFailed if the crawl fails, NotDeployed if there is no crawler."""
        found = self.crawl_days(tables, [dt])[dt]
        if isinstance(found, InputInvalid):
            raise found
        return found

    def crawl_days(self, tables: Sequence[TableContract], days: Sequence[str]) -> Mapping[str, Crawl | InputInvalid]:
        """See Crawler. However many days there are, it is one crawl of Glue's: that enters whatever is new."""
        systems = sorted({table.system for table in tables})
        if len(systems) != 1:
            raise InputInvalid(f"One crawl is of the tables of one system, and was asked for those of {systems}.")
        started = time.perf_counter()
        session, jobs = self.lake.session, self.lake.jobs
        work_zone = self.lake.zones.zone("work")
        book, service = CrawlBook(session, work_zone, crawler_name(systems[0])), GlueCrawls(session, work_zone)

        def entered(dt: str, since: float, facts: Mapping[str, str | int | float]) -> Crawl | InputInvalid:
            try:
                looked_at = [self._looked_at(table, dt) for table in tables]
            except InputInvalid as error:
                return error
            with book.at_rest(jobs.deadline_seconds, jobs.poll_seconds):
                found = {day.table.name: day.enter(self.lake.catalog, self.lake.zones) for day in looked_at}
            files = sum(len(table.files) for table in found.values())
            return Crawl(found, time.perf_counter() - since, {"files": files, **facts})

        def make(attempt: Attempt) -> Mapping[str, Crawl | InputInvalid]:
            made = dict[str, Crawl | InputInvalid]()
            try:
                facts, since = jobs.run(attempt, "crawl", service, book.start, book.find).facts(), started
                for dt in days:
                    made[dt] = crawl = entered(dt, since, facts)
                    if isinstance(crawl, Crawl) and crawl.service["files"]:
                        facts = {}
                    since = time.perf_counter()
            finally:
                _forget(book, attempt.token("crawl"))
            return made

        if not days:
            return {}
        definition = json.dumps([[table.qualified_name for table in tables], *days])
        name = days[0] if len(days) == 1 else f"{days[0]}_{days[-1]}"
        return jobs.run_or_reattach(Work.of(tables[0], name, definition, {}), make)

    def _looked_at(self, table: TableContract, dt: str) -> CrawledDay:
        files = self.storage.all_objects(table.system, table.name, dt)
        return CrawledDay.of(table, dt, self.lake.zones, files, self._samples)

    def _samples(self, files: Sequence[RawObject]) -> list[Sampled]:
        rows = sampled_rows(len(files))
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            return list(pool.map(lambda found: self._sample(found, rows), files))

    def _sample(self, found: RawObject, rows: int) -> Sampled:
        uri, path = f"{self.lake.zones.zone('raw')}/{found.path}", Path(found.path)
        head = self._head(uri, found)
        try:
            return CsvFile.sample_of_head(path, head, rows, whole=len(head) >= found.size)
        except FileUnreadable as error:
            raise FileUnreadable(str(error).replace(str(path), uri)) from error

    def _head(self, uri: str, found: RawObject) -> bytes:
        """The first bytes of a file as it was listed. Raises UploadChanged if it isn't that file any more."""
        if not found.size:
            return b""  # S3 refuses a range of nothing
        bucket, key = split(uri)

        def read(client: Any) -> bytes:
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{CHUNK - 1}", IfMatch=f'"{found.tag}"')
            return bytes(answer["Body"].read())

        def read_again() -> bytes:
            for _ in range(_READS - 1):
                with suppress(AwsUnavailable):
                    return self.lake.session.doing("s3", "get_object", read)
            return self.lake.session.doing("s3", "get_object", read)

        try:
            return read_again()
        except (AwsConflict, AwsNotFound) as error:
            raise UploadChanged(
                f"{uri} was replaced or removed while the day was crawled. Run the day again once the upload is whole; "
                f"the sensor does so by itself."
            ) from error


def _forget(book: CrawlBook, token: str) -> None:
    """What goes wrong is logged: it hides no crawl's end, and what stays in the book does no harm."""
    try:
        book.forget(token)
    except PipelineError as error:
        get_dagster_logger().warning(f"A crawl stays noted in the work zone: {error}")
