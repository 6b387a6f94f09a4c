"""The lake on AWS: its prefixes, and how a new version of a table is published without ever showing half of it.

Belongs here: version prefixes, judging and publishing what a job wrote, sweeping and retention. Doesn't: the jobs that write.

A job writes below a new version's prefix, which no partition points at. An Athena query over a table of its own, in the
database <system>_unpublished, then counts the rows that break the contract; only then does the partition move.
"""

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from dagster import ConfigurableResource, ResourceDependency

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.errors import SettingsInvalid, UploadChanged
from instacart_pipeline.lake.rule_sql import outcomes, verification
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.versions import Version, lineage_of
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.aws.athena_queries import rows_of, run_query
from instacart_pipeline.resources.aws.attempts import Attempt, Work
from instacart_pipeline.resources.aws.catalog import (
    UNPUBLISHED,
    drop_table,
    enter_database,
    tables_of,
    unpublished_table,
)
from instacart_pipeline.resources.aws.job_service import Ended
from instacart_pipeline.resources.aws.jobs import ManagedJobs
from instacart_pipeline.resources.aws.objects import Objects
from instacart_pipeline.resources.aws.session import AwsSession
from instacart_pipeline.resources.catalog import Catalog, CatalogTable
from instacart_pipeline.resources.published import Published, VersionRefused

_LONGEST_WRITE = timedelta(days=1)
"""A version older than this that is not in the catalog has no writer left: jobs are stopped after INSTACART_JOB_DEADLINE."""


class AwsLake(ConfigurableResource[Any]):
    """The lake below `base` (see Zones). `workgroup` is Athena's, in which versions are judged."""

    session: ResourceDependency[AwsSession]
    catalog: ResourceDependency[Catalog]
    jobs: ResourceDependency[ManagedJobs]
    base: str
    workgroup: str
    retention_days: int

    @property
    def zones(self) -> Zones:
        """The lake's prefixes. Raises SettingsInvalid if the lake isn't set."""
        if not self.base:
            raise SettingsInvalid(
                "The profile aws needs a lake. Set INSTACART_LAKE to s3://bucket or s3://bucket/prefix."
            )
        return Zones(self.base)

    @property
    def objects(self) -> Objects:
        """The objects of S3."""
        return Objects(self.session)

    def build(
        self,
        target: TableContract,
        dt: str,
        definition: str,
        inputs: Mapping[str, Version],
        write: Callable[[Attempt, str], Ended],
    ) -> Published:
        """Publish what `write(attempt, location)` writes below `location`, by a job of the attempt, as `target` at `dt`.

        `definition` is all that says what the job does; with `inputs` it tells one piece of work from another.

        Raises what the job raises; VersionRefused if the result breaks the target's contract; UploadChanged if an input was
        published anew while the job read it. Nothing is published then, and nothing is left behind.
        """
        started = time.perf_counter()
        lineage = lineage_of(inputs)
        self.sweep(target, dt)

        def make(attempt: Attempt) -> Published:
            location = self.zones.version(target, dt, attempt.version)
            try:
                ended = write(attempt, location)
                self.hold_inputs(inputs, dt)
                rows, judged, verified = self._judge(attempt, target, dt, location)
                service = {**ended.facts(), **_added(ended, verified)}
                return self.publish(target, dt, attempt.version, rows, judged, lineage, started, service)
            except BaseException:
                self.objects.remove_below(location)
                raise
            finally:
                drop_table(self.session, *_unpublished(target, attempt.version))

        return self.jobs.carry_out(Work.of(target, dt, definition, inputs), make)

    def publish(
        self,
        target: TableContract,
        dt: str,
        name: str,
        rows: int,
        judged: tuple[Outcome, ...],
        lineage: Mapping[str, str],
        started: float,
        service: Mapping[str, str | int | float],
        facts: Mapping[str, str] | None = None,
    ) -> Published:
        """Point the catalog at a version that was written and judged. One that is superseded is removed."""
        location = self.zones.version(target, dt, name)
        size = sum(found.size for found in self.objects.listed(location))
        version = Version(name, location, rows, size, lineage, judged, facts or {})
        self.catalog.put_table(CatalogTable.of(target, self.zones.table(target)))
        current = self.catalog.publish(target.database, target.name, dt, version)
        superseded = current.name != name
        # Unless a try before this one had published it, and a newer one took its place since: then readers may know it.
        if superseded and location not in {retired for retired, _ in current.retired}:
            self.objects.remove_below(location)
        seconds = time.perf_counter() - started
        return Published(target, dt, current, seconds, superseded=superseded, service=service)

    def enter_unpublished(self, target: TableContract) -> None:
        """See to it that the database of unpublished tables is there."""
        enter_database(self.session, f"{target.system}{UNPUBLISHED}")

    def hold_inputs(self, inputs: Mapping[str, Version], dt: str) -> None:
        """Raise UploadChanged unless `inputs`, by qualified name, are still what the catalog points at."""
        for qualified_name, version in inputs.items():
            database, name = qualified_name.split(".")
            now = [found.version.name for found in self.catalog.partitions(database, name, dt)]
            if now != [version.name]:
                raise UploadChanged(
                    f"{qualified_name} dt={dt} was published anew while it was being read. Nothing was published. Run the day again."
                )

    def sweep(self, table: TableContract, dt: str) -> list[str]:
        """Remove versions of a day that nobody writes any more and no reader can know. Returns their prefixes.

        These are earlier versions past their retention, and unpublished ones older than any job may get.
        """
        current = self.catalog.find(table, dt)
        expired = current.expired(timedelta(days=self.retention_days)) if current else []
        known = {current.location, *(location for location, _ in current.retired)} if current else set()
        day = self.zones.partition(table, dt)
        found = {name: f"{day}/{name}" for name in self.objects.folders(day) if name.startswith("v=")}
        litter = [location for name, location in found.items() if location not in known and _age(name) > _LONGEST_WRITE]
        for location in (*litter, *expired):
            self.objects.remove_below(location)
        if expired:
            self.catalog.forget_retired(table.database, table.name, dt, expired)
        return [*litter, *expired]

    def sweep_all(self, tables: tuple[TableContract, ...]) -> list[str]:
        """Sweep every day of `tables`, and tables over versions nobody will publish. Returns the prefixes that were removed."""
        removed = []
        for table in (table for table in tables if table.zone != "staging"):
            folders = self.objects.folders(self.zones.table(table))
            days = [name.removeprefix(f"{PARTITION}=") for name in folders if name.startswith(f"{PARTITION}=")]
            removed += [location for day in days for location in self.sweep(table, day)]
            for name in tables_of(self.session, f"{table.system}{UNPUBLISHED}", f"{table.name}_20*"):
                if _age(name.removeprefix(f"{table.name}_").replace("t", "T")) > _LONGEST_WRITE:
                    drop_table(self.session, f"{table.system}{UNPUBLISHED}", name)
        return removed

    def _judge(
        self, attempt: Attempt, target: TableContract, dt: str, location: str
    ) -> tuple[int, tuple[Outcome, ...], Ended]:
        database, name = _unpublished(target, attempt.version)
        columns = tuple((column.name, str(column.type)) for column in target.columns)
        unpublished_table(self.session, CatalogTable(database, name, columns, f"{location}/"))
        statement = verification(target, f'"{database}"."{name}"', dt)
        ended = run_query(self.jobs, attempt, "verify", statement, workgroup=self.workgroup)
        (row,) = rows_of(self.session, ended.id).to_pylist()
        rows, judged = outcomes(target, row)
        if not all(outcome.passed for outcome in judged):
            raise VersionRefused(target, dt, judged)
        return rows, judged, ended


def _unpublished(target: TableContract, version: str) -> tuple[str, str]:
    """Database and name of the table over a version that is not published."""
    return f"{target.system}{UNPUBLISHED}", f"{target.name}_{version.lower().replace('-', '_')}"


def unpublished_name(target: TableContract, version: str) -> str:
    """The same, as SQL names it."""
    database, name = _unpublished(target, version)
    return f"{database}.{name}"


def _added(job: Ended, verified: Ended) -> dict[str, int | float | str]:
    scanned = int(verified.look.usage.get("bytes_scanned", 0))
    cost = job.look.cost_usd + verified.look.cost_usd
    return {"verification_id": verified.id, "verification_bytes_scanned": scanned, "estimated_cost_usd": round(cost, 6)}


def _age(folder: str) -> timedelta:
    """How long ago a version was named; versions carry the time they were made in their name."""
    stamp = re.split("[-_]", folder.removeprefix("v="), maxsplit=1)[0]
    try:
        made = datetime.strptime(stamp, "%Y%m%dT%H%M%S%f").replace(tzinfo=timezone.utc)
    except ValueError:
        return timedelta(0)  # no version of ours; not ours to remove
    return datetime.now(timezone.utc) - made
