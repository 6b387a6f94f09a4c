"""A part of the web application: all that one system adds to it, so that api.py can put any of them together.

Belongs here: what a part consists of. Doesn't: what is in one (reorder/part.py, retail/part.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

STATIC = Path(__file__).parent / "static"
"""Where pages and what they load lie; all of it is served below /static/."""


class PartHealth(BaseModel):
    """A part's share of /health; its own fields follow these."""

    status: Literal["ok", "unavailable", "unused"] = Field(
        description="ok; unavailable, when it fails at what it is for; or unused, while it has nothing to serve yet."
    )
    trouble: list[str] = Field(description="What keeps it from serving, or from serving what is newest.")


@dataclass(frozen=True)
class Part:
    """What one system adds to the application. Its routes find `service` as `request.app.state.<name>`."""

    name: str
    about: str
    """A sentence for the OpenAPI document."""
    service: object
    routers: Sequence[APIRouter]
    """Addresses that need an API key where there are keys."""
    health: Callable[[], PartHealth]
    """Its share of /health; called in a thread, and may wait."""
    health_model: type[PartHealth]
    pages: Mapping[str, str] = field(default_factory=dict)
    """Pages, which need no key: the address of each, and its file in STATIC."""
    before: Callable[[], None] = lambda: None
    """Called once before the first request is taken. Raises nothing: what fails is said by `health`."""
    meanwhile: Sequence[Callable[[threading.Event], None]] = ()
    """Each runs in a thread of its own while requests are taken, until the event is set."""
    described: Sequence[type[BaseModel]] = ()
    """Answers that routes make by hand, for the OpenAPI document."""
