"""The commands serve and predict: the model's server and the API as child processes, and one user's basket on the terminal.

Belongs here: starting, watching and ending these processes, and what is refused before. Doesn't: the API itself (serving/), the model's
server (container/).
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from instacart_pipeline.cli import output
from instacart_pipeline.cli.children import Children, await_answer, stopped_by_signals
from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid
from instacart_pipeline.serving.guard import is_loopback
from instacart_pipeline.settings import Settings

if TYPE_CHECKING:
    from instacart_pipeline.serving.reorder.answers import Basket

_BACKLOG = 2048
_ENDPOINT_MISSING = (
    "Train a model and bring it behind the endpoint with `instacart-pipeline run reorder-model --dt DAY`."
)


class PortTaken(PipelineError):
    """Another program listens where a server should."""


class NothingDeployed(PipelineError):
    """There is no model to answer with yet."""


def serve(settings: Settings, host: str, port: int, *, workers: int, model_port: int | None, access_log: bool) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises what keeps it from starting."""
    from instacart_pipeline.container.unpacking import scratch  # noqa: PLC0415  # as the command line says

    _require_keys(settings, host)
    local = settings.profile == "local"
    if local and model_port:
        settings = replace(settings, model_url=f"http://127.0.0.1:{model_port}")
    with ExitStack() as stack:
        stopping = stack.enter_context(stopped_by_signals())
        listening = stack.enter_context(_listen(host, port, "--port"))
        missing = _missing(settings)
        children = stack.enter_context(Children(stopping))
        if local and not missing:
            children.start("model server", _model_server(settings, workers))
            await_answer(settings.model_url, "/ping", "model server", children, stopping)
        numbers = stack.enter_context(scratch(settings.home / "scratch"))
        worker = [
            *_python("instacart_pipeline.cli.api_worker"),
            "--fd",
            str(listening.fileno()),
            "--host",
            host,
            "--metrics",
            str(numbers),
        ]
        for _ in range(workers):
            command = [*worker, "--access-log"] if access_log else worker
            children.start("API", command, _environment(settings), (listening.fileno(),))
        address = _url(host, listening.getsockname()[1])
        await_answer(address, "/health", "API", children, stopping)
        if not stopping.is_set():
            locked = "; it asks for one of INSTACART_API_KEYS" if settings.api_keys else ""
            pages = f"{address}/, {address}/sales and {address}/customers"
            output.note(f"The pages: {pages}{locked}\nThe API:   {address}/openapi.json")
            if missing:
                output.note(f"Baskets can't be predicted yet, all else is served: {missing}")
            output.note("Ctrl-C ends it.")
        while not stopping.wait(0.2):
            children.restart_the_dead()
            if missing and not _missing(settings):
                missing = ""
                _take_up_model(settings, workers, children)
    output.note("Stopped.")


def predict(settings: Settings, user: int, limit: int) -> Basket:
    """A user's predicted basket, by the deployed model, which is asked in a server of its own."""
    from instacart_pipeline.container.child_server import serving  # noqa: PLC0415  # as the command line says
    from instacart_pipeline.container.unpacking import scratch  # noqa: PLC0415
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415
    from instacart_pipeline.serving.reorder.baskets import predicted_basket  # noqa: PLC0415
    from instacart_pipeline.serving.reorder.part import service_of  # noqa: PLC0415

    if missing := _missing(settings):
        raise NothingDeployed(missing)
    with ExitStack() as stack:
        if settings.profile == "local":
            folder = stack.enter_context(scratch(settings.home / "scratch"))
            arguments = ["--watch", _pointer(settings), "--scratch", str(folder)]
            host, port = stack.enter_context(serving(arguments, folder / "server.log"))
            settings = replace(settings, model_url=f"http://{host}:{port}")
        found = build_resources(settings)
        service = service_of(found.catalog, found.table_files, found.endpoints, settings.home)
        service.days.look()
        return predicted_basket(service, user, limit)


def show_basket(told: Basket) -> None:
    """Print a basket as a table."""
    rows = [
        (f"{one.probability:.1%}", "yes" if one.in_basket else "", one.product_name, one.aisle)
        for one in (*told.basket, *told.others)
    ]
    title = f"Order no. {told.order.order_number} of user {told.user_id}, by {told.model.name} {told.model.version} on {told.day}"
    output.table(title, ("probability", "predicted", "product", "aisle"), rows, right=(0,))
    none = ' "None", that nothing is bought again, is part of the prediction.' if told.none_predicted else ""
    output.note(
        f"{len(told.basket)} of {told.candidates:,} products bought before are predicted; expected F1 {told.expected_f1:.2f}.{none}"
    )


def _require_keys(settings: Settings, host: str) -> None:
    if settings.api_keys or is_loopback(host):
        return
    raise SettingsInvalid(
        f"At {host} others than this machine could reach the API, and no key protects it. Set INSTACART_API_KEYS to one or more "
        f"keys of 16 characters or more, separated by commas; or serve this machine alone with --host 127.0.0.1."
    )


def _missing(settings: Settings) -> str:
    """What to do about it if no model is deployed; otherwise nothing."""
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # brings Dagster
    from instacart_pipeline.reorder.names import ENDPOINT  # noqa: PLC0415
    from instacart_pipeline.resources.endpoints import EndpointNotFound  # noqa: PLC0415

    try:
        build_resources(settings).endpoints.deployed(ENDPOINT)
    except EndpointNotFound as error:
        return f"There is no model to answer with. {_ENDPOINT_MISSING}\n({error})"
    return ""


def _take_up_model(settings: Settings, workers: int, children: Children) -> None:
    """Begin to serve the first model, which was deployed while all else was served."""
    try:
        if settings.profile == "local":
            children.start("model server", _model_server(settings, workers))
        output.note("A model is deployed by now: baskets are predicted in a moment.")
    except PipelineError as error:
        output.error(error)  # a port that is taken is no reason to end what works


def _pointer(settings: Settings) -> str:
    from instacart_pipeline.reorder.names import ENDPOINT  # noqa: PLC0415
    from instacart_pipeline.resources.endpoints.local import LocalEndpoints  # noqa: PLC0415  # brings Dagster

    return str(LocalEndpoints(home=str(settings.home)).pointer(ENDPOINT))


def _model_server(settings: Settings, workers: int) -> list[str]:
    place = urlsplit(settings.model_url)
    port = place.port or 80
    if not is_loopback(place.hostname or ""):
        raise SettingsInvalid(
            f"INSTACART_MODEL_URL is {settings.model_url}, where this machine can't start the model's server. Choose http://127.0.0.1:PORT."
        )
    _listen("127.0.0.1", port, "--model-port").close()  # or its refusal would come from a child, in other words
    arguments = ["--watch", _pointer(settings), "--port", str(port), "--workers", str(workers), "--end-with-stdin"]
    return [*_python("instacart_pipeline.container.server"), *arguments, "--scratch", str(settings.home / "scratch")]


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "INSTACART_HOME": str(settings.home), "INSTACART_MODEL_URL": settings.model_url}


def _listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket, which all processes of the API take connections from. Raises PortTaken, SettingsInvalid."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind)
    except OSError as error:
        raise SettingsInvalid(f"{host} is no address of this machine ({error}). Choose another --host.") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise PortTaken(
            f"{host}:{port} can't be had: {error.strerror}. Stop what listens there, or choose another port with {option}."
        ) from error
    return made


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # where it can be reached from here
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
