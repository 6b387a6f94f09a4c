"""Ingest on this machine: files of the raw folder are ingested by the embedded engine."""

import time
from collections.abc import Sequence
from pathlib import Path

from dagster import ResourceDependency

from instacart_pipeline.engine.ingest import ingest_table
from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.lake.errors import UploadChanged
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.ingest import Ingest, Inputs, facts_of, held_to_limit, those_read
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.storage import RawObject, listing_digest
from instacart_pipeline.resources.storage.local import raw_objects


class LocalIngest(Ingest):
    """Ingests CSV files of the local raw zone. `max_rejected` is the share of rows that may be rejected."""

    lake: ResourceDependency[LocalLake]
    max_rejected: float

    def ingest_table(
        self, staged: TableContract, target: TableContract, dt: str, *, may_lack: bool = False
    ) -> Published:
        """See Ingest."""
        started = time.perf_counter()
        inputs = Inputs.of(self.lake.catalog, staged, target, dt, may_lack=may_lack)
        read = self._unchanged(staged, dt, inputs.upload)
        rejects, raw_zone = rejects_of(target), Path(self.lake.zones.zone("raw"))
        files = [raw_zone / found.path for found in read]
        with (
            self.lake.new_version(target, dt) as folder,
            self.lake.new_version(rejects, dt) as rejects_folder,
            self.lake.engine() as connection,
            self.lake.scratch() as scratch,
        ):
            ingested = ingest_table(
                connection, files, target, inputs.versions, folder.path, rejects_folder.path, scratch, raw_zone
            )
            self._unchanged(staged, dt, inputs.upload, read if may_lack else None)
            rejected = Version(
                rejects_folder.name,
                str(rejects_folder.path),
                ingested.rejects,
                _size(rejects_folder.path),
                inputs.lineage,
            )
            self.lake.catalog.put_table(CatalogTable.of(rejects, self.lake.zones.table(rejects)))
            self.lake.publish(rejects, dt, rejected)
            outcomes = held_to_limit(target, dt, ingested, self.max_rejected)
            version = Version(
                folder.name,
                str(folder.path),
                ingested.rows,
                _size(folder.path),
                inputs.lineage,
                outcomes,
                facts_of(ingested),
            )
            self.lake.catalog.put_table(CatalogTable.of(target, self.lake.zones.table(target)))
            current = self.lake.publish(target, dt, version)
        seconds = time.perf_counter() - started
        return Published(target, dt, current, seconds, superseded=current.name != version.name)

    def _unchanged(
        self, staged: TableContract, dt: str, upload: Version | None, read: Sequence[RawObject] | None = None
    ) -> Sequence[RawObject]:
        """The files of the upload, or of those only what was `read`. Raises UploadChanged if they are not the ones that were catalogued."""
        zones = self.lake.zones
        folder = upload.location if upload else zones.raw_partition(staged.system, staged.name, dt)
        objects = those_read(raw_objects(Path(folder), Path(zones.zone("raw"))), read)
        if listing_digest(objects) != (upload.facts["listing"] if upload else listing_digest([])):
            raise UploadChanged(
                f"The files of {staged.qualified_name} dt={dt} changed after they were catalogued. "
                f"Run the day again once the upload is whole; the sensor does so by itself."
            )
        return objects


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))
