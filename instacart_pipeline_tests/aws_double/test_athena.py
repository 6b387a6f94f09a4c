"""Athena of the double, as unchanged boto3 sees it."""

from __future__ import annotations

import csv
import io
import uuid
from typing import Any

import pytest

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.support import BUCKET, OPEN_CSV, Lake, eventually

CTAS = "CREATE TABLE shop.{0} WITH (format='PARQUET', external_location='s3://lake/{0}/', write_compression='SNAPPY') AS {1}"
THREE = (
    "SELECT * FROM (VALUES (CAST(1 AS bigint), 'a, \"b\"', 1.5E0), (2, NULL, NULL), (3, '', 1E10)) AS v(id, name, x)"
)


def test_results_are_rows_of_text_with_types_and_a_csv_object(lake: Lake) -> None:
    number = lake.start(f"{THREE} ORDER BY id")
    execution = lake.ended(number)
    assert execution["StatementType"] == "DML"
    found = lake.athena.get_query_results(QueryExecutionId=number)["ResultSet"]
    assert [(c["Name"], c["Type"]) for c in found["ResultSetMetadata"]["ColumnInfo"]] == [
        ("id", "bigint"),
        ("name", "varchar"),
        ("x", "double"),
    ]
    rows = [[cell.get("VarCharValue") for cell in row["Data"]] for row in found["Rows"]]
    assert rows == [["id", "name", "x"], ["1", 'a, "b"', "1.5"], ["2", None, None], ["3", "", "1.0E10"]]
    assert found["Rows"][2]["Data"][1] == {}
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://{BUCKET}/results/{number}.csv"
    text = lake.s3.get_object(Bucket=BUCKET, Key=f"results/{number}.csv")["Body"].read().decode()
    assert text.splitlines()[2:] == ['"2",,', '"3","","1.0E10"']
    assert next(csv.reader(io.StringIO(text))) == ["id", "name", "x"]


def test_results_come_in_pages(lake: Lake) -> None:
    number = lake.start("SELECT n FROM UNNEST(sequence(1, 2500)) AS t(n)")
    lake.ended(number)
    pages = lake.athena.get_paginator("get_query_results").paginate(QueryExecutionId=number)
    sizes = [len(page["ResultSet"]["Rows"]) for page in pages]
    assert sizes == [1000, 1000, 501]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT sum(id), 7 / 2, count(*) FROM shop.t", ["6", "3", "3"]),
        ("WITH a AS (SELECT id FROM shop.t) SELECT max(id) FROM a", ["3"]),
        ("SELECT id FROM shop.t WHERE id = 1 UNION ALL SELECT id FROM shop.t WHERE id = 9", ["1"]),
        (
            "SELECT try_cast(name AS bigint), DATE '2026-11-20', true FROM shop.t WHERE id = 1",
            [None, "2026-11-20", "true"],
        ),
        ("SELECT timestamp '2026-11-20 10:00:00', CAST(1.25 AS decimal(5,2))", ["2026-11-20 10:00:00.000", "1.25"]),
    ],
)
def test_selects(lake: Lake, sql: str, rows: list[str | None]) -> None:
    lake.query(CTAS.format("t", THREE))
    assert lake.query(sql) == [rows]


def test_sums_of_bigint_stay_bigint(lake: Lake) -> None:
    lake.query(CTAS.format("t", THREE))
    lake.query(CTAS.format("s", "SELECT sum(id) AS total, 'x' AS word FROM shop.t"))
    table = lake.glue.get_table(DatabaseName="shop", Name="s")["Table"]
    columns = [(each["Name"], each["Type"]) for each in table["StorageDescriptor"]["Columns"]]
    assert columns == [("total", "bigint"), ("word", "string")]


def test_creating_a_table_needs_a_new_name_and_an_empty_folder(lake: Lake) -> None:
    lake.query(CTAS.format("t", THREE))
    assert len(lake.listed("t/")) == 2
    assert "already exists" in lake.failure(CTAS.format("t", "SELECT 1 AS a"))
    lake.query("DROP TABLE shop.t")
    assert len(lake.listed("t/")) == 2
    assert lake.failure(CTAS.format("t", "SELECT 1 AS a")).startswith("HIVE_PATH_ALREADY_EXISTS")
    assert "TABLE_NOT_FOUND" in lake.failure("SELECT * FROM shop.t")
    assert "not found" in lake.failure("DROP TABLE shop.t")
    lake.query("DROP TABLE IF EXISTS shop.t")
    assert "COLUMN_NOT_FOUND" in lake.failure("SELECT nope FROM (SELECT 1 AS a)")
    assert "MISSING_COLUMN_NAME" in lake.failure(CTAS.format("u", "SELECT 1 + 1"))


def test_a_table_without_rows_has_no_file(lake: Lake) -> None:
    lake.query(CTAS.format("t", "SELECT CAST(1 AS bigint) AS a WHERE false"))
    assert lake.listed("t/") == []
    assert lake.query("SELECT count(*), max(a) FROM shop.t") == [["0", None]]


def test_partitions_are_read_from_their_own_place_and_only_where_asked_for(lake: Lake) -> None:
    days = ["2026-11-19", "2026-11-20"]
    for day in days:
        lake.put_parquet(f"t/dt={day}/f", {"id": list(range(int(day[-2:])))})
    lake.table("t", {"id": "bigint", "later": "string"}, days=days)
    assert lake.query("SELECT dt, count(id), max(later) FROM shop.t GROUP BY dt ORDER BY dt") == [
        ["2026-11-19", "19", None],
        ["2026-11-20", "20", None],
    ]
    one, both = (
        lake.ended(lake.start(f"SELECT id FROM shop.t {where}"))["Statistics"]["DataScannedInBytes"]
        for where in ("WHERE dt = '2026-11-20' AND id > 3", "")
    )
    assert 0 < one < both
    lake.put_parquet("elsewhere/f", {"id": [5]})
    moved = lake.glue.get_partition(DatabaseName="shop", TableName="t", PartitionValues=[days[0]])["Partition"]
    storage = {**moved["StorageDescriptor"], "Location": f"s3://{BUCKET}/elsewhere"}
    lake.glue.update_partition(
        DatabaseName="shop",
        TableName="t",
        PartitionValueList=[days[0]],
        PartitionInput={"Values": [days[0]], "StorageDescriptor": storage},
    )
    assert lake.query("SELECT id FROM shop.t WHERE dt = '2026-11-19'") == [["5"]]


def test_parquet_of_another_type_is_bad_data(lake: Lake) -> None:
    lake.put_parquet("t/f", {"id": ["1"], "fine": [1]})
    lake.table("t", {"id": "bigint", "fine": "bigint"})
    assert lake.failure("SELECT id FROM shop.t").startswith(
        "HIVE_BAD_DATA: Field id's type BINARY in parquet file s3://lake/t/f"
    )
    assert lake.query("SELECT fine FROM shop.t") == [["1"]]


def test_csv_is_read_as_its_serde_does(lake: Lake) -> None:
    columns = {"id": "bigint", "name": "string", "gap": "double"}
    lake.put("t/f.csv", 'id,name,gap\n1,"a, ""b""",1.5\n2,,\n')
    skip = {"skip.header.line.count": "1"}
    lake.table("t", columns, OPEN_CSV, **skip)
    assert lake.query('SELECT id, name, "$path" FROM shop.t') == [
        ["1", 'a, "b"', "s3://lake/t/f.csv"],
        ["2", "", "s3://lake/t/f.csv"],
    ]
    assert lake.failure("SELECT gap FROM shop.t") == (
        "HIVE_BAD_DATA: Error parsing field value '' for field 2: For input string: \"\""
    )
    lake.put("u/f.csv", "1,x,\nno number,y,2\n3\n")
    lazy = {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        "Parameters": {"field.delim": ","},
    }
    lake.table("u", columns, lazy)
    assert lake.query("SELECT * FROM shop.u") == [["1", "x", None], [None, "y", "2.0"], ["3", None, None]]


def test_the_same_token_is_the_same_query(aws: AwsDouble, lake: Lake) -> None:
    token = str(uuid.uuid4())
    first = lake.start("SELECT 1", ClientRequestToken=token)
    assert lake.start("SELECT 1", ClientRequestToken=token) == first
    with pytest.raises(lake.athena.exceptions.InvalidRequestException):
        lake.start("SELECT 2", ClientRequestToken=token)
    assert [(job.id, job.token) for job in aws.jobs("athena")] == [(first, token)]


def test_a_query_is_stopped(aws: AwsDouble, lake: Lake) -> None:
    aws.outcomes.stuck("athena", containing="42")
    number = lake.start("SELECT 42")
    with pytest.raises(lake.athena.exceptions.InvalidRequestException, match="not yet finished"):
        lake.athena.get_query_results(QueryExecutionId=number)
    lake.athena.stop_query_execution(QueryExecutionId=number)
    assert lake.ended(number)["Status"]["State"] == "CANCELLED"
    lake.athena.stop_query_execution(QueryExecutionId=number)
    other = lake.start("SELECT 1")
    lake.ended(other)
    found = lake.athena.batch_get_query_execution(QueryExecutionIds=[number, other, "x"])
    assert [each["Status"]["State"] for each in found["QueryExecutions"]] == ["CANCELLED", "SUCCEEDED"]
    assert [each["QueryExecutionId"] for each in found["UnprocessedQueryExecutionIds"]] == ["x"]
    assert lake.athena.list_query_executions()["QueryExecutionIds"] == [other, number]


def test_a_workgroup_limits_what_a_query_scans(aws: AwsDouble, lake: Lake) -> None:
    results: dict[str, Any] = {"OutputLocation": f"s3://{BUCKET}/group/"}
    configuration = {"ResultConfiguration": results, "BytesScannedCutoffPerQuery": 10_000_000}
    lake.athena.create_work_group(Name="small", Configuration=configuration)
    lake.query(CTAS.format("t", THREE))
    execution = lake.ended(lake.start("SELECT id FROM shop.t", WorkGroup="small"))
    assert execution["ResultConfiguration"]["OutputLocation"].startswith(f"s3://{BUCKET}/group/")
    aws.athena.engine.scan_weight = 1_000_000
    over = lake.ended(lake.start("SELECT id FROM shop.t", WorkGroup="small"))
    assert (over["Status"]["State"], over["Statistics"]["DataScannedInBytes"] > 10_000_000) == ("CANCELLED", True)
    assert "Bytes scanned limit" in over["Status"]["StateChangeReason"]
    with pytest.raises(lake.athena.exceptions.InvalidRequestException, match="external_location"):
        lake.start(CTAS.format("u", "SELECT 1 AS a"), WorkGroup="small")
    updates = {"RemoveBytesScannedCutoffPerQuery": True, "EnforceWorkGroupConfiguration": False}
    lake.athena.update_work_group(WorkGroup="small", ConfigurationUpdates=updates)
    assert (
        "BytesScannedCutoffPerQuery" not in lake.athena.get_work_group(WorkGroup="small")["WorkGroup"]["Configuration"]
    )
    assert lake.query("SELECT max(id) FROM shop.t", WorkGroup="small") == [["3"]]


def test_a_result_is_given_again_where_that_is_asked_for(lake: Lake) -> None:
    lake.query(CTAS.format("t", THREE))
    sql = "SELECT count(*) FROM shop.t"
    assert lake.query(sql) == [["3"]]
    lake.put_parquet("t/more", {"id": [4]})
    reuse = {"ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 5}}
    again = lake.ended(lake.start(sql, ResultReuseConfiguration=reuse))
    assert again["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"]
    assert lake.query(sql, ResultReuseConfiguration=reuse) == [["3"]]
    assert lake.query(sql) == [["4"]]


def test_what_can_not_be_read_is_refused_at_once(lake: Lake) -> None:
    for sql in ("SELEC 1", "SELECT 1; SELECT 2", "SELECT * FROM t"):
        with pytest.raises(lake.athena.exceptions.InvalidRequestException):
            lake.start(sql)
    with pytest.raises(lake.athena.exceptions.InvalidRequestException, match="output location"):
        lake.athena.start_query_execution(QueryString="SELECT 1")


@pytest.mark.parametrize(
    ("outcome", "state"), [("failed", "FAILED"), ("timed_out", "FAILED"), ("stopped", "CANCELLED")]
)
def test_outcomes(aws: AwsDouble, lake: Lake, outcome: str, state: str) -> None:
    getattr(aws.outcomes, outcome)("athena", after_work=True)
    execution = lake.ended(lake.start(CTAS.format("t", THREE)))
    assert execution["Status"]["State"] == state
    assert eventually(lambda: lake.listed("t/"))
    assert lake.query("SELECT 1 AS a") == [["1"]]
