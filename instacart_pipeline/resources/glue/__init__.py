"""Glue: Spark jobs over tables.

Belongs here: what a Glue job is made of and what running one promises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.published import Published


@dataclass(frozen=True)
class GlueJob:
    """A job that writes the result of `query`, which takes the parameter `:dt`, as `files` Parquet files."""

    name: str
    query: Query
    files: int = 1


class Glue(ConfigurableResource[Any], ABC):
    """Runs Glue jobs. A run that fails or is stopped publishes nothing and leaves neither job nor session behind."""

    @abstractmethod
    def run(self, job: GlueJob, target: TableContract, dt: str) -> Published:
        """Publish the job's result as `target` at `dt`.

        Raises: UnsupportedSql before anything starts; TableNotFound if an input has no such day; JobFailed with the
        job's own error and the end of its log; VersionRefused if the result breaks the target's contract.
        """
