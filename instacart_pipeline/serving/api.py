"""The API as a FastAPI application: its routes, its page, what is looked after while it runs.

Belongs here: putting the parts together, and /health. Doesn't: which twins stand behind it (the command line passes them in).
"""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.reorder.model.features import ORIGINAL
from instacart_pipeline.reorder.names import ENDPOINT
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.endpoints import Endpoints
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.serving.errors import RETRY, tell_errors
from instacart_pipeline.serving.guard import Guard, Keys
from instacart_pipeline.serving.reorder import baskets, vectors
from instacart_pipeline.serving.reorder.answers import Health, Predictions, Probability, Scores
from instacart_pipeline.serving.reorder.asking import Model
from instacart_pipeline.serving.reorder.days import Days
from instacart_pipeline.serving.reorder.service import Served, Service, model_name

_log = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"
_header = APIKeyHeader(name="X-API-Key", auto_error=False)
_bearer = HTTPBearer(auto_error=False)


def service_of(
    catalog: Catalog, files: TableFiles, endpoints: Endpoints, home: Path, keys: Sequence[str] = ()
) -> Service:
    """What answers requests, of a profile's resources; what it keeps lies below `home`."""
    return Service(Days(catalog, files, home / "serving"), Model(endpoints, ENDPOINT), Keys(keys))


def create_app(
    service: Service, *, look_every: float = 2.0, while_running: Callable[[threading.Event], None] | None = None
) -> FastAPI:
    """The application. It looks for a new day and a new model version every `look_every` seconds, in a thread.

    `while_running` is run in another, until the event it is given.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        jobs: list[Callable[[], None]] = [lambda: _look_after(service, stop, look_every)]
        if while_running:
            jobs.append(lambda: while_running(stop))
        threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        await run_in_threadpool(service.days.try_to_look)  # before the first request; what fails is said by /health
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()

    app = FastAPI(
        title="Reorder predictions",
        version="1",
        description="Which products will a customer of the shop buy again? Probabilities, and predicted baskets.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    tell_errors(app)
    app.add_middleware(Guard)
    keyed: list[Any] = [Depends(_hold_key)] if service.keys else []
    app.include_router(vectors.router, dependencies=keyed)
    app.include_router(baskets.router, dependencies=keyed)
    app.get(
        "/health", tags=["health"], responses={503: {"model": Health, "description": "Baskets can't be predicted."}}
    )(health)
    app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)(page)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _describe(app)
    return app


def health(service: Served, response: Response) -> Health:
    """Whether baskets can be predicted, by which model version and from which day. Needs no API key."""
    trouble = []
    version, store = None, None
    try:
        version = service.model.version
        if problem := service.model.reachable(len(ORIGINAL)):
            trouble.append(problem)
        reachable = not problem
    except PipelineError as error:
        trouble.append(str(error))
        reachable = False
    try:
        store = service.days.current
        if service.days.trouble:
            trouble.append(f"A newer day can't be served: {service.days.trouble}")
    except PipelineError as error:
        trouble.append(str(error))
    fine = reachable and store is not None
    if not fine:
        response.status_code = 503
        response.headers.update(RETRY)
    return Health(
        status="ok" if fine else "unavailable",
        model=model_name(version.label) if version else None,
        day=store.dt if store else None,
        users=store.users if store else 0,
        endpoint="reachable" if reachable else "unreachable",
        trouble=trouble,
    )


async def page() -> FileResponse:
    """The page to try it on."""
    return FileResponse(_STATIC / "index.html")


async def _hold_key(
    service: Served,
    key: Annotated[str | None, Depends(_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    service.keys.hold(key or (bearer.credentials if bearer else None))


def _look_after(service: Service, stop: threading.Event, every: float) -> None:
    versions = threading.Thread(target=_look_for_versions, args=(service, stop, every), daemon=True)
    versions.start()  # beside the days, whose building takes longer
    service.days.keep_looking(stop, every)


def _look_for_versions(service: Service, stop: threading.Event, every: float) -> None:
    while not stop.wait(every):
        _look_for_a_version(service)


def _look_for_a_version(service: Service) -> None:
    try:
        service.model.look()
    except PipelineError as error:
        _log.debug("No look at the deployed version: %s", error)  # /health says so, and so do requests
    except Exception:  # noqa: BLE001  # whatever it is, who looks must go on looking
        _log.exception("The look at the deployed version failed, and is tried again.")


def _describe(app: FastAPI) -> None:
    """Add to the OpenAPI document the answers of routes that make them by hand, and leave out what none gives."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        made = plain()
        schemas = made["components"]["schemas"]
        for model in (Probability, Predictions, Scores):
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(described.pop("$defs", {}))
            schemas[model.__name__] = described
        if not app.state.service.keys:
            for path in made["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("401", None)
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way
