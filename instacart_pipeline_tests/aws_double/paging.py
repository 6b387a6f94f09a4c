"""Pages of a list, by an opaque token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def page(items: Sequence[Item], token: str | None, size: int) -> tuple[list[Item], str | None]:
    """The page that `token` points to, and the token of the next, if there is one."""
    first = int(token.rpartition("-")[2]) if token else 0
    last = first + size
    return list(items[first:last]), f"page-{last}" if last < len(items) else None
