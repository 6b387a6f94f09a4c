"""How segments are on average, counted while customers pass by in batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from instacart_pipeline.customers.model.clustering import Labels
from instacart_pipeline.customers.model.features import READ
from instacart_pipeline.customers.model.rows import Customers
from instacart_pipeline.customers.model.segmentation import Segmentation

PROFILED = tuple(name for name in READ if name != "user_id")
_DIGITS = 6


class Profiles:
    """Sizes and means of a model's segments."""

    def __init__(self, model: Segmentation) -> None:
        self._model = model
        room = model.numbers.stop
        self._sizes = np.zeros(room, np.int64)
        self._known = np.zeros((room, len(PROFILED)))
        self._sums = np.zeros((room, len(PROFILED)))

    def add(self, customers: Customers, numbers: Labels) -> None:
        """Count some customers, each in the segment of its number."""
        room = len(self._sizes)
        self._sizes += np.bincount(numbers, minlength=room)
        for column, name in enumerate(PROFILED):
            values = customers.values[name]
            known = ~np.isnan(values)
            self._known[:, column] += np.bincount(numbers[known], minlength=room)
            self._sums[:, column] += np.bincount(numbers[known], weights=values[known], minlength=room)

    def told(self) -> list[dict[str, Any]]:
        """Every segment with its size, share, and the means of what is known of its customers; None where nothing is."""
        total = int(self._sizes.sum())
        return [
            {
                "segment": number,
                "name": self._model.name(number),
                "customers": int(self._sizes[number]),
                "share": int(self._sizes[number]) / total if total else 0.0,
                "means": {
                    name: round(float(self._sums[number, column] / self._known[number, column]), _DIGITS)
                    if self._known[number, column]
                    else None
                    for column, name in enumerate(PROFILED)
                },
            }
            for number in self._model.numbers
        ]
