"""What the tests of the double share: short ways to put files and tables in, to wait, and to run a query."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instacart_pipeline_tests.aws_double import AwsDouble

BUCKET = "lake"
OPEN_CSV = {
    "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
    "Parameters": {"separatorChar": ",", "quoteChar": '"'},
}
PARQUET = {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe", "Parameters": {}}


def eventually(condition: Callable[[], Any], timeout: float = 60) -> Any:
    """What `condition` gives as soon as it gives something true."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, "never happened"
        time.sleep(0.01)
    return found


class Lake:
    """The bucket and the catalog of a double."""

    def __init__(self, aws: AwsDouble) -> None:
        self.aws = aws
        self.s3, self.glue, self.athena = (aws.client(service) for service in ("s3", "glue", "athena"))

    def put(self, key: str, body: str | bytes) -> str:
        """Write an object; its URI."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def put_parquet(self, key: str, columns: Mapping[str, Sequence[Any]]) -> str:
        """Write columns as a Parquet object; its URI."""
        file = io.BytesIO()
        pq.write_table(pa.table(dict(columns)), file)
        return self.put(key, file.getvalue())

    def listed(self, prefix: str = "") -> list[str]:
        """The keys below a prefix."""
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]

    def table(
        self,
        name: str,
        columns: Mapping[str, str],
        serde: Mapping[str, Any] = PARQUET,
        days: Sequence[str] = (),
        **parameters: str,
    ) -> None:
        """Enter a table, over <name>/ or, if days are given, over <name>/dt=<day>/."""
        storage = {
            "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
            "Location": f"s3://{BUCKET}/{name}/",
            "SerdeInfo": serde,
        }
        keys = [{"Name": "dt", "Type": "string"}] if days else []
        definition = {"Name": name, "StorageDescriptor": storage, "PartitionKeys": keys, "Parameters": parameters}
        self.glue.create_table(DatabaseName="shop", TableInput=definition)
        for day in days:
            place = {**storage, "Location": f"s3://{BUCKET}/{name}/dt={day}/"}
            partition = {"Values": [day], "StorageDescriptor": place}
            self.glue.create_partition(DatabaseName="shop", TableName=name, PartitionInput=partition)

    def start(self, sql: str, **options: Any) -> str:
        """Start a query; its id."""
        output = {"OutputLocation": f"s3://{BUCKET}/results/"}
        arguments = {"ResultConfiguration": output, **options}
        number: str = self.athena.start_query_execution(QueryString=sql, **arguments)["QueryExecutionId"]
        return number

    def ended(self, number: str) -> Any:
        """A query once it has ended."""

        def look() -> Any:
            execution = self.athena.get_query_execution(QueryExecutionId=number)["QueryExecution"]
            return execution if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None

        return eventually(look)

    def query(self, sql: str, **options: Any) -> list[list[str | None]]:
        """The rows of a query without the header."""
        execution = self.ended(self.start(sql, **options))
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        found = self.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
        rows = [[cell.get("VarCharValue") for cell in row["Data"]] for row in found["ResultSet"]["Rows"]]
        return rows[1:]

    def failure(self, sql: str, **options: Any) -> str:
        """The reason why a query fails."""
        execution = self.ended(self.start(sql, **options))
        assert execution["Status"]["State"] == "FAILED", execution["Status"]
        return str(execution["Status"]["StateChangeReason"])
