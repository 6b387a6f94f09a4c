"""Artefacts in the models zone of this machine: making one, publishing it by a record that is replaced in one step, and sweeping.

Belongs here: where an artefact lies, its record, and when it goes. Doesn't: the jobs that make one (sagemaker_*.py).

A day of an artefact is the folder <models>/<system>/<name>/dt=<day>: versions below it, and `published.json`, which says the
one that counts and the earlier ones that wait to be removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from instacart_pipeline.lake.artefacts import SOURCE, Artefact, ModelCode
from instacart_pipeline.lake.contracts import PARTITION
from instacart_pipeline.lake.errors import ArtefactNotFound
from instacart_pipeline.lake.versions import Version, supersedes
from instacart_pipeline.lake.zones import kept, located, new_version
from instacart_pipeline.resources.local_machine.lake import A_TENTH, LocalLake, VersionFolder, was_left

_RECORD = "published.json"
_VERSIONS = "v=*"


@dataclass(frozen=True)
class Artefacts:
    """The artefacts of a lake. `named` gives the locations that must stay however old they are."""

    lake: LocalLake
    named: Callable[[], set[str]]

    @contextmanager
    def new(self, system: str, name: str, dt: str) -> Iterator[VersionFolder]:
        """A new, locked version folder. Left unpublished, it is removed at the end of the block.

        What killed writers left behind for the same day, and versions past their retention, are removed first.
        """
        day = self._day(system, name, dt)
        self._sweep(day, A_TENTH)
        version = new_version()
        path = day / f"v={version}"
        with self.lake.written(path, lambda: str(path) in self._known(day)):
            yield VersionFolder(version, path)

    def publish(self, made: Artefact) -> Artefact:
        """Make an artefact the one that counts, unless that was computed from something newer: then that one is returned."""
        day = self._day(made.system, made.name, made.dt)
        with _alone(day):
            before, retired = self._read(day)
            if before and supersedes(_as_version(before), _as_version(made)):
                return before
            after = _as_version(made).after(_as_version(before, retired) if before else None)
            self._write(day, made, after.retired)
            return made

    def made(
        self, folder: VersionFolder, at: tuple[str, str, str], code: ModelCode, started: float, **told: Any
    ) -> Artefact:
        """Publish what lies in a new version folder of `at` (system, name, day), the code that made it put beside. `told` are further fields."""
        system, name, dt = at
        (folder.path / SOURCE).write_bytes(code.archive())
        return self.publish(
            Artefact(
                system=system,
                name=name,
                dt=dt,
                version=folder.name,
                location=str(folder.path),
                code=code.digest,
                serve=code.serve,
                seconds=time.perf_counter() - started,
                service={"threads": self.lake.threads},
                **told,
            )
        )

    def find(self, system: str, name: str, dt: str) -> Artefact:
        """What is published. Raises ArtefactNotFound."""
        day = self._day(system, name, dt)
        found, _ = self._read(day)
        if found is None:
            raise ArtefactNotFound(
                f"Nothing was published as {system}/{name} for {PARTITION}={dt} (looked at {day / _RECORD}). "
                f"Build the asset {system}/models/{name} of that day first."
            )
        return found

    def orphaned(self, system: str, name: str, dt: str) -> list[Path]:
        """Version folders that were never published, and that no living process writes."""
        return self._orphaned(self._day(system, name, dt))

    def sweepable(self, system: str) -> list[Path]:
        """What `sweep` would remove of a system's artefacts."""
        return [path for day in self._days(system) for path in (*self._orphaned(day), *self._expired(day))]

    def unnamed(self, system: str) -> list[Path]:
        """Version folders of a system's artefacts that were published, and that no record names: it was lost, or restored from before."""
        return [path for day in self._days(system) for path in self._unnamed(day) if not was_left(path)]

    def sweep(self, system: str) -> Iterator[str]:
        """See SageMaker."""
        for day in self._days(system):
            for path in self._sweep(day):
                yield str(path)

    def _sweep(self, day: Path, most: float = 1.0) -> list[Path]:
        orphaned, expired = self._orphaned(day), self._expired(day)
        if not self.lake.is_at_most(most, expired):
            expired = []
        for path in (*orphaned, *expired):
            shutil.rmtree(path, ignore_errors=True)
        if expired:
            with _alone(day):
                current, retired = self._read(day)
                gone = {str(path) for path in expired}
                if current:
                    self._write(day, current, [entry for entry in retired if entry[0] not in gone])
        return [*orphaned, *expired]

    def _orphaned(self, day: Path) -> list[Path]:
        return [path for path in self._unnamed(day) if was_left(path)]

    def _unnamed(self, day: Path) -> list[Path]:
        # The lock is asked for first: a writer publishes before it lets go.
        return [path for path in self.lake.unwritten(day, _VERSIONS) if str(path) not in self._known(day)]

    def _expired(self, day: Path) -> list[Path]:
        current, retired = self._read(day)
        past = _as_version(current, retired).expired(timedelta(days=self.lake.retention_days)) if current else []
        named = self.named() if past else set()
        return [Path(location) for location in past if location not in named and self.lake.has(Path(location))]

    def _days(self, system: str) -> list[Path]:
        return sorted(Path(self.lake.zones.zone("models"), system).glob(f"*/{PARTITION}=*"))

    def _known(self, day: Path) -> set[str]:
        current, retired = self._read(day)
        return {*(location for location, _ in retired), *([current.location] if current else [])}

    def _read(self, day: Path) -> tuple[Artefact | None, tuple[tuple[str, str], ...]]:
        try:
            told = json.loads((day / _RECORD).read_bytes())
        except FileNotFoundError:
            return None, ()
        place = partial(located, self.lake.home)
        retired = tuple((place(location), when) for location, when in told["retired"])
        return Artefact.of(json.dumps(told["artefact"])).moved(place), retired

    def _write(self, day: Path, artefact: Artefact, retired: Iterable[tuple[str, str]]) -> None:
        """Replace the record, whose locations are relative to the home, in one step that outlasts a loss of power."""
        record, made = partial(kept, self.lake.home), day / f"{_RECORD}.new"
        before = [(record(location), when) for location, when in retired]
        with made.open("w", encoding="utf-8") as file:
            json.dump({"artefact": json.loads(artefact.moved(record).record()), "retired": before}, file)
            file.flush()
            os.fsync(file.fileno())
        made.replace(day / _RECORD)
        descriptor = os.open(day, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _day(self, system: str, name: str, dt: str) -> Path:
        return Path(self.lake.zones.zone("models"), system, name, f"{PARTITION}={dt}")


def as_inputs(artefacts: Iterable[Artefact]) -> dict[str, Version]:
    """Artefacts as inputs of what is computed from them, by name.

    Without their own lineage: a model may be older than the tables it is asked about, and go back to other uploads.
    """
    return {f"{each.system}_models.{each.name}": replace(_as_version(each), lineage={}) for each in artefacts}


def _as_version(artefact: Artefact, retired: tuple[tuple[str, str], ...] = ()) -> Version:
    """The artefact as far as lineage and replacement go."""
    return Version(artefact.version, artefact.location, 0, 0, artefact.lineage, retired=retired)


@contextmanager
def _alone(day: Path) -> Iterator[None]:
    """Nobody else changes the day's record for the length of the block."""
    day.mkdir(parents=True, exist_ok=True)
    with (day / ".publishing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
