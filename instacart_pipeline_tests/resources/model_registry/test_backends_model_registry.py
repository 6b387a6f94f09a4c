"""The model registry, whichever backend: how versions are numbered, judged and found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from instacart_pipeline.lake.artefacts import Artefact, Trial
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.resources.model_registry import ModelRegistry
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.resources.toy_model import CODE

_GROUPS = count(1)


@pytest.fixture(scope="module")
def registry(backend: Platform) -> ModelRegistry:
    return backend.resources.model_registry


@pytest.fixture
def group() -> str:
    """A model that no other test knows."""
    return f"toy-{next(_GROUPS)}"


def artefact(backend: Platform, group: str, number: int) -> Artefact:
    """An artefact that holds all that one may."""
    version = f"20260101T00000000000{number}-000000"
    return Artefact(
        "toy",
        group,
        "2026-01-01",
        version,
        f"{backend.zones.zone('models')}/toy/{group}/dt=2026-01-01/v={version}",
        CODE.digest,
        {"rate": 0.5, "rounds": 3, "kind": "größer"},
        {"loss": 0.25},
        {"toy_features.rows": "20260101T000000000000-000000"},
        (Trial(1, "Completed", {"rate": 0.5}, 0.25, 1.5), Trial(2, "Stopped", {"rate": 0.1}, None, 0.5)),
        12.5,
        {"job": "toy-1"},
    )


def test_an_unknown_model_has_no_versions_and_no_champion(registry: ModelRegistry, group: str) -> None:
    assert list(registry.versions(group)) == []
    assert registry.champion(group) is None


def test_versions_are_numbered_from_one_and_come_newest_first(
    registry: ModelRegistry, backend: Platform, group: str
) -> None:
    made = [registry.register(group, artefact(backend, group, number), {"f1": 0.4}, {}) for number in (1, 2, 3)]
    assert [version.number for version in made] == [1, 2, 3]
    assert [version.number for version in registry.versions(group)] == [3, 2, 1]


def test_a_version_is_read_back_as_it_was_registered(registry: ModelRegistry, backend: Platform, group: str) -> None:
    given = artefact(backend, group, 1)
    card = {"intended_use": 'What "the" toy, größer, is for.', "features": ["x", "y"], "figures": {"f1": [0.1, None]}}
    version = registry.register(group, given, {"f1": 0.4, "auc": 1 / 3}, card)
    assert (version.group, version.number, version.status) == (group, 1, "PendingManualApproval")
    assert (version.artefact, dict(version.metrics), dict(version.card)) == (given, {"f1": 0.4, "auc": 1 / 3}, card)
    assert version.created
    assert list(registry.versions(group)) == [version]


def test_the_same_artefact_registered_again_is_the_version_it_has_already(
    registry: ModelRegistry, backend: Platform, group: str
) -> None:
    first = registry.register(group, artefact(backend, group, 1), {"f1": 0.4}, {})
    decided = registry.decide(first, "Approved", "better")
    again = registry.register(group, artefact(backend, group, 1), {"f1": 0.4}, {})
    assert again == decided
    assert len(registry.versions(group)) == 1


def test_a_decision_changes_status_and_reason_and_nothing_else(
    registry: ModelRegistry, backend: Platform, group: str
) -> None:
    version = registry.register(group, artefact(backend, group, 1), {"f1": 0.4}, {"why": "because"})
    rejected = registry.decide(version, "Rejected", "worse by 0.01")
    assert (rejected.status, rejected.reason) == ("Rejected", "worse by 0.01")
    assert registry.champion(group) is None
    approved = registry.decide(rejected, "Approved", "on second thoughts")
    assert (approved.status, approved.reason) == ("Approved", "on second thoughts")
    assert (approved.number, approved.artefact, approved.metrics, approved.card) == (
        version.number,
        version.artefact,
        version.metrics,
        version.card,
    )
    assert list(registry.versions(group)) == [approved]


def test_the_champion_is_the_newest_approved_version(registry: ModelRegistry, backend: Platform, group: str) -> None:
    first, second, third = (registry.register(group, artefact(backend, group, number), {}, {}) for number in (1, 2, 3))
    assert registry.champion(group) is None
    first = registry.decide(first, "Approved", "the first")
    assert registry.champion(group) == first
    second = registry.decide(second, "Approved", "better")
    assert registry.champion(group) == second
    registry.decide(third, "Rejected", "worse")
    assert registry.champion(group) == second
    registry.decide(second, "Rejected", "taken back")
    assert registry.champion(group) == first


def test_models_don_t_mix(registry: ModelRegistry, backend: Platform, group: str) -> None:
    registry.register(group, artefact(backend, group, 1), {}, {})
    other = registry.register(f"{group}-other", artefact(backend, group, 1), {}, {})
    assert other.number == 1
    assert [version.group for version in registry.versions(group)] == [group]


def test_several_who_register_at_once_get_a_number_each_and_one_artefact_gets_one(
    backend: Platform, group: str
) -> None:
    def register(number: int) -> int:
        # What another process would make of the settings.
        return (
            build_resources(backend.settings)
            .model_registry.register(group, artefact(backend, group, number), {}, {})
            .number
        )

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(register, [1, 2, 3, 1, 2, 3]))
    assert sorted(numbers[:3]) == [1, 2, 3]
    assert numbers[3:] == numbers[:3]
