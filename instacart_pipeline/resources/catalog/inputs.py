"""What a query reads: the versions of its tables at a day, and their columns, as the catalog has them.

Belongs here: looking a query's tables up, the same for both backends of every service.
"""

from __future__ import annotations

from instacart_pipeline.lake.errors import TableNotFound
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.catalog import MADE_BY, Catalog


def inputs_of(catalog: Catalog, query: Query, dt: str) -> dict[str, Version]:
    """The versions, at day `dt`, of the tables a query reads. Raises TableNotFound saying which is missing."""
    versions = {}
    for database, name in query.tables():
        table = catalog.table(database, name)
        found = catalog.partitions(database, name, dt)
        if not found:
            made_by = table.parameters.get(MADE_BY, database.rsplit("_", 1)[0])
            raise TableNotFound(
                f"{query.name} reads {table.qualified_name}, which has no partition dt={dt}. "
                f"Build it with `instacart-pipeline run {made_by} --dt {dt}`."
            )
        versions[table.qualified_name] = found[0].version
    return versions


def schema_at(catalog: Catalog, query: Query) -> dict[str, dict[str, dict[str, str]]]:
    """The columns of the tables a query reads, as the catalog has them, the partition column included."""
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for database, name in query.tables():
        table = catalog.table(database, name)
        schema.setdefault(database, {})[name] = {**dict(table.columns), **dict.fromkeys(table.partition_keys, "string")}
    return schema
