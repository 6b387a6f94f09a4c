"""Names of segments: by rule, and never the same twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from instacart_pipeline.customers.model.naming import names_of

FEATURES = ("spend", "orders", "age")


def test_a_segment_is_called_by_the_two_features_it_lies_furthest_out_in() -> None:
    centres = np.array([[-1.2, 0.4, 0.1], [0.5, 0.2, -2.0], [0.2, -0.1, 0.0]])
    assert names_of(centres, FEATURES) == ["Low spend, many orders", "Younger, high spend", "Average"]


def test_names_that_would_be_the_same_say_more_and_are_numbered_at_last() -> None:
    centres = np.array([[2.0, 1.0, 0.5], [2.0, 1.0, -0.5], [0.0, 0.1, 0.0], [0.1, 0.0, 0.0]])
    assert names_of(centres, FEATURES) == [
        "High spend, many orders, older",
        "High spend, many orders, younger",
        "Average",
        "Average (2)",
    ]


@given(st.lists(st.lists(st.sampled_from([-2.0, -0.4, 0.0, 0.4, 2.0]), min_size=3, max_size=3), min_size=1, max_size=8))
def test_names_are_unique_and_the_same_every_time(centres: list[list[float]]) -> None:
    names = names_of(np.array(centres), FEATURES)
    assert len(set(names)) == len(names) == len(centres)
    assert names == names_of(np.array(centres), FEATURES)
