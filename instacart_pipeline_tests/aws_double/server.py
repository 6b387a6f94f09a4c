"""The double itself: an HTTP server on loopback, and what tests ask of it.

Belongs here: starting, routing a request to the handlers of its service or to moto, stopping. Doesn't: any service's behaviour.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import boto3
import botocore.config
import botocore.session
from botocore import xform_name
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request, Response

from instacart_pipeline_tests.aws_double import jobs, snapshot, wire
from instacart_pipeline_tests.aws_double.athena import Athena
from instacart_pipeline_tests.aws_double.backend import Moto
from instacart_pipeline_tests.aws_double.botocore_costs import LOADER
from instacart_pipeline_tests.aws_double.catalog import Catalog
from instacart_pipeline_tests.aws_double.connection import Connection
from instacart_pipeline_tests.aws_double.crawlers import Crawlers
from instacart_pipeline_tests.aws_double.databrew import DataBrew
from instacart_pipeline_tests.aws_double.faults import Faults, refusal_code
from instacart_pipeline_tests.aws_double.glue_jobs import GlueJobs
from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs, JobTiming
from instacart_pipeline_tests.aws_double.journal import Recorded, Requests
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.outcomes import Outcomes
from instacart_pipeline_tests.aws_double.redshift import Redshift
from instacart_pipeline_tests.aws_double.sagemaker import SageMaker
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.aws_double.wire import AwsError, Call

REGION = "eu-central-1"


class AwsDouble:
    """An AWS of its own: `with AwsDouble() as aws: boto3.client("s3", endpoint_url=aws.endpoint, ...)`.

    One is alive at a time in a process, since moto's state belongs to the process; one after another is fine. `requests`
    is what was asked, `faults` and `outcomes` what shall go wrong, `pace` how long a job's phases last. Closing it ends
    every job, child process and thread.
    """

    _alive: ClassVar[AwsDouble | None] = None

    def __init__(self, pace: JobTiming | None = None) -> None:
        self.requests, self.faults, self.outcomes = Requests(), Faults(), Outcomes()
        self.pace = pace or JobTiming()
        self._jobs = Jobs(self.outcomes, self.pace)
        self._moto = Moto()
        self._handlers: dict[str, list[Any]] = {}
        self._server: BaseWSGIServer | None = None
        self._clients: dict[str, Any] = {}
        self._closing = threading.Event()

    def __enter__(self) -> AwsDouble:
        if AwsDouble._alive is not None:
            raise RuntimeError("another AwsDouble is alive in this process; close it first")
        self._moto.reset()
        self._closing.clear()
        self.folder = Path(tempfile.mkdtemp(prefix="aws_double_"))
        self._server = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=Connection)
        AwsDouble._alive = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        inside = self._session(wire.INSIDE_KEY)
        self._objects, self._catalog = Objects(inside("s3"), self.folder / "objects"), Catalog(inside("glue"))
        self._put_services()
        return self

    def _put_services(self) -> None:
        """Put the services in place, with nothing in them."""
        objects, catalog, logs = self._objects, self._catalog, Logs()
        self._jobs = Jobs(self.outcomes, self.pace)
        self.athena = Athena(self._jobs, objects, catalog, self.folder)
        glue_jobs = GlueJobs(self._jobs, objects, logs, self.folder, self._job_environment)
        crawlers = Crawlers(self._jobs, objects, catalog, logs, self.pace)
        self.databrew = DataBrew(self._jobs, objects, logs, self.folder)
        self.sagemaker = SageMaker(self._jobs, objects, logs, self.folder, self.pace)
        self.redshift = Redshift(self._jobs, objects)
        self._handlers = {
            "athena": [self.athena],
            "databrew": [self.databrew],
            "glue": [glue_jobs, crawlers],
            "logs": [logs],
            "redshift-data": [self.redshift],
            "sagemaker": self.sagemaker.handlers,
            "sagemaker-runtime": [self.sagemaker.endpoints],
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every job, child process and thread, and forget everything."""
        if AwsDouble._alive is not self or self._server is None:
            return
        self._end_services()
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        Connection.end_all(self._server)
        self._moto.reset()
        shutil.rmtree(self.folder, ignore_errors=True)
        AwsDouble._alive = None

    def snapshot(self) -> Snapshot:
        """What is there now, to be given back by restore. Raises RuntimeError while a job runs or an endpoint is up."""
        if self.sagemaker.endpoints.any_up:
            raise RuntimeError("a snapshot can't keep the process of an endpoint; delete it first")
        with self._moto.at_rest():
            return snapshot.write(
                self._parts(), [self._objects, self._catalog, *self._logs()], self.redshift.engine.dump()
            )

    def restore(self, kept: Snapshot) -> None:
        """Be as a double was when `kept` was taken of it, this one or another: a matter of milliseconds.

        Jobs and endpoints that run are ended first. `requests` and `jobs()` begin anew, no fault and no outcome is in force,
        and the services' settings, such as `databrew.files`, are those of a new double.
        """
        self._end_services()
        for journal in (self.requests, self.faults, self.outcomes):
            journal.clear()
        with self._moto.at_rest():
            self._moto.reset()
            self._put_services()
            self.redshift.engine.load(snapshot.read(kept, self._parts(), [self._objects, self._catalog, *self._logs()]))

    def _parts(self) -> list[Any]:
        """The handlers that hold something, each once."""
        return list({id(each): each for handlers in self._handlers.values() for each in handlers}.values())

    def _logs(self) -> list[Any]:
        return self._handlers["logs"]

    def _end_services(self) -> None:
        self._jobs.close()
        self.redshift.close()
        self.sagemaker.close()

    @property
    def endpoint(self) -> str:
        """The URL to be given as endpoint_url."""
        if self._server is None:
            raise RuntimeError("the double is not started; use it in a with statement")
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """The AWS_* variables of the code under test, the endpoint excepted."""
        return _credentials(wire.CLIENT_KEY)

    def client(self, service: str) -> Any:
        """A plain boto3 client that never retries, for setting a test up, made once; its requests count like any other's."""
        if service not in self._clients:
            self._clients[service] = self._session(wire.CLIENT_KEY)(service)
        return self._clients[service]

    def jobs(self, service: str | None = None) -> list[JobRun]:
        """Every job run started so far: of "athena", "glue", "databrew", "crawler", "redshift-data" or "sagemaker"; or all."""
        return self._jobs.runs(service)

    def most_alive_at_once(self, predicate: Callable[[JobRun], bool] = lambda _run: True) -> int:
        """The largest number of job runs meeting `predicate` that were alive at one moment."""
        return jobs.most_alive_at_once([run for run in self._jobs.runs() if predicate(run)])

    def _job_environment(self) -> dict[str, str]:
        return {**_credentials(wire.JOB_KEY), "AWS_ENDPOINT_URL": self.endpoint}

    def _session(self, key: str) -> Callable[[str], Any]:
        session = _session_of(key)
        config = botocore.config.Config(retries={"total_max_attempts": 1}, max_pool_connections=20)
        return lambda service: session.client(service, endpoint_url=self.endpoint, config=config)

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        arrived = time.monotonic()
        request = Request(environ)
        call = wire.read_call(request)
        if call.caller == "inside":
            return self._answer(request, call)(environ, start_response)
        status = 0
        try:
            response = self._faulted(request, call)
            status = response.status_code
        finally:
            self.requests.add(Recorded(call.service, call.operation, arrived, status, call.caller, call.parameters))
        return response(environ, start_response)

    def _faulted(self, request: Request, call: Call) -> Response:
        """The answer, or what the rule in force makes of it. Raises ConnectionAbortedError where there shall be none."""
        rule = self.faults.for_call(call)
        if rule is None:
            return self._answer(request, call)
        if problem := rule.error(call):
            return wire.error(call, problem)
        if rule.kind == "delayed":
            if self._closing.wait(rule.seconds):
                raise ConnectionAbortedError(f"closed before the answer to {call.operation}")
            return self._answer(request, call)
        if rule.kind == "lost_reply":
            self._answer(request, call)
        connection: socket.socket = request.environ["werkzeug.socket"]
        with suppress(OSError):  # the client may have gone first
            connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError(f"{rule.kind}: {call.operation}")

    def _answer(self, request: Request, call: Call) -> Response:
        for handlers in self._handlers.get(call.service, ()):
            handle = getattr(handlers, xform_name(call.operation), None)
            if handle is None:
                continue
            try:
                wire.check_parameters(call, refusal_code(call.service))
                return wire.answer(call, handle(call.parameters))
            except AwsError as problem:
                return wire.error(call, problem)
        if call.service in ("athena", "databrew", "logs", "redshift-data", "sagemaker", "sagemaker-runtime"):
            return wire.error(call, AwsError("UnknownOperationException", f"the double has no {call.operation}"))
        return self._moto.answer(request)


def _credentials(key: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "double", "AWS_DEFAULT_REGION": REGION}


@cache
def _session_of(key: str) -> boto3.session.Session:
    """The session of an access key, for all doubles of this process: it knows of no endpoint."""
    core = botocore.session.Session()
    core.register_component("data_loader", LOADER)
    core.set_credentials(key, "double")
    return boto3.session.Session(botocore_session=core, region_name=REGION)
