"""The consumers as Lambda functions on Kinesis: `instacart_pipeline.lambda_functions.to_raw_zone` and `.to_lookups` are their handlers.

Belongs here: the entry points. What they do stands in retail/consumers/. The event source mapping must have ReportBatchItemFailures, or Lambda
takes an answer with failures for success.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from instacart_pipeline.profiles import build_resources
from instacart_pipeline.retail.consumers import lookups, raw_zone
from instacart_pipeline.retail.consumers.consumer import Consumer
from instacart_pipeline.retail.consumers.events import Answer, Event
from instacart_pipeline.retail.consumers.registry import consumers
from instacart_pipeline.settings import Settings


def to_raw_zone(event: Event, context: object) -> Answer:
    """Write the event's lines into the raw zone."""
    return _consumers()[raw_zone.NAME].handle(event, context)


def to_lookups(event: Event, context: object) -> Answer:
    """Put the event's lines into the lookup tables."""
    return _consumers()[lookups.NAME].handle(event, context)


@lru_cache(maxsize=1)
def _consumers() -> Mapping[str, Consumer]:
    """The consumers over the profile's resources, made once a container."""
    settings = Settings.from_env()
    found = build_resources(settings)
    return consumers(found.storage, found.lookup_tables, settings.stream_buffer_seconds)
