"""The warehouse: facts and dimensions for analysts, loaded from the lake, and results published back to it.

Belongs here: what loading and publishing promise. The local backend is a DuckDB file, the AWS backend is Redshift.

A warehouse table is a contract of the zone `warehouse`, such as retail_warehouse.sales_lines. It has the column dt, as every table has:
the day that its rows come from. Statements are Athena SQL as everywhere (lake/sql.py), rendered for the engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.warehouse.loads import Load

if TYPE_CHECKING:
    from instacart_pipeline.resources.athena import QueryResult


@dataclass(frozen=True)
class Loaded:
    """What a load brought into a warehouse table. `rows` are those of the days that were loaded, `total` all of the table.

    `version` names the load, growing with time; `outcomes` is what came of each rule of the table's contract.
    """

    table: TableContract
    rows: int
    total: int
    version: str
    outcomes: Sequence[Outcome]
    seconds: float
    lineage: Mapping[str, str] = field(default_factory=dict)
    service: Mapping[str, str | int | float] = field(default_factory=dict)


class Warehouse(ConfigurableResource[Any], ABC):
    """Loads tables and answers SQL. A load that fails or is stopped leaves the rows that were there; readers never see half of one.

    Loads of one table follow each other, whoever starts them.
    """

    @abstractmethod
    def load(self, query: Query, target: TableContract, days: Sequence[str]) -> Loaded:
        """Make the rows of `days` in `target` those of `query` at these days, in one step; other days stay.

        `query` reads one table of the lake, of which each day is copied (COPY from Parquet) into a staging table; its parameter `:dt` is bound
        day by day. A day that the lake's table lacks ends with no rows.

        Raises UnsupportedSql before anything runs; VersionRefused if the rows to be loaded break the target's contract; JobFailed.
        """

    @abstractmethod
    def rebuild(self, query: Query, target: TableContract, dt: str) -> Loaded:
        """Make all rows of `target` those of `query` over tables of the warehouse, with `dt` as their day, in one step. Raises as `load`."""

    @abstractmethod
    def publish(self, query: Query, target: TableContract, dt: str) -> Published:
        """Publish the result of `query` over tables of the warehouse as day `dt` of `target`, a table of the lake (UNLOAD to Parquet).

        The query may take the parameter `:dt`. The version's lineage names the loads it was computed from. Raises VersionRefused if the result
        breaks the target's contract, leaving the version before in place.
        """

    @abstractmethod
    def query(self, query: Query, limit: int | None = None) -> QueryResult:
        """The rows of a query over tables of the warehouse. Raises UnsupportedSql, TableNotFound, JobFailed."""

    @abstractmethod
    def loads(self, table: TableContract) -> Mapping[str, Load]:
        """Which load brought each day of a table, and from what; none if there is no such table."""

    def days(self, table: TableContract) -> Mapping[str, str]:
        """The days loaded into a table, each with the version of the load that brought it; none if there is no such table."""
        return {dt: load.version for dt, load in self.loads(table).items()}
