"""SageMaker whole: the handlers of its API and of its runtime, and what tests may set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instacart_pipeline_tests.aws_double.jobs import Jobs, JobTiming
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.sagemaker_endpoints import Endpoints
from instacart_pipeline_tests.aws_double.sagemaker_models import Models
from instacart_pipeline_tests.aws_double.sagemaker_processing import Processing
from instacart_pipeline_tests.aws_double.sagemaker_registry import Registry
from instacart_pipeline_tests.aws_double.sagemaker_training import Training
from instacart_pipeline_tests.aws_double.sagemaker_transform import Transform
from instacart_pipeline_tests.aws_double.sagemaker_tuning import Tuning


class SageMaker:
    """The parts of SageMaker's API."""

    def __init__(self, jobs: Jobs, objects: Objects, logs: Logs, folder: Path, pace: JobTiming) -> None:
        shared = (jobs, objects, logs, folder)
        self.models = Models()
        self.training = Training(*shared)
        self.registry = Registry()
        self.endpoints = Endpoints(self.models, objects, logs, pace)
        self.handlers: list[Any] = [
            self.training,
            Tuning(self.training, *shared),
            Processing(*shared),
            Transform(self.models, *shared),
            self.models,
            self.registry,
            self.endpoints,
        ]

    def close(self) -> None:
        """End every process of a model."""
        self.endpoints.close()
