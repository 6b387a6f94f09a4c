"""SageMaker: training, tuning, processing and batch transform, by a model's own code over tables of the lake.

Belongs here: what the four kinds of job are made of and what running one promises. Doesn't: what a model computes, which versions of it there are
(model_registry/), its endpoint (endpoints/).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dagster import ConfigurableResource

from instacart_pipeline.lake.artefacts import Artefact, ModelCode
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.published import Published

Hyperparameters = Mapping[str, str | int | float]


@dataclass(frozen=True)
class TrainingJob:
    """A training job in script mode: `python <script> --<hyperparameter> <value> ...` in the code folder.

    The script finds the Parquet files of each channel's table in the folder SM_CHANNEL_<NAME>, writes the model to
    SM_MODEL_DIR and reports to SM_OUTPUT_DATA_DIR. `metrics` are regular expressions, with one group, over what it prints.
    """

    system: str
    name: str
    code: ModelCode
    hyperparameters: Hyperparameters
    channels: Mapping[str, TableContract]
    metrics: Mapping[str, str] = field(default_factory=dict)
    script: str = "train.py"


@dataclass(frozen=True)
class Range:
    """The values a hyper-parameter may take, both ends included; `kind` says whether only whole ones."""

    low: float
    high: float
    kind: Literal["integer", "continuous"] = "continuous"


@dataclass(frozen=True)
class TuningJob:
    """A search for the hyper-parameters, in `ranges`, with which `training` reaches the least (or greatest) `objective`.

    `objective` is one of the training's metrics. `trials` trainings are made, `at_once` at a time; one that falls behind the others
    is ended early.
    """

    name: str
    training: TrainingJob
    ranges: Mapping[str, Range]
    objective: str
    maximize: bool = False
    trials: int = 4
    at_once: int = 2


@dataclass(frozen=True)
class ProcessingJob:
    """A script over tables and artefacts: `python <script> --<argument> <value> ...` in the code folder.

    It finds the files of each input in SM_PROCESSING_DIR/input/<name>: a table's Parquet files, an artefact's archives unpacked as the
    folders model/, output/ and code/. What it writes to SM_PROCESSING_DIR/output is the result.
    """

    system: str
    name: str
    code: ModelCode
    script: str
    tables: Mapping[str, TableContract] = field(default_factory=dict)
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TransformJob:
    """Predictions for every row of `source` by a trained model, through the endpoint's own contract.

    A row's `features`, in this order, go to the model as a line of CSV without the `ids`; NULL is an empty field. The result's columns are
    the ids and the number the model answers with, as `score`.
    """

    name: str
    model: Artefact
    source: TableContract
    ids: Sequence[str]
    features: Sequence[str]
    score: str


class SageMaker(ConfigurableResource[Any], ABC):
    """Runs SageMaker jobs. One that fails or is stopped publishes nothing and leaves no job or process behind.

    All jobs raise JobFailed with the script's own error and the end of its log, and TableNotFound if an input has no such day.
    """

    @abstractmethod
    def train(self, job: TrainingJob, dt: str) -> Artefact:
        """Publish the trained model, its reports and its code as the artefact `job.name` of `dt`."""

    @abstractmethod
    def tune(self, job: TuningJob, dt: str) -> Artefact:
        """Publish the outcome of the search as the artefact `job.name` of `dt`: the best trial's hyper-parameters and metrics.

        Raises JobFailed if no trial reported the objective.
        """

    @abstractmethod
    def process(self, job: ProcessingJob, dt: str) -> Artefact:
        """Publish what the script wrote, packed as output.tar.gz, as the artefact `job.name` of `dt`."""

    @abstractmethod
    def process_table(self, job: ProcessingJob, target: TableContract, dt: str) -> Published:
        """Publish the Parquet files that the script wrote as `target` at `dt`. Raises VersionRefused if they break its contract."""

    @abstractmethod
    def transform(self, job: TransformJob, target: TableContract, dt: str) -> Published:
        """Publish the predictions as `target` at `dt`. Raises VersionRefused if they break its contract."""

    @abstractmethod
    def artefact(self, system: str, name: str, dt: str) -> Artefact:
        """What was published last under that name for `dt`. Raises ArtefactNotFound."""

    @abstractmethod
    def unpacked(self, artefact: Artefact) -> AbstractContextManager[Path]:
        """A folder with the artefact's archives unpacked as model/, output/ and code/; gone at the end of the block."""

    @abstractmethod
    def sweep(self, system: str) -> Iterator[str]:
        """Remove versions of artefacts that were replaced longer ago than the retention and are no model version; says which."""
