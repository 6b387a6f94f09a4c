"""Athena: SQL over the tables of the catalog.

Belongs here: what a query and a CREATE TABLE AS promise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.published import Published

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class QueryResult:
    """The rows of a query, cut off at the limit it was given if `truncated`."""

    table: pa.Table
    truncated: bool
    seconds: float


class Athena(ConfigurableResource[Any], ABC):
    """Runs Athena SQL. A statement that fails or is stopped publishes nothing and leaves no query behind."""

    @abstractmethod
    def create_table_as(self, query: Query, target: TableContract, dt: str) -> Published:
        """Publish the result of `query`, which takes the parameter `:dt`, as `target` at `dt`.

        Raises: UnsupportedSql before anything runs; TableNotFound if an input has no such day; VersionRefused if the
        result breaks the target's contract.
        """

    @abstractmethod
    def query(self, query: Query, limit: int | None = None) -> QueryResult:
        """The rows of a query over all days, at most `limit` of them. Raises UnsupportedSql, TableNotFound, JobFailed."""
