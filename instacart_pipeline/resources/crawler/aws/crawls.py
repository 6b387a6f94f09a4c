"""Crawls of Glue crawlers as managed jobs: starting one's own, and telling it from others'.

Belongs here: a crawl's states and log, and the book of who started which crawl. Doesn't: what a crawl is for (__init__.py).

StartCrawler takes no token and gives no id, and a crawler does one crawl at a time. So a crawl is started under a lock, and
what is about to be started is written down in S3 first, with the newest crawl there is: the crawl that follows on it is ours,
whether or not the answer arrived and whoever looks. No clock comes into it. Only somebody who starts the same crawler by hand
in that very moment could be taken for us; a crawl of his would do as well as ours, since it began after our files came.
"""

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from instacart_pipeline.resources.aws_account.code import NotDeployed
from instacart_pipeline.resources.aws_account.errors import (
    AwsBusy,
    AwsConflict,
    AwsError,
    AwsNotFound,
    AwsUnavailable,
)
from instacart_pipeline.resources.aws_account.locks import locked
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs import prices
from instacart_pipeline.resources.managed_jobs.attempts import Work
from instacart_pipeline.resources.managed_jobs.job_service import DeadlinePassed, JobService, JobStatus, State

_ENDED = ("COMPLETED", "FAILED", "STOPPED")
_NEWEST = 20
"""Crawls that are looked through for one's own."""
_LOOKS = 3
"""Looks for a crawl that was started and isn't listed yet, before the lock is given back."""
_LOG_LINES = 200
"""Lines of a crawler's log, which its crawls share, that are searched for those of one crawl."""
_LONGEST_PAUSE = 15
"""The pause between two looks at a crawler grows up to this many times the first."""


def crawler_name(system: str) -> str:
    """The Glue crawler of a system's raw zone, which deploy makes."""
    return f"instacart-{system}-raw"


class GlueCrawls(JobService):
    """Crawls of Glue crawlers, as "crawler/crawl id".

    `work` is the lake's work zone, in which their books lie. Without it a crawl can be looked at and stopped, but none can be
    found again whose id nobody noted.
    """

    name = "Glue crawl"
    states: ClassVar[dict[str, State]] = {
        "RUNNING": "running",
        "COMPLETED": "succeeded",
        "FAILED": "failed",
        "STOPPED": "stopped",
    }

    def __init__(self, session: AwsSession, work: str = "") -> None:
        super().__init__(session)
        self._work = work

    def look(self, job: str) -> JobStatus:
        """See JobService."""
        crawl = self._crawl(job)
        since, until = crawl.get("StartTime"), crawl.get("EndTime")
        dpu_hours = float(crawl.get("DPUHour", 0))
        return JobStatus(
            state=crawl["State"],
            error=crawl.get("ErrorMessage", ""),
            running_seconds=(until - since).total_seconds() if since and until else 0.0,
            usage={"dpu_hours": dpu_hours},
            cost_usd=prices.crawler(dpu_hours),
        )

    def stop(self, job: str) -> None:
        """See JobService. A crawler is stopped only while it does this very crawl."""
        # StopCrawler names no crawl. Another can't have begun since the look: a crawler rests a while after each.
        if self._crawl(job)["State"] in _ENDED:
            return
        with suppress(AwsConflict, AwsBusy):  # it isn't running any more, or is stopping
            self.session.call("glue", "stop_crawler", once=True, Name=_crawler(job))

    def link(self, job: str) -> str:
        """See JobService. The console shows crawls on their crawler's page."""
        region = self.session.region_name
        return f"https://{region}.console.aws.amazon.com/glue/home?region={region}#/v2/data-catalog/crawlers/view/{_crawler(job)}"

    def log_tail(self, job: str) -> Sequence[str]:
        """See JobService."""
        crawl = self._crawl(job)
        if not crawl.get("LogGroup") or not crawl.get("LogStream"):
            return ()
        try:
            answer = self.session.call(
                "logs",
                "get_log_events",
                logGroupName=crawl["LogGroup"],
                logStreamName=crawl["LogStream"],
                limit=_LOG_LINES,
            )
        except AwsNotFound:
            return ()
        mark = f"[{crawl.get('MessagePrefix') or crawl['CrawlId']}]"
        return [event["message"].rstrip() for event in answer["events"] if event["message"].startswith(mark)]

    def left(self, work: Work, token: str) -> str | None:
        """See JobService. May have to wait for the lock that the dead process held."""
        return self._book(work).find(token) if self._work else None

    def remove(self, work: Work, token: str) -> None:
        """See JobService."""
        if self._work:
            self._book(work).forget(token)

    def _book(self, work: Work) -> "CrawlBook":
        system = work.table.partition(".")[0].rpartition("_")[0]
        return CrawlBook(self.session, self._work, crawler_name(system))

    def _crawl(self, job: str) -> dict[str, Any]:
        crawler, _, crawl = job.partition("/")
        rule = {"FieldName": "CRAWL_ID", "FilterOperator": "EQ", "FieldValue": crawl}
        answer = self.session.call("glue", "list_crawls", once=True, CrawlerName=crawler, MaxResults=1, Filters=[rule])
        found: list[dict[str, Any]] = answer.get("Crawls", [])
        if not found:
            raise AwsUnavailable("glue", "list_crawls", "CrawlNotListed", f"{job} isn't listed.")
        return found[0]


class CrawlBook:
    """Who started which crawl of a crawler. Kept below the prefix `work`, as long as somebody may ask."""

    def __init__(self, session: AwsSession, work: str, crawler: str) -> None:
        self._session, self._objects, self._crawler = session, Objects(session), crawler
        self._lock, self._book = f"{work}/locks/crawlers/{crawler}", f"{work}/crawls/{crawler}.json"

    def start(self, token: str) -> str:
        """Start a crawl, and give its id; as ManagedJobs.run takes it. Raises AwsBusy while another one is under way.

        Raises NotDeployed if there is no such crawler.
        """
        with locked(self._objects, self._lock) as lease:
            newest = self._newest(_NEWEST)
            book = self._settled(newest)
            if token not in book["started"]:
                if newest and newest[0]["State"] not in _ENDED:
                    raise AwsBusy("glue", "start_crawler", "CrawlerRunning", f"{self._crawler} is crawling.")
                before = book["asked"] if (book["asked"] or {}).get("token") == token else None
                book["asked"] = {"token": token, "after": newest[0]["CrawlId"] if newest else ""}
                self._keep(book)
                refused = lease.write(self._ask)
                if isinstance(refused, AwsUnavailable):
                    raise refused  # it may have been started all the same: what was asked stays in the book
                if refused:
                    self._keep({**book, "asked": before})
                    raise refused
                book = self._listed(token)
            self._keep(book)
            return f"{self._crawler}/{book['started'][token]}"

    def find(self, token: str) -> str | None:
        """The id of the crawl that was started with a token, if there is one; as ManagedJobs.run takes it."""
        with locked(self._objects, self._lock):
            crawl = self._settled(self._newest(_NEWEST))["started"].get(token)
            return f"{self._crawler}/{crawl}" if crawl else None

    def forget(self, token: str) -> None:
        """Nobody will ask for a token's crawl again."""
        with locked(self._objects, self._lock):
            book = self._held()
            book["started"].pop(token, None)
            if (book["asked"] or {}).get("token") == token:
                book["asked"] = None
            self._keep(book)

    @contextmanager
    def at_rest(self, seconds: float, poll_seconds: float) -> Iterator[None]:
        """A block during which the crawler does nothing, and nobody of ours starts it.

        A crawl writes partitions back as it found them when it began: what is published meanwhile could be lost.
        Raises DeadlinePassed if others keep the crawler busy for so many seconds.
        """
        deadline, pause = time.monotonic() + seconds, poll_seconds
        while True:
            with locked(self._objects, self._lock):
                newest = self._newest(1, once=False)
                if not newest or newest[0]["State"] in _ENDED:
                    yield
                    return
            if time.monotonic() > deadline:
                raise DeadlinePassed(
                    f"The crawler {self._crawler} was busy with other crawls for {seconds:.0f} s on end, so what was found can't "
                    f"be entered. Run again, and raise INSTACART_JOB_DEADLINE if so many days are crawled at once."
                )
            time.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  # spreads calls, guards nothing
            pause = min(pause * 1.5, poll_seconds * _LONGEST_PAUSE)

    def _ask(self) -> AwsError | None:
        try:
            self._session.call("glue", "start_crawler", once=True, Name=self._crawler)
        except AwsError as error:
            return error
        return None

    def _listed(self, token: str) -> dict[str, Any]:
        """The book, once the crawl that was just started is listed."""
        for _ in range(_LOOKS):
            book = self._settled(self._newest(_NEWEST))
            if token in book["started"]:
                return book
        raise AwsUnavailable(
            "glue", "start_crawler", "CrawlNotListed", f"{self._crawler} was started, and lists no crawl."
        )

    def _settled(self, newest: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The book. If what was asked for has come about since, which the `newest` crawls tell, it stands under what was started."""
        book = self._held()
        if asked := book["asked"]:
            known = [crawl["CrawlId"] for crawl in newest]
            since = known[: known.index(asked["after"])] if asked["after"] in known else known
            if since:
                book["asked"], book["started"][asked["token"]] = None, since[-1]
        return book

    def _held(self) -> dict[str, Any]:
        held = self._objects.held(self._book)
        return held.content if held else {"asked": None, "started": {}}

    def _keep(self, book: dict[str, Any]) -> None:
        if not book["asked"] and not book["started"]:
            self._objects.remove(self._book)
            return
        newest = list(book["started"].items())[-_NEWEST:]
        self._objects.put(self._book, json.dumps({**book, "started": dict(newest)}).encode())

    def _newest(self, count: int, *, once: bool = True) -> list[dict[str, Any]]:
        try:
            answer = self._session.call("glue", "list_crawls", once=once, CrawlerName=self._crawler, MaxResults=count)
        except AwsNotFound:
            raise NotDeployed(
                f"There is no crawler {self._crawler}. Make it with `instacart-pipeline deploy --apply`."
            ) from None
        found: list[dict[str, Any]] = answer.get("Crawls", [])
        return found


def _crawler(job: str) -> str:
    return job.partition("/")[0]
