"""Athena: query executions and workgroups, as the API shows them. What a statement does is in athena_engine.py."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

from instacart_pipeline_tests.aws_double.athena_create import has_external_location
from instacart_pipeline_tests.aws_double.athena_engine import Engine, Result, Statement, parse
from instacart_pipeline_tests.aws_double.athena_values import column_info, csv_text
from instacart_pipeline_tests.aws_double.athena_workgroups import WorkGroups
from instacart_pipeline_tests.aws_double.catalog import Catalog
from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_STATES = {
    "queued": "QUEUED",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "stopped": "CANCELLED",
    "timed_out": "FAILED",
}
_PAGE = 1000


@dataclass
class _Execution:
    run: JobRun
    parameters: Parameters
    statement: Statement
    workgroup: str
    output: str
    reused: bool = False
    result: Result = field(default_factory=Result)


class Athena(WorkGroups):
    """The API of Athena. `engine` has the settings of how statements are run."""

    def __init__(self, jobs: Jobs, objects: Objects, catalog: Catalog, folder: Path) -> None:
        super().__init__()
        self.engine = Engine(objects, catalog, folder)
        self._jobs, self._objects = jobs, objects
        self._executions: dict[str, _Execution] = {}
        self._lock = threading.Lock()

    def start_query_execution(self, parameters: Parameters) -> Parameters:
        """Start a query; the same token with the same parameters gives the query there is."""
        token = parameters.get("ClientRequestToken")
        with self._lock:
            for known in self._executions.values():
                if token and known.run.token == token:
                    if known.parameters != parameters:
                        raise AwsError("InvalidRequestException", "Idempotent parameters do not match")
                    return {"QueryExecutionId": known.run.id}
            execution = self._new(parameters, token)
            self._executions[execution.run.id] = execution
            earlier = self._reusable(execution)
        self._jobs.start(execution.run, lambda: self._reuse(execution, earlier) if earlier else self._work(execution))
        return {"QueryExecutionId": execution.run.id}

    def get_query_execution(self, parameters: Parameters) -> Parameters:
        """A query's state."""
        return {"QueryExecution": _description(self._find(parameters["QueryExecutionId"]))}

    def batch_get_query_execution(self, parameters: Parameters) -> Parameters:
        """The states of many queries."""
        ids = parameters["QueryExecutionIds"]
        unknown = [each for each in ids if each not in self._executions]
        problems = [
            {
                "QueryExecutionId": each,
                "ErrorCode": "INVALID_QUERY_EXECUTION_ID",
                "ErrorMessage": f"QueryExecution {each} was not found",
            }
            for each in unknown
        ]
        found = [_description(self._executions[each]) for each in ids if each in self._executions]
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": problems}

    def stop_query_execution(self, parameters: Parameters) -> Parameters:
        """Cancel a query; one that has ended stays as it is."""
        self._jobs.stop(self._find(parameters["QueryExecutionId"]).run)
        return {}

    def list_query_executions(self, parameters: Parameters) -> Parameters:
        """The ids of a workgroup's queries, the newest first."""
        workgroup = parameters.get("WorkGroup", "primary")
        ids = [each.run.id for each in self._executions.values() if each.workgroup == workgroup][::-1]
        ids, token = page(ids, parameters.get("NextToken"), parameters.get("MaxResults") or 50)
        return {"QueryExecutionIds": ids, "NextToken": token}

    def get_query_results(self, parameters: Parameters) -> Parameters:
        """A page of a result; the first row of a SELECT's first page is its header."""
        execution = self._find(parameters["QueryExecutionId"])
        state = execution.run.state
        if execution.run.alive:
            raise AwsError("InvalidRequestException", f"Query has not yet finished. Current state: {state}")
        if state != "SUCCEEDED":
            raise AwsError("InvalidRequestException", f"Query did not finish successfully. Final query state: {state}")
        result = execution.result
        names = [name for name, _ in result.columns]
        rows: list[list[str | None]] = [list(names), *result.rows] if names else []
        size = parameters.get("MaxResults") or _PAGE
        shown, token = page(rows, parameters.get("NextToken"), size)
        data = [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in shown]
        metadata = {"ColumnInfo": [column_info(*column) for column in result.columns]}
        return {
            "UpdateCount": result.update_count or 0,
            "ResultSet": {"Rows": data, "ResultSetMetadata": metadata},
            "NextToken": token,
        }

    def _new(self, parameters: Parameters, token: str | None) -> _Execution:
        workgroup = self.enabled(parameters.get("WorkGroup", "primary"))
        configuration = workgroup["Configuration"]
        database = (parameters.get("QueryExecutionContext") or {}).get("Database")
        statement = parse(parameters["QueryString"], database, parameters.get("ExecutionParameters") or [])
        own = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
        asked = (parameters.get("ResultConfiguration") or {}).get("OutputLocation")
        enforced = bool(configuration.get("EnforceWorkGroupConfiguration"))
        location = own if enforced or not asked else asked
        if not location:
            raise AwsError(
                "InvalidRequestException",
                "No output location provided. An output location is required either through the Workgroup result"
                " configuration setting or as an API input.",
            )
        if enforced and own and has_external_location(statement.tree):
            raise AwsError(
                "InvalidRequestException",
                "The Create Table As Select query failed because it was submitted with an 'external_location' property to an"
                " Athena Workgroup that enforces a centralized output location for all queries. Please remove the"
                " 'external_location' property and resubmit the query.",
            )
        number = str(uuid.uuid4())
        suffix = ".csv" if statement.kind == "DML" else ".txt" if statement.substatement == "DROP_TABLE" else ""
        run = JobRun("athena", number, workgroup["Name"], _STATES, parameters["QueryString"], token)
        return _Execution(run, parameters, statement, workgroup["Name"], f"{location.rstrip('/')}/{number}{suffix}")

    def _work(self, execution: _Execution) -> None:
        cutoff = self.group(execution.workgroup)["Configuration"].get("BytesScannedCutoffPerQuery")
        result = execution.result
        self.engine.run(execution.statement, execution.run, result, cutoff)
        if execution.statement.kind == "DML" and not execution.statement.unload:
            self._objects.write(execution.output, csv_text([name for name, _ in result.columns], result.rows))
            self._objects.write(f"{execution.output}.metadata", b"")
        elif execution.output.endswith(".txt"):
            self._objects.write(execution.output, b"")

    def _reusable(self, execution: _Execution) -> _Execution | None:
        """The newest equal query whose result is young enough to be given again, whatever has changed below it."""
        reuse = (execution.parameters.get("ResultReuseConfiguration") or {}).get("ResultReuseByAgeConfiguration") or {}
        if not reuse.get("Enabled") or execution.statement.kind != "DML":
            return None
        oldest = time.time() - 60 * reuse.get("MaxAgeInMinutes", 60)
        wanted = _meaning(execution)
        for known in reversed(self._executions.values()):
            ended = known.run.ended
            if (
                known.run.phase == "succeeded"
                and ended
                and ended > oldest
                and not known.reused
                and _meaning(known) == wanted
            ):
                return known
        return None

    def _reuse(self, execution: _Execution, earlier: _Execution) -> None:
        execution.reused = True
        execution.result = replace(earlier.result, scanned=0)
        execution.output = earlier.output

    def _find(self, number: str) -> _Execution:
        if number not in self._executions:
            raise AwsError("InvalidRequestException", f"QueryExecution {number} was not found")
        return self._executions[number]


def _meaning(execution: _Execution) -> tuple[object, ...]:
    parameters = execution.parameters
    return (
        parameters["QueryString"],
        parameters.get("QueryExecutionContext"),
        execution.workgroup,
        parameters.get("ExecutionParameters"),
    )


def _description(execution: _Execution) -> Parameters:
    run, asked = execution.run, execution.parameters
    status: Parameters = {"State": run.state, "SubmissionDateTime": run.started}
    if not run.alive:
        status["CompletionDateTime"] = run.ended
        reason = run.error or ("Query cancelled by user" if run.phase == "stopped" else "")
        status["StateChangeReason"] = reason or None
        if run.state == "FAILED":
            status["AthenaError"] = {"ErrorCategory": 2, "ErrorType": 1001, "Retryable": False, "ErrorMessage": reason}
    end, running = run.ended or time.time(), run.running or run.started
    statistics = {
        "EngineExecutionTimeInMillis": int((end - running) * 1000),
        "DataScannedInBytes": execution.result.scanned,
        "TotalExecutionTimeInMillis": int((end - run.started) * 1000),
        "QueryQueueTimeInMillis": int((running - run.started) * 1000),
        "ServiceProcessingTimeInMillis": 0,
        "ResultReuseInformation": {"ReusedPreviousResult": execution.reused},
    }
    return {
        "QueryExecutionId": run.id,
        "Query": asked["QueryString"],
        "StatementType": execution.statement.kind,
        "SubstatementType": execution.statement.substatement,
        "ResultConfiguration": {"OutputLocation": execution.output},
        "QueryExecutionContext": asked.get("QueryExecutionContext") or {},
        "Status": status,
        "Statistics": statistics,
        "WorkGroup": execution.workgroup,
        "EngineVersion": {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"},
    }
