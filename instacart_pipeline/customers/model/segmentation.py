"""The model: which segment a customer is in. It is a space, the centres of the segments in it, and one rule.

Belongs here: assigning, and the model as JSON. Doesn't: how it is found (fitting.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instacart_pipeline.customers.model.clustering import Labels, nearest
from instacart_pipeline.customers.model.naming import BOUGHT_NOTHING
from instacart_pipeline.customers.model.rows import Customers, Floats
from instacart_pipeline.customers.model.space import Space

RULE = 1
"""The number of the segment of those who bought nothing in the last year: it spends least, in any week."""
FILE = "model.json"


@dataclass(frozen=True)
class Segmentation:
    """Segment 1 is the rule's. The others are counted up from 2 by mean spend; their centres and names stand in that order."""

    space: Space
    centres: Floats
    names: Sequence[str]

    @property
    def numbers(self) -> range:
        """The numbers of all segments."""
        return range(RULE, RULE + 1 + len(self.centres))

    def name(self, number: int) -> str:
        """What a segment is called."""
        return BOUGHT_NOTHING if number == RULE else self.names[number - RULE - 1]

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that assigning needs."""
        return ("user_id", "items", *self.space.names)

    def assign(self, customers: Customers) -> tuple[Labels, Floats]:
        """The number of each customer's segment, and the distance from its centre: NaN in the rule's segment, which has none."""
        numbers = np.full(len(customers), RULE, np.int32)
        distances = np.full(len(customers), np.nan)
        bought = customers.bought
        if len(self.centres) and bought.any():
            places, far = nearest(self.space.place(customers.where(bought)), self.centres)
            numbers[bought] = places + RULE + 1
            distances[bought] = far
        return numbers, distances

    def write(self, folder: Path) -> None:
        """Put the model into a folder."""
        told = {"axes": self.space.as_json(), "centres": self.centres.tolist(), "names": list(self.names)}
        (folder / FILE).write_text(json.dumps(told, indent=2), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Segmentation:
        """The model of a folder."""
        told: Mapping[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        space = Space.from_json(told["axes"])
        centres = np.array(told["centres"], np.float64).reshape(len(told["names"]), len(space.axes))
        return cls(space, centres, tuple(told["names"]))
