"""The space that customers are compared in: features on their scale, NULLs filled, each with mean 0 and standard deviation 1.

Belongs here: which features make the space, and where a customer lies in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from instacart_pipeline.customers.model.features import FEATURES, Feature, Scale
from instacart_pipeline.customers.model.rows import Customers, Floats

SAME = 0.95
"""Two features that correlate above this, in size, say the same."""
_DIGITS = 9
"""Decimals kept of what a space is made of: enough for any customer's place, and the same wherever it was computed."""


@dataclass(frozen=True)
class Axis:
    """A feature as a dimension. `fill` stands, on the feature's scale, where the value is NULL: the median of those fitted on, so that what is
    not known moves a customer nowhere."""

    name: str
    scale: Scale
    fill: float
    mean: float
    deviation: float

    def raw(self, customers: Customers) -> Floats:
        """The values on the feature's scale; NaN where NULL."""
        return on_scale(self.scale, customers.values[self.name])


@dataclass(frozen=True)
class Space:
    """The axes, in their order. `dropped` says of each feature that is none, why; `filled` how many of those fitted on had no value."""

    axes: tuple[Axis, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)
    filled: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The features."""
        return tuple(axis.name for axis in self.axes)

    def place(self, customers: Customers) -> Floats:
        """Where customers lie: a row each, a column an axis."""
        placed = np.empty((len(customers), len(self.axes)))
        for column, axis in enumerate(self.axes):
            raw = axis.raw(customers)
            placed[:, column] = (np.where(np.isnan(raw), axis.fill, raw) - axis.mean) / axis.deviation
        return placed

    def as_json(self) -> list[dict[str, Any]]:
        """The axes as JSON takes them."""
        return [asdict(axis) for axis in self.axes]

    @classmethod
    def from_json(cls, told: Sequence[Mapping[str, Any]]) -> Space:
        """The space of these axes; why others are none is not among them."""
        return cls(tuple(Axis(**axis) for axis in told))


def on_scale(scale: Scale, values: Floats) -> Floats:
    """Values on a feature's scale."""
    scaled: Floats = np.log1p(values) if scale == "log1p" else values
    return scaled


def space_of(customers: Customers, features: Sequence[Feature] = FEATURES) -> Space:
    """The space that these customers span. A feature that is the same for all of them, or says what an earlier one says, is no axis of it."""
    axes: list[Axis] = []
    kept: list[Floats] = []
    dropped, filled = {}, {}
    for feature in features:
        raw = on_scale(feature.scale, customers.values[feature.name]) if len(customers) else np.zeros(0)
        unknown = np.isnan(raw)
        if unknown.all():
            dropped[feature.name] = "it is known of nobody"
            continue
        fill = float(np.median(raw[~unknown]))
        values = np.where(unknown, fill, raw)
        mean, deviation = round(float(values.mean()), _DIGITS), round(float(values.std()), _DIGITS)
        if deviation <= 0:
            dropped[feature.name] = "it is the same for all"
            continue
        values = (values - mean) / deviation
        correlations = {axis.name: float(np.mean(values * other)) for axis, other in zip(axes, kept, strict=True)}
        twin = next((name for name, size in correlations.items() if abs(size) > SAME), None)
        if twin:
            dropped[feature.name] = f"{twin} says the same (correlation {correlations[twin]:.2f})"
            continue
        axes.append(Axis(feature.name, feature.scale, round(fill, _DIGITS), mean, deviation))
        kept.append(values)
        filled[feature.name] = int(unknown.sum())
    return Space(tuple(axes), dropped, filled)
