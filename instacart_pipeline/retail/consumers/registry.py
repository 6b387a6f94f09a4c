"""Which consumers there are."""

from __future__ import annotations

from collections.abc import Mapping

from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.retail.consumers import lookups, raw_zone
from instacart_pipeline.retail.consumers.consumer import Consumer

NAMES = (raw_zone.NAME, lookups.NAME)


def consumers(storage: Storage, tables: LookupTables, buffer_seconds: float) -> Mapping[str, Consumer]:
    """The consumers by name, over a profile's resources. `buffer_seconds` is how long lines are gathered for a file."""
    made = (raw_zone.raw_zone(storage, tables, buffer_seconds), lookups.lookups(tables))
    return {consumer.name: consumer for consumer in made}
