"""Endpoints: a model version that answers over HTTP, replaced by another without a request lost.

Belongs here: what deploying and asking promise. Doesn't: what an answer means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.model_registry import ModelVersion

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
"""The header that passes through SageMaker both ways as it is."""


class DeploymentFailed(PipelineError):
    """A model version could not be brought behind an endpoint; the one before still answers."""


class EndpointNotFound(PipelineError):
    """Nothing was ever deployed under that name."""


class EndpointUnavailable(PipelineError):
    """An endpoint can't be reached, or answers too late."""


@dataclass(frozen=True)
class Canary:
    """A request that a server must answer with status 200, and with as many lines, before it takes over."""

    body: bytes
    lines: int
    content_type: str = "text/csv"


@dataclass(frozen=True)
class Deployed:
    """What stands behind an endpoint. `service` is what the service says of bringing it there."""

    endpoint: str
    version: ModelVersion
    seconds: float = 0.0
    service: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """A model's answer: status by the container's contract, body, type, and the custom attributes it came with."""

    status: int
    body: bytes
    content_type: str
    attributes: str = ""


class Endpoints(ConfigurableResource[Any], ABC):
    """Endpoints by name."""

    @abstractmethod
    def deploy(self, name: str, version: ModelVersion, canary: Canary) -> Deployed:
        """Bring a version behind an endpoint, once a server with it has answered the canary; makes the endpoint if there is none.

        Requests are answered all the while, each by the old version or by the new. The version that is there already is left
        alone. Raises DeploymentFailed, the endpoint then being as it was.
        """

    @abstractmethod
    def deployed(self, name: str) -> ModelVersion:
        """What stands behind an endpoint by now. Raises EndpointNotFound."""

    @abstractmethod
    def invoke(
        self, name: str, body: bytes, *, content_type: str = "text/csv", accept: str = "text/csv", attributes: str = ""
    ) -> Reply:
        """Ask the model; safe from several threads. What the model refuses comes back as a reply with its status.

        Raises EndpointNotFound; EndpointUnavailable if nobody answers.
        """
