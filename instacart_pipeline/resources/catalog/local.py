"""The local catalog: one SQLite file, shared by any number of processes."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.versions import Version, supersedes
from instacart_pipeline.lake.zones import Zones, kept, located
from instacart_pipeline.resources.catalog import Catalog, CatalogTable, Partition
from instacart_pipeline.resources.local_machine.lake import was_left
from instacart_pipeline.resources.local_machine.sqlite_file import transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tables (
    database TEXT NOT NULL, name TEXT NOT NULL, columns TEXT NOT NULL, location TEXT NOT NULL,
    description TEXT NOT NULL, partition_keys TEXT NOT NULL, parameters TEXT NOT NULL,
    PRIMARY KEY (database, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS partitions (
    database TEXT NOT NULL, name TEXT NOT NULL, dt TEXT NOT NULL, location TEXT NOT NULL, parameters TEXT NOT NULL,
    PRIMARY KEY (database, name, dt)
) WITHOUT ROWID;
"""


class SqliteCatalog(Catalog):
    """The catalog of `home`: the SQLite file catalog.sqlite in it, made on first use. Locations are kept relative to the home."""

    home: str

    def _connect(self, *, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(Path(self.home, "catalog.sqlite"), _SCHEMA, write=write)

    def tables(self, database: str | None = None) -> Sequence[CatalogTable]:
        """See Catalog."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT * FROM tables WHERE ? IS NULL OR database = ? ORDER BY 1, 2", (database, database)
            )
            return [self._table(row) for row in rows]

    def put_table(self, table: CatalogTable) -> None:
        """See Catalog."""
        row = (
            table.database,
            table.name,
            json.dumps(table.columns),
            kept(self.home, table.location),
            table.description,
            json.dumps(table.partition_keys),
            json.dumps(dict(table.parameters)),
        )
        with self._connect(write=True) as db:
            db.execute("INSERT OR REPLACE INTO tables VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def partitions(self, database: str, table: str, dt: str | None = None) -> Sequence[Partition]:
        """See Catalog."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT dt, location, parameters FROM partitions"
                " WHERE database = ? AND name = ? AND (? IS NULL OR dt = ?) ORDER BY dt",
                (database, table, dt, dt),
            )
            versions = [(dt, self._version(location, parameters)) for dt, location, parameters in rows]
            return [Partition(dt, version.location, version.parameters()) for dt, version in versions]

    def lost_days(self, table: TableContract) -> Sequence[str]:
        """See Catalog."""
        folder = Path(Zones(f"{self.home}/lake").table(table))
        # The lake is looked at first: what is published meanwhile is named then.
        published = [
            (path.parent.name.removeprefix(f"{PARTITION}="), path.name.removeprefix("v="))
            for path in folder.glob(f"{PARTITION}=*/v=*")
            if not was_left(path)
        ]
        named = {found.dt: found.version.name for found in self.partitions(table.database, table.name)}
        return sorted({dt for dt, version in published if version > named.get(dt, "")})

    def drop_partition(self, database: str, table: str, dt: str) -> None:
        """See Catalog."""
        with self._connect(write=True) as db:
            db.execute("DELETE FROM partitions WHERE database = ? AND name = ? AND dt = ?", (database, table, dt))

    def publish(self, database: str, table: str, dt: str, version: Version) -> Version:
        """See Catalog."""
        with self._connect(write=True) as db:
            current = self._current(db, database, table, dt)
            if current is not None and supersedes(current, version):
                return current
            published = version.after(current)
            self._store(db, database, table, dt, published)
            return published

    def forget_retired(self, database: str, table: str, dt: str, locations: Sequence[str]) -> None:
        """See Catalog."""
        with self._connect(write=True) as db:
            current = self._current(db, database, table, dt)
            if current is not None:
                self._store(db, database, table, dt, current.without_retired(locations))

    def _current(self, db: sqlite3.Connection, database: str, table: str, dt: str) -> Version | None:
        row = db.execute(
            "SELECT location, parameters FROM partitions WHERE database = ? AND name = ? AND dt = ?",
            (database, table, dt),
        ).fetchone()
        return self._version(*row) if row else None

    def _store(self, db: sqlite3.Connection, database: str, table: str, dt: str, version: Version) -> None:
        recorded = version.moved(partial(kept, self.home))
        db.execute(
            "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?)",
            (database, table, dt, recorded.location, json.dumps(recorded.parameters())),
        )

    def _version(self, location: str, parameters: str) -> Version:
        return Version.of(location, json.loads(parameters)).moved(partial(located, self.home))

    def _table(self, row: tuple[str, str, str, str, str, str, str]) -> CatalogTable:
        database, name, columns, location, description, partition_keys, parameters = row
        return CatalogTable(
            database,
            name,
            tuple((column, kind) for column, kind in json.loads(columns)),
            located(self.home, location),
            description,
            tuple(json.loads(partition_keys)),
            json.loads(parameters),
        )
