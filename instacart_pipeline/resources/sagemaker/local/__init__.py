"""SageMaker on this machine: a job is a child process over links to the lake's own files.

Belongs here: the resource. What the kinds of job are made of: jobs.py, tuning.py, transform.py.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from dagster import ResourceDependency

from instacart_pipeline.container.unpacking import unpack
from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ArtefactNotFound
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.model_registry.local import SqliteModelRegistry
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.sagemaker import ProcessingJob, SageMaker, TrainingJob, TransformJob, TuningJob
from instacart_pipeline.resources.sagemaker.local import jobs as sagemaker_jobs
from instacart_pipeline.resources.sagemaker.local import transform as sagemaker_transform
from instacart_pipeline.resources.sagemaker.local import tuning as sagemaker_tuning
from instacart_pipeline.resources.sagemaker.local.artefacts import Artefacts


class LocalSageMaker(SageMaker):
    """Runs SageMaker jobs within the lake's threads. What the registry and the endpoints name is kept for good."""

    lake: ResourceDependency[LocalLake]
    registry: ResourceDependency[SqliteModelRegistry]
    endpoints: ResourceDependency[LocalEndpoints]

    @property
    def artefacts(self) -> Artefacts:
        """The artefacts of the lake."""
        return Artefacts(self.lake, lambda: self.registry.locations() | self.endpoints.locations())

    def train(self, job: TrainingJob, dt: str) -> Artefact:
        """See SageMaker."""
        return sagemaker_jobs.train(self.artefacts, job, dt)

    def tune(self, job: TuningJob, dt: str) -> Artefact:
        """See SageMaker."""
        return sagemaker_tuning.tune(self.artefacts, job, dt)

    def process(self, job: ProcessingJob, dt: str) -> Artefact:
        """See SageMaker."""
        return sagemaker_jobs.process(self.artefacts, job, dt)

    def process_table(self, job: ProcessingJob, target: TableContract, dt: str) -> Published:
        """See SageMaker."""
        return sagemaker_jobs.process_table(self.lake, job, target, dt)

    def transform(self, job: TransformJob, target: TableContract, dt: str) -> Published:
        """See SageMaker."""
        return sagemaker_transform.transform(self.lake, job, target, dt)

    def artefact(self, system: str, name: str, dt: str) -> Artefact:
        """See SageMaker."""
        return self.artefacts.find(system, name, dt)

    def unpacked(self, artefact: Artefact) -> AbstractContextManager[Path]:
        """See SageMaker."""
        return self._unpacked(artefact)

    @contextmanager
    def _unpacked(self, artefact: Artefact) -> Iterator[Path]:
        if not Path(artefact.location).is_dir():
            raise ArtefactNotFound(
                f"{artefact.location} is gone: the artefact was replaced longer ago than the retention."
            )
        with self.lake.scratch() as folder:
            unpack(Path(artefact.location), folder)
            yield folder

    def sweep(self, system: str) -> Iterator[str]:
        """See SageMaker."""
        return self.artefacts.sweep(system)
