"""The model registry: which versions of a model there are, what is known of each, and which one is the champion.

Belongs here: what a registry promises, in the terms of SageMaker's.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from dagster import ConfigurableResource

from instacart_pipeline.lake.artefacts import Artefact

Status = Literal["PendingManualApproval", "Approved", "Rejected"]


@dataclass(frozen=True)
class ModelVersion:
    """One version of the model `group`, numbered from 1. `card` is its model card: what it is for, how it was made, how well it does.

    The artefact says the data day, the code version, the hyper-parameters and what it was computed from; `reason` is why it has its status.
    """

    group: str
    number: int
    status: Status
    artefact: Artefact
    metrics: Mapping[str, float]
    card: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    reason: str = ""

    @property
    def label(self) -> str:
        """The version as the model's own answers name it."""
        return f"{self.group}/{self.number}"

    def moved(self, place: Callable[[str], str]) -> ModelVersion:
        """This version with its artefact's location put through `place`."""
        return replace(self, artefact=self.artefact.moved(place))

    def as_json(self) -> dict[str, Any]:
        """The version as JSON takes it. `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> ModelVersion:
        """The version that `as_json` told; what else stands beside it is left alone."""
        known = {each.name: told[each.name] for each in fields(cls)}
        return cls(**{**known, "artefact": Artefact.of(json.dumps(told["artefact"]))})


class ModelRegistry(ConfigurableResource[Any], ABC):
    """Versions of models. A version never changes but for its status, and none is ever taken away."""

    @abstractmethod
    def register(
        self, group: str, artefact: Artefact, metrics: Mapping[str, float], card: Mapping[str, Any]
    ) -> ModelVersion:
        """Enter an artefact as the next version, pending. The same artefact again gives the version it has already."""

    @abstractmethod
    def decide(self, version: ModelVersion, status: Status, reason: str) -> ModelVersion:
        """Approve or reject a version; a rejected one may be approved later and the other way round."""

    @abstractmethod
    def versions(self, group: str) -> Sequence[ModelVersion]:
        """All versions, the newest first. None if the group is unknown."""

    def champion(self, group: str) -> ModelVersion | None:
        """The newest approved version."""
        return next((version for version in self.versions(group) if version.status == "Approved"), None)
