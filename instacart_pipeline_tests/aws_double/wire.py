"""Requests and answers as they go over the wire: which operation a request is, its parameters, an answer's or error's bytes.

Belongs here: the protocols (json, rest-json, rest-xml, query), read from botocore's own models. Doesn't: what any service does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import botocore.loaders
import botocore.model
from werkzeug.wrappers import Request, Response

from instacart_pipeline_tests.aws_double.botocore_costs import service_model

Parameters = dict[str, Any]

CLIENT_KEY, INSIDE_KEY, JOB_KEY = "AKIADOUBLECLIENT0000", "AKIADOUBLEINSIDE0000", "AKIADOUBLEJOBRUN0000"
"""Access keys: of the code under test, of the double itself (neither recorded nor faulted), of scripts run as jobs."""

_SERVICES = ("s3", "sqs", "sns", "sts", "glue", "athena", "databrew", "logs", "sagemaker", "sagemaker-runtime")


class AwsError(Exception):
    """An error as a service answers it; `details` are further members of it."""

    def __init__(self, code: str, message: str, status: int = 400, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.details = code, message, status, details or {}


@dataclass(frozen=True)
class Call:
    """A request, understood. `text` is its path and body, for rules that look for something in it."""

    service: str
    operation: str
    caller: str
    text: str
    parameters: Parameters = field(default_factory=dict, compare=False)


def read_call(request: Request) -> Call:
    """What a request asks of which service. Operations of services without a model here are called by their method."""
    body: bytes = request.get_data(cache=True)
    key, service = _credential(request)
    caller = {CLIENT_KEY: "client", INSIDE_KEY: "inside", JOB_KEY: "job"}.get(key, "client")
    text = f"{request.full_path} {body[:100_000].decode(errors='replace')}"
    if target := request.headers.get("X-Amz-Target"):
        parameters = json.loads(body) if body else {}
        return Call(service, target.rpartition(".")[2], caller, text, parameters)
    if service not in _SERVICES:
        return Call(service, request.method, caller, text)
    if service == "sagemaker":  # what its runtime is signed for, too
        service = "sagemaker-runtime"
    if model(service).metadata["protocol"] == "query":
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        return Call(service, form.get("Action", request.method), caller, text, form)
    operation, path = _rest_operation(service, request)
    if operation is None:
        return Call(service, request.method, caller, text)
    return Call(service, operation.name, caller, text, _rest_parameters(service, operation, path, request, body))


def answer(call: Call, result: Mapping[str, Any]) -> Response:
    """A JSON answer. Raises AssertionError if it has members that the service's model does not know."""
    shape = model(call.service).operation_model(call.operation).output_shape
    _require_to(shape, result, call.operation)
    if call.service == "sagemaker-runtime":
        members = shape.members.items()
        headers = {
            each.serialization["name"]: result[name]
            for name, each in members
            if "name" in each.serialization and result.get(name)
        }
        return Response(result["Body"], headers={**headers, "x-amzn-RequestId": "double"})
    content_type = "application/json" if call.service == "databrew" else "application/x-amz-json-1.1"
    return Response(json.dumps(_plain(result)), content_type=content_type, headers={"x-amzn-RequestId": "double"})


def error(call: Call, problem: AwsError) -> Response:
    """An error in the protocol of the call's service."""
    headers = {"x-amzn-RequestId": "double"}
    if call.service == "s3":
        inner = f"<Code>{problem.code}</Code><Message>{escape(problem.message)}</Message><RequestId>double</RequestId>"
        return Response(f"<Error>{inner}</Error>", problem.status, content_type="application/xml")
    if call.service in ("sns", "sts"):
        kind = "Sender" if problem.status < 500 else "Receiver"
        inner = f"<Type>{kind}</Type><Code>{problem.code}</Code><Message>{escape(problem.message)}</Message>"
        xml = f"<ErrorResponse><Error>{inner}</Error><RequestId>double</RequestId></ErrorResponse>"
        return Response(xml, problem.status, content_type="text/xml")
    headers["x-amzn-ErrorType"] = problem.code
    if call.service == "sqs":
        headers["x-amzn-query-error"] = f"{problem.code};Sender"
    body = json.dumps({"__type": problem.code, "message": problem.message, **problem.details})
    return Response(body, problem.status, content_type="application/x-amz-json-1.1", headers=headers)


def check_parameters(call: Call, refused: str) -> None:
    """Hold a call to its model's limits, which the SDK mostly leaves to the service. Raises AwsError of code `refused`."""
    shape = model(call.service).operation_model(call.operation).input_shape
    if shape is not None:
        problem = _problem(shape, call.parameters, "")
        if problem:
            raise AwsError(refused, f"1 validation error detected: {problem}")


@cache
def model(service: str) -> Any:
    """botocore's model of a service."""
    if service == "s3":  # clients take the bucket out of the paths in the description that they share
        own = botocore.loaders.Loader().load_service_model(service, "service-2")
        return botocore.model.ServiceModel(own, service)
    return service_model(service)


def _credential(request: Request) -> tuple[str, str]:
    """The access key and service a request is signed for."""
    found = re.search(r"Credential=([^,\s]+)", request.headers.get("Authorization", ""))
    scope = found.group(1) if found else request.args.get("X-Amz-Credential", "")
    parts = scope.split("/")
    return (parts[0], parts[3]) if len(parts) == 5 else (CLIENT_KEY, "s3")


@cache
def _rest_patterns(
    service: str,
) -> list[tuple[Any, str, re.Pattern[str], frozenset[str], frozenset[str], frozenset[str]]]:
    """Each operation with what tells it: method, path, query parameters with values, and query and header names it needs."""
    patterns = []
    for name in model(service).operation_names:
        operation = model(service).operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", path)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        members = operation.input_shape.members if operation.input_shape else {}
        required = [members[each] for each in (operation.input_shape.required_members if operation.input_shape else ())]
        names = {
            place: frozenset(
                each.serialization["name"] for each in required if each.serialization.get("location") == place
            )
            for place in ("querystring", "header")
        }
        literals = frozenset(part for part in query.split("&") if part and not part.startswith("x-id="))
        patterns.append(
            (
                operation,
                operation.http["method"],
                re.compile(pattern + "/?"),
                literals,
                names["querystring"],
                names["header"],
            )
        )
    return patterns


def _rest_operation(service: str, request: Request) -> tuple[Any, dict[str, str]]:
    """The operation that asks the most of what the request has."""
    best: tuple[int, Any, dict[str, str]] = (-1, None, {})
    path = str(request.environ.get("REQUEST_URI", request.path)).partition("?")[0]
    for operation, method, pattern, literals, queries, headers in _rest_patterns(service):
        match = pattern.fullmatch(path) if method == request.method else None
        if match is None:
            continue
        given = {f"{name}={value}" if value else name for name, value in request.args.items()}
        if literals <= given and queries <= set(request.args) and all(name in request.headers for name in headers):
            score = len(literals) + len(queries) + len(headers)
            if score > best[0]:
                best = (score, operation, {name: unquote(value) for name, value in match.groupdict().items()})
    return best[1], best[2]


def _rest_parameters(service: str, operation: Any, path: dict[str, str], request: Request, body: bytes) -> Parameters:
    found: Parameters = json.loads(body) if body and service == "databrew" else {}
    if service == "sagemaker-runtime":
        found["Body"] = body
    for name, member in (operation.input_shape.members if operation.input_shape else {}).items():
        place, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        value: Any = None
        if place == "uri":
            value = path.get(wire_name)
        elif place == "querystring":
            value = request.args.get(wire_name)
        elif place == "header":
            value = request.headers.get(wire_name)
        if value is not None:
            found[name] = int(value) if member.type_name in ("integer", "long") else value
    return found


def _plain(value: Any) -> Any:
    """A value as JSON holds it: dates as epoch seconds, absent members left out."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.timestamp() if isinstance(value, datetime) else value


def _require_to(shape: Any, value: Any, where: str) -> None:
    if shape is None or value is None:
        return
    if shape.type_name == "structure":
        unknown = set(value) - set(shape.members)
        if unknown:
            raise AssertionError(f"{where} has no member {sorted(unknown)}")
        for name, each in value.items():
            _require_to(shape.members[name], each, f"{where}.{name}")
    elif shape.type_name == "list":
        for each in value:
            _require_to(shape.member, each, where)


def _problem(shape: Any, value: Any, where: str) -> str:
    """What the model has against a value; empty if nothing."""
    if shape.type_name == "structure" and isinstance(value, Mapping):
        lacking = [name for name in shape.required_members if value.get(name) is None]
        if lacking:
            return f"Value null at '{where}{lacking[0]}' failed to satisfy constraint: Member must not be null"
        inner = [_problem(shape.members[n], each, f"{where}{n}.") for n, each in value.items() if n in shape.members]
        return next((problem for problem in inner if problem), "")
    if shape.type_name == "list" and isinstance(value, list):
        inner = [_problem(shape.member, each, where) for each in value]
        if any(inner):
            return next(problem for problem in inner if problem)
    return _outside(shape, value, where.rstrip("."))


def _outside(shape: Any, value: Any, where: str) -> str:
    limits = shape.metadata
    if "enum" in limits and value not in limits["enum"]:
        return f"Value '{value}' at '{where}' failed to satisfy constraint: Member must satisfy enum value set: {limits['enum']}"
    measure = value if shape.type_name in ("integer", "long", "double", "float") else None
    if isinstance(value, str | list):
        measure = len(value)
    if measure is not None and ("max" in limits and measure > limits["max"]):
        return f"Value at '{where}' failed to satisfy constraint: Member must be at most {limits['max']}"
    if measure is not None and ("min" in limits and measure < limits["min"]):
        return f"Value at '{where}' failed to satisfy constraint: Member must be at least {limits['min']}"
    return ""
