"""Transactions in: POST /v1/transactions.

Belongs here: this address, its OpenAPI, and the way of a request from its body to the stream. Doesn't: reading bodies (bodies.py), the
queue before the stream (writer.py).
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from instacart_pipeline.resources.stream import Entry
from instacart_pipeline.retail.days import LineDays
from instacart_pipeline.retail.tables import STREAMED_LINES
from instacart_pipeline.serving.errors import Failed, refusal
from instacart_pipeline.serving.requests import CSV, JSON, media_type
from instacart_pipeline.serving.retail.bodies import MOST_LINES, MOST_LISTED, read_body
from instacart_pipeline.serving.retail.repeated import digest_of, key_of, remember, take
from instacart_pipeline.serving.retail.service import FAILURES, Served

_SMALL_BODY = 8_192
"""Bodies up to this size are read at once: handing them to another thread would take longer."""
_SPELLED = {
    "invoiceno": ("InvoiceNo", "536365"),
    "stockcode": ("StockCode", "85123A"),
    "description": ("Description", "WHITE HANGING HEART T-LIGHT HOLDER"),
    "quantity": ("Quantity", 6),
    "invoicedate": ("InvoiceDate", "2010-12-01 08:26:00"),
    "unitprice": ("UnitPrice", 2.55),
    "customerid": ("CustomerID", "17850"),
    "country": ("Country", "United Kingdom"),
    "repeat": ("Repeat", 1),
}
_TEXT = {"anyOf": [{"type": "string", "maxLength": 64}, {"type": "number"}]}
_TYPES: dict[str, Any] = {
    "invoiceno": _TEXT,
    "stockcode": _TEXT,
    "description": {"type": ["string", "null"], "maxLength": 1000},
    "quantity": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    "invoicedate": {
        "type": "string",
        "description": "The shop's local time, as 2010-12-01 08:26:00 or with a T; tomorrow at the latest.",
    },
    "unitprice": {"anyOf": [{"type": "number"}, {"type": "string"}], "description": "With at most four decimals."},
    "customerid": {"anyOf": [*_TEXT["anyOf"], {"type": "null"}], "description": "Empty if it isn't known."},
    "country": _TEXT,
    "repeat": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
}
_TOLD = {column.name: {"description": column.description} for column in STREAMED_LINES.columns if column.description}
_EXAMPLE = {name: value for key, (name, value) in _SPELLED.items() if key != "repeat"}
_LINE = {
    "type": "object",
    "description": "A line of an invoice. Names may be written in any case, with underscores or without; other fields are ignored.",
    "properties": {name: {**_TOLD.get(key, {}), **_TYPES[key]} for key, (name, _) in _SPELLED.items()},
}
_LIST = {"type": "array", "items": _LINE, "maxItems": MOST_LINES}
_CSV_BODY = "\n".join(",".join(str(value) for value in row) for row in (_EXAMPLE.keys(), _EXAMPLE.values())) + "\n"

router = APIRouter(prefix="/v1", tags=["transactions"])


@router.post(
    "/transactions",
    summary="Lines of invoices in, one or many",
    response_class=Response,
    responses={
        **FAILURES,
        200: {
            "description": "At least one line was accepted, or none was sent. Accepted ones are stored for good.",
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Accepted"}}},
            "headers": {
                "Idempotent-Replayed": {"schema": {"type": "string"}, "description": "true if it was stored before."}
            },
        },
        400: {
            "model": Failed,
            "description": "The body is not UTF-8, no JSON, no CSV, or lacks columns. Nothing was stored.",
        },
        413: {"model": Failed, "description": f"The body is too large, or holds more than {MOST_LINES:,} lines."},
        415: {"model": Failed, "description": "The body is of a type that is not taken."},
        422: {
            "description": "No line was accepted; or a parameter can't be taken; or the Idempotency-Key belongs to another body. Nothing was stored.",
            "content": {
                JSON: {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/NoneAccepted"},
                            {"$ref": "#/components/schemas/Failed"},
                        ]
                    }
                }
            },
        },
        429: {
            "model": Failed,
            "description": "More is waiting than can be taken. Retry-After says when to send it again.",
        },
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "anyOf": [
                            _LINE,
                            _LIST,
                            {"type": "object", "required": ["lines"], "properties": {"lines": _LIST}},
                        ]
                    },
                    "example": {"lines": [_EXAMPLE]},
                },
                CSV: {"schema": {"type": "string", "description": "With a header."}, "example": _CSV_BODY},
            },
        }
    },
)
async def transactions(
    request: Request,
    service: Served,
    ids: Annotated[bool | None, Query(description="Whether to tell the ids of the accepted lines.")] = None,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern="^[ -~]+$",
            description="Chosen at random by the caller, for one body: it belongs to the first body that comes with it, for a day at least. Sent again "
            "with it, that body is answered and not stored again; any other is refused.",
        ),
    ] = None,
) -> Response:
    """Good lines are stored, each bad one is told with its reason; the answer comes when they are stored for good.

    A line is told from others by all that it says, so a request that was cut off can be sent again as it is, with a key or without: no
    line is stored twice. Lines that are alike in everything count as several if they are sent together; in several requests they do
    only if `Repeat` says which one each is: 1, 2, ...
    """
    service.backlog.hold()
    kind = media_type(request.headers.get("content-type"))
    body = await request.body()
    if len(body) > _SMALL_BODY:
        read = await run_in_threadpool(_read, body, kind, service.days, ids=ids, keyed=bool(key))
    else:
        read = _read(body, kind, service.days, ids=ids, keyed=bool(key))
    lookups, replayed = service.lookups, False
    if key and read.entries:
        key = key_of(getattr(request.state, "caller", ""), key)
        # More than before are accepted once the day has come that a line is of.
        replayed = await run_in_threadpool(take, lookups, key, read.digest) >= len(read.entries)
    if read.entries and not replayed:
        await service.writer.put(read.entries)
        if key:
            await run_in_threadpool(remember, lookups, key, read.digest, len(read.entries))
    if not replayed:
        service.numbers.lines.labels("accepted").inc(len(read.entries))
        service.numbers.lines.labels("rejected").inc(read.rejected)
    status = 200 if read.entries or not read.rejected else 422
    return Response(read.answer, status, {"Idempotent-Replayed": "true"} if replayed else None, JSON)


class _Read(NamedTuple):
    """A body, read: what is to be stored of it, and what is answered once it is."""

    entries: Sequence[Entry]
    rejected: int
    answer: bytes
    digest: str


def _read(body: bytes, kind: str, days: LineDays, *, ids: bool | None, keyed: bool) -> _Read:
    sent = read_body(body, kind, days)
    told: dict[str, Any] = {}
    if sent.rejected and not sent.lines:
        told = refusal("none_accepted", "No line was accepted; `rejected` says why, line by line.")
    told |= {
        "accepted": len(sent.lines),
        "rejected": [rejection._asdict() for rejection in sent.rejected],
        "rejected_lines": sent.rejected_lines,
    }
    if ids or (ids is None and kind == JSON and len(sent.lines) <= MOST_LISTED):
        told["line_ids"] = [line.line_id for line in sent.lines]
    return _Read(
        [Entry(line.invoice_no, line.record()) for line in sent.lines],
        sent.rejected_lines,
        orjson.dumps(told),
        digest_of(body, kind) if keyed else "",
    )
