"""What child processes of the tests of the catalog do.

A module of its own, that imports little: each child imports it anew.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.catalog import Catalog, CatalogTable
from instacart_pipeline.resources.catalog.local import SqliteCatalog
from instacart_pipeline_tests.platform import DT

OpenCatalog = Callable[[], Catalog]
TABLE = CatalogTable("shop_curated", "orders", (("id", "bigint"), ("what", "string")), "/elsewhere/shop/orders")
PUBLISHES = 5


def version(name: str, **lineage: str) -> Version:
    return Version(name, f"/lake/{name}", 1, 10, {f"shop_staging.{table}": v for table, v in lineage.items()})


def publish(catalog: Catalog, name: str, dt: str = DT, **lineage: str) -> Version:
    return catalog.publish("shop_curated", "orders", dt, version(name, **lineage))


def publish_many(open_catalog: OpenCatalog, writer: int) -> None:
    """Publish <writer>-<number>, each by a catalog that was opened for it."""
    for number in range(PUBLISHES):
        catalog = open_catalog()
        catalog.put_table(TABLE)
        publish(catalog, f"{writer}-{number}")


def die_in_a_transaction(open_catalog: OpenCatalog) -> None:
    """Be killed once a publish is written and not committed."""
    store = SqliteCatalog._store

    def store_and_die(*arguments: Any) -> None:
        store(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(SqliteCatalog, "_store", store_and_die):
        publish(open_catalog(), "v2")
