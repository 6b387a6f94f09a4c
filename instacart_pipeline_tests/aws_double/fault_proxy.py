"""A proxy before a double of AWS that changes single requests: part of one fails, an answer is another one.

For JSON services (Kinesis, DynamoDB), whose partial failures come inside good answers, where faults.py can't put them.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.error import HTTPError

from instacart_pipeline_tests.aws_double.wire import AwsError

Parameters = dict[str, Any]
Pass = Callable[[Parameters], Parameters]
Fault = Callable[[Parameters, Pass], Parameters]
"""From parameters to an answer, or an AwsError raised. The second argument passes parameters on to the double."""


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    operation: str
    parameters: Parameters


class FaultProxy:
    """`with FaultProxy(double.endpoint) as aws:` the same AWS at `aws.endpoint`, except for what `aws.inject` says.

    `asked` is what was asked, in order.
    """

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self._rules: dict[str, list[Fault | None]] = {}
        self._always: dict[str, Fault] = {}
        self._lock = threading.Lock()
        self.asked: list[Asked] = []

    def inject(self, operation: str, *each: Fault | None, always: Fault | None = None) -> None:
        """Answer the next requests of an operation by `each` in turn (None: as usual), and all further ones by `always`."""
        self._rules[operation] = list(each)
        if always:
            self._always[operation] = always

    def of(self, operation: str) -> list[Parameters]:
        """The parameters of the requests of an operation."""
        return [each.parameters for each in self.asked if each.operation == operation]

    def __enter__(self) -> FaultProxy:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fault_proxy": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, operation: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a request."""
        parameters = json.loads(body)
        with self._lock:
            self.asked.append(Asked(operation, parameters))
            rules = self._rules.get(operation)
            rule = rules.pop(0) if rules else self._always.get(operation)
        if rule is None:
            return self._passed(headers, body)

        def passed(changed: Parameters) -> Parameters:
            status, told = self._passed(headers, json.dumps(changed).encode())
            assert status == 200, told
            answer: Parameters = json.loads(told)
            return answer

        try:
            return 200, json.dumps(rule(parameters, passed)).encode()
        except AwsError as problem:
            return problem.status, json.dumps({"__type": problem.code, "message": problem.message}).encode()

    def _passed(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        request = urllib.request.Request(self._behind, body, kept)  # noqa: S310  # of loopback
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()


def refused(code: str, message: str = "said the service", status: int = 400) -> Fault:
    """A whole request that fails."""

    def answer(_parameters: Parameters, _passed: Pass) -> Parameters:
        raise AwsError(code, message, status)

    return answer


class _Handler(BaseHTTPRequestHandler):
    fault_proxy: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:  # http.server's name for it
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        status, answer = self.fault_proxy.answer(operation, dict(self.headers), body)
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name for it
        """Swallow it: `asked` is the log."""
