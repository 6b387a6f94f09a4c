"""Requests, whichever system they are for: the type and text of a body, and parameters that several routes take.

Belongs here: what all routes refuse alike. Doesn't: what a body holds (reorder/bodies.py, retail/bodies.py), what a day chooses (retail/sales.py).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator

from instacart_pipeline.serving.errors import Refused

CSV, JSON = "text/csv", "application/json"


def media_type(header: str | None) -> str:
    """CSV or JSON, by a Content-Type header. Raises Refused (415)."""
    name = (header or "").split(";")[0].strip().lower()
    if name not in (CSV, JSON):
        raise Refused(
            415, "unsupported_media_type", f"The body is {name or 'of no type'}. Send Content-Type {JSON} or {CSV}."
        )
    return name


def text_of(body: bytes) -> str:
    """A body as text, without a byte order mark. Raises Refused (400)."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(400, "not_utf8", f"The body is not UTF-8 (byte {error.start}).") from None


def _written_as_a_day(given: object) -> object:
    if isinstance(given, str) and not (len(given) == 10 and given[4] == given[7] == "-"):
        raise ValueError("write a day as 2011-01-31")  # pydantic takes seconds since 1970 for days too
    return given


Day = Annotated[date | None, BeforeValidator(_written_as_a_day)]
"""A day, or none."""
