"""Requests that are sent again with their Idempotency-Key: which body a key belongs to, and how many of its lines are stored.

Belongs here: that. Doesn't: what they are answered with. An answer follows from the body, and the day, so it is made again, not kept.

A key belongs to the caller, by whose API key it came, and to the first body that comes with it, from before that is stored: so of two at once one is refused, and nothing of it is
stored. Whether the first is stored is known only afterwards; sent again in between, it is stored again, which adds no line.
"""

from __future__ import annotations

import hashlib
import time

from instacart_pipeline.resources.lookup_tables import Item, LookupTables
from instacart_pipeline.retail.lookups import REQUESTS
from instacart_pipeline.serving.errors import Refused

KEPT_SECONDS = 24 * 3600
"""How long a key is kept at least. It is free again once the table forgets it, which on DynamoDB may be two days later."""


def digest_of(body: bytes, kind: str) -> str:
    """What tells a body from every other one."""
    return hashlib.sha256(kind.encode() + b"\n" + body).hexdigest()


def key_of(caller: str, key: str) -> str:
    """A caller's key, as it is told from the keys of others: those who choose the same one see nothing of each other's requests."""
    return f"{caller}#{key}"


def take(lookups: LookupTables, key: str, digest: str) -> int:
    """Have a caller's key (`key_of`) belong to a body. Returns how many of the body's lines are stored already. Raises Refused (422) if it belongs to another one."""
    known = None
    while known is None:  # one that was forgotten between two looks is free
        if lookups.put_if_new(REQUESTS, _request(key, digest, 0)):
            return 0
        known = lookups.get(REQUESTS, key)
    if known["digest"] != digest:
        raise Refused(
            422,
            "key_reused",
            f"Another body was sent with the Idempotency-Key {key.partition('#')[2]!r} within the last days. A key belongs to one body: send this one with "
            "a new key, or without any. Nothing of it was stored.",
        )
    return int(known.get("stored", 0))


def remember(lookups: LookupTables, key: str, digest: str, lines: int) -> None:
    """Remember for a day at least that so many lines are stored of the body to which a key belongs."""
    lookups.put(REQUESTS, [_request(key, digest, lines)])


def _request(key: str, digest: str, stored: int) -> Item:
    return {"idempotency_key": key, "digest": digest, "stored": stored, "expires": int(time.time()) + KEPT_SECONDS}
