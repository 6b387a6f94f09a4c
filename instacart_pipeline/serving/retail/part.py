"""The retail system's part of the web application: transactions in, invoices out. The dashboard is a part of its own (sales.py).

Belongs here: putting that together, and its share of /health. Doesn't: the routes themselves (ingest.py, invoices.py).
"""

from __future__ import annotations

import threading

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.serving.part import Part
from instacart_pipeline.serving.retail import ingest, invoices
from instacart_pipeline.serving.retail.answers import Accepted, ConsumerBehind, NoneAccepted, RetailHealth
from instacart_pipeline.serving.retail.service import Service


def retail_part(service: Service, *, look_every: float = 1.0) -> Part:
    """The part. It looks how far the consumers are behind every `look_every` seconds."""
    return Part(
        name="retail",
        about="Transactions of the shop: lines of invoices in, invoices out.",
        service=service,
        routers=(ingest.router, invoices.router),
        health=lambda: health(service),
        health_model=RetailHealth,
        before=service.look,
        meanwhile=(service.writer.run, lambda stop: _keep_looking(service, stop, look_every)),
        described=(Accepted, NoneAccepted),
    )


def health(service: Service) -> RetailHealth:
    """Whether lines are taken, and how far the consumers are behind."""
    trouble = []
    try:
        service.stream.state()
        trouble += [service.writer.trouble] if service.writer.trouble else []
        service.backlog.hold()
    except PipelineError as error:
        trouble.append(str(error))
    return RetailHealth(
        status="unavailable" if trouble else "ok",
        trouble=[*trouble, *([service.backlog.trouble] if service.backlog.trouble else [])],
        consumers={
            name: ConsumerBehind(records=behind.records, seconds=behind.seconds)
            for name, behind in service.backlog.behind.items()
        },
        dead_letters=service.dead_letters,
    )


def _keep_looking(service: Service, stop: threading.Event, every: float) -> None:
    while not stop.wait(every):
        service.look()
