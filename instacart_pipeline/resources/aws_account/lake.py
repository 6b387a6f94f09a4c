"""The lake on AWS: its prefixes, and how a new version of a table is published without ever showing half of it.

Belongs here: version prefixes, judging and publishing what a job wrote, sweeping and retention. Doesn't: the jobs that write.

A job writes below a new version's prefix, which no partition points at. An Athena query over a table of its own, in the
database <system>_unpublished, then counts the rows that break the contract; only then does the partition move.
"""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from dagster import ConfigurableResource, ResourceDependency

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.errors import JobFailed, SettingsInvalid, UploadChanged
from instacart_pipeline.lake.rule_sql import outcomes, verification
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.versions import Version, lineage_of
from instacart_pipeline.lake.zones import Zones, age_of
from instacart_pipeline.resources.aws_account.athena_queries import rows_of, run_query
from instacart_pipeline.resources.aws_account.errors import log_cleanup_errors
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.catalog import Catalog, CatalogTable
from instacart_pipeline.resources.catalog.aws import (
    UNPUBLISHED,
    drop_table,
    enter_database,
    tables_of,
    unpublished_table,
)
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs
from instacart_pipeline.resources.published import Published, VersionRefused

_LONGEST_WRITE = timedelta(days=1)
_DEADLINES_OF_A_WRITE = 8
"""A version takes two jobs, each until its deadline; as long again to be gone on with, and all that twice to be safe."""


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
    def longest_write(self) -> timedelta:
        """A version older than this that is not in the catalog has no writer left."""
        return max(_LONGEST_WRITE, timedelta(seconds=_DEADLINES_OF_A_WRITE * self.jobs.deadline_seconds))

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
        write: Callable[[Attempt, str], JobSucceeded],
        also: Mapping[str, Version] | None = None,
    ) -> Published:
        """Publish what `write(attempt, location)` writes below `location`, by a job of the attempt, as `target` at `dt`.

        `definition` is all that says what the job does; with `inputs` it tells one piece of work from another. `also` is
        what the lineage names besides the tables: artefacts, which never change once they are published.

        Raises what the job raises; VersionRefused if the result breaks the target's contract; UploadChanged if an input was
        published anew while the job read it. Nothing is published then, and nothing is left behind. What was written stays only
        if AWS fails while it is published, since the pointer may have moved all the same: `sweep` removes it if it has not.
        """
        started = time.perf_counter()
        read = {**inputs, **(also or {})}
        lineage = lineage_of(read)
        self.sweep(target, dt)

        def make(attempt: Attempt) -> Published:
            if published := self.published_by(attempt, target, dt, started):
                return published
            location = self.zones.version(target, dt, attempt.version)
            try:
                ended = write(attempt, location)
                self.require_inputs(inputs, dt)
                rows, judged, verified = self._judge(attempt, target, dt, location)
            except BaseException:
                self.discard(attempt, dt, target)
                raise
            finally:
                with log_cleanup_errors(f"The table {unpublished_name(target, attempt.version)}"):
                    drop_table(self.session, *_unpublished(target, attempt.version))
            service = {**ended.facts(), **_added(ended, verified)}
            return self.publish(target, dt, attempt.version, rows, judged, lineage, started, service)

        return self.jobs.run_or_reattach(Work.of(target, dt, definition, read), make)

    def published_by(self, attempt: Attempt, target: TableContract, dt: str, started: float) -> Published | None:
        """What an attempt that is gone on with had published before its process died; None if it had not.

        An attempt that is too old to be gone on with, since its output may be swept, is begun again.
        """
        if not attempt.resumed:
            return None
        current = self.catalog.find(target, dt)
        if current and self.zones.version(target, dt, attempt.version) in current.locations:
            superseded = current.name != attempt.version
            return Published(target, dt, current, time.perf_counter() - started, superseded=superseded)
        if age_of(attempt.version) > self.longest_write / 2:
            attempt.start_new_attempt()
            self.jobs.records.write(attempt)
        return None

    def discard(self, attempt: Attempt, dt: str, *tables: TableContract) -> None:
        """Give an attempt up, and remove what it wrote of a day of `tables` and did not publish.

        Its record says so first: nobody may go on with it and publish what is gone. What can't be removed now is swept later.
        """
        attempt.open = False
        with log_cleanup_errors(f"What was written for {attempt.work.name}"):
            self.jobs.records.write(attempt)
            for table in tables:
                location, current = self.zones.version(table, dt, attempt.version), self.catalog.find(table, dt)
                if current is None or location not in current.locations:
                    self.objects.remove_below(location)

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
        """Point the catalog at a version that was written and judged. One that is superseded is removed.

        Raises JobFailed if its rows lie nowhere.
        """
        location = self.zones.version(target, dt, name)
        size = sum(found.size for found in self.objects.listed(location))
        if rows and not size:
            raise JobFailed(
                f"{location} should hold {rows:,} rows and holds no file. Nothing was published; run again."
            )
        version = Version(name, location, rows, size, lineage, judged, facts or {})
        self.catalog.put_table(CatalogTable.of(target, self.zones.table(target)))
        current = self.catalog.publish(target.database, target.name, dt, version)
        # If a try before this one had published it, and a newer one took its place since, readers may know it.
        if location not in current.locations:
            with log_cleanup_errors(f"The superseded version {location}"):
                self.objects.remove_below(location)
        seconds = time.perf_counter() - started
        return Published(target, dt, current, seconds, superseded=current.name != name, service=service)

    def enter_unpublished(self, target: TableContract) -> None:
        """See to it that the database of unpublished tables is there."""
        enter_database(self.session, f"{target.system}{UNPUBLISHED}")

    def require_inputs(self, inputs: Mapping[str, Version], dt: str) -> None:
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
        known = current.locations if current else set()
        day = self.zones.partition(table, dt)
        found = {name: f"{day}/{name}" for name in self.objects.folders(day) if name.startswith("v=")}
        orphaned_files = [
            location for name, location in found.items() if location not in known and self._is_abandoned(name)
        ]
        for location in (*orphaned_files, *expired):
            self.objects.remove_below(location)
        if expired:
            self.catalog.forget_retired(table.database, table.name, dt, expired)
        return [*orphaned_files, *expired]

    def sweep_all(self, tables: tuple[TableContract, ...]) -> list[str]:
        """Sweep every day of `tables`, and tables over versions nobody will publish. Returns the prefixes that were removed."""
        removed = []
        for table in (table for table in tables if table.zone != "staging"):
            folders = self.objects.folders(self.zones.table(table))
            days = [name.removeprefix(f"{PARTITION}=") for name in folders if name.startswith(f"{PARTITION}=")]
            removed += [location for day in days for location in self.sweep(table, day)]
            for name in tables_of(self.session, f"{table.system}{UNPUBLISHED}", f"{table.name}_20*"):
                if self._is_abandoned(name.removeprefix(f"{table.name}_").replace("t", "T")):
                    drop_table(self.session, f"{table.system}{UNPUBLISHED}", name)
        return removed

    def _is_abandoned(self, name: str) -> bool:
        return age_of(name.removeprefix("v=")) > self.longest_write

    def _judge(
        self, attempt: Attempt, target: TableContract, dt: str, location: str
    ) -> tuple[int, tuple[Outcome, ...], JobSucceeded]:
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


def _added(job: JobSucceeded, verified: JobSucceeded) -> dict[str, int | float | str]:
    scanned = int(verified.look.usage.get("bytes_scanned", 0))
    cost = job.look.cost_usd + verified.look.cost_usd
    return {"verification_id": verified.id, "verification_bytes_scanned": scanned, "estimated_cost_usd": round(cost, 6)}
