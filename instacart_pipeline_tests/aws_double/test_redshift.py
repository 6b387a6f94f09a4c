"""The double's Redshift Data API: transactions, tokens, cancelling, pages, COPY and UNLOAD."""

from __future__ import annotations

import io
import time
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyarrow import parquet

from instacart_pipeline_tests.aws_double.server import AwsDouble

PLACE = {"WorkgroupName": "warehouse", "Database": "dev"}
COPY = "COPY sales FROM 's3://lake/in/' IAM_ROLE 'arn:aws:iam::1:role/r' FORMAT AS PARQUET"


@pytest.fixture
def api(aws: AwsDouble) -> Any:
    return aws.client("redshift-data")


def ran(api: Any, *sqls: str, **more: Any) -> dict[str, Any]:
    """The end of a transaction."""
    number = api.batch_execute_statement(Sqls=list(sqls), **PLACE, **more)["Id"]
    while (told := api.describe_statement(Id=number))["Status"] in ("SUBMITTED", "PICKED", "STARTED"):
        time.sleep(0.01)
    return dict(told)


def rows(api: Any, told: dict[str, Any], number: int) -> list[list[Any]]:
    records = api.get_statement_result(Id=f"{told['Id']}:{number}")["Records"]
    return [[None if field.get("isNull") else next(iter(field.values())) for field in record] for record in records]


def test_a_transaction_of_which_one_statement_fails_changes_nothing(api: Any) -> None:
    assert ran(api, "CREATE TABLE sales (n integer)", "INSERT INTO sales VALUES (1)")["Status"] == "FINISHED"
    failed = ran(api, "DELETE FROM sales", "INSERT INTO sales SELECT CAST('x' AS integer)")
    assert (failed["Status"], failed["Error"].startswith("Query #2 failed")) == ("FAILED", True)
    assert rows(api, ran(api, "SELECT n, n / 2, NULL FROM sales"), 1) == [[1, 0, None]]


def test_a_token_gives_the_statement_there_is(api: Any) -> None:
    ran(api, "CREATE TABLE sales (n integer)")
    first = ran(api, "INSERT INTO sales VALUES (1)", ClientToken="t", StatementName="t")
    again = api.batch_execute_statement(
        Sqls=["INSERT INTO sales VALUES (1)"], ClientToken="t", StatementName="t", **PLACE
    )
    assert again["Id"] == first["Id"]
    assert [each["Id"] for each in api.list_statements(StatementName="t", Status="ALL")["Statements"]] == [first["Id"]]
    assert rows(api, ran(api, "SELECT count(*) FROM sales"), 1) == [[1]]
    with pytest.raises(ClientError, match="Idempotent parameters"):
        api.batch_execute_statement(Sqls=["SELECT 2"], ClientToken="t", StatementName="t", **PLACE)


def test_a_statement_is_cancelled_once_and_has_no_result(aws: AwsDouble, api: Any) -> None:
    aws.outcomes.stuck("redshift-data")
    number = api.execute_statement(Sql="SELECT 1", **PLACE)["Id"]
    assert api.cancel_statement(Id=number)["Status"]
    while api.describe_statement(Id=number)["Status"] != "ABORTED":
        time.sleep(0.01)
    with pytest.raises(ClientError, match="already in ABORTED state"):
        api.cancel_statement(Id=number)
    with pytest.raises(ClientError, match="does not have result"):
        api.get_statement_result(Id=number)


def test_results_come_in_pages(aws: AwsDouble, api: Any) -> None:
    aws.redshift.page_rows = 2
    told = ran(api, "SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3")
    pages = api.get_paginator("get_statement_result").paginate(Id=f"{told['Id']}:1")
    assert [len(page["Records"]) for page in pages] == [2, 1]


def test_files_are_copied_by_the_order_of_their_columns_and_unloaded(aws: AwsDouble, api: Any) -> None:
    made = io.BytesIO()
    parquet.write_table(pa.table({"other": ["it's"], "n": pa.array([1], pa.int32())}), made)
    s3 = aws.client("s3")
    ran(
        api,
        "CREATE TABLE sales (note varchar(65535), n integer)",
        "CREATE TABLE turned (n integer, note varchar(65535))",
    )
    assert "does not exist" in ran(api, COPY)["Error"]
    s3.put_object(Bucket="lake", Key="in/000.parquet", Body=made.getvalue())
    assert "Spectrum Scan Error" in ran(api, COPY.replace("sales", "turned"))["Error"]
    unload = (
        "UNLOAD ('SELECT n, note FROM sales WHERE note = ''it\\\\''s''') TO 's3://lake/out/' IAM_ROLE 'arn:aws:iam::1:role/r'"
        " FORMAT AS PARQUET PARALLEL OFF"
    )
    assert ran(api, COPY, unload).get("Error") is None
    body = s3.get_object(Bucket="lake", Key="out/000.parquet")["Body"].read()
    assert parquet.read_table(io.BytesIO(body)).to_pylist() == [{"n": 1, "note": "it's"}]
    assert "not empty" in ran(api, unload)["Error"]


def test_what_the_api_does_not_take_is_refused(api: Any) -> None:
    with pytest.raises(ClientError, match="endpoint doesn't exist"):
        api.execute_statement(Sql="SELECT 1", WorkgroupName="other", Database="dev")
    with pytest.raises(ClientError, match="100000"):
        api.execute_statement(Sql=f"SELECT '{'x' * 100_001}'", **PLACE)
    with pytest.raises(ClientError, match="at most 40"):
        api.batch_execute_statement(Sqls=["SELECT 1"] * 41, **PLACE)
