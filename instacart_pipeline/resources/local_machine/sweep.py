"""Sweeping the lake of this machine: what would be removed, whether that needs a second word, and removing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.local_machine.lake import A_TENTH, LocalLake, size_of
from instacart_pipeline.resources.sagemaker.local.artefacts import Artefacts


@dataclass(frozen=True)
class Swept:
    """What came of a sweep: folders with their bytes, removed or, if it is `refused`, only listed; and folders that are never removed.

    `unnamed` were published, and neither the catalog nor a record of models names them.
    """

    folders: Mapping[str, int]
    refused: bool = False
    unnamed: Sequence[str] = ()


def sweep(
    lake: LocalLake, artefacts: Artefacts, tables: Iterable[TableContract], systems: Iterable[str], *, apply: bool
) -> Swept:
    """Remove orphaned version folders and those past their retention; with `apply`, also if they hold more than a tenth of the lake's bytes."""
    days = [(table, dt) for table in tables if table.zone != "staging" for dt in lake.days(table)]
    systems = tuple(systems)
    found = [path for table, dt in days for path in (*lake.orphaned(table, dt), *lake.expired(table, dt))]
    found += [path for system in systems for path in artefacts.sweepable(system)]
    folders = {str(path): size_of(path) for path in found}
    unnamed = [path for table, dt in days for path in lake.unnamed(table, dt)]
    unnamed += [path for system in systems for path in artefacts.unnamed(system)]
    refused = not apply and sum(folders.values()) > A_TENTH * size_of(Path(lake.home, "lake"))
    if not refused:
        for table, dt in days:
            lake.sweep(table, dt)
        for system in systems:
            for _ in artefacts.sweep(system):
                pass
    return Swept(folders, refused, [str(path) for path in unnamed])
