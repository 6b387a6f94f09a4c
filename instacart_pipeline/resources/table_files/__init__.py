"""Table files: the Parquet files of a table's version, in a folder of this machine.

Belongs here: what getting them promises. Doesn't: what is read from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.versions import Version


class VersionGone(PipelineError):
    """The files of a version were removed: it was replaced longer ago than the retention."""


class TableFiles(ConfigurableResource[Any]):
    """Versions of tables as files, to read with any Parquet reader. On one machine they are read where they lie."""

    def folder(self, version: Version, scratch: Path) -> Path:  # noqa: ARG002  # nothing is copied
        """The folder with the version's Parquet files: the lake's own, to be read only, or a copy below `scratch`.

        Raises VersionGone.
        """
        path = Path(version.location)
        if not any(path.glob("*.parquet")):
            raise version_missing_error(version)
        return path


def version_missing_error(version: Version) -> VersionGone:
    """The error that a version's files are there no more."""
    return VersionGone(
        f"{version.location} holds no data files any more: the version was replaced, and removed since. Ask the catalog for "
        f"the current one; if it is this one, build the day again."
    )
