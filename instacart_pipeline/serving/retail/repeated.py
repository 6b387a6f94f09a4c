"""Requests that are sent again with their Idempotency-Key: remembering which were stored.

Belongs here: that. Doesn't: what they are answered with. An answer follows from the body alone, so it is made again, not kept.
"""

from __future__ import annotations

import hashlib
import time

from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.retail.lookups import REQUESTS
from instacart_pipeline.serving.errors import Refused

KEPT_SECONDS = 24 * 3600


def digest_of(body: bytes, kind: str) -> str:
    """What tells a body from every other one."""
    return hashlib.sha256(kind.encode() + b"\n" + body).hexdigest()


def is_stored(lookups: LookupTables, key: str, digest: str) -> bool:
    """Whether the body was stored with that key already. Raises Refused (422) if another one was."""
    known = lookups.get(REQUESTS, key)
    if known is None or int(known["expires"]) < time.time():
        return False
    if known["digest"] != digest:
        raise Refused(
            422,
            "key_reused",
            f"Another body was sent with the Idempotency-Key {key!r} within the last 24 hours. A key belongs to one body: send this one with "
            "a new key, or without any.",
        )
    return True


def remember(lookups: LookupTables, key: str, digest: str) -> None:
    """Remember for a day that a body was stored with a key."""
    lookups.put(REQUESTS, [{"idempotency_key": key, "digest": digest, "expires": int(time.time()) + KEPT_SECONDS}])
