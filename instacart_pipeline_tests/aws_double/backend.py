"""What moto answers for: S3, SQS, SNS, STS and the Glue catalog, one request at a time.

One at a time because moto looks first and changes then: two conditional writes of one object must not both pass.
"""

from __future__ import annotations

import io
import threading
from functools import cache
from typing import Any

import moto.core.responses
import moto.moto_server.werkzeug_app
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response


class _Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher, which looks for a service's name once: it lists moto's 180 folders for it, twice a request."""

    def get_backend_for_host(self, host: str | None) -> Any:
        """The name of the service that a host stands for."""
        return self._known(host)

    @cache  # noqa: B019  # there is one
    def _known(self, host: str | None) -> Any:
        return super().get_backend_for_host(host)


@cache
def _dispatcher() -> _Dispatcher:
    """The one of this process: what it takes time to build is the same for every double, and holds no state of theirs."""
    # Per request moto lists a class's methods, and flask_cors adds headers that only a browser reads.
    responses: Any = moto.core.responses
    server: Any = moto.moto_server.werkzeug_app
    responses.method_names_from_class = cache(responses.method_names_from_class)
    server.DISABLE_GLOBAL_CORS = True
    return _Dispatcher(create_backend_app)


class Moto:
    """moto's own server application, in this process. Its state belongs to the process, so one double lives at a time."""

    def __init__(self) -> None:
        self._application = _dispatcher()
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """moto's answer."""
        environ = dict(request.environ)
        environ["wsgi.input"] = io.BytesIO(request.get_data(cache=True))  # it was read to see what is asked
        environ.pop("werkzeug.request", None)
        with self._lock:
            return Response.from_app(self._application, environ, buffered=True)

    def at_rest(self) -> threading.Lock:
        """In a with statement: nothing is answered meanwhile."""
        return self._lock

    @staticmethod
    def reset() -> None:
        """Forget everything in every service."""
        backends: Any = BackendDict
        backends.reset()
        reset_model_data()  # moto remembers every object there ever was, and goes through all of them in each reset
