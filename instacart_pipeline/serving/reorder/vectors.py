"""Probabilities of feature vectors: POST /v1/probability, and /invocations as the original endpoint took them.

Belongs here: these two addresses and their OpenAPI. Doesn't: reading bodies (bodies.py), asking (asking.py).
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from instacart_pipeline.reorder.model.features import ORIGINAL, ORIGINAL_THRESHOLD
from instacart_pipeline.serving.errors import Failed, Refused
from instacart_pipeline.serving.reorder.answers import Predictions, Probability, Scores
from instacart_pipeline.serving.reorder.bodies import LARGEST, csv_rows, json_row, wanted_type
from instacart_pipeline.serving.reorder.service import FAILURES, Served, Service
from instacart_pipeline.serving.requests import CSV, JSON, media_type

_EXAMPLE = (3, 12.5, 75.0, 28, 0.4, 42, 4.3, 2, 7, 6, 1500, 0.35, 1.9, 0.47, 6.0, 0.43, 1, 0.5)
_NUMBER = {"anyOf": [{"type": "number", "minimum": -LARGEST, "maximum": LARGEST}, {"type": "null"}]}
_FEATURES = {
    "type": "object",
    "additionalProperties": False,
    "required": ["features"],
    "properties": {
        "features": {
            "anyOf": [
                {
                    "type": "object",
                    "description": "The original's eighteen features by name; a missing value is null.",
                    "additionalProperties": False,
                    "required": list(ORIGINAL),
                    "properties": dict.fromkeys(ORIGINAL, _NUMBER),
                },
                {
                    "type": "array",
                    "description": f"The same in this order: {', '.join(ORIGINAL)}.",
                    "minItems": len(ORIGINAL),
                    "maxItems": len(ORIGINAL),
                    "items": _NUMBER,
                },
            ]
        }
    },
}
_FIELD = r"(-?[0-9]{1,12}(\.[0-9]{1,12})?)?"
_ROW = rf"{_FIELD}(,{_FIELD}){{{len(ORIGINAL) - 1}}}"
_CSV_BODY = {
    "schema": {
        "type": "string",
        "description": f"Rows of {len(ORIGINAL)} numbers, without a header: {', '.join(ORIGINAL)}. A missing value is an empty field.",
        "pattern": rf"^{_ROW}(\n{_ROW})*\n?$",
    },
    "example": ",".join(map(str, _EXAMPLE)),
}
_CSV_ANSWER = {"schema": {"type": "string", "description": "A probability a line."}, "example": "0.1234\n"}
_BODY_FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failed, "description": description}
    for code, description in {
        400: "The body is not UTF-8, or no JSON.",
        406: "The answer does not come in the form asked for.",
        413: "The body is too large.",
        415: "The body is of a type that is not taken.",
    }.items()
}

router = APIRouter(tags=["probabilities"])


@router.post(
    "/v1/probability",
    summary="The probability that a product is bought again, from its features",
    response_class=Response,
    responses={
        **FAILURES,
        **_BODY_FAILURES,
        200: {
            "description": "For JSON one prediction; for CSV a probability a line, or, asked for as JSON, a list.",
            "content": {
                JSON: {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/Probability"},
                            {"$ref": "#/components/schemas/Predictions"},
                        ]
                    }
                },
                CSV: _CSV_ANSWER,
            },
        },
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": _FEATURES, "example": {"features": dict(zip(ORIGINAL, _EXAMPLE, strict=True))}},
                CSV: _CSV_BODY,
            },
        }
    },
)
async def probability(request: Request, service: Served) -> Response:
    """Takes the eighteen numbers of the original endpoint, as JSON or as rows of CSV; CSV may also hold all features of the model."""
    kind = media_type(request.headers.get("content-type"))
    accept = wanted_type(request.headers.get("accept"), kind)
    body = await request.body()
    lines = await run_in_threadpool(_lines, service, kind, body)
    if accept == CSV:
        return PlainTextResponse("".join(f"{line}\n" for line in lines), media_type=CSV)
    told = [Probability(probability=p, likely=p > ORIGINAL_THRESHOLD) for p in map(float, lines)]
    return JSONResponse((told[0] if kind == JSON else Predictions(predictions=told)).model_dump())


@router.post(
    "/invocations",
    summary="The original endpoint's own address: CSV in, a probability a line out",
    response_class=Response,
    responses={
        **FAILURES,
        **_BODY_FAILURES,
        200: {
            "description": "A probability a line; or, asked for as JSON, as SageMaker's XGBoost container tells it.",
            "content": {CSV: _CSV_ANSWER, JSON: {"schema": {"$ref": "#/components/schemas/Scores"}}},
        },
    },
    openapi_extra={"requestBody": {"required": True, "content": {CSV: _CSV_BODY}}},
)
async def invocations(request: Request, service: Served) -> Response:
    """What was sent to the original endpoint can be sent here as it is."""
    if media_type(request.headers.get("content-type", CSV)) != CSV:
        raise Refused(415, "unsupported_media_type", f"Send {CSV}; /v1/probability takes JSON.")
    accept = wanted_type(request.headers.get("accept"), CSV)
    lines = await run_in_threadpool(_lines, service, CSV, await request.body())
    if accept == JSON:
        return JSONResponse(Scores.model_validate({"predictions": [{"score": float(p)} for p in lines]}).model_dump())
    return PlainTextResponse("".join(f"{line}\n" for line in lines), media_type=CSV)


def _widths(service: Service) -> tuple[int, ...]:
    wanted = len(service.model.features(service.model.version))
    return (len(ORIGINAL), wanted) if wanted else (len(ORIGINAL),)


def _lines(service: Service, kind: str, body: bytes) -> list[str]:
    """The model's answer to a body, a line a row."""
    rows = [json_row(body)] if kind == JSON else csv_rows(body, _widths(service))
    return service.model.pass_on("".join(f"{row}\n" for row in rows).encode(), len(rows))
