"""The model registry on this machine: one SQLite file, shared by any number of processes."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.errors import ArtefactNotFound
from instacart_pipeline.resources.local.sqlite_file import transaction
from instacart_pipeline.resources.model_registry import ModelRegistry, ModelVersion, Status

_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    model TEXT NOT NULL, number INTEGER NOT NULL, location TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (model, number), UNIQUE (model, location)
) WITHOUT ROWID;
"""


class SqliteModelRegistry(ModelRegistry):
    """The registry in the SQLite file at `path`, made on first use."""

    path: str

    def _connect(self, *, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(Path(self.path), _SCHEMA, write=write)

    def register(
        self, group: str, artefact: Artefact, metrics: Mapping[str, float], card: Mapping[str, Any]
    ) -> ModelVersion:
        """See ModelRegistry."""
        with self._connect(write=True) as db:
            known = db.execute(
                "SELECT record FROM versions WHERE model = ? AND location = ?", (group, artefact.location)
            ).fetchone()
            if known:
                return _version(known[0])
            (last,) = db.execute("SELECT coalesce(max(number), 0) FROM versions WHERE model = ?", (group,)).fetchone()
            now = datetime.now(timezone.utc).isoformat()
            made = ModelVersion(group, last + 1, "PendingManualApproval", artefact, dict(metrics), dict(card), now)
            record = json.dumps(made.as_json())
            db.execute("INSERT INTO versions VALUES (?, ?, ?, ?)", (group, made.number, artefact.location, record))
            return _version(record)  # as everybody else will read it

    def decide(self, version: ModelVersion, status: Status, reason: str) -> ModelVersion:
        """See ModelRegistry."""
        named = (version.group, version.number)
        with self._connect(write=True) as db:
            known = db.execute("SELECT record FROM versions WHERE model = ? AND number = ?", named).fetchone()
            if known is None:
                raise ArtefactNotFound(
                    f"The model registry {self.path} has no version {version.number} of {version.group}. Register it first."
                )
            decided = replace(_version(known[0]), status=status, reason=reason)
            record = json.dumps(decided.as_json())
            db.execute("UPDATE versions SET record = ? WHERE model = ? AND number = ?", (record, *named))
            return decided

    def versions(self, group: str) -> Sequence[ModelVersion]:
        """See ModelRegistry."""
        with self._connect() as db:
            rows = db.execute("SELECT record FROM versions WHERE model = ? ORDER BY number DESC", (group,))
            return [_version(record) for (record,) in rows]

    def locations(self) -> set[str]:
        """The locations of all versions' artefacts: what must never be swept."""
        with self._connect() as db:
            return {location for (location,) in db.execute("SELECT location FROM versions")}


def _version(record: str) -> ModelVersion:
    return ModelVersion.from_json(json.loads(record))
