"""What the routes of the retail system share: the stream, the lookup tables, and how a route gets at them.

Belongs here: that, and the refusals that several routes have in common. Doesn't: the routes themselves.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.resources.stream import Stream


@dataclass(frozen=True)
class Service:
    """What answers requests."""

    stream: Stream
    lookups: LookupTables


async def _service(request: Request) -> Service:
    found: Service = request.app.state.retail
    return found


Served = Annotated[Service, Depends(_service)]
