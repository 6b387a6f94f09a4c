"""What the API refuses, and how: a status, a code for programs and a sentence for people, always as the same JSON.

Belongs here: the errors of the HTTP side and how every other one is told. Doesn't: what is refused where.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from instacart_pipeline.lake.errors import PipelineError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

_log = logging.getLogger(__name__)
RETRY = {"Retry-After": "2"}


class Refused(PipelineError):
    """A request that is answered with `status`; `code` is the same for every error of its kind."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, dict(headers or {})


class Problem(BaseModel):
    """What is wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class Failed(BaseModel):
    """The body of every answer that is not a success."""

    error: Problem


def refusal(code: str, message: str) -> dict[str, Any]:
    """The body of every error."""
    return {"error": {"code": code, "message": message}}


def tell_errors(app: FastAPI) -> None:
    """See to it that everything raised reaches the caller in this form, and that no error of ours is told as the caller's."""
    from fastapi.exceptions import RequestValidationError  # noqa: PLC0415  # takes a while to load
    from fastapi.responses import JSONResponse  # noqa: PLC0415
    from starlette.exceptions import HTTPException  # noqa: PLC0415
    from starlette.requests import ClientDisconnect  # noqa: PLC0415

    def answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse(refusal(code, message), status, dict(headers or {}))

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)  # noqa: S101  # as registered below
        return answer(error.status, error.code, str(error), error.headers)

    async def unavailable(_: Request, error: Exception) -> JSONResponse:
        return answer(503, "unavailable", str(error), RETRY)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        phrase = HTTPStatus(error.status_code).phrase
        text = {
            404: "There is nothing at this address. /openapi.json lists what there is.",
            405: "This address does not take this method. /openapi.json lists what it takes.",
        }.get(error.status_code, f"{phrase}.")
        return answer(error.status_code, phrase.lower().replace(" ", "_"), text, error.headers)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        told = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        return answer(422, "invalid", f"{told}.")

    async def gone(_: Request, error: Exception) -> JSONResponse:
        del error
        return answer(
            400, "cut_short", "The request was cut short."
        )  # nobody reads it; nothing of ours has failed either

    async def ours(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer(500, "internal", "The server failed; its log says why. Try again, or tell whoever runs it.")

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(PipelineError, unavailable)  # what the caller is at fault of is Refused
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, ours)
