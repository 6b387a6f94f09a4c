"""The systems of the platform and their tables in the lake, for what goes over all of them: running, sweeping, deploying, the data dictionary.

Belongs here: the list. Doesn't: anything about a single table (each system's tables.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from instacart_pipeline.customers import mart_tables as customers_mart
from instacart_pipeline.customers import tables as customers
from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.reorder import model_tables as reorder_models
from instacart_pipeline.reorder import tables as reorder
from instacart_pipeline.retail import sandbox_tables as retail_sandbox
from instacart_pipeline.retail import tables as retail

FIRST_DAYS: Mapping[str, str] = {
    reorder.SYSTEM: "INSTACART_FIRST_DAY",
    retail.SYSTEM: "INSTACART_RETAIL_FIRST_DAY",
    customers.SYSTEM: "INSTACART_CUSTOMERS_FIRST_DAY",
}
"""The variable that sets the first day of each system."""

STAGED_TABLES: Mapping[str, tuple[TableContract, ...]] = {
    reorder.SYSTEM: reorder.STAGED,
    retail.SYSTEM: retail.STAGED,
    customers.SYSTEM: customers.STAGED,
}
"""The tables of each system that are raw files, entered in the catalog by its crawler."""

LAKE_TABLES: Mapping[str, tuple[TableContract, ...]] = {
    reorder.SYSTEM: (
        *reorder.CURATED_TABLES.values(),
        *map(rejects_of, reorder.CURATED_TABLES.values()),
        *reorder.DERIVED,
        *reorder_models.MODEL_TABLES,
    ),
    retail.SYSTEM: (
        *retail.CURATED_TABLES.values(),
        *map(rejects_of, retail.CURATED_TABLES.values()),
        retail.TRANSACTIONS,
        *retail_sandbox.SANDBOX_TABLES,
    ),
    customers.SYSTEM: (
        *customers.CURATED_TABLES.values(),
        *map(rejects_of, customers.CURATED_TABLES.values()),
        *customers.DERIVED,
        *customers_mart.MART_TABLES,
    ),
}
"""The tables of each system that have files of their own in the lake: all but the staged ones, which are raw files, and the warehouse's."""
