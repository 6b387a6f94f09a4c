"""SageMaker on AWS: which module runs which kind of job, and the artefacts they leave."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from dagster import ResourceDependency

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.sagemaker import ProcessingJob, SageMaker, TrainingJob, TransformJob, TuningJob
from instacart_pipeline.resources.sagemaker.aws.artefacts import Artefacts
from instacart_pipeline.resources.sagemaker.aws.jobs import SageMakerContext
from instacart_pipeline.resources.sagemaker.aws.processing import process, process_table
from instacart_pipeline.resources.sagemaker.aws.training import train
from instacart_pipeline.resources.sagemaker.aws.transform import transform
from instacart_pipeline.resources.sagemaker.aws.tuning import tune


class AwsSageMaker(SageMaker):
    """Runs jobs in the framework image `image`, as the IAM role `role`, each on one instance.

    Raises SettingsInvalid, before anything is started, if image or role is not set.
    """

    lake: ResourceDependency[AwsLake]
    image: str
    role: str
    training_instance: str
    transform_instance: str

    def train(self, job: TrainingJob, dt: str) -> Artefact:
        """See SageMaker."""
        return train(self._sagemaker_context, self._artefacts, job, dt)

    def tune(self, job: TuningJob, dt: str) -> Artefact:
        """See SageMaker."""
        return tune(self._sagemaker_context, self._artefacts, job, dt)

    def process(self, job: ProcessingJob, dt: str) -> Artefact:
        """See SageMaker."""
        return process(self._sagemaker_context, self._artefacts, job, dt)

    def process_table(self, job: ProcessingJob, target: TableContract, dt: str) -> Published:
        """See SageMaker."""
        return process_table(self._sagemaker_context, job, target, dt)

    def transform(self, job: TransformJob, target: TableContract, dt: str) -> Published:
        """See SageMaker."""
        return transform(self._sagemaker_context, job, target, dt)

    def artefact(self, system: str, name: str, dt: str) -> Artefact:
        """See SageMaker."""
        return self._artefacts.find(system, name, dt)

    def unpacked(self, artefact: Artefact) -> AbstractContextManager[Path]:
        """See SageMaker."""
        return self._artefacts.unpacked(artefact)

    def sweep(self, system: str) -> Iterator[str]:
        """See SageMaker."""
        return self._artefacts.sweep(system)

    @property
    def _sagemaker_context(self) -> SageMakerContext:
        return SageMakerContext(self.lake, self.image, self.role, self.training_instance, self.transform_instance)

    @property
    def _artefacts(self) -> Artefacts:
        return Artefacts(self.lake)
