"""Storage: the raw zone, where uploads arrive.

Belongs here: what listing and putting uploads promise.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.errors import InputInvalid, PipelineError

MOST_FILES = 50_000
"""Files that one table of one day may have. A day is looked at often, so there is a bound to what a look costs. The stream's consumer writes one
file a shard and buffer, and one for each 10,000 lines: 34 shards may write all day at a buffer of 60 s."""


class FileNotWritten(PipelineError):
    """The raw zone's disk is full, or is not to be written to."""


@dataclass(frozen=True)
class RawObject:
    """An uploaded file: its path below the raw zone, bytes, and when it was last written (nanoseconds since 1970).

    `tag` is what the store itself says of the content, where it does: S3 knows times by the second only.
    """

    path: str
    size: int
    modified_ns: int
    tag: str = ""


def is_data_file(name: str) -> bool:
    """Whether a file of that name is data. Hidden and underscored files are uploads under way or markers."""
    return not name.startswith((".", "_")) and name.lower().endswith((".csv", ".csv.gz"))


def listing_digest(objects: Iterable[RawObject]) -> str:
    """A digest of a listing: changes when a file comes, goes, grows or is replaced. Costs no reading of files."""
    digest = hashlib.sha256()
    for found in objects:
        tag = f"\0{found.tag}" if found.tag else ""
        digest.update(f"{found.path}\0{found.size}\0{found.modified_ns}{tag}\n".encode())
    return digest.hexdigest()[:32]


class Storage(ConfigurableResource[Any], ABC):
    """The raw zone: raw/<system>/<table>/dt=<day>/<any name>.csv[.gz]."""

    @abstractmethod
    def days(self, system: str, table: str) -> Sequence[str]:
        """The days that a table has a folder for, sorted."""

    @abstractmethod
    def objects(self, system: str, table: str, dt: str, *, limit: int = MOST_FILES) -> Sequence[RawObject]:
        """The data files of one day of a table, by path, at most `limit`."""

    def all_objects(self, system: str, table: str, dt: str) -> Sequence[RawObject]:
        """All data files of one day of a table. Raises InputInvalid if they are more than any upload should have."""
        found = self.objects(system, table, dt, limit=MOST_FILES + 1)
        if len(found) > MOST_FILES:
            raise InputInvalid(
                f"{table} dt={dt} of {system} has more than {MOST_FILES:,} files. Nothing of it was read. "
                f"Upload it again in fewer, larger files. Of the stream's, raise INSTACART_STREAM_BUFFER_SECONDS (of a Lambda function, the batching "
                f"window of its event source mapping), remove the day's files, and have them written anew: `instacart-pipeline stream replay`."
            )
        return found

    @abstractmethod
    def etag(self, found: RawObject) -> str:
        """A digest of a file's content: the same bytes have the same one, whenever they were uploaded."""

    def etags(self, found: Sequence[RawObject]) -> Sequence[str]:
        """The digests of files of one table and day, in their order; the same whenever the same files are asked for."""
        return [self.etag(each) for each in found]

    @abstractmethod
    def put(self, system: str, table: str, dt: str, files: Sequence[Path]) -> Mapping[str, bool]:
        """Make `files` the day's files of a table: each appears whole or not at all, others of the day are removed.

        Returns, by file name, whether it was written; a file that is there already, byte for byte, is left alone.
        """

    @abstractmethod
    def add(self, system: str, table: str, dt: str, name: str, content: bytes) -> bool:
        """Make `content` the file `name` of a table's day, durably: it appears whole or not at all, in place of one of that name.

        Others of the day are left alone. Returns whether it was written; one that is there already, byte for byte, is left alone too.
        Raises PipelineError if it could not be written; then it may be tried again.
        """
