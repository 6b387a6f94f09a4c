"""Athena queries as managed jobs, and their results.

Belongs here: starting a statement, its states, its rows. Doesn't: which statements there are (athena/aws.py, lake.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from instacart_pipeline.resources.aws_account.errors import AwsBusy, AwsRefused
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs import prices
from instacart_pipeline.resources.managed_jobs.attempts import Attempt
from instacart_pipeline.resources.managed_jobs.job_service import JobService, JobStatus, JobSucceeded, State
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs

if TYPE_CHECKING:
    import pyarrow as pa

_PAGE = 1000


class AthenaQueries(JobService):
    """Queries of Athena, by their execution id."""

    name = "Athena query"
    states: ClassVar[dict[str, State]] = {
        "QUEUED": "queued",
        "RUNNING": "running",
        "SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "CANCELLED": "stopped",
    }

    def look(self, job: str) -> JobStatus:
        """See JobService."""
        answer = self.session.call("athena", "get_query_execution", once=True, QueryExecutionId=job)["QueryExecution"]
        status, statistics = answer["Status"], answer.get("Statistics", {})
        scanned = int(statistics.get("DataScannedInBytes", 0))
        reused = statistics.get("ResultReuseInformation", {}).get("ReusedPreviousResult", False)
        return JobStatus(
            state=status["State"],
            error=status.get("StateChangeReason", ""),
            queued_seconds=statistics.get("QueryQueueTimeInMillis", 0) / 1000,
            running_seconds=statistics.get("EngineExecutionTimeInMillis", 0) / 1000,
            usage={"bytes_scanned": scanned, **({"result_reused": "yes"} if reused else {})},
            cost_usd=prices.athena(scanned),
        )

    def stop(self, job: str) -> None:
        """See JobService."""
        self.session.call("athena", "stop_query_execution", once=True, QueryExecutionId=job)

    def link(self, job: str) -> str:
        """See JobService."""
        region = self.session.region_name
        return f"https://{region}.console.aws.amazon.com/athena/home?region={region}#/query-editor/history/{job}"


def run_query(
    jobs: ManagedJobs,
    attempt: Attempt,
    name: str,
    statement: str,
    *,
    workgroup: str,
    reuse_minutes: int = 0,
) -> JobSucceeded:
    """Run a statement as the job `name` of an attempt. Raises as ManagedJobs.run does."""
    session = jobs.session

    def start(token: str) -> str:
        reuse: dict[str, Any] = (
            {
                "ResultReuseConfiguration": {
                    "ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": reuse_minutes}
                }
            }
            if reuse_minutes
            else {}
        )
        # The token makes starting harmless: the same one always gives the same query, started once.
        answer = session.call(
            "athena",
            "start_query_execution",
            once=True,
            QueryString=statement,
            ClientRequestToken=token,
            WorkGroup=workgroup,
            **reuse,
        )
        return str(answer["QueryExecutionId"])

    def find(token: str) -> str | None:
        try:
            return start(token)
        except AwsBusy:  # a query that runs already is given even then: there is none
            return None

    return jobs.run(attempt, name, AthenaQueries(session), start, find)


def rows_of(session: AwsSession, query: str, limit: int | None = None) -> pa.Table:
    """The rows of a query that succeeded, at most `limit`, in Arrow types. Values come as text and NULLs as NULLs."""
    import pyarrow as pa  # noqa: PLC0415  # loaded where it is used

    columns: list[dict[str, Any]] = []
    rows: list[list[str | None]] = []
    for page in session.pages(
        "athena", "get_query_results", QueryExecutionId=query, PaginationConfig={"PageSize": _PAGE}
    ):
        columns = columns or page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        rows += [[value.get("VarCharValue") for value in row["Data"]] for row in page["ResultSet"]["Rows"]]
        if limit is not None and len(rows) > limit + 1:
            break
    found = rows[1:] if limit is None else rows[1 : limit + 1]  # the first row holds the names
    arrays = [_typed([row[position] for row in found], column) for position, column in enumerate(columns)]
    return pa.Table.from_arrays(arrays, names=[str(column["Name"]) for column in columns])


def _typed(values: Sequence[str | None], column: Mapping[str, Any]) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415

    kind = str(column["Type"])
    types = {
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "real": pa.float32(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
    }
    if kind == "decimal":
        types[kind] = pa.decimal128(int(column["Precision"]), int(column["Scale"]))
    texts = pa.array(values, pa.string())
    if kind not in types:
        return texts
    try:
        return texts.cast(types[kind])
    except pa.ArrowInvalid as error:
        raise AwsRefused("athena", "get_query_results", "UnreadableValue", f"a {kind} came as {error}") from error
