"""The catalog: which tables and partitions there are, and where each one's data lies.

Belongs here: what a catalog promises, in the terms of the Glue Data Catalog.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.errors import TableNotFound
from instacart_pipeline.lake.versions import Version

MADE_BY = "made_by"
"""A table's parameter: what `instacart-pipeline run` is told to make it, where that isn't the system."""


@dataclass(frozen=True)
class CatalogTable:
    """A table's definition: (name, type) of its columns without the partition key, and the prefix its data lies under."""

    database: str
    name: str
    columns: tuple[tuple[str, str], ...]
    location: str
    description: str = ""
    partition_keys: tuple[str, ...] = (PARTITION,)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def qualified_name(self) -> str:
        """`database.table`."""
        return f"{self.database}.{self.name}"

    @classmethod
    def of(cls, contract: TableContract, location: str) -> CatalogTable:
        """The definition a contract makes."""
        columns = tuple((column.name, str(column.type)) for column in contract.columns)
        made_by = {MADE_BY: contract.made_by} if contract.made_by else {}
        return cls(contract.database, contract.name, columns, location, contract.description, parameters=made_by)


@dataclass(frozen=True)
class Partition:
    """One day of a table: the folder its files lie in, and the parameters kept with it (see lake/versions.py)."""

    dt: str
    location: str
    parameters: Mapping[str, str]

    @property
    def version(self) -> Version:
        """What the parameters say of the data."""
        return Version.of(self.location, self.parameters)


class Catalog(ConfigurableResource[Any], ABC):
    """Databases, tables and partitions. Every call sees the latest state; every change is one step, whole or not at all."""

    @abstractmethod
    def tables(self, database: str | None = None) -> Sequence[CatalogTable]:
        """All tables, or those of one database, sorted by name."""

    @abstractmethod
    def put_table(self, table: CatalogTable) -> None:
        """Create the table, and its database, or replace its definition. Partitions stay."""

    @abstractmethod
    def partitions(self, database: str, table: str, dt: str | None = None) -> Sequence[Partition]:
        """The table's partitions, or the one of day `dt`, sorted by day; none if there is no such table or day."""

    @abstractmethod
    def drop_partition(self, database: str, table: str, dt: str) -> None:
        """Remove a partition from the catalog, if it is there. Files are not touched."""

    @abstractmethod
    def publish(self, database: str, table: str, dt: str, version: Version) -> Version:
        """Point the partition at `version` in one step and return what it points at afterwards.

        That is `version`, with the replaced one among its `retired`; or the current one, unchanged, if it was computed
        from newer inputs (lake/versions.py:supersedes). Safe against any number of writers at once.
        """

    @abstractmethod
    def forget_retired(self, database: str, table: str, dt: str, locations: Sequence[str]) -> None:
        """Strike locations, whose files are gone, from the list of a partition's earlier versions."""

    def lost_days(self, table: TableContract) -> Sequence[str]:
        """The days of which the lake holds published files, newer than what the catalog names: it was lost, or restored from before.

        Only a catalog beside its lake can tell; any other is taken at its word.
        """
        del table
        return ()

    def table(self, database: str, name: str) -> CatalogTable:
        """The definition of a table. Raises TableNotFound naming what there is."""
        tables = self.tables()
        for table in tables:
            if (table.database, table.name) == (database, name):
                return table
        there_is = ", ".join(table.qualified_name for table in tables) or "nothing yet"
        raise TableNotFound(f"The catalog has no table {database}.{name}. There is {there_is}.")

    def find(self, table: TableContract, dt: str) -> Version | None:
        """The current version of a day of a table, or None."""
        return next((found.version for found in self.partitions(table.database, table.name, dt)), None)

    def current(self, table: TableContract, dt: str) -> Version:
        """The current version of a day of a table. Raises TableNotFound saying how to make it."""
        version = self.find(table, dt)
        if version is None:
            raise TableNotFound(f"{table.qualified_name} has no partition dt={dt}. Build it with {table.remedy(dt)}.")
        return version
