"""What segments are called: by rule, from what sets each apart, so that the same segments have the same names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instacart_pipeline.customers.model.features import FEATURES
from instacart_pipeline.customers.model.rows import Floats

BOUGHT_NOTHING = "Bought nothing in the last year"
BOUGHT_SOMETHING = "Bought in the last year"
LEAST = 0.3
"""Standard deviations from the mean of all buyers from which on a feature sets a segment apart."""

_WORDS = {feature.name: (feature.high, feature.low) for feature in FEATURES}


def names_of(centres: Floats, features: Sequence[str]) -> list[str]:
    """A name a centre, given in standard deviations from the mean: the two features it lies furthest out in, or as many more as it takes to tell
    it from the others. What no words tell apart is numbered."""
    ranked = [np.argsort(-np.abs(centre), kind="stable").tolist() for centre in centres]
    told = [2] * len(centres)
    names = _worded(centres, features, ranked, told)
    while (alike := _alike(names)) and (more := [each for each in alike if told[each] < len(features)]):
        for each in more:
            told[each] += 1
        names = _worded(centres, features, ranked, told)
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[place] = f"{name} ({seen[name]})"
    return names


def _worded(centres: Floats, features: Sequence[str], ranked: list[list[int]], told: list[int]) -> list[str]:
    names = []
    for centre, order, many in zip(centres, ranked, told, strict=True):
        apart = [place for place in order[:many] if abs(centre[place]) >= LEAST]
        words = ", ".join(_WORDS[features[place]][0 if centre[place] > 0 else 1] for place in apart)
        names.append(words[:1].upper() + words[1:] or "Average")
    return names


def _alike(names: list[str]) -> list[int]:
    return [place for place, name in enumerate(names) if names.count(name) > 1]
