"""Silhouette, knee and the reference without groups, each against a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from instacart_pipeline.customers.model import groups
from instacart_pipeline.customers.model.clustering import Clustering, knee, nearest, numbers_to_try, silhouettes
from instacart_pipeline.customers.model.groups import judge, without_groups


def test_silhouettes_are_scikit_learn_s() -> None:
    draws = np.random.default_rng(2)
    points = draws.standard_normal((120, 4))
    labelings = [draws.integers(0, k, 120).astype(np.int32) for k in (2, 5)]
    labelings.append(np.r_[[9], np.zeros(60), np.ones(59)].astype(np.int32))  # one row is alone
    assert silhouettes(points, labelings) == pytest.approx([silhouette_score(points, each) for each in labelings])
    assert silhouettes(points, [np.zeros(120, np.int32)]) == [0.0]


@pytest.mark.parametrize(
    ("inertias", "at"), [((100, 40, 30, 22, 15, 10), 3), ((100, 80, 20, 19, 18), 4), ((5, 5, 5), 2)]
)
def test_the_knee_is_where_more_clusters_bring_little(inertias: tuple[float, ...], at: int) -> None:
    tried = [Clustering(np.zeros((k, 1)), np.zeros(1, np.int32), inertia) for k, inertia in enumerate(inertias, 2)]
    assert knee(tried) == at


def test_numbers_of_clusters_are_bounded_by_rows_and_by_different_rows() -> None:
    points = np.random.default_rng(1).standard_normal((45, 2))
    assert list(numbers_to_try(points)) == [2, 3, 4]
    assert list(numbers_to_try(np.repeat(points[:3], 40, axis=0))) == [2, 3]
    assert list(numbers_to_try(np.repeat(points[:1], 40, axis=0))) == []


def test_of_centres_at_the_same_distance_the_first_is_nearest() -> None:
    places, distances = nearest(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [-3.0, 4.0], [9.0, 9.0]]))
    assert (places.tolist(), distances.tolist()) == ([0], [5.0])


def test_the_reference_has_the_columns_and_correlations_of_the_data_and_no_more() -> None:
    draws = np.random.default_rng(3)
    common = draws.standard_normal(800)
    skewed = np.exp(common + draws.standard_normal(800) / 2)
    few = (common + draws.standard_normal(800) > 1.2).astype(float)  # 0 for most
    points = np.stack([skewed, few, draws.uniform(size=800)], axis=1)
    made = without_groups(points, 6)
    for each in made:
        assert np.sort(each, axis=0).tolist() == np.sort(points, axis=0).tolist()
    mean = np.mean([np.corrcoef(each.T) for each in made], axis=0)
    assert mean == pytest.approx(np.corrcoef(points.T), abs=0.06)


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """That chance is ruled out by many is another file's matter (test_verdicts.py)."""
    monkeypatch.setattr(groups, "DRAWS", 4)


@pytest.mark.usefixtures("few_draws")
def test_correlated_columns_and_values_that_many_share_are_no_groups_but_groups_are() -> None:
    draws = np.random.default_rng(5)
    common = draws.standard_normal(500)
    line = np.stack([common + draws.standard_normal(500) * 0.4 for _ in range(3)], axis=1)
    spikes = np.column_stack([line, draws.integers(0, 3, 500)])
    assert judge((spikes - spikes.mean(axis=0)) / spikes.std(axis=0)).groups == "none"
    blobs = np.concatenate(
        [draws.standard_normal((170, 4)) / 5 + centre for centre in draws.standard_normal((3, 4)) * 3]
    )
    assert judge((blobs - blobs.mean(axis=0)) / blobs.std(axis=0)).groups == "strong"


@pytest.mark.usefixtures("few_draws")
def test_a_column_of_one_value_disturbs_no_verdict() -> None:
    points = np.column_stack([np.random.default_rng(1).standard_normal((100, 2)), np.zeros(100)])
    assert judge(points).groups == "none"
