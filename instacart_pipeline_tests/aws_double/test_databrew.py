"""DataBrew of the double, as unchanged boto3 sees it."""

from __future__ import annotations

import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.support import BUCKET, Lake, eventually

ROLE = "arn:aws:iam::123456789012:role/databrew"
COUNT = '[{"sourceColumnName":"product_id","targetColumnName":"products","targetColumnDataType":"long","functionName":"COUNT"}]'
STEPS = [
    {
        "Action": {
            "Operation": "GROUP_BY",
            "Parameters": {
                "sourceColumns": '["user_id"]',
                "groupByAggFunctionOptions": COUNT,
                "useNewDataFrame": "true",
            },
        }
    }
]


class Brew:
    """A dataset of three rows, a recipe that counts a user's products, and its job."""

    def __init__(self, lake: Lake, *, publish: bool = True) -> None:
        self.lake, self.databrew = lake, lake.aws.client("databrew")
        lake.put_parquet("in/v1/part-0", {"user_id": [1, 1], "product_id": [7, 8]})
        lake.put_parquet("in/v1/part-1", {"user_id": [2], "product_id": [7]})
        place = {"S3InputDefinition": {"Bucket": BUCKET, "Key": "in/v1/"}}
        self.databrew.create_dataset(Name="user-products", Format="PARQUET", Input=place)
        self.databrew.create_recipe(Name="user-features", Steps=STEPS)
        if publish:
            self.databrew.publish_recipe(Name="user-features")

    def create_job(self, *, overwrite: bool = True) -> None:
        location = {"Bucket": BUCKET, "Key": "out/"}
        output = {"Location": location, "Format": "PARQUET", "CompressionFormat": "SNAPPY", "Overwrite": overwrite}
        reference = {"Name": "user-features"}
        self.databrew.create_recipe_job(
            Name="job", DatasetName="user-products", RecipeReference=reference, RoleArn=ROLE, Outputs=[output]
        )

    def start(self) -> str:
        number: str = self.databrew.start_job_run(Name="job")["RunId"]
        return number

    def ended(self, number: str) -> Any:
        def look() -> Any:
            run = self.databrew.describe_job_run(Name="job", RunId=number)
            return run if run["State"] in ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT") else None

        return eventually(look)

    def rows(self) -> list[dict[str, Any]]:
        bodies = [self.lake.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in self.lake.listed("out/")]
        tables = [pq.read_table(io.BytesIO(body)).to_pylist() for body in bodies]
        return sorted((row for table in tables for row in table), key=lambda row: int(row["user_id"]))


def test_a_job_runs_its_published_recipe(lake: Lake) -> None:
    brew = Brew(lake)
    brew.create_job()
    lake.put("out/old", "old")
    run = brew.ended(brew.start())
    assert run["State"] == "SUCCEEDED", run
    assert run["RecipeReference"] == {"Name": "user-features", "RecipeVersion": "1.0"}
    assert brew.rows() == [{"user_id": 1, "products": 2}, {"user_id": 2, "products": 1}]
    brew.ended(brew.start())
    assert len(lake.listed("out/")) == 2


def test_without_overwrite_each_run_adds_a_folder(lake: Lake) -> None:
    brew = Brew(lake)
    brew.create_job(overwrite=False)
    brew.ended(brew.start())
    brew.ended(brew.start())
    assert len({key.split("/")[1] for key in lake.listed("out/")}) == 2


def test_a_recipe_must_be_published_first(lake: Lake) -> None:
    brew = Brew(lake, publish=False)
    with pytest.raises(brew.databrew.exceptions.ResourceNotFoundException):
        brew.create_job()
    with pytest.raises(brew.databrew.exceptions.ResourceNotFoundException):
        brew.databrew.describe_recipe(Name="user-features")
    assert brew.databrew.describe_recipe(Name="user-features", RecipeVersion="LATEST_WORKING")["RecipeVersion"] == "0.1"


def test_recipe_versions(lake: Lake) -> None:
    brew = Brew(lake)
    brew.create_job()
    brew.databrew.update_recipe(Name="user-features", Steps=STEPS, Description="again")
    brew.databrew.publish_recipe(Name="user-features")
    versions = brew.databrew.list_recipe_versions(Name="user-features")["Recipes"]
    assert [each["RecipeVersion"] for each in versions] == ["1.0", "2.0"]
    assert brew.databrew.describe_recipe(Name="user-features")["RecipeVersion"] == "2.0"
    assert brew.databrew.describe_job(Name="job")["RecipeReference"]["RecipeVersion"] == "1.0"
    conflict = brew.databrew.exceptions.ConflictException
    with pytest.raises(conflict):
        brew.databrew.delete_recipe_version(Name="user-features", RecipeVersion="1.0")
    with pytest.raises(conflict):
        brew.databrew.delete_dataset(Name="user-products")
    brew.databrew.delete_job(Name="job")
    for version in ("1.0", "2.0", "LATEST_WORKING"):
        brew.databrew.delete_recipe_version(Name="user-features", RecipeVersion=version)
    brew.databrew.delete_dataset(Name="user-products")
    assert brew.databrew.list_recipes(RecipeVersion="LATEST_WORKING")["Recipes"] == []
    assert brew.databrew.list_datasets()["Datasets"] == brew.databrew.list_jobs()["Jobs"] == []


def test_names_with_an_underscore_are_refused(lake: Lake) -> None:
    databrew = lake.aws.client("databrew")
    place = {"S3InputDefinition": {"Bucket": BUCKET}}
    with pytest.raises(databrew.exceptions.ValidationException, match="regular expression"):
        databrew.create_dataset(Name="user_products", Input=place)
    with pytest.raises(databrew.exceptions.ValidationException, match="regular expression"):
        databrew.create_recipe(Name="user_features", Steps=STEPS)


def test_a_run_is_stopped(aws: AwsDouble, lake: Lake) -> None:
    brew = Brew(lake)
    brew.create_job()
    aws.outcomes.stuck("databrew")
    number = brew.start()
    eventually(lambda: brew.databrew.describe_job_run(Name="job", RunId=number)["State"] == "RUNNING")
    with pytest.raises(brew.databrew.exceptions.ConflictException):
        brew.databrew.delete_job(Name="job")
    brew.databrew.stop_job_run(Name="job", RunId=number)
    assert brew.ended(number)["State"] == "STOPPED"
    assert lake.listed("out/") == []


def test_the_account_runs_so_many_jobs_at_once(aws: AwsDouble, lake: Lake) -> None:
    brew = Brew(lake)
    brew.create_job()
    aws.databrew.runs_at_once = 1
    aws.outcomes.stuck("databrew")
    brew.start()
    with pytest.raises(brew.databrew.exceptions.ServiceQuotaExceededException):
        brew.start()


@pytest.mark.parametrize(("outcome", "state"), [("failed", "FAILED"), ("timed_out", "TIMEOUT"), ("stopped", "STOPPED")])
def test_outcomes(aws: AwsDouble, lake: Lake, outcome: str, state: str) -> None:
    brew = Brew(lake)
    brew.create_job()
    getattr(aws.outcomes, outcome)("databrew")
    number = brew.start()
    assert brew.ended(number)["State"] == state
    assert lake.listed("out/") == []
    if state == "FAILED":
        found = aws.client("logs").filter_log_events(
            logGroupName="/aws-glue-databrew/jobs", logStreamNamePrefix="job", filterPattern="ERROR"
        )
        assert [event["message"] for event in found["events"]] == ["ERROR Out of memory"]
    assert brew.ended(brew.start())["State"] == "SUCCEEDED"
    runs = brew.databrew.list_job_runs(Name="job")["JobRuns"]
    assert [run["State"] for run in runs] == ["SUCCEEDED", state]
