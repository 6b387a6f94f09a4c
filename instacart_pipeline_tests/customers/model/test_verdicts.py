"""Whether there are groups: those that are planted are met, and where there are none it is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from instacart_pipeline.customers.model import fitting
from instacart_pipeline.customers.model.rows import Customers, sample
from instacart_pipeline_tests.customers.model.planted import noise, planted, shop
from instacart_pipeline_tests.tiers import costs


@pytest.fixture(autouse=True)
@costs("deep")
def quality() -> None:
    """Each of these fits takes seconds: a model, many draws without groups, and how stable it is."""


@pytest.mark.parametrize("sizes", [(400, 200, 60), (160, 160, 160, 160, 160)])
def test_planted_groups_are_found_counted_and_said_to_be_there(sizes: Sequence[int]) -> None:
    customers, group = planted(sizes, seed=3)
    model, report = fitting.fit(sample([customers], fitting.FIT_ROWS)[0], lambda _: None)
    numbers, distances = model.assign(customers)
    assert report["k"] == len(sizes)
    assert adjusted_rand_score(group, numbers) > 0.95
    assert report["groups"] in ("weak", "reasonable", "strong")
    assert "There are groups" in report["verdict"]
    assert report["silhouette"] > report["silhouette_without_groups"] + 0.05
    assert report["stability"]["other seeds"]["least"] > 0.95
    assert report["stability"]["random halves"]["least"] > 0.95
    assert np.all(distances < 10)


@pytest.mark.parametrize("customers", [noise(700), shop(1600)], ids=["noise", "a shop"])
def test_where_there_are_no_groups_it_is_said_and_the_knee_cuts_the_slices(customers: Customers) -> None:
    model, report = fitting.fit(sample([customers], fitting.FIT_ROWS)[0], lambda _: None)
    assert report["groups"] == "none"
    assert "slices of a continuum" in report["verdict"]
    assert report["k"] == report["k_knee"] == len(model.centres)
    assert len({model.name(number) for number in model.numbers}) == len(model.numbers)
