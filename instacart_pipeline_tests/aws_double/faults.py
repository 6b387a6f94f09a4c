"""Faults: what goes wrong with the next matching requests, in each service's own words."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from instacart_pipeline_tests.aws_double.wire import AwsError, Call

Kind = Literal[
    "throttled", "server_error", "denied", "refused", "expired", "limit", "lost_reply", "lost_request", "delayed"
]

_Errors = dict[str, tuple[str, str, int]]
_THROTTLED: _Errors = {
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
    "sqs": ("RequestThrottled", "Rate exceeded", 403),
    "sns": ("Throttled", "Rate exceeded", 429),
    "sts": ("Throttling", "Rate exceeded", 400),
    "kinesis": ("ProvisionedThroughputExceededException", "Rate exceeded for shard", 400),
    "dynamodb": ("ProvisionedThroughputExceededException", "The level of configured throughput was exceeded.", 400),
    "": ("ThrottlingException", "Rate exceeded", 400),
}
_SERVER_ERROR: _Errors = {
    "s3": ("InternalError", "We encountered an internal error. Please try again.", 500),
    "athena": ("InternalServerException", "An internal error occurred.", 500),
    "glue": ("InternalServiceException", "An internal service error occurred.", 500),
    "": ("InternalFailure", "The request processing has failed because of an unknown error.", 500),
}
_DENIED: _Errors = {
    "s3": ("AccessDenied", "Access Denied", 403),
    "sqs": ("AccessDenied", "Access to the resource is denied.", 403),
    "sns": ("AuthorizationError", "User is not authorized to perform this operation", 403),
    "sts": ("AccessDenied", "User is not authorized to perform this operation", 403),
    "databrew": ("AccessDeniedException", "User is not authorized to perform this operation", 403),
    "": ("AccessDeniedException", "User is not authorized to perform this operation", 400),
}
_REFUSED: _Errors = {
    "s3": ("InvalidArgument", "Invalid Argument", 400),
    "athena": ("InvalidRequestException", "The request is not valid.", 400),
    "glue": ("InvalidInputException", "The input provided was not valid.", 400),
    "logs": ("InvalidParameterException", "A parameter is specified incorrectly.", 400),
    "sqs": ("InvalidParameterValue", "The value of a parameter is not valid.", 400),
    "sns": ("InvalidParameter", "Invalid parameter", 400),
    "sagemaker-runtime": ("ValidationError", "The request is not valid.", 400),
    "": ("ValidationException", "The input parameters for this request failed validation.", 400),
}
_EXPIRED: _Errors = {
    "s3": ("ExpiredToken", "The provided token has expired.", 400),
    "sqs": ("ExpiredToken", "The security token included in the request is expired", 403),
    "sns": ("ExpiredToken", "The security token included in the request is expired", 403),
    "sts": ("ExpiredToken", "The security token included in the request is expired", 403),
    "": ("ExpiredTokenException", "The security token included in the request is expired", 400),
}
_LIMIT: _Errors = {
    "athena": (
        "TooManyRequestsException",
        "You have exceeded the limit for the number of queries you can run concurrently.",
        400,
    ),
    "glue": ("ConcurrentRunsExceededException", "Concurrent runs exceeded for job", 400),
    "redshift-data": ("ActiveStatementsExceededException", "The number of active statements exceeds the limit.", 400),
    "databrew": ("ServiceQuotaExceededException", "The limit of concurrent job runs is exceeded.", 402),
    "sagemaker": (
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.m5.2xlarge for training job usage' is 2 Instances, with current utilization of 2"
        " Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota.",
        400,
    ),
    "": ("LimitExceededException", "The limit is exceeded.", 400),
}
_TABLES: dict[str, _Errors] = {
    "throttled": _THROTTLED,
    "server_error": _SERVER_ERROR,
    "denied": _DENIED,
    "refused": _REFUSED,
    "expired": _EXPIRED,
    "limit": _LIMIT,
}


def refusal_code(service: str) -> str:
    """The code with which a service refuses parameters."""
    return _REFUSED.get(service, _REFUSED[""])[0]


@dataclass
class Fault:
    """A rule: what happens to requests of `service` and `operation` (None: any) whose path or body has `containing` in it.

    The first `after` of them pass, then `times` (None: all) are hit. `hits` counts those. `caller` says whose requests
    are meant: "client", or "job" for scripts that run as jobs.
    """

    kind: Kind
    service: str
    operation: str | None = None
    times: int | None = 1
    after: int = 0
    containing: str = ""
    seconds: float = 0.0
    status: int | None = None
    caller: str = "client"
    seen: int = 0
    hits: int = 0

    def meets(self, call: Call) -> bool:
        """Whether the rule is about this request, used up or not."""
        return (
            self.service == call.service
            and self.operation in (None, call.operation)
            and self.caller == call.caller
            and self.containing in call.text
        )

    def error(self, call: Call) -> AwsError | None:
        """The error to answer with; None for the kinds that answer with none."""
        if self.kind not in _TABLES:
            return None
        table = _TABLES[self.kind]
        code, message, status = table.get(call.service, table[""])
        if self.kind == "limit" and "Crawler" in call.operation:
            code, message = "CrawlerRunningException", "Crawler is already running"
        if self.status == 503 and call.service == "s3" and self.kind == "server_error":
            code, message = "ServiceUnavailable", "Service is unable to handle request."
        return AwsError(code, message, self.status or status)


class Faults:
    """The rules in force. The first that meets a request and is not used up decides; a delay lets it go on afterwards."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        kind: Kind,
        service: str,
        operation: str | None = None,
        *,
        times: int | None = 1,
        after: int = 0,
        containing: str = "",
        seconds: float = 0.0,
        status: int | None = None,
        caller: str = "client",
    ) -> Fault:
        """Put a rule in force; see Fault. `seconds` is for "delayed", `status` replaces the usual HTTP status of an error."""
        rule = Fault(kind, service, operation, times, after, containing, seconds, status, caller)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Lift all rules."""
        with self._lock:
            self._rules.clear()

    def for_call(self, call: Call) -> Fault | None:
        """The rule that hits this request, which counts as a hit."""
        with self._lock:
            for rule in self._rules:
                if not rule.meets(call) or (rule.times is not None and rule.hits >= rule.times):
                    continue
                rule.seen += 1
                if rule.seen > rule.after:
                    rule.hits += 1
                    return rule
        return None
