"""The web application: the parts of the systems put together, behind one guard, with one /health and one OpenAPI document.

Belongs here: what holds for all parts alike. Doesn't: what a part answers (reorder/part.py, retail/part.py), nor which backends stand behind
it (the command line passes them in).
"""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from pydantic import Field, create_model

from instacart_pipeline.serving.errors import RETRY, Failed, tell_errors
from instacart_pipeline.serving.guard import Guard, Keys
from instacart_pipeline.serving.metrics import TEXT, Counting, Metrics
from instacart_pipeline.serving.part import STATIC, Part, PartHealth

_header = APIKeyHeader(name="X-API-Key", auto_error=False)
_bearer = HTTPBearer(auto_error=False)


def create_app(
    parts: Sequence[Part], keys: Sequence[str] = (), metrics: Metrics | None = None, host: str = "127.0.0.1"
) -> FastAPI:
    """The application of some parts. With `keys`, all but pages, /health and the OpenAPI document asks for one of them; without, it
    answers requests to `host` and this machine's own names alone.

    `metrics` is what the parts count into as well; without it the application has its own.
    """
    counted = metrics or Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        for part in parts:
            await run_in_threadpool(part.before)
        for work in (work for part in parts for work in part.meanwhile):
            threading.Thread(target=work, args=(stop,), daemon=True).start()
        try:
            yield
        finally:
            stop.set()

    app = FastAPI(
        title="A retail data platform",
        version="1",
        description="\n\n".join(part.about for part in parts),
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    tell_errors(app)
    app.add_middleware(
        Guard, pages=frozenset(page for part in parts for page in part.pages), host=None if keys else host
    )
    app.add_middleware(Counting, metrics=counted)  # around the guard, whose refusals count too
    locks: list[Any] = [Depends(_lock(Keys(keys)))] if keys else []
    for part in parts:
        setattr(app.state, part.name, part.service)
        for router in part.routers:
            app.include_router(router, dependencies=locks)
        for address, file in part.pages.items():
            app.api_route(address, methods=["GET", "HEAD"], include_in_schema=False)(_page(file))
    _add_health(app, parts)
    _add_metrics(app, counted, locks)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _describe(app, parts, open_to_all=not keys)
    return app


def _add_health(app: FastAPI, parts: Sequence[Part]) -> None:
    shares: dict[str, Any] = {part.name: (part.health_model, ...) for part in parts}
    status: Any = (Literal["ok", "unavailable"], Field(description="ok if some part serves, and none fails."))
    model = create_model("Health", status=status, **shares)

    @app.get("/health", tags=["health"], response_model=model, responses={503: {"model": model}})
    def health(response: Response) -> Any:
        """Whether each part serves, and what keeps it from that. 503 if a part fails, or none serves. Needs no API key."""
        told: dict[str, PartHealth] = {part.name: part.health() for part in parts}
        found = {share.status for share in told.values()}
        fine = "ok" in found and "unavailable" not in found
        if not fine:
            response.status_code = 503
            response.headers.update(RETRY)
        return {"status": "ok" if fine else "unavailable", **told}

    for part in parts:
        responses: dict[int | str, dict[str, Any]] = {503: {"model": part.health_model}}
        app.get(f"/health/{part.name}", tags=["health"], response_model=part.health_model, responses=responses)(
            _own(part)
        )


def _own(part: Part) -> Callable[..., Any]:
    def health(response: Response) -> PartHealth:
        told = part.health()
        if told.status != "ok":
            response.status_code = 503
            response.headers.update(RETRY)
        return told

    health.__doc__ = f"The share of {part.name} alone; 503 unless it serves. Needs no API key."
    return health


def _add_metrics(app: FastAPI, metrics: Metrics, locks: Sequence[Any]) -> None:
    told: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    if locks:
        told[401] = {"model": Failed, "description": "An API key is needed, and was not given or is not known."}

    @app.get("/metrics", tags=["health"], response_class=Response, responses=told, dependencies=locks)
    def numbers() -> Response:
        """Prometheus' text form. Of all processes that answer here. Needs an API key where there are keys, as a Bearer token."""
        return Response(metrics.text(), media_type=TEXT)


def _page(file: str) -> Callable[[], Any]:
    async def page() -> FileResponse:
        return FileResponse(STATIC / file)

    return page


def _lock(keys: Keys) -> Callable[..., Any]:
    async def require_key(
        request: Request,
        key: Annotated[str | None, Depends(_header)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> None:
        request.state.caller = keys.hold(key or (bearer.credentials if bearer else None))

    return require_key


def _describe(app: FastAPI, parts: Sequence[Part], *, open_to_all: bool) -> None:
    """Add to the OpenAPI document the answers of routes that make them by hand, and leave out what none gives."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        made = plain()
        schemas = made["components"]["schemas"]
        for model in (model for part in parts for model in part.described):
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(described.pop("$defs", {}))
            schemas[model.__name__] = described
        if open_to_all:
            for path in made["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("401", None)
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way
