"""Storage: the raw zone, where uploads arrive.

Belongs here: what listing and putting uploads promise. Its twins: local/storage.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource


@dataclass(frozen=True)
class RawObject:
    """An uploaded file: its path below the raw zone, bytes, the time it was last written (seconds since 1970) and its ETag.

    The ETag is a digest of the content: the same bytes have the same one, whenever they were uploaded.
    """

    path: str
    size: int
    modified: float
    etag: str


class Storage(ConfigurableResource[Any], ABC):
    """The raw zone: raw/<system>/<table>/dt=<day>/<any name>.csv[.gz]."""

    @abstractmethod
    def days(self, system: str, table: str) -> Sequence[str]:
        """The days that a table has a folder for, sorted."""

    @abstractmethod
    def objects(self, system: str, table: str, dt: str, *, limit: int) -> Sequence[RawObject]:
        """The data files of one day of a table, by path, at most `limit`."""

    @abstractmethod
    def put(self, system: str, table: str, dt: str, files: Sequence[Path]) -> Mapping[str, bool]:
        """Make `files` the day's files of a table: each appears whole or not at all, others of the day are removed.

        Returns, by file name, whether it was written; a file that is there already, byte for byte, is left alone.
        """
