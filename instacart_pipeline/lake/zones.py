"""Where things lie in the lake: zones, prefixes, days and versions.

Belongs here: names and paths as text, the same for a folder and for S3. Doesn't: reading or writing any of them.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Literal, cast

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.errors import InputInvalid

Zone = Literal["raw", "staging", "curated", "features", "sandbox", "models", "work"]
"""`work` holds what the platform itself needs on AWS: code, records of jobs, query results. Nothing in it is a table."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_VERSION_FOLDER = "v="


def parse_day(text: str) -> str:
    """`text` if it is a day written as 2026-11-20. Raises InputInvalid otherwise."""
    try:
        if _DAY.fullmatch(text):
            date.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise InputInvalid(f"{text!r} is not a day. Write it as 2026-11-20.")


def new_version() -> str:
    """A name for a new version of a partition: names sort by the time they were made, and no two are the same."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"


def age_of(version: str) -> timedelta:
    """How long ago a version was named; no time at all if that isn't the name of one."""
    stamp = re.split("[-_]", version, maxsplit=1)[0]
    try:
        made = datetime.strptime(stamp, "%Y%m%dT%H%M%S%f").replace(tzinfo=timezone.utc)
    except ValueError:
        return timedelta(0)
    return datetime.now(timezone.utc) - made


@dataclass(frozen=True)
class Zones:
    """The prefixes of the lake below one base: a folder's path locally, `s3://...` on AWS. Paths have no slash at the end.

    A base that holds `{zone}`, such as s3://acme-{zone}, gives each zone a bucket of its own.
    """

    base: str

    def zone(self, zone: Zone) -> str:
        """The prefix of a zone."""
        return self.base.replace("{zone}", zone) if "{zone}" in self.base else f"{self.base}/{zone}"

    def raw_table(self, system: str, table: str) -> str:
        """Where the files of a raw table are uploaded, a folder a day below it."""
        return f"{self.zone('raw')}/{system}/{table}"

    def raw_partition(self, system: str, table: str, dt: str) -> str:
        """Where one day's files of a raw table are uploaded."""
        return f"{self.raw_table(system, table)}/{PARTITION}={dt}"

    def table(self, table: TableContract) -> str:
        """The prefix of a table. A staging table is the raw files themselves."""
        if table.zone == "staging":
            return self.raw_table(table.system, table.name)
        return f"{self.zone(cast(Zone, table.zone))}/{table.system}/{table.name}"

    def partition(self, table: TableContract, dt: str) -> str:
        """The prefix of a day of a table, which holds all its versions."""
        return f"{self.table(table)}/{PARTITION}={dt}"

    def version(self, table: TableContract, dt: str, version: str) -> str:
        """The prefix of one version of a day of a table."""
        return f"{self.partition(table, dt)}/{_VERSION_FOLDER}{version}"


_OF_ANY_HOME = re.compile(r".*/(lake/(?:raw|staging|curated|features|sandbox|models)/.+)", re.DOTALL)


def kept(home: str, location: str) -> str:
    """A location as its records keep it: relative if it is below `home`."""
    return location.removeprefix(f"{home}/")


def located(home: str, record: str) -> str:
    """Where a recorded location is, now that the home is at `home`.

    Records of older versions of this project hold whole paths, of wherever the home was then: the same place below `home` is meant.
    """
    if not record.startswith("/"):
        return f"{home}/{record}"
    old = _OF_ANY_HOME.fullmatch(record)
    return f"{home}/{old[1]}" if old else record
