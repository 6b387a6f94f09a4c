"""Ingest on AWS: a Glue job that ingests an upload's files with the very code that does so on one machine."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dagster import ResourceDependency

from instacart_pipeline.engine.connection import connected
from instacart_pipeline.engine.ingest import IngestedRows, ingest_table
from instacart_pipeline.lake import errors
from instacart_pipeline.lake.contracts import PARTITION, TableContract, rejects_of
from instacart_pipeline.lake.errors import JobFailed, PipelineError, UploadChanged
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.resources.aws_account.errors import log_cleanup_errors
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.glue.aws import INGEST_UPLOAD, run_glue_job
from instacart_pipeline.resources.ingest import Ingest, Inputs, facts_of, held_to_limit, those_read
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.published import Published, VersionRefused
from instacart_pipeline.resources.storage import RawObject, Storage, listing_digest

_WORKERS = 2
"""Workers of the job: the least that Glue starts. The work is done on one."""


class AwsIngest(Ingest):
    """Ingests CSV files of the raw zone in S3. `max_rejected` is the share of rows that may be rejected."""

    lake: ResourceDependency[AwsLake]
    storage: ResourceDependency[Storage]
    max_rejected: float
    worker_type: str

    def ingest_table(
        self, staged: TableContract, target: TableContract, dt: str, *, may_lack: bool = False
    ) -> Published:
        """See Ingest."""
        started = time.perf_counter()
        inputs = Inputs.of(self.lake.catalog, staged, target, dt, may_lack=may_lack)
        found = self._unchanged(staged, dt, inputs.upload)
        files = [f"{self.lake.zones.zone('raw')}/{each.path}" for each in found]
        rejects = rejects_of(target)
        self.lake.sweep(target, dt)
        self.lake.sweep(rejects, dt)
        if inputs.upload is None:
            return self._ingest_nothing(target, dt, inputs, started)
        contract = json.dumps(target.as_json(), sort_keys=True)
        read = {staged.qualified_name: inputs.upload, **inputs.references}

        def make(attempt: Attempt) -> Published:
            if published := self.lake.published_by(attempt, target, dt, started):
                return published
            base = f"{self.lake.zones.zone('work')}/ingest/{attempt.token('ingest')}"

            def give_up(*tables: TableContract) -> None:
                self.lake.discard(attempt, dt, *tables)
                self._clear(base)

            try:
                ended, ingested = self._run(attempt, target, inputs, files, base, dt)
                self._unchanged(staged, dt, inputs.upload, found if may_lack else None)
                self.lake.require_inputs(inputs.references, dt)
            except BaseException:
                give_up(target, rejects)
                raise
            # The rejects stay to be looked at, whatever becomes of the good rows.
            self.lake.publish(rejects, dt, attempt.version, ingested.rejects, (), inputs.lineage, started, {})
            try:
                outcomes = held_to_limit(target, dt, ingested, self.max_rejected)
            except VersionRefused:
                give_up(target)
                raise
            published = self.lake.publish(
                target,
                dt,
                attempt.version,
                ingested.rows,
                outcomes,
                inputs.lineage,
                started,
                ended.facts(),
                facts_of(ingested),
            )
            self._clear(base)  # and not before: whoever goes on with the attempt reads the report again
            return published

        return self.lake.jobs.run_or_reattach(Work.of(target, dt, contract, read), make)

    def _ingest_nothing(self, target: TableContract, dt: str, inputs: Inputs, started: float) -> Published:
        """Publish the day without rows. No job is started for it: its files are written here."""
        rejects, name = rejects_of(target), new_version()
        with TemporaryDirectory() as made:
            folder = Path(made)
            good, rejected, scratch = (folder / part for part in ("good", "rejects", "scratch"))
            for each in (good, rejected, scratch):
                each.mkdir()
            with connected(0, 1, scratch) as connection:
                ingested = ingest_table(connection, [], target, {}, good, rejected, scratch, folder)
            for table, written in ((target, good), (rejects, rejected)):
                for path in written.glob("*.parquet"):
                    self.lake.objects.put(f"{self.lake.zones.version(table, dt, name)}/{path.name}", path.read_bytes())
        outcomes = held_to_limit(target, dt, ingested, self.max_rejected)
        self.lake.publish(rejects, dt, name, 0, (), inputs.lineage, started, {})
        return self.lake.publish(target, dt, name, 0, outcomes, inputs.lineage, started, {}, facts_of(ingested))

    def _run(
        self,
        attempt: Attempt,
        target: TableContract,
        inputs: Inputs,
        files: list[str],
        base: str,
        dt: str,
    ) -> tuple[JobSucceeded, IngestedRows]:
        """Have the job carry out an order, which lies below `base`, as its report will."""
        order = {
            "target": target.as_json(),
            "raw": self.lake.zones.zone("raw"),
            "files": files,
            "references": inputs.versions,
            "to": self.lake.zones.version(target, dt, attempt.version),
            "rejects_to": self.lake.zones.version(rejects_of(target), dt, attempt.version),
            "report": f"{base}/report.json",
        }
        self.lake.objects.put(f"{base}/order.json", json.dumps(order).encode())
        arguments = {"--order": f"{base}/order.json"}
        ended = run_glue_job(
            self.lake, attempt, "ingest", INGEST_UPLOAD, arguments, worker_type=self.worker_type, workers=_WORKERS
        )
        report = json.loads(self.lake.objects.text(f"{base}/report.json"))
        if "error" in report:
            raise _error(report["error"])(report["text"])
        outcomes = tuple(Outcome(**outcome) for outcome in report.pop("outcomes"))
        return ended, IngestedRows(**report, outcomes=outcomes)

    def _clear(self, base: str) -> None:
        """Remove the order and the report."""
        with log_cleanup_errors(f"The order of an admission at {base}"):
            self.lake.objects.remove_below(base)

    def _unchanged(
        self, staged: TableContract, dt: str, upload: Version | None, read: Sequence[RawObject] | None = None
    ) -> Sequence[RawObject]:
        """The files of the upload, or of those only what was `read`. Raises UploadChanged if they are not the ones that were catalogued."""
        objects = those_read(self.storage.all_objects(staged.system, staged.name, dt), read)
        if listing_digest(objects) != (upload.facts["listing"] if upload else listing_digest([])):
            raise UploadChanged(
                f"The files of {staged.qualified_name} {PARTITION}={dt} changed after they were catalogued. "
                f"Run the day again once the upload is whole; the sensor does so by itself."
            )
        return objects


def _error(name: str) -> type[PipelineError]:
    """The project's own error of that name, which the job met."""
    found = getattr(errors, name, JobFailed)
    return found if isinstance(found, type) and issubclass(found, PipelineError) else JobFailed
