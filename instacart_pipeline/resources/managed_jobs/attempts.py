"""Attempts: what is remembered in S3 of a piece of work under way, so that a retry finds its own jobs.

Belongs here: the record of an attempt, and who goes on with it. Doesn't: the jobs themselves (jobs.py).

A piece of work is a table and day in one Dagster run, with the very definition and inputs it has. Its record is written before
any job is started, so that whoever comes after a killed process (a retry of the step, or of the run) knows the token of
each job and the version its output goes to, even if the answer to the start never arrived.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagster import AssetExecutionContext, DagsterInvariantViolationError

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.resources.aws_account.objects import Held, Objects


@dataclass(frozen=True)
class Work:
    """A piece of work. `table` is the name of what it makes; `digest` stands for its definition and the versions of its inputs."""

    run: str
    table: str
    dt: str
    digest: str

    @classmethod
    def of(cls, target: TableContract, dt: str, definition: str, inputs: Mapping[str, Version]) -> Work:
        """The work of making `target` at `dt` by `definition` from `inputs`, in the Dagster run under way."""
        return cls.named(target.qualified_name, dt, definition, inputs)

    @classmethod
    def named(cls, name: str, dt: str, definition: str, inputs: Mapping[str, Version]) -> Work:
        """The same for what is no table: an artefact or a deployment."""
        versions = sorted((name, version.name) for name, version in inputs.items())
        digest = hashlib.sha256(json.dumps([definition, versions]).encode()).hexdigest()[:16]
        return cls(_run(), name, dt, digest)

    @property
    def name(self) -> str:
        """The work's name in its run, fit for a key of S3."""
        return f"{self.table}.{self.dt}.{self.digest}"


def _run() -> str:
    """The id of the run under way; of its first try, if it is a retry. Outside of Dagster, one of its own for each call."""
    try:
        run = AssetExecutionContext.get().run
    except DagsterInvariantViolationError:
        return uuid.uuid4().hex
    return run.root_run_id or run.run_id


@dataclass
class JobEntry:
    """What is remembered of one job of an attempt. Without an id its start is under way, or the answer was lost."""

    service: str
    token: str
    id: str = ""


@dataclass
class Attempt:
    """One try at a piece of work. `resumed` says that a process before this one began it.

    One that is not `open` is over, and nobody goes on with it; `left` says that a job of it may still be alive all the same.
    """

    work: Work
    number: int
    version: str
    jobs: dict[str, JobEntry] = field(default_factory=dict)
    open: bool = True
    left: bool = False
    resumed: bool = False

    def token(self, job: str) -> str:
        """The token of a job of this attempt: the same for whoever goes on with it, and for nothing else. 64 hexadecimal digits.

        Not even for the same work done once more in the same run: its version has another name.
        """
        parts = (self.work.run, self.work.name, self.version, job)
        return hashlib.sha256("/".join(parts).encode()).hexdigest()

    def start_new_attempt(self) -> None:
        """Make of it another try, which writes a version of its own: what the one before wrote may be gone."""
        self.number, self.version, self.jobs, self.resumed = self.number + 1, new_version(), {}, False

    def content(self) -> dict[str, Any]:
        """The attempt as its record holds it."""
        jobs = {name: vars(entry) for name, entry in self.jobs.items()}
        told = {"number": self.number, "version": self.version, "open": self.open, "left": self.left}
        return {**told, "jobs": jobs}


class Records:
    """The records of attempts below the prefix `base`, a folder a run."""

    def __init__(self, objects: Objects, base: str) -> None:
        self.objects, self.base = objects, base

    def claim(self, work: Work) -> Attempt:
        """The attempt to go on with: the one left open by a process before, or a new one."""
        while True:
            held = self.objects.held(self._uri(work))
            attempt = _attempt(work, held)
            if attempt.open and held:
                attempt.resumed = True
                return attempt
            fresh = Attempt(work, attempt.number + 1, new_version())
            if self.objects.swap(self._uri(work), fresh.content(), held):
                return fresh

    def write(self, attempt: Attempt) -> None:
        """Keep what has become of an attempt."""
        self.objects.put(self._uri(attempt.work), json.dumps(attempt.content(), sort_keys=True).encode())

    def forget(self, attempt: Attempt) -> None:
        """The work is done: nobody will ask for it again."""
        self.objects.remove(self._uri(attempt.work))

    def open_of(self, run: str) -> Iterator[Attempt]:
        """The attempts of a run that are still open, or of which a job was left alive."""
        _, base = self.base.removeprefix("s3://").split("/", 1)
        for found in self.objects.listed(f"{self.base}/run={run}"):
            name = found.key.removeprefix(f"{base}/run={run}/").removesuffix(".json")
            table, dt, digest = name.rsplit(".", 2)
            work = Work(run, table, dt, digest)
            attempt = _attempt(work, self.objects.held(self._uri(work)))
            if attempt.open or attempt.left:
                yield attempt

    def _uri(self, work: Work) -> str:
        return f"{self.base}/run={work.run}/{work.name}.json"


def _attempt(work: Work, held: Held | None) -> Attempt:
    if held is None:
        return Attempt(work, 0, "", open=False)
    jobs = {name: JobEntry(**entry) for name, entry in held.content["jobs"].items()}
    told = held.content
    return Attempt(work, told["number"], told["version"], jobs, told["open"], told["left"])
