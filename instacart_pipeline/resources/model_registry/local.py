"""The model registry on this machine: one SQLite file, shared by any number of processes."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.errors import ArtefactNotFound
from instacart_pipeline.lake.zones import kept, located
from instacart_pipeline.resources.local_machine.sqlite_file import transaction
from instacart_pipeline.resources.model_registry import ModelRegistry, ModelVersion, Status

_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    model TEXT NOT NULL, number INTEGER NOT NULL, location TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (model, number), UNIQUE (model, location)
) WITHOUT ROWID;
"""


class SqliteModelRegistry(ModelRegistry):
    """The registry of `home`: the SQLite file model_registry.sqlite in it, made on first use. Locations are kept relative to the home."""

    home: str

    def _connect(self, *, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(Path(self.home, "model_registry.sqlite"), _SCHEMA, write=write)

    def register(
        self, group: str, artefact: Artefact, metrics: Mapping[str, float], card: Mapping[str, Any]
    ) -> ModelVersion:
        """See ModelRegistry."""
        with self._connect(write=True) as db:
            there_are = self._versions(db, group)
            if known := [version for version in there_are if version.artefact.location == artefact.location]:
                return known[0]
            last = max((version.number for version in there_are), default=0)
            now = datetime.now(timezone.utc).isoformat()
            made = ModelVersion(group, last + 1, "PendingManualApproval", artefact, dict(metrics), dict(card), now)
            record = self._record(made)
            location = kept(self.home, artefact.location)
            db.execute("INSERT INTO versions VALUES (?, ?, ?, ?)", (group, made.number, location, record))
            return self._version(record)  # as everybody else will read it

    def decide(self, version: ModelVersion, status: Status, reason: str) -> ModelVersion:
        """See ModelRegistry."""
        named = (version.group, version.number)
        with self._connect(write=True) as db:
            known = db.execute("SELECT record FROM versions WHERE model = ? AND number = ?", named).fetchone()
            if known is None:
                raise ArtefactNotFound(
                    f"The model registry of {self.home} has no version {version.number} of {version.group}. Register it first."
                )
            decided = replace(self._version(known[0]), status=status, reason=reason)
            db.execute("UPDATE versions SET record = ? WHERE model = ? AND number = ?", (self._record(decided), *named))
            return decided

    def versions(self, group: str) -> Sequence[ModelVersion]:
        """See ModelRegistry."""
        with self._connect() as db:
            return self._versions(db, group)

    def locations(self) -> set[str]:
        """The locations of all versions' artefacts: what must never be swept."""
        with self._connect() as db:
            return {located(self.home, location) for (location,) in db.execute("SELECT location FROM versions")}

    def _versions(self, db: sqlite3.Connection, group: str) -> list[ModelVersion]:
        rows = db.execute("SELECT record FROM versions WHERE model = ? ORDER BY number DESC", (group,))
        return [self._version(record) for (record,) in rows]

    def _version(self, record: str) -> ModelVersion:
        return ModelVersion.from_json(json.loads(record)).moved(partial(located, self.home))

    def _record(self, version: ModelVersion) -> str:
        return json.dumps(version.moved(partial(kept, self.home)).as_json())
