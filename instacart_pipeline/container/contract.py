"""The words of the serving contract: limits, headers, and the digest by which caller and model agree on the features.

Belongs here: what both ends of a request must know. Free of imports beyond the standard library, as both ends import it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

MAX_BODY = 6_291_456
"""The most bytes that a request's body may have."""

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
"""The header that passes through SageMaker both ways as it is. Here it holds `features=<digest>,model=<version>`."""

FEATURES_DIFFER = "features differ"
"""The text of the answer, of status 400, to a caller whose features aren't the model's."""


def features_digest(names: Iterable[str]) -> str:
    """What stands for feature names in their order: callers send it, the model compares it with its own."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def attributes_of(header: str) -> dict[str, str]:
    """The header's `name=value` pairs; what isn't one is left out."""
    pairs = (part.strip().partition("=") for part in header.split(","))
    return {name: value for name, sign, value in pairs if sign}


def as_header(attributes: Mapping[str, str]) -> str:
    """Pairs as the header holds them."""
    return ",".join(f"{name}={value}" for name, value in attributes.items())
