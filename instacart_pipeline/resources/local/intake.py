"""The intake on this machine.

An upload is nearly always good, so it is first read as if it were: typed, straight to Parquet, and verified whole. Only if
anything at all is wrong is it read a second time, as text, and sifted row by row (sift.py).
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import TableContract, rejects_of
from instacart_pipeline.lake.errors import ColumnsMissing, UploadChanged
from instacart_pipeline.lake.rules import REJECTS_WITHIN_LIMIT, ROWS_ACCOUNTED, Outcome
from instacart_pipeline.lake.versions import Version, lineage_of
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.intake import Intake
from instacart_pipeline.resources.local.csv_files import CsvFile, csv_files, raw_objects
from instacart_pipeline.resources.local.csv_records import opened
from instacart_pipeline.resources.local.duckdb_sql import duckdb_type
from instacart_pipeline.resources.local.engine import write
from instacart_pipeline.resources.local.lake import LocalLake
from instacart_pipeline.resources.local.sift import EXACT_IN_DOUBLE, Sifted, sift
from instacart_pipeline.resources.local.verify import verify
from instacart_pipeline.resources.published import Published, VersionRefused
from instacart_pipeline.resources.storage import listing_digest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CHUNK = 1 << 20
_DIGITS = b"0123456789,\r"
_WHOLE = ("int", "bigint")


class LocalIntake(Intake):
    """Admits CSV files of the local raw zone. `max_rejected` is the share of rows that may be rejected."""

    lake: ResourceDependency[LocalLake]
    max_rejected: float

    def admit(self, staged: TableContract, target: TableContract, dt: str) -> Published:
        """See Intake."""
        started = time.perf_counter()
        upload = self.lake.catalog.current(staged, dt)
        self._hold_unchanged(staged, dt, upload)
        files = [CsvFile.open(path) for path in csv_files(Path(upload.location))]
        self._hold_columns(target, files)
        references = {c.references.table for c in target.columns if c.references}
        inputs = {table.qualified_name: self.lake.catalog.current(table, dt) for table in references}
        # A table looked up in another must come from the upload that is in the catalog now, as this one does.
        uploads = [table.moved_to(staged.database) for table in references]
        inputs |= {table.qualified_name: self.lake.catalog.current(table, dt) for table in uploads}
        lineage = lineage_of({staged.qualified_name: upload, **inputs})
        with self.lake.new_version(target, dt) as folder, self.lake.engine() as connection:
            sifted, rows, outcomes = self._read(connection, files, target, dt, folder.path)
            self._hold_unchanged(staged, dt, upload)
            self._publish_rejects(connection, sifted, target, dt, lineage)
            outcomes = (*outcomes, *self._account(sifted, rows))
            if not all(outcome.passed for outcome in outcomes):
                look = f"instacart-pipeline sql \"SELECT * FROM {rejects_of(target).qualified_name} WHERE dt = '{dt}'\""
                raise VersionRefused(
                    target, dt, outcomes, f"Look at the rejected rows with `{look}`, and upload the table again."
                )
            size = sum(path.stat().st_size for path in folder.path.glob("*.parquet"))
            facts = {
                "rows_in": str(sifted.rows_in),
                "rejects": str(sifted.rejects),
                "duplicates": str(sifted.duplicates),
            }
            version = Version(folder.name, str(folder.path), rows, size, lineage, outcomes, facts)
            self.lake.catalog.put_table(CatalogTable.of(target, self.lake.zones.table(target)))
            current = self.lake.publish(target, dt, version)
        seconds = time.perf_counter() - started
        return Published(target, dt, current, seconds, superseded=current.name != version.name)

    def _hold_unchanged(self, staged: TableContract, dt: str, upload: Version) -> None:
        objects = raw_objects(Path(upload.location), Path(self.lake.zones.zone("raw")))
        if listing_digest(objects) != upload.facts["listing"]:
            raise UploadChanged(
                f"The files of {staged.qualified_name} dt={dt} changed after they were catalogued. "
                f"Run the day again once the upload is whole; the sensor does so by itself."
            )

    def _hold_columns(self, target: TableContract, files: Sequence[CsvFile]) -> None:
        for file in files:
            missing = [name for name in target.column_names if name not in file.header]
            unexpected = [name for name in file.header if name not in target.column_names]
            if missing:
                raise ColumnsMissing(
                    f"{file.path} lacks {', '.join(missing)} (unexpected: {', '.join(unexpected) or 'none'}). "
                    f"{target.name} has the columns {', '.join(target.column_names)}. Upload the file again with them."
                )

    def _read(
        self, connection: "DuckDBPyConnection", files: Sequence[CsvFile], target: TableContract, dt: str, folder: Path
    ) -> tuple[Sifted, int, tuple[Outcome, ...]]:
        import duckdb  # noqa: PLC0415  # engines are loaded where they are used

        surveys = [survey(file.path) for file in files]
        # Whatever goes wrong with the quick reading, the sifting finds out what it was and says it in better words.
        with suppress(duckdb.Error):
            selects = (_typed(file, target, found.digits_only) for file, found in zip(files, surveys, strict=True))
            write(connection, " UNION ALL ".join(selects), target, folder)
            rows, outcomes = verify(connection, self.lake, target, dt, folder)
            if all(outcome.passed for outcome in outcomes) and rows == sum(found.records for found in surveys):
                return Sifted(rows_in=rows), rows, outcomes
        with self.lake.scratch() as scratch:
            sifted = sift(connection, self.lake.catalog, files, target, dt, scratch, Path(self.lake.zones.zone("raw")))
            write(connection, sifted.good, target, folder)
        rows, outcomes = verify(connection, self.lake, target, dt, folder)
        return sifted, rows, outcomes

    def _account(self, sifted: Sifted, rows: int) -> tuple[Outcome, ...]:
        lost = abs(sifted.rows_in - rows - sifted.rejects - sifted.duplicates)
        accounts = f"{sifted.rows_in:,} rows in = {rows:,} published + {sifted.rejects:,} rejects + {sifted.duplicates:,} duplicates."
        share = sifted.rejects / max(sifted.rows_in, 1)
        limit = f"{sifted.rejects:,} of {sifted.rows_in:,} rows rejected ({share:.2%}; at most {self.max_rejected:.2%} may be)."
        return (
            Outcome(ROWS_ACCOUNTED.name, lost, accounts),
            Outcome(REJECTS_WITHIN_LIMIT.name, sifted.rejects if share > self.max_rejected else 0, limit),
        )

    def _publish_rejects(
        self, connection: "DuckDBPyConnection", sifted: Sifted, target: TableContract, dt: str, lineage: dict[str, str]
    ) -> None:
        rejects = rejects_of(target)
        with self.lake.new_version(rejects, dt) as folder:
            write(connection, sifted.rejected, rejects, folder.path)
            size = sum(path.stat().st_size for path in folder.path.glob("*.parquet"))
            version = Version(folder.name, str(folder.path), sifted.rejects, size, lineage)
            self.lake.catalog.put_table(CatalogTable.of(rejects, self.lake.zones.table(rejects)))
            self.lake.publish(rejects, dt, version)


@dataclass(frozen=True)
class Survey:
    """What a file's bytes alone say: its records below the header, and whether those are digits and commas only."""

    records: int
    digits_only: bool


def survey(path: Path) -> Survey:
    """Look at every byte of a file once: line ends outside quotes are counted, a blank line too."""
    count, digits_only, quoted, last = 0, True, False, b"\n"
    with opened(path) as stream:
        header = stream.readline()
        while chunk := stream.read(_CHUNK):
            rest = chunk.translate(None, _DIGITS) if digits_only else chunk
            digits_only = digits_only and rest.count(b"\n") == len(rest)
            if not quoted and b'"' not in rest:
                count += rest.count(b"\n")
            else:
                for position, part in enumerate(chunk.split(b'"')):
                    quoted = quoted if position == 0 else not quoted
                    count += 0 if quoted else part.count(b"\n")
            last = chunk[-1:]
    return Survey(count + (last != b"\n"), digits_only and header.endswith(b"\n"))


def _typed(file: CsvFile, target: TableContract, digits_only: bool) -> str:
    """A SELECT of the file's rows in their types that fails on the first value that isn't of its type.

    Whole numbers are read as doubles and narrowed here: the reader itself would round 2.7 to 3 without a word. A file of
    digits alone holds nothing to round, and is spared the detour.
    """
    whole = () if digits_only else _WHOLE
    types = {c.name: "DOUBLE" if c.type in whole else duckdb_type(c.type) for c in target.columns}
    columns = []
    for column in target.columns:
        name = f'"{column.name}"'
        if column.type in whole:
            fits = f"{name} = floor({name}) AND abs({name}) < {EXACT_IN_DOUBLE}"
            columns.append(
                f"CASE WHEN {fits} THEN {name}::{column.type} WHEN {name} IS NOT NULL THEN error('not whole') END AS {name}"
            )
        elif column.type in ("double", "date", "timestamp"):
            columns.append(
                f"CASE WHEN isfinite({name}) THEN {name} WHEN {name} IS NOT NULL THEN error('not finite') END AS {name}"
            )
        else:
            columns.append(name)
    return f"SELECT {', '.join(columns)} FROM {file.relation(types)}"
