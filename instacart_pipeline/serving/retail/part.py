"""The retail system's part of the web application: its addresses, its pages, what is looked after meanwhile.

Belongs here: putting that together, and its share of /health. Doesn't: the routes themselves (ingest.py, invoices.py, sales.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.resources.stream import Stream
from instacart_pipeline.serving.part import Part, PartHealth
from instacart_pipeline.serving.retail.service import Service

ROUTERS: Sequence[APIRouter] = ()
"""The addresses: a module each, with its own `router`."""
PAGES: Mapping[str, str] = {}
"""The pages: address, and file below static/."""


def service_of(stream: Stream, lookups: LookupTables) -> Service:
    """What answers requests, of a profile's resources."""
    return Service(stream, lookups)


def retail_part(service: Service) -> Part:
    """The part."""
    return Part(
        name="retail",
        about="Transactions of the shop: lines of invoices in, invoices and sales out.",
        service=service,
        routers=ROUTERS,
        health=lambda: health(service),
        health_model=PartHealth,
        pages=PAGES,
    )


def health(service: Service) -> PartHealth:
    """Whether lines can be taken."""
    service.stream.state()
    return PartHealth(status="ok", trouble=[])
