"""The local catalog: one SQLite file, shared by any number of processes."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from instacart_pipeline.lake.versions import Version, supersedes
from instacart_pipeline.resources.catalog import Catalog, CatalogTable, Partition
from instacart_pipeline.resources.local.sqlite_file import transaction

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
    """The catalog in the SQLite file at `path`, made on first use."""

    path: str

    def _connect(self, *, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(Path(self.path), _SCHEMA, write=write)

    def tables(self, database: str | None = None) -> Sequence[CatalogTable]:
        """See Catalog."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT * FROM tables WHERE ? IS NULL OR database = ? ORDER BY 1, 2", (database, database)
            )
            return [_table(row) for row in rows]

    def put_table(self, table: CatalogTable) -> None:
        """See Catalog."""
        row = (
            table.database,
            table.name,
            json.dumps(table.columns),
            table.location,
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
            return [Partition(dt, location, json.loads(parameters)) for dt, location, parameters in rows]

    def drop_partition(self, database: str, table: str, dt: str) -> None:
        """See Catalog."""
        with self._connect(write=True) as db:
            db.execute("DELETE FROM partitions WHERE database = ? AND name = ? AND dt = ?", (database, table, dt))

    def publish(self, database: str, table: str, dt: str, version: Version) -> Version:
        """See Catalog."""
        with self._connect(write=True) as db:
            current = _current(db, database, table, dt)
            if current is not None and supersedes(current, version):
                return current
            published = version.after(current)
            _store(db, database, table, dt, published)
            return published

    def forget_retired(self, database: str, table: str, dt: str, locations: Sequence[str]) -> None:
        """See Catalog."""
        with self._connect(write=True) as db:
            current = _current(db, database, table, dt)
            if current is not None:
                _store(db, database, table, dt, current.without_retired(locations))


def _current(db: sqlite3.Connection, database: str, table: str, dt: str) -> Version | None:
    row = db.execute(
        "SELECT location, parameters FROM partitions WHERE database = ? AND name = ? AND dt = ?", (database, table, dt)
    ).fetchone()
    return Version.of(row[0], json.loads(row[1])) if row else None


def _store(db: sqlite3.Connection, database: str, table: str, dt: str, version: Version) -> None:
    db.execute(
        "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?)",
        (database, table, dt, version.location, json.dumps(version.parameters())),
    )


def _table(row: tuple[str, str, str, str, str, str, str]) -> CatalogTable:
    database, name, columns, location, description, partition_keys, parameters = row
    return CatalogTable(
        database,
        name,
        tuple((column, kind) for column, kind in json.loads(columns)),
        location,
        description,
        tuple(json.loads(partition_keys)),
        json.loads(parameters),
    )
