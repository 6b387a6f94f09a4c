"""A platform that `deploy` made, from an empty account on: the services work together."""

from __future__ import annotations

from pathlib import Path

import pytest

from instacart_pipeline.cli.deploying import deploy
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.aws_account.objects import split
from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.tiers import costs, missing


@pytest.fixture
@costs("deep")
def deployed(aws: AwsDouble, tmp_path: Path, upload_folder: Path) -> AwsPlatform:
    """A deployed platform with one upload."""
    platform = AwsPlatform(tmp_path / "aws", aws.endpoint, aws_region=REGION, result_files=2)
    assert deploy(platform.settings, apply=True, as_json=False)
    platform.upload(upload_folder)
    return platform


def test_staged_files_give_the_same_rows_by_sql_as_on_one_machine(
    deployed: AwsPlatform, platform: Platform, upload_folder: Path
) -> None:
    platform.upload(upload_folder)
    for each in (deployed, platform):
        each.resources.crawler.crawl(t.STAGED, DT)
    for table in t.STAGED:
        assert deployed.rows(table) == platform.rows(table)
    gaps = [row["days_since_prior_order"] for row in deployed.rows(t.STAGED_ORDERS)]
    assert None in gaps  # an empty text in a column of numbers
    assert 'Product 1, 1" wide' in [row["product_name"] for row in deployed.rows(t.STAGED_PRODUCTS)]


@pytest.fixture
@costs("deep")
def spark_in_jobs() -> None:
    """The right to run Glue jobs, each of which starts a JVM."""
    pytest.importorskip("pyspark", reason=missing("PySpark"))


@pytest.mark.usefixtures("spark_in_jobs")
def test_a_day_is_built_whole_and_leaves_nothing_but_its_tables(
    aws: AwsDouble, deployed: AwsPlatform, platform: Platform, upload_folder: Path
) -> None:
    platform.upload(upload_folder)
    assert platform.run().success
    run = deployed.run()
    assert run.errors == {}
    assert run.success
    assert deployed.rows(t.RESULT_TABLE) == platform.rows(t.RESULT_TABLE)
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix="work/")
    left = [each["Key"] for page in pages for each in page.get("Contents", [])]
    assert [key for key in left if not key.startswith(("work/code/", "work/athena/"))] == []
    _, result = split(deployed.catalog.current(t.RESULT_TABLE, DT).location)
    made = [each["Key"] for each in aws.client("s3").list_objects_v2(Bucket="lake", Prefix=f"{result}/")["Contents"]]
    assert [key.rsplit(".", 1)[1] for key in made] == ["parquet", "parquet"]
    databrew = aws.client("databrew")
    assert (databrew.list_jobs()["Jobs"], databrew.list_datasets()["Datasets"]) == ([], [])
