"""Versions: what the catalog keeps of the data a partition points at, and when one version may replace another.

Belongs here: the record of a version, its lineage, and the rule of replacement. Doesn't: moving the pointer itself, which
each catalog does in one step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.rules import Outcome


class MixedUploads(PipelineError):
    """Tables to be read together were computed from different uploads of the same day."""


@dataclass(frozen=True)
class Version:
    """One version of one day of a table.

    `lineage` names the version of every table it was computed from, up to the uploads; `outcomes` is what came of each
    rule of the contract; `retired` lists the locations of earlier versions with the time each was replaced.
    """

    name: str
    location: str
    rows: int
    bytes: int
    lineage: Mapping[str, str] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    retired: tuple[tuple[str, str], ...] = ()

    def parameters(self) -> dict[str, str]:
        """The version as the parameters of a Glue partition: texts only."""
        return {
            "version": self.name,
            "rows": str(self.rows),
            "bytes": str(self.bytes),
            "lineage": json.dumps(dict(self.lineage), sort_keys=True),
            "outcomes": json.dumps([[outcome.rule, outcome.violations, outcome.detail] for outcome in self.outcomes]),
            "facts": json.dumps(dict(self.facts), sort_keys=True),
            "retired": json.dumps(self.retired),
        }

    @classmethod
    def of(cls, location: str, parameters: Mapping[str, str]) -> Version:
        """The version that a partition's location and parameters describe."""
        return cls(
            name=parameters["version"],
            location=location,
            rows=int(parameters["rows"]),
            bytes=int(parameters["bytes"]),
            lineage=json.loads(parameters["lineage"]),
            outcomes=tuple(Outcome(rule, count, detail) for rule, count, detail in json.loads(parameters["outcomes"])),
            facts=json.loads(parameters["facts"]),
            retired=tuple((location, when) for location, when in json.loads(parameters["retired"])),
        )

    def outcome(self, rule: str) -> Outcome | None:
        """What came of the rule called `rule`, if the version was held to it."""
        return next((outcome for outcome in self.outcomes if outcome.rule == rule), None)

    def after(self, current: Version | None) -> Version:
        """This version as it is published in place of `current`, which is then retired. It is never among the retired itself."""
        if current is None or current.location == self.location:
            return self
        retired = (*current.retired, (current.location, datetime.now(timezone.utc).isoformat()))
        return replace(self, retired=tuple(entry for entry in retired if entry[0] != self.location))

    @property
    def locations(self) -> set[str]:
        """The locations that readers may know: this version's and those of earlier ones."""
        return {self.location, *(location for location, _ in self.retired)}

    def expired(self, retention: timedelta) -> list[str]:
        """Locations of earlier versions that were replaced longer ago than `retention`."""
        since = datetime.now(timezone.utc) - retention
        return [location for location, when in self.retired if datetime.fromisoformat(when) <= since]

    def moved(self, place: Callable[[str], str]) -> Version:
        """This version with each of its locations put through `place`."""
        retired = tuple((place(location), when) for location, when in self.retired)
        return replace(self, location=place(self.location), retired=retired)

    def without_retired(self, locations: Iterable[str]) -> Version:
        """This version with `locations` struck from the list of earlier ones."""
        gone = set(locations)
        return replace(self, retired=tuple(entry for entry in self.retired if entry[0] not in gone))


def lineage_of(inputs: Mapping[str, Version]) -> dict[str, str]:
    """The lineage of what is computed from `inputs` (table name to version): the inputs themselves and all before them.

    Raises MixedUploads if two inputs go back to different versions of one upload: their rows don't belong together.
    """
    lineage: dict[str, str] = {}
    for table, version in inputs.items():
        for name, origin in {**version.lineage, table: version.name}.items():
            if is_upload(name) and lineage.get(name, origin) != origin:
                raise MixedUploads(
                    f"{' and '.join(sorted(inputs))} come from different uploads of {name} "
                    f"({lineage[name]} and {origin}): the day was uploaded again in between. Run the whole day once more."
                )
            lineage[name] = max(origin, lineage.get(name, origin))
    return lineage


def is_upload(table: str) -> bool:
    """Whether a lineage entry names a raw upload (a staging table) rather than a table computed from one."""
    return table.split(".", maxsplit=1)[0].endswith("_staging")


def supersedes(current: Version, candidate: Version) -> bool:
    """Whether `current` must stay: it was computed from something newer than `candidate`, or the two are one upload.

    Two runs of one day may end in either order. What decides is not who ends last but who read the newer inputs. And two
    crawls that meet the same files agree on the version that was catalogued first.
    """
    if current.location == candidate.location and current.facts == candidate.facts:
        return True
    shared = set(current.lineage) & set(candidate.lineage)
    return any(current.lineage[name] > candidate.lineage[name] for name in shared)
