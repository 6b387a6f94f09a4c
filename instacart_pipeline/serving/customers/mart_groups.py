"""Customers who are alike, as one row: with these few rows any choice is added up at once, however many customers there are.

Belongs here: grouping, and adding groups up. Doesn't: what is grouped (mart_store.py), what is made of the sums (mart_sums.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Groups:
    """A row a combination of codes that some customer has. Sums are whole numbers, so the order they are taken in changes nothing."""

    codes: Mapping[str, NDArray[np.int32]]
    """The code of each group, by dimension."""
    measures: Mapping[str, NDArray[np.int64]]
    """The sum over the customers of each group, by measure."""

    def of(self, chosen: Mapping[str, int]) -> Groups:
        """The groups that have the chosen codes."""
        if not chosen:
            return self
        rows = np.flatnonzero(np.logical_and.reduce([self.codes[name] == code for name, code in chosen.items()]))
        return Groups(
            {name: codes[rows] for name, codes in self.codes.items()},
            {name: sums[rows] for name, sums in self.measures.items()},
        )

    def total(self) -> dict[str, int]:
        """The sum of each measure."""
        return {name: int(sums.sum()) for name, sums in self.measures.items()}

    def by(self, dimension: str, count: int) -> list[dict[str, int]]:
        """The sum of each measure for each code of a dimension from 0 to `count`, that one left out."""
        added = {}
        for name, sums in self.measures.items():
            added[name] = np.zeros(count, np.int64)
            np.add.at(added[name], self.codes[dimension], sums)  # bincount would add up in floats
        return [{name: int(sums[code]) for name, sums in added.items()} for code in range(count)]


def grouped(codes: Mapping[str, NDArray[np.int32]], measures: Mapping[str, NDArray[np.int64]]) -> Groups:
    """The groups of customers, of their codes and measures, each in the same order of customers."""
    key = _together(list(codes.values()))
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    if not len(starts):
        return Groups(codes, measures)
    return Groups(
        {name: code[order[starts]] for name, code in codes.items()},
        {name: np.add.reduceat(values[order], starts) for name, values in measures.items()},
    )


def _together(codes: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """One number a customer, the same for those whose codes are all the same; none is negative."""
    key, size = np.zeros(len(codes[0]), np.int64), 1
    for code in codes:
        many = int(code.max(initial=0)) + 1
        if size * many > 2**62:
            _, key = np.unique(key, return_inverse=True)  # as many numbers as there are combinations so far
            size = int(key.max(initial=0)) + 1
        key = key * many + code
        size *= many
    return key
