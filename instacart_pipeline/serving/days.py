"""What every store of a day has in common: which day is the newest that is whole, and looking for it again and again.

Belongs here: choosing the day, and going on when a look fails. Doesn't: what is made of a day (reorder/days.py, retail/sales_store.py).
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.versions import MixedUploads, lineage_of

if TYPE_CHECKING:
    from instacart_pipeline.lake.versions import Version
    from instacart_pipeline.resources.catalog import Catalog

_log = logging.getLogger(__name__)
_TRY_AGAIN_SECONDS = 15.0


class NoDay(PipelineError):
    """No day is ready to be served."""


@dataclass(frozen=True)
class WholeDay:
    """A day that all tables have, with the version of each, by qualified name."""

    dt: str
    versions: Mapping[str, Version]

    @property
    def names(self) -> dict[str, str]:
        """The name of each table's version: what tells one state of the day from another."""
        return {table: version.name for table, version in self.versions.items()}


class DayLooker(ABC):
    """Takes over newer days. `trouble` says why the newest is not served, or nothing."""

    def __init__(self) -> None:
        self.trouble = ""
        self._not_before = 0.0

    @abstractmethod
    def look(self) -> bool:
        """Take over the newest day, if that is another than the current one; whether it is. Raises what keeps it from that."""

    def keep_looking(self, stop: threading.Event, every: float) -> None:
        """Look again and again until `stop`. What fails leaves the current day in place, and is said in `trouble`."""
        while not stop.wait(every):
            self.try_to_look()

    def try_to_look(self) -> None:
        """Look once, in the same way. What a build failed of is not built again at every look."""
        if time.monotonic() < self._not_before:
            return
        try:
            self.look()
        except Exception as error:  # noqa: BLE001  # whatever a file may hold: who looks must go on looking
            told = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            if told != self.trouble:
                _log.warning("The newest day can't be served: %s", told)
            self.trouble = told
            self._not_before = time.monotonic() + _TRY_AGAIN_SECONDS


def newest(
    catalog: Catalog,
    tables: Sequence[str],
    served: str | None,
    agreed: Callable[[Mapping[str, Version]], object] = lineage_of,
) -> tuple[WholeDay | None, str]:
    """The newest day that all `tables` have (qualified names, the one made last first), and why a newer one has to wait.

    `agreed` raises MixedUploads if versions don't belong together. `served` is the day being served: while it is built again, the
    versions of it that are served are the whole ones, and the answer is None.
    """
    waits = ""
    first, *others = tables
    database, name = first.split(".")
    for found in reversed(catalog.partitions(database, name)):
        versions = {first: found.version}
        for table in others:
            of, called = table.split(".")
            versions.update((table, there.version) for there in catalog.partitions(of, called, found.dt))
        if len(versions) < len(tables):
            continue
        try:
            agreed(versions)
        except MixedUploads as error:
            waits = waits or str(error)
            if served == found.dt:
                break
            continue
        return WholeDay(found.dt, versions), waits
    return None, waits
