"""The Redshift Data API: statements and their results, as the API shows them. What a statement does is in redshift_engine.py."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.redshift_engine import Answer, Engine
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_STATES = {
    "queued": "SUBMITTED",
    "running": "STARTED",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "stopped": "ABORTED",
    "timed_out": "FAILED",
}
_TYPES = {
    "VARCHAR": "varchar",
    "SMALLINT": "int2",
    "INTEGER": "int4",
    "BIGINT": "int8",
    "DOUBLE": "float8",
    "FLOAT": "float4",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}
_MOST_TEXT = 100_000


@dataclass
class _Statement:
    run: JobRun
    parameters: Parameters
    sqls: Sequence[str]
    batch: bool
    answers: list[Answer] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, str]:
        return self.parameters["WorkgroupName"], self.parameters["Database"]


class Redshift:
    """The API. `workgroups` names those that there are; `page_rows` is how many rows a page of a result has."""

    def __init__(self, jobs: Jobs, objects: Objects) -> None:
        self.engine, self.workgroups, self.page_rows = Engine(objects), {"warehouse"}, 1000
        self._jobs = jobs
        self._statements: dict[str, _Statement] = {}
        self._lock = threading.Lock()

    def execute_statement(self, parameters: Parameters) -> Parameters:
        """Start one statement; the same token gives the statement there is."""
        return self._start(parameters, [parameters["Sql"]], batch=False)

    def batch_execute_statement(self, parameters: Parameters) -> Parameters:
        """Start statements as one transaction."""
        return self._start(parameters, parameters["Sqls"], batch=True)

    def describe_statement(self, parameters: Parameters) -> Parameters:
        """A statement's state."""
        statement = self._find(parameters["Id"])
        run, last = statement.run, statement.answers[-1] if statement.answers else Answer()
        told = {**_summary(statement), "Duration": _nanoseconds(run), "HasResultSet": bool(last.columns)}
        told["ResultRows"] = len(last.rows) if run.phase == "succeeded" else -1
        told["Error"] = run.error or ("Query cancelled on user's request" if run.phase == "stopped" else None)
        if statement.batch:
            told["SubStatements"] = [
                {"Id": f"{run.id}:{number}", "QueryString": sql, "Status": run.state}
                for number, sql in enumerate(statement.sqls, 1)
            ]
        return told

    def cancel_statement(self, parameters: Parameters) -> Parameters:
        """Cancel a statement that has not ended."""
        run = self._find(parameters["Id"]).run
        if not run.alive:
            raise AwsError(
                "ValidationException",
                f"Could not cancel a query that is already in {run.state} state with ID: {run.id}",
            )
        self._jobs.stop(run)
        return {"Status": True}

    def list_statements(self, parameters: Parameters) -> Parameters:
        """Statements, the newest first; by the beginning of their name."""
        wanted, name = parameters.get("Status", "FINISHED"), parameters.get("StatementName", "")
        found = [
            {**_summary(each), "StatementName": each.parameters.get("StatementName")}
            for each in reversed(self._statements.values())
            if str(each.parameters.get("StatementName", "")).startswith(name) and wanted in ("ALL", each.run.state)
        ]
        shown, token = page(found, parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"Statements": shown, "NextToken": token}

    def get_statement_result(self, parameters: Parameters) -> Parameters:
        """A page of a result; of a batch, `id:number` names the statement."""
        number, _, place = parameters["Id"].partition(":")
        statement = self._find(number)
        if statement.batch != bool(place) or statement.run.state != "FINISHED":
            raise AwsError(
                "ResourceNotFoundException",
                "Query does not have result. Please check query status with DescribeStatement.",
            )
        answer = statement.answers[int(place or 1) - 1]
        if not answer.columns:
            raise AwsError("ResourceNotFoundException", "Query does not have result.")
        shown, token = page(list(answer.rows), parameters.get("NextToken"), self.page_rows)
        return {
            "ColumnMetadata": [_column(name, kind) for name, kind in answer.columns],
            "Records": [[_field(v, k) for v, (_, k) in zip(row, answer.columns, strict=True)] for row in shown],
            "TotalNumRows": len(answer.rows),
            "NextToken": token,
        }

    def close(self) -> None:
        """Forget everything."""
        self.engine.close()

    def _start(self, parameters: Parameters, sqls: Sequence[str], *, batch: bool) -> Parameters:
        if parameters.get("WorkgroupName") not in self.workgroups:
            raise AwsError(
                "ValidationException",
                f"Redshift endpoint doesn't exist in this region: {parameters.get('WorkgroupName')}",
            )
        if any(len(sql.encode()) > _MOST_TEXT for sql in sqls):
            raise AwsError("ValidationException", "Member must have length less than or equal to 100000")
        token = parameters.get("ClientToken")
        with self._lock:
            for known in self._statements.values():
                if token and known.run.token == token:
                    if known.parameters != parameters:
                        raise AwsError("ValidationException", "Idempotent parameters do not match")
                    return _started(known)
            run = JobRun(
                "redshift-data", str(uuid.uuid4()), parameters["WorkgroupName"], _STATES, "; ".join(sqls), token
            )
            statement = _Statement(run, parameters, sqls, batch)
            self._statements[run.id] = statement
        self._jobs.start(run, lambda: self._work(statement))
        return _started(statement)

    def _work(self, statement: _Statement) -> None:
        statement.answers = self.engine.run(statement.place, statement.sqls, statement.run)

    def _find(self, number: str) -> _Statement:
        if number not in self._statements:
            raise AwsError("ResourceNotFoundException", f"Query {number} doesn't exist.")
        return self._statements[number]


def _started(statement: _Statement) -> Parameters:
    workgroup, database = statement.place
    run = statement.run
    return {"Id": run.id, "CreatedAt": run.started, "WorkgroupName": workgroup, "Database": database}


def _summary(statement: _Statement) -> Parameters:
    return {"Id": statement.run.id, "Status": statement.run.state, "CreatedAt": statement.run.started}


def _nanoseconds(run: JobRun) -> int:
    return -1 if run.alive else int(((run.ended or time.time()) - (run.running or run.started)) * 1e9)


def _column(name: str, kind: str) -> Parameters:
    """A column as the API tells it. Redshift sums bigint as numeric(38, 0)."""
    if kind == "HUGEINT":
        return {"name": name, "label": name, "typeName": "numeric", "precision": 38, "scale": 0}
    if kind.startswith("DECIMAL"):
        precision, scale = (int(part) for part in kind.removeprefix("DECIMAL(").rstrip(")").split(","))
        return {"name": name, "label": name, "typeName": "numeric", "precision": precision, "scale": scale}
    return {"name": name, "label": name, "typeName": _TYPES.get(kind, "varchar"), "precision": 0, "scale": 0}


def _field(value: Any, kind: str) -> Parameters:
    """A value as the API tells it: decimals, dates and times are texts."""
    if value is None:
        return {"isNull": True}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if isinstance(value, int) and kind != "HUGEINT":
        return {"longValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value.isoformat(" ") if isinstance(value, datetime) else str(value)}
