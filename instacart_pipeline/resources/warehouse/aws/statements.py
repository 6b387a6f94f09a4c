"""Redshift statements as managed jobs, through the Data API, and their results.

Belongs here: starting statements as one transaction, their states, their rows. Doesn't: which statements there are (sql.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from instacart_pipeline.resources.aws_account.errors import AwsBusy, AwsRefused
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobService, JobStatus, JobSucceeded, State
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs

if TYPE_CHECKING:
    import pyarrow as pa

_SERVICE = "redshift-data"
MOST_STATEMENTS = 40
"""Statements that the Data API takes as one transaction; each may have 100 KB."""


@dataclass(frozen=True)
class Place:
    """A database of a workgroup of Redshift Serverless."""

    workgroup: str
    database: str


class RedshiftStatements(JobService):
    """Transactions of one statement or more, by the id that the Data API gave them."""

    name = "Redshift statement"
    states: ClassVar[dict[str, State]] = {
        "SUBMITTED": "queued",
        "PICKED": "queued",
        "STARTED": "running",
        "FINISHED": "succeeded",
        "FAILED": "failed",
        "ABORTED": "stopped",
    }

    def look(self, job: str) -> JobStatus:
        """See JobService. What it cost can't be told: a workgroup is billed by its seconds at work, whoever keeps it there."""
        answer = self.session.call(_SERVICE, "describe_statement", once=True, Id=job)
        return JobStatus(
            state=answer["Status"],
            error=answer.get("Error", ""),
            running_seconds=max(answer.get("Duration", 0), 0) / 1e9,
            usage={"result_rows": max(answer.get("ResultRows", 0), 0)},
        )

    def stop(self, job: str) -> None:
        """See JobService."""
        try:
            self.session.call(_SERVICE, "cancel_statement", once=True, Id=job)
        except AwsRefused as refused:
            if refused.code != "ValidationException":  # it has ended, or isn't running yet: the next look will tell
                raise

    def link(self, job: str) -> str:
        """See JobService."""
        del job  # the console has no page for one statement of the Data API
        region = self.session.region_name
        return f"https://{region}.console.aws.amazon.com/redshiftv2/home?region={region}#/serverless-query-and-database-monitoring"

    def left(self, work: Work, token: str) -> str | None:
        """See JobService. Statements are named by their tokens."""
        del work
        answer = self.session.call(_SERVICE, "list_statements", once=True, StatementName=token, Status="ALL")
        return next((str(found["Id"]) for found in answer["Statements"]), None)


def run_statements(
    jobs: ManagedJobs, attempt: Attempt, name: str, statements: Sequence[str], place: Place
) -> JobSucceeded:
    """Run statements, at most MOST_STATEMENTS, in one transaction as the job `name` of an attempt. Raises as ManagedJobs.run does."""
    session = jobs.session

    def start(token: str) -> str:
        # The token makes starting harmless: for hours the same one gives the same statement, started once.
        answer = session.call(
            _SERVICE,
            "batch_execute_statement",
            once=True,
            Sqls=list(statements),
            WorkgroupName=place.workgroup,
            Database=place.database,
            StatementName=token,
            ClientToken=token,
        )
        return str(answer["Id"])

    def find(token: str) -> str | None:
        try:
            return start(token)
        except AwsBusy:  # one that runs already is given even then: there is none
            return None

    return jobs.run(attempt, name, RedshiftStatements(session), start, find)


def tried(session: AwsSession, place: Place, seconds: float = 60.0) -> str:
    """Run a statement that reads nothing, and leave no record of it. What is wrong, as the service says it; empty if it answered."""
    answer = session.call(
        _SERVICE,
        "batch_execute_statement",
        Sqls=["SELECT 1 AS answered"],
        WorkgroupName=place.workgroup,
        Database=place.database,
    )
    job = str(answer["Id"])
    statements, until = RedshiftStatements(session), time.monotonic() + seconds
    while (state := RedshiftStatements.states.get((look := statements.look(job)).state)) in ("queued", "running"):
        if time.monotonic() > until:
            statements.stop(job)
            return f"no answer within {seconds:.0f} s"
        time.sleep(0.2)
    return "" if state == "succeeded" else f"{look.state} {look.error}".strip()


def rows_of(session: AwsSession, job: str, number: int) -> pa.Table:
    """The rows of statement `number`, from 1, of a transaction that succeeded, in Arrow types."""
    import pyarrow as pa  # noqa: PLC0415  # loaded where it is used

    columns: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    for page in session.pages(_SERVICE, "get_statement_result", Id=f"{job}:{number}"):
        columns = columns or page["ColumnMetadata"]
        rows += [[_value(field) for field in record] for record in page["Records"]]
    arrays = [_typed([row[position] for row in rows], column) for position, column in enumerate(columns)]
    return pa.Table.from_arrays(arrays, names=[str(column["name"]) for column in columns])


def _value(field: Mapping[str, Any]) -> Any:
    """A field's value: it is the only member, named by how it was sent."""
    return None if field.get("isNull") else next(iter(field.values()))


def _typed(values: Sequence[Any], column: Mapping[str, Any]) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415

    kind = str(column["typeName"])
    types = {
        "int2": pa.int16(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "float4": pa.float32(),
        "float8": pa.float64(),
        "bool": pa.bool_(),
    }
    if kind in types:
        return pa.array(values, types[kind])
    texts = {"date": pa.date32(), "timestamp": pa.timestamp("us")}
    if kind == "numeric":
        # A sum of whole numbers, which are bigint on Athena: no column of a table is a decimal without decimals.
        whole = not column["scale"]
        texts[kind] = pa.int64() if whole else pa.decimal128(int(column["precision"]), int(column["scale"]))
    try:
        return pa.array(values, pa.string()).cast(texts.get(kind, pa.string()))
    except pa.ArrowInvalid as error:
        problem = f"a {kind} came as {error}"
        raise AwsRefused(_SERVICE, "get_statement_result", "UnreadableValue", problem) from error
