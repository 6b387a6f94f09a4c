"""Bodies of requests, whichever system they are for: their type and their text.

Belongs here: what every route that takes CSV or JSON refuses alike. Doesn't: what a body holds (reorder/bodies.py, retail/bodies.py).
"""

from __future__ import annotations

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
