"""The stages of the fault matrix: for each service one table that it makes, and what it needs to be made.

Belongs here: bringing a platform to the point where one job of one service is all that is left to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.storage import listing_digest
from instacart_pipeline.resources.warehouse.aws import sql
from instacart_pipeline.resources.warehouse.aws.statements import rows_of
from instacart_pipeline_tests.aws_double import AwsDouble, opened
from instacart_pipeline_tests.aws_double.jobs import JobRun
from instacart_pipeline_tests.aws_double.outcomes import JobService
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT, Row
from instacart_pipeline_tests.resources.aws_models import put_model
from instacart_pipeline_tests.resources.toy_assets import LOADED, MODEL, toy_sagemaker
from instacart_pipeline_tests.resources.toy_model import ROWS, SCORES

BEFORE = "20260101T000000000000-aaaaaa"
"""The version that readers see before the first job."""


@dataclass(frozen=True)
class Stage:
    """One service at work. `job` tells its jobs from those that only judge the result."""

    service: JobService
    table: TableContract
    start: str
    before: Row | None
    prepare: Callable[[AwsPlatform], None]
    expected: Any
    job: str = ""
    artefact: bool = False

    def jobs(self, double: AwsDouble) -> list[JobRun]:
        """The jobs of the piece of work that were started so far."""
        return [run for run in double.jobs(self.service) if self.job in f"{run.name} {run.arguments}"]

    def read(self, platform: AwsPlatform) -> Any:
        """What a reader of the table sees."""
        if self.service == "crawler":
            found = platform.catalog.find(self.table, DT)
            return found and found.name
        if self.artefact:
            return toy_sagemaker(platform.settings).artefact("toy", "model", DT).metrics
        if self.table is LOADED:
            return warehoused(platform, f"SELECT id, y FROM {LOADED.qualified_name} ORDER BY id")
        return platform.stored(self.table)

    def written(self, platform: AwsPlatform) -> set[str]:
        """Where something was written for the table or the artefact: folders of versions, or tables of the warehouse."""
        if self.table is LOADED:
            return {str(row["table_name"]) for row in warehoused(platform, sql.columns_there([LOADED.database]))}
        return set(platform.aws_lake.objects.folders(platform.zones.partition(self.table, DT)))


def prepared(stage: Stage, platform: AwsPlatform) -> AwsPlatform:
    """The platform with all that the stage needs, and a version of its table from before."""
    platform.deploy_for_one_table()
    stage.prepare(platform)
    if stage.artefact:
        put_model(platform.aws_lake, version=BEFORE)
    elif stage.before is not None:
        platform.put_rows(stage.table, [stage.before], name=BEFORE)
    return platform


def _rows(platform: AwsPlatform) -> None:
    platform.put_rows(ROWS, [{"id": 1, "y": 2.0, "x": None}, {"id": 2, "y": 2.0, "x": 0.5}])


def _rows_and_loaded(platform: AwsPlatform) -> None:
    _rows(platform)
    warehoused(platform, *sql.schema_made(LOADED.database), sql.made(LOADED))
    warehoused(platform, f"INSERT INTO {LOADED.qualified_name} VALUES (99, 0.5, '{DT}')")


def warehoused(platform: AwsPlatform, *statements: str) -> list[Row]:
    """Run statements in the warehouse; the rows of the last, if it answers any."""
    client = platform.aws_lake.session.client("redshift-data")
    number = client.batch_execute_statement(Sqls=list(statements), WorkgroupName="warehouse", Database="dev")["Id"]
    while (answer := client.describe_statement(Id=number))["Status"] not in ("FINISHED", "FAILED"):
        time.sleep(0.01)
    assert answer["Status"] == "FINISHED", answer["Error"]
    if not answer["HasResultSet"]:
        return []
    rows: list[Row] = rows_of(platform.aws_lake.session, number, len(statements)).to_pylist()
    return rows


def _rows_and_model(platform: AwsPlatform) -> None:
    _rows(platform)
    put_model(platform.aws_lake)


def _lines(platform: AwsPlatform) -> None:
    platform.put_rows(t.ORDERS, [_order(1, "prior"), _order(2, "train")])
    platform.put_rows(t.ORDER_PRODUCTS, [_line(1, 10), _line(2, 11)])


def _prior(platform: AwsPlatform) -> None:
    platform.put_rows(t.ORDER_PRODUCTS_PRIOR, [_joined(1, 10), _joined(2, 10)])


def _upload(platform: AwsPlatform) -> None:
    folder = Path(platform.home) / "upload"
    folder.mkdir(parents=True, exist_ok=True)
    for table in t.STAGED:
        path = folder / f"{table.name}.csv"
        path.write_text(f"{','.join(table.column_names)}\n{','.join(_VALUES[name] for name in table.column_names)}\n")
        platform.storage.put(t.SYSTEM, table.name, DT, [path])


def _catalogued(platform: AwsPlatform) -> None:
    _upload(platform)
    listing = listing_digest(platform.storage.objects(t.SYSTEM, "aisles", DT))
    location = platform.aws_lake.zones.raw_partition(t.SYSTEM, "aisles", DT)
    staged = Version("20260102T000000000000-bbbbbb", location, -1, 1, facts={"listing": listing})
    platform.catalog.publish(t.STAGED_AISLES.database, t.STAGED_AISLES.name, DT, staged)


_VALUES = {
    **{"aisle_id": "1", "aisle": '"teas, loose"', "department_id": "1", "department": "drinks", "product_id": "1"},
    **{"product_name": "Assam", "order_id": "1", "user_id": "1", "eval_set": "prior", "order_number": "1"},
    **{"order_dow": "0", "order_hour_of_day": "08", "days_since_prior_order": "", "add_to_cart_order": "1"},
    **{"reordered": "0"},
}


def _order(number: int, eval_set: str) -> Row:
    return {
        **{"order_id": number, "user_id": 7, "eval_set": eval_set, "order_number": number, "order_dow": 1},
        **{"order_hour_of_day": 8, "days_since_prior_order": None if number == 1 else 7.0},
    }


def _line(order: int, product: int) -> Row:
    return {"order_id": order, "product_id": product, "add_to_cart_order": 1, "reordered": 0}


def _joined(order: int, product: int) -> Row:
    return {**_order(order, "prior"), **_line(order, product), "reordered": order - 1}


STAGES = {
    "athena": Stage(
        service="athena",
        table=t.ORDER_PRODUCTS_TRAIN,
        start="StartQueryExecution",
        before={**_order(2, "train"), **_line(2, 99)},
        prepare=_lines,
        expected=[{**_order(2, "train"), **_line(2, 11)}],
        job="CREATE TABLE",
    ),
    "databrew": Stage(
        service="databrew",
        table=t.PRD_FEATURES,
        start="StartJobRun",
        before={
            "product_id": 99,
            "prod_orders": 1,
            "prod_reorders": 0,
            "prod_first_orders": 1,
            "prod_second_orders": 0,
        },
        prepare=_prior,
        expected=[
            {"product_id": 10, "prod_orders": 2, "prod_reorders": 1, "prod_first_orders": 1, "prod_second_orders": 1}
        ],
    ),
    "glue": Stage(
        service="glue",
        table=t.AISLES,
        start="StartJobRun",
        before={"aisle_id": 99, "aisle": "before"},
        prepare=_catalogued,
        expected=[{"aisle_id": 1, "aisle": "teas, loose"}],
    ),
    "training": Stage(
        service="sagemaker",
        table=MODEL,
        start="CreateTrainingJob",
        before=None,
        prepare=_rows,
        expected={"loss": 0.25},
        job="training-job/",
        artefact=True,
    ),
    "transform": Stage(
        service="sagemaker",
        table=SCORES,
        start="CreateTransformJob",
        before={"id": 99, "score": 0.5},
        prepare=_rows_and_model,
        expected=[{"id": 1, "score": 3.75}, {"id": 2, "score": 3.75}],
        job="transform-job/",
    ),
    "warehouse": Stage(
        service="redshift-data",
        table=LOADED,
        start="BatchExecuteStatement",
        before=None,
        prepare=_rows_and_loaded,
        expected=[{"id": 1, "y": 2.0}, {"id": 2, "y": 2.0}],
        job="COPY",
    ),
    "crawler": Stage(
        service="crawler",
        table=t.STAGED_AISLES,
        start="StartCrawler",
        before=None,
        prepare=_upload,
        expected=[],
    ),
}


@dataclass(frozen=True)
class Scene:
    """A stage on a double of its own, which has a version of its table from before."""

    stage: Stage
    platform: AwsPlatform
    aws: AwsDouble

    def read(self) -> Any:
        return self.stage.read(self.platform)

    def written(self) -> set[str]:
        return self.stage.written(self.platform)

    def jobs(self) -> list[JobRun]:
        return self.stage.jobs(self.aws)

    def alive(self) -> list[JobRun]:
        return [job for job in self.aws.jobs() if job.alive]

    def elsewhere(self, home: Path, **settings: Any) -> AwsPlatform:
        """The same platform with another home, for runs that keep theirs."""
        return AwsPlatform(home, self.aws.endpoint, **settings)


@contextmanager
def staged(name: str, home: Path) -> Iterator[Scene]:
    """A stage, prepared."""
    with opened(AwsDouble()) as double:
        double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        stage = STAGES[name]
        yield Scene(stage, prepared(stage, AwsPlatform(home, double.endpoint)), double)
