"""Ingest: a day's upload of a table, held to its contract row by row.

Belongs here: what ingest promises, and what both backends make of its counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.engine.ingest import IngestedRows
from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.lake.rules import REJECTS_WITHIN_LIMIT, ROWS_ACCOUNTED, Outcome
from instacart_pipeline.lake.versions import Version, lineage_of
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.published import Published, VersionRefused
from instacart_pipeline.resources.storage import RawObject


class Ingest(ConfigurableResource[Any], ABC):
    """Ingests uploaded rows: good ones become the typed table, others its rejects, exact duplicates are counted.

    Of several rows with one key the first in the file is kept. Nothing else leaves the sight of the caller:
    rows read = rows published + rejects + duplicates.
    """

    @abstractmethod
    def ingest_table(
        self, staged: TableContract, target: TableContract, dt: str, *, may_lack: bool = False
    ) -> Published:
        """Publish the good rows of `staged` at `dt` as `target`, and the others as `<target>_rejects`.

        The facts of the version are rows_in, rejects and duplicates. If `staged` has no such day and `may_lack` it, both are
        published without rows, and their lineage names no upload: a day that comes later replaces them. To such a table files may be
        added at any time: while those that were catalogued are read, others that come leave them as they are.

        Raises: ColumnsMissing, FileUnreadable and UploadChanged about files; VersionRefused if more than the allowed
        share of rows was rejected: the rejects are then published, to be looked at, and the good rows are not.
        """


@dataclass(frozen=True)
class Inputs:
    """What an ingest reads: the upload, if there is one, the tables looked up by qualified name, and the lineage they make."""

    upload: Version | None
    references: Mapping[str, Version]
    lineage: Mapping[str, str]

    @classmethod
    def of(
        cls, catalog: Catalog, staged: TableContract, target: TableContract, dt: str, *, may_lack: bool = False
    ) -> Inputs:
        """The inputs as the catalog has them. Raises TableNotFound, and MixedUploads if they don't belong together."""
        upload = catalog.find(staged, dt) if may_lack else catalog.current(staged, dt)
        tables = {column.references.table for column in target.columns if column.references}
        references = {table.qualified_name: catalog.current(table, dt) for table in tables}
        # A table looked up in another must come from the upload that is in the catalog now, as this one does.
        uploads = [table.moved_to(staged.database) for table in tables]
        uploaded = {table.qualified_name: catalog.current(table, dt) for table in uploads}
        own = {staged.qualified_name: upload} if upload else {}
        return cls(upload, references, lineage_of({**own, **references, **uploaded}))

    @property
    def versions(self) -> dict[str, str]:
        """The folder of each table looked up."""
        return {name: version.location for name, version in self.references.items()}


def those_read(objects: Sequence[RawObject], read: Sequence[RawObject] | None) -> Sequence[RawObject]:
    """Of files that lie there now those that were `read`; all of them if it is None."""
    paths = {found.path for found in read or ()}
    return objects if read is None else [found for found in objects if found.path in paths]


def held_to_limit(target: TableContract, dt: str, ingested: IngestedRows, max_rejected: float) -> tuple[Outcome, ...]:
    """What came of every rule of an ingest, that all rows are accounted for and few enough rejected among them.

    Raises VersionRefused if one is broken.
    """
    lost = abs(ingested.rows_in - ingested.rows - ingested.rejects - ingested.duplicates)
    accounts = (
        f"{ingested.rows_in:,} rows in = {ingested.rows:,} published + {ingested.rejects:,} rejects"
        f" + {ingested.duplicates:,} duplicates."
    )
    share = ingested.rejects / max(ingested.rows_in, 1)
    limit = (
        f"{ingested.rejects:,} of {ingested.rows_in:,} rows rejected ({share:.2%}; at most {max_rejected:.2%} may be)."
    )
    outcomes = (
        *ingested.outcomes,
        Outcome(ROWS_ACCOUNTED.name, lost, accounts),
        Outcome(REJECTS_WITHIN_LIMIT.name, ingested.rejects if share > max_rejected else 0, limit),
    )
    if not all(outcome.passed for outcome in outcomes):
        look = f"instacart-pipeline sql \"SELECT * FROM {rejects_of(target).qualified_name} WHERE dt = '{dt}'\""  # shown, not run
        raise VersionRefused(
            target, dt, outcomes, f"Look at the rejected rows with `{look}`, and upload the table again."
        )
    return outcomes


def facts_of(ingested: IngestedRows) -> dict[str, str]:
    """The facts of an ingested version."""
    return {
        "rows_in": str(ingested.rows_in),
        "rejects": str(ingested.rejects),
        "duplicates": str(ingested.duplicates),
    }
