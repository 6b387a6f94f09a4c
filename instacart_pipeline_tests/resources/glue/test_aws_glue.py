"""Glue jobs on AWS: found again, stopped, reported, and cleared up after, whatever Glue does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.errors import JobFailed, TableNotFound, UnsupportedSql
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.aws_account.code import SQL_TO_PARQUET, NotDeployed, script_location
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline.resources.glue.aws import AwsGlue, GlueRuns
from instacart_pipeline.resources.managed_jobs.attempts import JobEntry, Work
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws_site import LAKE, ROLE, Opened, Site

NEXT = "2026-11-21"
BASKETS = TableContract(
    "shop_features", "baskets", "What a user buys.", [Column("user_id", "bigint", key=True), Column("items", "int")]
)
SIZES = TableContract(
    "shop_sandbox",
    "sizes",
    "How much a user buys.",
    [Column("user_id", "bigint", key=True), Column("size", "double", between=(0, 100))],
)
JOB = GlueJob(
    "sizes",
    Query.parse("sizes", "SELECT b.user_id, b.items / 2 AS size FROM shop_features.baskets AS b WHERE b.dt = :dt"),
)
ROWS = [{"user_id": 1, "items": 5}, {"user_id": 2, "items": 8}]
# Does what the real script does to S3, without Spark: halves, writes, and leaves the orphaned files that Hadoop leaves.
STAND_IN = """
import argparse, io, json, os, boto3
import pyarrow as pa, pyarrow.parquet as pq
parser = argparse.ArgumentParser()
for name in ("--sql-file", "--views", "--target", "--columns"):
    parser.add_argument(name)
options, _ = parser.parse_known_args()
s3 = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
def split(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
print("statement", s3.get_object(Bucket=split(options.sql_file)[0], Key=split(options.sql_file)[1])["Body"].read())
((view, source),) = json.loads(options.views).items()
bucket, prefix = split(source["location"])
(found,) = s3.list_objects_v2(Bucket=bucket, Prefix=prefix + "/")["Contents"]
table = pq.read_table(io.BytesIO(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()))
sizes = [float(items // 2) for items in table["items"].to_pylist()]
made = io.BytesIO()
pq.write_table(pa.table({"user_id": table["user_id"], "size": sizes}), made)
bucket, key = split(options.target)
day = key.rsplit("/", 1)[0]
for place in (f"{key}/_SUCCESS", f"{key}_$folder$", f"{day}_$folder$", f"{key}/_temporary_$folder$"):
    s3.put_object(Bucket=bucket, Key=place, Body=b"")
s3.put_object(Bucket=bucket, Key=f"{key}/part-00000.snappy.parquet", Body=made.getvalue())
"""


def deployed(site: Site, script: str, location: str = "") -> Site:
    location = location or script_location(LAKE, SQL_TO_PARQUET)
    site.put(location, script)
    site.aws.client("glue").create_job(
        Name=SQL_TO_PARQUET,
        Role=ROLE,
        Command={"Name": "glueetl", "ScriptLocation": location, "PythonVersion": "3"},
        ExecutionProperty={"MaxConcurrentRuns": 20},
        GlueVersion="5.0",
    )
    return site


@pytest.fixture(scope="module")
def stocked(opened_double: Opened) -> Snapshot:
    def prepare(site: Site) -> None:
        site.fill(BASKETS, ROWS)
        deployed(site, STAND_IN)

    return opened_double.kept(prepare)


@pytest.fixture
def shop(opened_double: Opened, stocked: Snapshot) -> Site:
    """A shop with one table and the job deployed, Spark aside."""
    return Site(opened_double.holding(stocked))


def glue(site: Site) -> AwsGlue:
    return AwsGlue(lake=site.lake, worker_type="G.1X", workers=2)


def is_clean(site: Site) -> bool:
    keys = site.keys()
    assert [key for key in keys if "$folder$" in key] == []
    assert site.left_behind() == []
    assert site.unpublished(SIZES) == []
    return True


def test_a_job_publishes_its_rows_and_says_what_it_cost(shop: Site) -> None:
    published = glue(shop).run(JOB, SIZES, DT)
    assert shop.rows(SIZES) == [{"user_id": 1, "size": 2.0}, {"user_id": 2, "size": 4.0}]
    assert published.version.rows == 2
    assert published.version.lineage == {"shop_features.baskets": shop.catalog.current(BASKETS, DT).name}
    (run,) = shop.aws.jobs("glue")
    assert published.service["job_id"] == f"{SQL_TO_PARQUET}/{run.id}"
    assert run.id in str(published.service["job_link"])
    # Two workers of one unit each, a minute at least.
    assert published.service["dpu_hours"] == pytest.approx(2 * 60 / 3600, abs=1e-5)
    assert float(published.service["estimated_cost_usd"]) >= 2 * 60 / 3600 * 0.44
    assert is_clean(shop)


def test_the_run_is_bounded_by_the_deadline_on_glues_side_too(shop: Site) -> None:
    shop.aws.outcomes.failed("glue")
    with pytest.raises(JobFailed):
        glue(Site(shop.aws, deadline=600)).run(JOB, SIZES, DT)
    (started,) = shop.aws.requests.of("glue", "StartJobRun")
    assert started.parameters["Timeout"] == 10
    assert (started.parameters["WorkerType"], started.parameters["NumberOfWorkers"]) == ("G.1X", 2)


def test_a_start_whose_answer_is_lost_never_makes_two_runs(shop: Site) -> None:
    shop.aws.faults.add("lost_request", "glue", "StartJobRun")
    shop.aws.faults.add("lost_reply", "glue", "StartJobRun")
    glue(shop).run(JOB, SIZES, DT)
    assert len(shop.aws.jobs("glue")) == 1
    assert is_clean(shop)


def test_a_run_is_found_among_many_and_only_so_many_are_looked_at(shop: Site) -> None:
    runs = GlueRuns(shop.session)
    client = shop.aws.client("glue")
    shop.aws.outcomes.failed("glue", times=130)
    wanted = client.start_job_run(JobName=SQL_TO_PARQUET, Arguments={"--instacart-token": "t"})["JobRunId"]
    for number in range(12):
        while True:
            try:
                client.start_job_run(JobName=SQL_TO_PARQUET, Arguments={"--instacart-token": f"other {number}"})
                break
            except client.exceptions.ConcurrentRunsExceededException:
                time.sleep(0.01)
    assert runs.started(SQL_TO_PARQUET, "t") == f"{SQL_TO_PARQUET}/{wanted}"
    shop.aws.requests.clear()
    assert runs.started(SQL_TO_PARQUET, "nobody's") is None
    assert shop.aws.requests.count("glue", "GetJobRuns") <= 5


def test_a_failed_run_tells_its_reason_and_the_end_of_its_log(shop: Site) -> None:
    shop.aws.outcomes.failed("glue", error="AnalysisException: no such column")
    with pytest.raises(JobFailed) as failed:
        glue(shop).run(JOB, SIZES, DT)
    text = str(failed.value)
    assert "Glue job run instacart-sql-to-parquet/jr_" in text
    assert "failed: AnalysisException: no such column" in text
    assert "The end of its log:\nTraceback" in text
    assert shop.catalog.find(SIZES, DT) is None
    assert is_clean(shop)


def test_a_failed_run_is_reported_even_if_its_log_cannot_be_read(shop: Site) -> None:
    shop.aws.outcomes.failed("glue", error="out of memory")
    shop.aws.faults.add("denied", "logs", times=None)
    with pytest.raises(JobFailed, match=r"(?s)out of memory.*The log can't be read"):
        glue(shop).run(JOB, SIZES, DT)


def test_a_run_that_ends_badly_after_it_wrote_publishes_nothing_and_is_not_to_be_stopped(shop: Site) -> None:
    shop.aws.outcomes.timed_out("glue", after_work=True)
    with pytest.raises(JobFailed, match="timed out"):
        glue(shop).run(JOB, SIZES, DT)
    assert shop.catalog.find(SIZES, DT) is None
    assert is_clean(shop)
    (run,) = shop.aws.jobs("glue")
    GlueRuns(shop.session).stop(f"{run.name}/{run.id}")
    assert run.state == "TIMEOUT"


def test_what_a_killed_process_started_is_found_by_its_record(shop: Site) -> None:
    shop.aws.outcomes.stuck("glue")
    work = Work("run-1", SIZES.qualified_name, DT, "digest")
    attempt = shop.jobs.records.claim(work)
    token = attempt.token("spark")
    attempt.jobs["spark"] = JobEntry(GlueRuns.name, token)  # killed before it could note the run's id
    shop.jobs.records.write(attempt)
    run = shop.aws.client("glue").start_job_run(JobName=SQL_TO_PARQUET, Arguments={"--instacart-token": token})
    stopped = shop.jobs.stop_left("run-1", [GlueRuns(shop.session)])
    assert stopped == [f"{SQL_TO_PARQUET}/{run['JobRunId']}"]
    assert [each.state for each in shop.aws.jobs("glue")] == ["STOPPED"]


@pytest.fixture
def undeployed(site: Site) -> Iterator[Site]:
    site.fill(BASKETS, ROWS)
    yield site
    assert site.aws.jobs("glue") == []
    assert is_clean(site)


def test_a_job_that_is_not_there_says_to_deploy(undeployed: Site) -> None:
    with pytest.raises(NotDeployed, match="instacart-pipeline deploy --apply"):
        glue(undeployed).run(JOB, SIZES, DT)


def test_a_job_with_older_code_is_not_started(undeployed: Site) -> None:
    deployed(undeployed, STAND_IN, f"{LAKE}/work/code/older/sql_to_parquet.py")
    with pytest.raises(NotDeployed, match="code/older/"):
        glue(undeployed).run(JOB, SIZES, DT)


def test_what_is_wrong_beforehand_starts_nothing(undeployed: Site) -> None:
    with pytest.raises(TableNotFound, match="no partition"):
        glue(undeployed).run(JOB, SIZES, NEXT)
    wrong = GlueJob("wrong", Query.parse("wrong", "SELECT nothing FROM shop_features.baskets WHERE dt = :dt"))
    with pytest.raises(UnsupportedSql, match="nothing"):
        glue(undeployed).run(wrong, SIZES, DT)
