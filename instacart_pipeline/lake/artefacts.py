"""Artefacts: what a job leaves in the models zone besides tables, and a model's code.

Belongs here: the record of an artefact and the bundle of code that makes and serves a model. Doesn't: running any of it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

MODEL, OUTPUT, SOURCE = "model.tar.gz", "output.tar.gz", "sourcedir.tar.gz"
"""The files of a trained model's artefact: the model folder, the reports, and the code that made both. Others lack the first."""


def digest_of(files: Mapping[str, bytes]) -> str:
    """A digest of the names and contents of files."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class ModelCode:
    """A model's code as SageMaker's script mode takes it: files by their path in the code folder.

    `serve` is the module with the inference hooks model_fn, input_fn, predict_fn and output_fn. Scripts lie at the top, so that
    a script run from the code folder finds its imports there.
    """

    files: Mapping[str, bytes]
    serve: str = "inference.py"

    @property
    def digest(self) -> str:
        """A digest of names and contents."""
        return digest_of(self.files)

    def archive(self) -> bytes:
        """The files as sourcedir.tar.gz: the same code gives the same bytes."""
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
            for name, content in sorted(self.files.items()):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
        return packed.getvalue()


@dataclass(frozen=True)
class Trial:
    """One training of a tuning. `objective` is the best value it reached; None if it reported none."""

    number: int
    state: str
    hyperparameters: Mapping[str, str | int | float]
    objective: float | None
    seconds: float


@dataclass(frozen=True)
class Artefact:
    """A published result in the models zone: the files below `location`, of one version, and what is said of them.

    `metrics` are what the job reported last by its metric patterns; `code` is the digest of the code that made it; `lineage` names the
    version of every table it was computed from, up to the uploads. `service` is what the service says of the work. `serve` is the module of
    its code that has the inference hooks.
    """

    system: str
    name: str
    dt: str
    version: str
    location: str
    code: str
    hyperparameters: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    seconds: float = 0.0
    service: Mapping[str, str | int | float] = field(default_factory=dict)
    serve: str = "inference.py"

    def record(self) -> str:
        """The artefact as its JSON record."""
        return json.dumps(asdict(self), sort_keys=True)

    def moved(self, place: Callable[[str], str]) -> Artefact:
        """This artefact with its location put through `place`."""
        return replace(self, location=place(self.location))

    @classmethod
    def of(cls, record: str | bytes) -> Artefact:
        """The artefact of a JSON record."""
        told: dict[str, Any] = json.loads(record)
        return cls(**{**told, "trials": tuple(Trial(**trial) for trial in told["trials"])})
