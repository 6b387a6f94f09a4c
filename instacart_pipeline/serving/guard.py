"""What stands in front of every request: the names it may come by, the limit of a body, the headers that browsers heed, and API keys.

Belongs here: what holds for all addresses alike. Doesn't: what a single one takes (requests.py).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from instacart_pipeline.container.contract import MAX_BODY
from instacart_pipeline.serving.errors import Refused, refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]

_NAME_DIGITS = 16
"""Hexadecimal digits of a caller's name: enough for as many keys as there will ever be, too few to look a key up by."""


class Guard:
    """An ASGI application around another one, which has its pages at `pages`.

    With a `host` it answers to that name and this machine's own alone: a page of another site, whose name leads here for once, would
    otherwise read everything in its visitor's browser (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, pages: Set[str], host: str | None) -> None:
        self.app, self._pages, self._host = app, pages, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless its body is too large, and its answer back, with the headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", []), *_HEADERS, self._cached(scope)]
            await send(message)

        headers = dict(scope["headers"])
        if self._host is not None and not self._is_own(headers.get(b"host", b"localhost").decode("latin-1")):
            await _refuse(sending, 421, "misdirected", f"{_KEYLESS} {self._host}; or set INSTACART_API_KEYS.")
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MAX_BODY:
            await _refuse(sending, *_TOO_LARGE)
            return
        size = 0

        async def receiving() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise _TooLarge
            return message

        try:
            await self.app(scope, receiving, sending)
        except _TooLarge:
            if begun:
                raise
            await _refuse(sending, *_TOO_LARGE)

    def _is_own(self, named: str) -> bool:
        try:
            name = urlsplit(f"//{named}").hostname
        except ValueError:
            return False
        return name is not None and (is_loopback(name) or name == (self._host or "").lower())

    def _cached(self, scope: Scope) -> tuple[bytes, bytes]:
        # Answers change with the data; the pages' own files are asked for again, and sent only if they changed.
        own = scope["path"] in self._pages or scope["path"].startswith("/static/")
        return b"cache-control", b"no-cache" if own else b"no-store"


class _TooLarge(Exception):
    """More came than the request said, or it said nothing."""


_TOO_LARGE = 413, "too_large", f"The body is larger than {MAX_BODY:,} bytes. Send fewer rows at a time."
_KEYLESS = "No API key protects this server, so it answers to this machine's own names alone. Ask it by localhost, 127.0.0.1 or"


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, which no other one reaches."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


async def _refuse(
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]], status: int, code: str, message: str
) -> None:
    body = json.dumps(refusal(code, message)).encode()
    # The rest of the body is not read: the connection can't be used again.
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Keys:
    """The API keys that open the API; none lets everybody in. Only their digests are kept."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def hold(self, given: str | None) -> str:
        """Who calls: a name of the key, which tells it from the others and gives nothing of it away; "" if there are none.

        Raises Refused (401) unless `given` is one of the keys.
        """
        if not self._digests:
            return ""
        digest = _digest(given or "")
        # Every key is compared, whole: how long it takes says nothing about how near a guess came.
        if sum(hmac.compare_digest(digest, known) for known in self._digests):
            return hashlib.sha256(b"caller\n" + digest).hexdigest()[:_NAME_DIGITS]
        what = "This API key is not known." if given else "An API key is needed."
        raise Refused(
            401,
            "unauthorized",
            f"{what} Send one in the header X-API-Key, or as Authorization: Bearer KEY.",
            {"WWW-Authenticate": "Bearer"},
        )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
