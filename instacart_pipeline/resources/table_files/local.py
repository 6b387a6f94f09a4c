"""Table files on this machine: the version's own folder."""

from pathlib import Path

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.table_files import TableFiles, version_missing_error


class LocalTableFiles(TableFiles):
    """Folders of the lake, read where they lie."""

    def folder(self, version: Version, scratch: Path) -> Path:  # noqa: ARG002  # nothing is copied
        """See TableFiles."""
        path = Path(version.location)
        if not any(path.glob("*.parquet")):
            raise version_missing_error(version)
        return path
