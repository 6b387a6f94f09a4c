"""The crawler on AWS: what a day's files tell, one crawl a piece of work though starting one gives no id, and no run in another's way."""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from instacart_pipeline.engine.csv_records import CHUNK
from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.errors import InputInvalid, JobFailed, UploadChanged
from instacart_pipeline.resources import storage
from instacart_pipeline.resources.aws_account.code import NotDeployed
from instacart_pipeline.resources.aws_account.errors import AwsBusy, AwsDenied
from instacart_pipeline.resources.crawler import Crawl
from instacart_pipeline.resources.crawler.aws import GlueCrawler
from instacart_pipeline.resources.crawler.aws.crawls import CrawlBook, GlueCrawls, crawler_name
from instacart_pipeline.resources.managed_jobs.attempts import JobEntry, Work
from instacart_pipeline.resources.storage import listing_digest
from instacart_pipeline.resources.storage.aws import S3Storage
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.aws_double.support import eventually
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws_site import GATED, LAKE, ROLE, Opened, Site

NEXT = "2026-11-21"
CRAWLER = crawler_name("shop")
TEAS = TableContract(
    "shop_staging", "teas", "Teas.", [Column("tea_id", "bigint", key=True), Column("name", "string", nullable=False)]
)
SALES = TableContract(
    "shop_staging", "sales", "Sales.", [Column("sale_id", "bigint", key=True), Column("price", "double")]
)
BODY = 'tea_id,name\n1,"loose, green"\n2,Assam\n'


class Shop:
    """A shop whose teas are uploaded by the day, and its crawler."""

    def __init__(self, site: Site) -> None:
        self.site, self.aws = site, site.aws
        self.storage = S3Storage(session=site.session, lake=LAKE)
        self.crawler = GlueCrawler(lake=site.lake, storage=self.storage)

    def deploy(self) -> Shop:
        glue = self.aws.client("glue")
        glue.create_database(DatabaseInput={"Name": "shop_staging"})
        glue.create_classifier(
            CsvClassifier={"Name": "csv", "Delimiter": ",", "QuoteSymbol": '"', "ContainsHeader": "PRESENT"}
        )
        targets = [{"Path": f"{LAKE}/raw/shop/{table.name}/"} for table in (TEAS, SALES)]
        glue.create_crawler(
            Name=CRAWLER,
            Role=ROLE,
            DatabaseName="shop_staging",
            Targets={"S3Targets": targets},
            Classifiers=["csv"],
            SchemaChangePolicy={"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"},
            Configuration=json.dumps(
                {"Version": 1.0, "CrawlerOutput": {"Partitions": {"AddOrUpdateBehavior": "InheritFromTable"}}}
            ),
        )
        return self

    def upload(self, name: str = "teas.csv", body: str | bytes = BODY, dt: str = DT, table: str = "teas") -> str:
        path = f"shop/{table}/dt={dt}/{name}"
        self.site.put(f"{LAKE}/raw/{path}", body)
        return path

    def crawl(self, *tables: TableContract, dt: str = DT) -> Crawl:
        return self.crawler.crawl(tables or (TEAS,), dt)

    def book(self) -> CrawlBook:
        return CrawlBook(self.site.session, f"{LAKE}/work", CRAWLER)


@pytest.fixture(scope="module")
def deployed(opened_double: Opened) -> Snapshot:
    return opened_double.kept(lambda site: Shop(site).deploy())


@pytest.fixture
def shop(opened_double: Opened, deployed: Snapshot) -> Shop:
    return Shop(Site(opened_double.holding(deployed)))


def test_a_crawl_enters_table_and_day_and_says_what_it_found(shop: Shop) -> None:
    path = shop.upload()
    crawl = shop.crawl(TEAS, SALES)
    teas, sales = crawl.tables["teas"], crawl.tables["sales"]
    assert (teas.change, teas.files, teas.bytes) == ("new", (path,), len(BODY))
    assert teas.columns == (("tea_id", "bigint"), ("name", "string"))
    assert (teas.missing_columns, teas.extra_columns, teas.problem) == ((), (), "")
    assert (sales.change, sales.version, sales.files) == ("missing", None, ())
    version = shop.site.catalog.current(TEAS, DT)
    assert version == teas.version
    assert version.location == f"{LAKE}/raw/shop/teas/dt={DT}"
    assert version.facts == {"listing": listing_digest(shop.storage.objects("shop", "teas", DT))}
    table = shop.site.catalog.table("shop_staging", "teas")
    assert (table.columns, table.description) == (teas.columns, "Teas.")
    assert table.parameters["UPDATED_BY_CRAWLER"] == CRAWLER
    assert table.parameters["skip.header.line.count"] == "1"
    assert shop.site.left_behind() == []


def test_what_the_crawl_did_and_cost_is_reported(shop: Shop) -> None:
    shop.upload()
    service = shop.crawl().service
    (run,) = shop.aws.jobs("crawler")
    assert service["job_id"] == f"{CRAWLER}/{run.id}"
    assert str(service["job_link"]).endswith(f"crawlers/view/{CRAWLER}")
    assert service["files"] == 1
    assert service["estimated_cost_usd"] == pytest.approx(float(service["dpu_hours"]) * 0.44, abs=1e-6)
    assert float(service["dpu_hours"]) > 0


def test_many_days_are_one_crawl_of_glue_and_what_is_wrong_with_one_keeps_none_of_the_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [f"2026-11-{number}" for number in (20, 21, 22, 23)]
    for dt in (days[1], days[3]):
        shop.upload(dt=dt)
    for number in range(3):
        shop.upload(f"{number}.csv", dt=days[2])
    monkeypatch.setattr(storage, "MOST_FILES", 2)
    crawls = shop.crawler.crawl_days([TEAS], days)
    assert len(shop.aws.jobs("crawler")) == 1
    refused = crawls[days[2]]
    assert isinstance(refused, InputInvalid)
    assert "more than 2 files" in str(refused)
    found = {dt: crawl for dt, crawl in crawls.items() if isinstance(crawl, Crawl)}
    assert [found[dt].tables["teas"].change for dt in (days[0], days[1], days[3])] == ["missing", "new", "new"]
    assert [dt for dt, crawl in found.items() if "estimated_cost_usd" in crawl.service][-1] == days[1]
    assert "job_id" not in found[days[3]].service  # what the one crawl took counts once
    assert shop.site.left_behind() == []


def test_a_day_gets_a_new_version_only_when_its_files_changed(shop: Shop) -> None:
    shop.upload()
    first = shop.crawl().tables["teas"]
    again = shop.crawl().tables["teas"]
    assert (again.change, again.version) == ("unchanged", first.version)
    shop.upload("more.csv", "tea_id,name,origin\n3.5,Oolong,Fujian\n")
    grown = shop.crawl().tables["teas"]
    assert grown.change == "changed"
    assert grown.columns == (("tea_id", "double"), ("name", "string"), ("origin", "string"))
    assert grown.extra_columns == ("origin",)
    assert grown.version
    assert first.version
    assert grown.version.name > first.version.name
    assert shop.site.catalog.current(TEAS, DT).name == grown.version.name


def test_a_file_that_lacks_a_column_is_named_with_it(shop: Shop) -> None:
    shop.upload()
    path = shop.upload("short.csv", "tea_id,nmae\n3,x\n")
    found = shop.crawl().tables["teas"]
    assert (found.missing_columns, found.extra_columns) == ((f"name ({path})",), ("nmae",))


def test_a_day_whose_files_are_gone_is_dropped(shop: Shop) -> None:
    path = shop.upload()
    shop.upload(dt=NEXT)
    shop.crawl()
    shop.crawl(dt=NEXT)
    shop.site.session.call("s3", "delete_object", Bucket="lake", Key=f"raw/{path}")
    assert shop.crawl().tables["teas"].change == "gone"
    assert [found.dt for found in shop.site.catalog.partitions("shop_staging", "teas")] == [NEXT]
    assert shop.crawl().tables["teas"].change == "missing"


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("a.csv", b"tea_id,name\n1,gr\xfcn\n", "{uri}, line 2: byte 17 of the file is not UTF-8"),
        ("a.csv.gz", gzip.compress(BODY.encode())[:-12], "{uri} is not a whole gzip file: it ends in line"),
    ],
    ids=["not UTF-8", "gzip cut short"],
)
def test_a_file_that_cannot_be_read_is_named_and_the_day_keeps_its_entry(
    shop: Shop, name: str, body: bytes, problem: str
) -> None:
    shop.upload("good.csv")
    before = shop.crawl().tables["teas"].version
    path = shop.upload(name, body)
    found = shop.crawl().tables["teas"]
    assert (found.change, found.version) == ("unreadable", None)
    assert found.problem.startswith(problem.format(uri=f"{LAKE}/raw/{path}"))
    assert shop.site.catalog.find(TEAS, DT) == before


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_of_a_large_file_only_the_first_bytes_are_read(shop: Shop, packed: bool) -> None:
    dice = random.Random(7)  # noqa: S311  # makes text that does not pack
    rows = [f'{number},"{dice.getrandbits(400):x}, loose"\n' for number in range(30_000)]
    body = ("tea_id,name\n" + "".join(rows) + "late,late\n").encode()
    content = gzip.compress(body) if packed else body
    assert len(content) > 1.2 * CHUNK
    shop.upload("teas.csv.gz" if packed else "teas.csv", content)
    shop.aws.requests.clear()
    found = shop.crawl().tables["teas"]
    assert (found.columns, found.bytes) == ((("tea_id", "bigint"), ("name", "string")), len(content))
    ranges = [
        each.parameters["Range"] for each in shop.aws.requests.of("s3", "GetObject") if "Range" in each.parameters
    ]
    assert ranges == [f"bytes=0-{CHUNK - 1}"]


def test_a_file_replaced_after_it_was_listed_fails_the_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.upload()
    listed = S3Storage.objects

    def replaced(storage: S3Storage, *given: Any, **more: Any) -> Any:
        found = listed(storage, *given, **more)
        shop.upload(body=BODY + "3,Oolong\n")
        return found

    monkeypatch.setattr(S3Storage, "objects", replaced)
    with pytest.raises(UploadChanged, match=f"{LAKE}/raw/shop/teas/dt={DT}/teas.csv was replaced or removed"):
        shop.crawl()
    assert shop.site.catalog.find(TEAS, DT) is None
    assert shop.site.left_behind() == []


def test_without_its_crawler_a_run_says_to_deploy(site: Site) -> None:
    with pytest.raises(NotDeployed, match=r"no crawler instacart-shop-raw\. Make it with `instacart-pipeline deploy"):
        Shop(site).crawl()
    assert site.left_behind() == []


def test_one_crawl_is_of_one_system(shop: Shop) -> None:
    with pytest.raises(InputInvalid, match="tables of one system"):
        shop.crawl(TEAS, TEAS.moved_to("other_staging"))


def test_a_crawl_under_way_is_waited_for_and_then_an_own_one_is_started(shop: Shop) -> None:
    shop.upload()
    shop.aws.outcomes.slow("crawler", 0.4)
    shop.aws.client("glue").start_crawler(Name=CRAWLER)
    crawl = shop.crawl()
    other, own = shop.aws.jobs("crawler")
    assert other.state == own.state == "COMPLETED"
    assert other.ended
    assert own.started >= other.ended
    assert crawl.service["job_id"] == f"{CRAWLER}/{own.id}"


def test_days_at_once_take_turns_and_none_fails_another(shop: Shop) -> None:
    days = [f"2026-11-{day}" for day in range(10, 13)]
    for day in days:
        shop.upload(dt=day)
    shop.aws.outcomes.slow("crawler", 0.05, times=3)
    with ThreadPoolExecutor(3) as pool:
        crawls = list(pool.map(lambda day: shop.crawl(dt=day), days))
    assert [crawl.tables["teas"].change for crawl in crawls] == ["new"] * 3
    assert [found.dt for found in shop.site.catalog.partitions("shop_staging", "teas")] == days
    assert len({crawl.service["job_id"] for crawl in crawls}) == len(shop.aws.jobs("crawler")) == 3
    assert shop.aws.most_alive_at_once() == 1
    assert shop.site.left_behind() == []


def test_nothing_is_entered_while_the_crawler_is_at_work(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.upload()
    sampled = GlueCrawler._samples

    def after_another_began(crawler: GlueCrawler, files: Any) -> Any:
        glue = shop.aws.client("glue")
        eventually(lambda: glue.get_crawler(Name=CRAWLER)["Crawler"]["State"] == "READY", timeout=120)
        glue.start_crawler(Name=CRAWLER)
        return sampled(crawler, files)

    monkeypatch.setattr(GlueCrawler, "_samples", after_another_began)
    shop.aws.outcomes.slow("crawler", 0.0)
    shop.aws.outcomes.slow("crawler", 0.4)
    found = shop.crawl().tables["teas"]
    _, other = shop.aws.jobs("crawler")
    assert not other.alive
    assert shop.site.catalog.current(TEAS, DT) == found.version


@pytest.mark.parametrize(("kind", "times"), [("lost_reply", 1), ("lost_request", 2)])
def test_a_lost_answer_starts_no_second_crawl(shop: Shop, kind: Any, times: int) -> None:
    shop.upload()
    shop.aws.faults.add(kind, "glue", "StartCrawler", times=times)
    assert shop.crawl().tables["teas"].change == "new"
    assert len(shop.aws.jobs("crawler")) == 1
    assert shop.site.left_behind() == []


def test_a_crawl_that_is_listed_late_is_no_lost_one(
    shop: Shop, gate: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.upload()
    shop.aws.outcomes.slow("crawler", GATED)
    newest, hidden = CrawlBook._newest, [True] * 8

    def late(book: CrawlBook, count: int, **given: Any) -> Any:
        if shop.aws.jobs("crawler") and hidden:
            hidden.pop()
            return []
        if not hidden:
            gate()
        return newest(book, count, **given)

    monkeypatch.setattr(CrawlBook, "_newest", late)
    assert shop.crawl().tables["teas"].change == "new"
    assert not hidden
    assert len(shop.aws.jobs("crawler")) == 1


def started_by_a_killed_process(shop: Shop, noted: bool) -> tuple[Any, str]:
    """An attempt whose process died after it had asked for the crawl, before or after it had the id."""
    work = Work("a-run", TEAS.qualified_name, DT, "0" * 16)
    records = shop.site.jobs.records
    attempt = records.claim(work)
    token = attempt.token("crawl")
    attempt.jobs["crawl"] = JobEntry(GlueCrawls.name, token)
    records.write(attempt)
    attempt.jobs["crawl"].id = shop.book().start(token)
    if noted:
        records.write(attempt)
    return work, attempt.jobs["crawl"].id


def going_on(shop: Shop, work: Any, monkeypatch: pytest.MonkeyPatch) -> Crawl:
    monkeypatch.setattr(Work, "of", classmethod(lambda *_: work))
    return shop.crawl()


@pytest.mark.parametrize("noted", [True, False])
def test_a_retry_goes_on_with_the_crawl_of_a_killed_process(
    shop: Shop, noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.upload()
    shop.aws.outcomes.slow("crawler", 0.2)
    work, crawl = started_by_a_killed_process(shop, noted)
    assert going_on(shop, work, monkeypatch).service["job_id"] == crawl
    assert len(shop.aws.jobs("crawler")) == 1
    assert shop.site.left_behind() == []


def test_a_retry_takes_no_other_runs_crawl_for_its_own(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process had died between noting what it would ask for and asking; another run has crawled since."""
    shop.upload()
    shop.upload(dt=NEXT)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CrawlBook, "_ask", _killed)
        shop.book().start("a-token")
    other = shop.crawl(dt=NEXT)
    assert shop.book().find("a-token") is None
    assert shop.book().start("a-token") != other.service["job_id"]


def _killed(_: CrawlBook) -> Any:
    raise KeyboardInterrupt


def test_what_a_dead_run_left_is_found_and_stopped(shop: Shop) -> None:
    shop.aws.outcomes.stuck("crawler")
    _, crawl = started_by_a_killed_process(shop, noted=False)
    assert shop.site.jobs.stop_left("a-run", [GlueCrawls(shop.site.session, f"{LAKE}/work")]) == [crawl]
    assert [run.state for run in shop.aws.jobs("crawler")] == ["STOPPED"]
    assert not any("crawls/" in key for key in shop.site.left_behind())


def test_a_crawl_is_never_stopped_in_anothers_place(shop: Shop) -> None:
    service = GlueCrawls(shop.site.session, f"{LAKE}/work")
    ended = str(shop.crawl().service["job_id"])
    shop.aws.outcomes.stuck("crawler")
    other = shop.book()
    job = eventually(lambda: _started(other))
    service.stop(ended)
    assert service.look(job).state == "RUNNING"
    service.stop(job)
    eventually(lambda: service.look(job).state == "STOPPED")
    service.stop(job)


def _started(book: CrawlBook) -> str | None:
    try:
        return book.start("another")
    except AwsBusy:
        return None


Ending = tuple[Callable[[AwsDouble], object], type[Exception], str]
ENDINGS: dict[str, Ending] = {
    "failed": (
        lambda aws: aws.outcomes.failed("crawler", "Insufficient Lake Formation permissions"),
        JobFailed,
        r"failed: Insufficient Lake(.|\n)*end of its log:\n(.|\n)*ERROR : Insufficient Lake",
    ),
    "denied": (lambda aws: aws.faults.add("denied", "glue", "StartCrawler", times=None), AwsDenied, "start_crawler"),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_crawl_that_ends_badly_enters_nothing_and_leaves_nothing(shop: Shop, ending: Ending) -> None:
    bring_about, kind, text = ending
    shop.upload()
    bring_about(shop.aws)
    with pytest.raises(kind, match=text):
        shop.crawl()
    assert shop.site.catalog.find(TEAS, DT) is None
    assert not any(run.alive for run in shop.aws.jobs())
    assert [key for key in shop.site.left_behind() if "/attempts/" not in key] == []


def test_another_crawl_without_end_fails_the_run_in_time_and_is_let_be(shop: Shop) -> None:
    shop.upload()
    shop.aws.outcomes.stuck("crawler")
    shop.aws.client("glue").start_crawler(Name=CRAWLER)
    with pytest.raises(AwsBusy, match=f"{CRAWLER} is crawling"):
        Shop(Site(shop.aws, deadline=0.5)).crawl()
    (other,) = shop.aws.jobs("crawler")
    assert other.alive


def test_troubles_that_pass_are_borne(shop: Shop) -> None:
    shop.upload()
    for kind, operation in (("throttled", "StartCrawler"), ("server_error", "ListCrawls")):
        shop.aws.faults.add(kind, "glue", operation, times=2)  # type: ignore[arg-type]  # two of the kinds
    shop.aws.faults.add("throttled", "glue", "ListCrawls", times=2, after=3)
    assert shop.crawl().tables["teas"].change == "new"
    assert len(shop.aws.jobs("crawler")) == 1


def test_a_read_that_breaks_off_is_repeated(shop: Shop) -> None:
    shop.upload()
    shop.aws.faults.add("lost_reply", "s3", "GetObject", containing="teas.csv", times=7)
    assert shop.crawl().tables["teas"].change == "new"


def test_requests_are_few_however_long_a_crawl_waits_and_runs(shop: Shop) -> None:
    for number in range(3):
        shop.upload(f"teas{number}.csv")
    shop.aws.outcomes.slow("crawler", 1.0, times=2)
    shop.aws.client("glue").start_crawler(Name=CRAWLER)
    shop.aws.requests.clear()
    shop.crawl()
    counts = shop.aws.requests.counts()
    assert counts["glue", "StartCrawler"] <= 3
    assert counts["glue", "ListCrawls"] < 40
    assert sum(counts.values()) < 150, counts


def test_a_cancelled_run_stops_its_crawl_and_no_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.upload()
    shop.aws.outcomes.stuck("crawler")
    look = GlueCrawls.look
    asked = threading.Event()

    def interrupted(service: GlueCrawls, job: str) -> Any:
        found = look(service, job)
        if not asked.is_set():
            asked.set()
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(GlueCrawls, "look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop.crawl()
    assert [run.state for run in shop.aws.jobs("crawler")] == ["STOPPED"]
    assert [key for key in shop.site.left_behind() if "/attempts/" not in key] == []
