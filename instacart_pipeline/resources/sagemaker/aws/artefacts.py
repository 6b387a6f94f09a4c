"""Artefacts in the models zone of S3: making one, publishing it by a record that is replaced in one step, and sweeping.

Belongs here: where an artefact lies, its record, and when it goes. Doesn't: the jobs that make one (sagemaker_*.py).

A day of an artefact is the prefix <models>/<system>/<name>/dt=<day>: versions below it, and `published.json`, which says the
one that counts and the earlier ones that wait to be removed.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from instacart_pipeline.lake.artefacts import MODEL, OUTPUT, SOURCE, Artefact, ModelCode, Trial
from instacart_pipeline.lake.contracts import PARTITION
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed
from instacart_pipeline.lake.versions import Version, lineage_of, supersedes
from instacart_pipeline.lake.zones import age_of
from instacart_pipeline.resources.aws_account.errors import AwsNotFound, log_cleanup_errors
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.aws_account.objects import Held, split
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded

FOLDERS = {MODEL: "model", OUTPUT: "output", SOURCE: "code"}
REGISTERED = "_registered"
"""The prefix of the models zone with a record for each version in the registry: what these name is never swept."""
_TRIES = 20


@dataclass(frozen=True)
class Produced:
    """What a job came to, besides its files."""

    ended: JobSucceeded
    hyperparameters: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    cost_usd: float = 0.0


class Artefacts:
    """The artefacts of a lake."""

    def __init__(self, lake: AwsLake) -> None:
        self.lake, self.objects = lake, lake.objects

    def build(
        self,
        system: str,
        name: str,
        dt: str,
        code: ModelCode,
        definition: str,
        inputs: Mapping[str, Version],
        artefacts: Mapping[str, Artefact],
        write: Callable[[Attempt, str], Produced],
    ) -> Artefact:
        """Publish what `write(attempt, location)` writes below `location`. See AwsLake.build, of which this is the like.

        `inputs` are tables by their qualified name; `artefacts`, by any name, are read too.
        """
        started = time.perf_counter()
        known = {**inputs, **as_inputs(artefacts.values())}
        lineage = lineage_of(known)

        def make(attempt: Attempt) -> Artefact:
            current = self.current(system, name, dt)
            location = self.location(system, name, dt, attempt.version)
            if attempt.resumed and current and location in self._known(system, name, dt):
                return current
            if attempt.resumed and age_of(attempt.version) > self.lake.longest_write / 2:
                attempt.start_new_attempt()
                self.lake.jobs.records.write(attempt)
                location = self.location(system, name, dt, attempt.version)
            try:
                produced = write(attempt, location)
                self.lake.require_inputs(inputs, dt)
            except BaseException:
                self._discard(attempt, location)
                raise
            service = produced.ended.facts()
            if produced.cost_usd:
                service["estimated_cost_usd"] = round(produced.cost_usd, 6)
            made = Artefact(
                system=system,
                name=name,
                dt=dt,
                version=attempt.version,
                location=location,
                code=code.digest,
                serve=code.serve,
                hyperparameters=produced.hyperparameters,
                metrics=produced.metrics,
                lineage=lineage,
                trials=produced.trials,
                seconds=time.perf_counter() - started,
                service=service,
            )
            return self.publish(made)

        return self.lake.jobs.run_or_reattach(Work.named(f"{system}_models.{name}", dt, definition, known), make)

    def current(self, system: str, name: str, dt: str) -> Artefact | None:
        """What is published, or None."""
        held = self.objects.held(self._record(system, name, dt))
        return Artefact.of(json.dumps(held.content["artefact"])) if held else None

    def find(self, system: str, name: str, dt: str) -> Artefact:
        """What is published. Raises ArtefactNotFound."""
        found = self.current(system, name, dt)
        if found is None:
            raise ArtefactNotFound(
                f"Nothing was published as {system}/{name} for {PARTITION}={dt} (looked at {self._record(system, name, dt)}). "
                f"Build the asset {system}/models/{name} of that day first."
            )
        return found

    def publish(self, made: Artefact) -> Artefact:
        """Make an artefact the one that counts, unless it was computed from something older: then that one, and this is removed."""
        uri = self._record(made.system, made.name, made.dt)
        for _ in range(_TRIES):
            held = self.objects.held(uri)
            before, retired = _read(held)
            if before and supersedes(as_version(before), as_version(made)):
                if before.location != made.location:
                    with log_cleanup_errors(f"The superseded artefact {made.location}"):
                        self.objects.remove_below(made.location)
                return before
            after = as_version(made).after(replace(as_version(before), retired=retired) if before else None)
            if self.objects.swap(uri, _content(made, after.retired), held):
                return made
        raise JobFailed(f"{uri} was written by others {_TRIES} times in a row. Run again once they are done.")

    def location(self, system: str, name: str, dt: str, version: str) -> str:
        """The prefix of one version."""
        return f"{self._day(system, name, dt)}/v={version}"

    def copy(self, source: str, target: str) -> bool:
        """Copy an object inside S3; whether the target is there then. A source that is gone was copied before, or never there."""
        (bucket, key), (to, name) = split(source), split(target)
        place = {"Bucket": bucket, "Key": key}
        try:
            self.lake.session.doing("s3", "copy_object", lambda s3: s3.copy(place, to, name))
        except AwsNotFound:
            return any(f"s3://{to}/{found.key}" == target for found in self.objects.listed(target.rpartition("/")[0]))
        return True

    @contextmanager
    def unpacked(self, artefact: Artefact) -> Iterator[Path]:
        """See SageMaker."""
        with tempfile.TemporaryDirectory(prefix="artefact-") as folder:
            found = 0
            for archive, name in FOLDERS.items():
                (Path(folder) / name).mkdir()
                try:
                    content = self.objects.content(f"{artefact.location}/{archive}")
                except AwsNotFound:
                    continue  # not every artefact has all three
                with tarfile.open(fileobj=io.BytesIO(content)) as packed:
                    packed.extractall(Path(folder) / name, filter="data")
                found += 1
            if not found:
                raise ArtefactNotFound(
                    f"{artefact.location} is gone: the artefact was replaced longer ago than the retention."
                )
            yield Path(folder)

    def sweep(self, system: str) -> Iterator[str]:
        """See SageMaker."""
        top = f"{self.lake.zones.zone('models')}/{system}"
        named: set[str] | None = None
        for name in self.objects.folders(top):
            for day in self.objects.folders(f"{top}/{name}"):
                goers = self._goers(f"{top}/{name}/{day}")
                if not goers:
                    continue
                named = self._registered() if named is None else named
                for location in (found for found in goers if found not in named):
                    self.objects.remove_below(location)
                    self._strike(f"{top}/{name}/{day}", location)
                    yield location

    def _goers(self, day: str) -> list[str]:
        """The versions of a day that are past their retention, or that nobody writes any more."""
        before, retired = _read(self.objects.held(f"{day}/published.json"))
        known = {location for location, _ in retired} | ({before.location} if before else set())
        expired = as_version(before, retired).expired(timedelta(days=self.lake.retention_days)) if before else []
        found = [f"{day}/{name}" for name in self.objects.folders(day) if name.startswith("v=")]
        abandoned = (each for each in found if each not in known and self._is_abandoned(each))
        return [*expired, *abandoned]

    def _is_abandoned(self, location: str) -> bool:
        return age_of(location.rpartition("/v=")[2]) > self.lake.longest_write

    def _strike(self, day: str, location: str) -> None:
        """Take a location off the list of earlier versions."""
        for _ in range(_TRIES):
            held = self.objects.held(f"{day}/published.json")
            before, retired = _read(held)
            kept = tuple(entry for entry in retired if entry[0] != location)
            if (
                before is None
                or kept == retired
                or self.objects.swap(f"{day}/published.json", _content(before, kept), held)
            ):
                return

    def _registered(self) -> set[str]:
        prefix = f"{self.lake.zones.zone('models')}/{REGISTERED}"
        bucket, _ = split(prefix)
        held = (self.objects.held(f"s3://{bucket}/{found.key}") for found in self.objects.listed(prefix))
        return {str(each.content["artefact"]["location"]) for each in held if each}

    def _discard(self, attempt: Attempt, location: str) -> None:
        """Give an attempt up, and remove what it wrote. Its record says so first: nobody may publish what is gone."""
        attempt.open = False
        with log_cleanup_errors(f"What was written for {attempt.work.name}"):
            self.lake.jobs.records.write(attempt)
            self.objects.remove_below(location)

    def _known(self, system: str, name: str, dt: str) -> set[str]:
        before, retired = _read(self.objects.held(self._record(system, name, dt)))
        return {location for location, _ in retired} | ({before.location} if before else set())

    def _day(self, system: str, name: str, dt: str) -> str:
        return f"{self.lake.zones.zone('models')}/{system}/{name}/{PARTITION}={dt}"

    def _record(self, system: str, name: str, dt: str) -> str:
        return f"{self._day(system, name, dt)}/published.json"


def as_inputs(artefacts: Iterable[Artefact]) -> dict[str, Version]:
    """Artefacts as inputs of what is computed from them, by name.

    Without their own lineage: a model may be older than the tables it is asked about, and go back to other uploads. Of two
    versions of one artefact the newer stands for both.
    """
    ordered = sorted(artefacts, key=lambda each: each.version)
    return {f"{each.system}_models.{each.name}": Version(each.version, each.location, 0, 0) for each in ordered}


def as_version(artefact: Artefact, retired: tuple[tuple[str, str], ...] = ()) -> Version:
    """The artefact as far as lineage and replacement go."""
    return Version(artefact.version, artefact.location, 0, 0, artefact.lineage, retired=retired)


def _content(artefact: Artefact, retired: tuple[tuple[str, str], ...]) -> dict[str, object]:
    return {"artefact": json.loads(artefact.record()), "retired": [list(entry) for entry in retired]}


def _read(held: Held | None) -> tuple[Artefact | None, tuple[tuple[str, str], ...]]:
    if held is None:
        return None, ()
    retired = tuple((str(location), str(when)) for location, when in held.content["retired"])
    return Artefact.of(json.dumps(held.content["artefact"])), retired


def serving_environment(artefact: Artefact) -> dict[str, str]:
    """What the framework's container must be told to serve a model by its own code."""
    return {
        "SAGEMAKER_PROGRAM": artefact.serve,
        "SAGEMAKER_SUBMIT_DIRECTORY": f"{artefact.location}/{SOURCE}",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
    }
