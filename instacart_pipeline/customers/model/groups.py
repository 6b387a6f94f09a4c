"""Whether there are groups of customers at all, or one continuum that K-means cuts into slices.

Belongs here: the data without groups that the customers are held against, and the verdict. K-means finds clusters in anything; a
silhouette says something only beside what it would be without groups.

The reference is made of the customers themselves, as Hennig and Lin (2015, Statistics and Computing 25:821-833) advise: it keeps all that
is no grouping and draws the rest. It is a Gaussian copula (Cario and Nelson 1997, as "NORTA"): each column keeps its very values, the columns
keep their correlations, and customers are drawn anew from those alone. Two simpler references mislead on data of a shop. One normal
distribution of the same covariance (SigClust: Liu et al. 2008) has no skew and no values that many share, so uniform noise, or a return rate
that is 0 for most, would pass for groups. Columns shuffled each by itself (as in the gap statistic's null, Tibshirani, Walther and Hastie 2001,
which has no dependence either) lose what spend and orders have in common, so plain correlation would pass for groups.

Its price: groups that show in one column alone, like those who returned anything and those who did not, are in the reference too and count for
nothing. A rule on that column says as much as a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from instacart_pipeline.customers.model.clustering import SEED, kmeans, numbers_to_try, one_thread, silhouettes
from instacart_pipeline.customers.model.rows import Floats

Groups = Literal["none", "weak", "reasonable", "strong"]

ROWS = 1_200
"""Customers that are held against the reference, and drawn for each of it."""
DRAWS = 19
"""Of so many draws without groups, all below the customers, chance alone makes one in twenty (Monte Carlo test)."""
LEAST_LEAD = 0.05
"""Silhouette above the reference's mean that is worth the name of groups: with many customers, chance is ruled out for any trifle."""
_STARTS = 3
_STEPS = 12


@dataclass(frozen=True)
class Verdict:
    """Whether there are groups. `reached` is the best silhouette of any number of clusters, on the rows that were compared; `reference` what
    data without groups reach in the same way: mean and most; `by_k` the mean for each number of clusters."""

    groups: Groups
    reached: float
    reference: float
    reference_most: float
    by_k: Mapping[int, float]
    rows: int

    @property
    def words(self) -> str:
        """The verdict as a sentence or two."""
        figures = (
            f"Silhouette {self.reached:.3f}; data of the same columns and correlations without groups reach {self.reference:.3f} on average, "
            f"{self.reference_most:.3f} at most ({DRAWS} draws of {self.rows:,} rows)."
        )
        if self.groups == "none":
            return f"No groups: the segments are slices of a continuum, useful as an agreed cut, not as a discovery. {figures}"
        return f"There are groups, of {self.groups} structure. {figures}"


@one_thread()
def judge(points: Floats) -> Verdict:
    """Hold customers against data without groups. Needs rows enough for two clusters."""
    rows = np.random.default_rng(SEED).permutation(len(points))[:ROWS]
    own, numbers = points[rows], numbers_to_try(points)
    reached = max(_by_k(own, numbers))
    draws = np.array([_by_k(each, numbers) for each in without_groups(own, DRAWS)])
    # Of each draw the best number of clusters counts, as it did for the customers.
    best = draws.max(axis=1)
    mean, most = float(best.mean()), float(best.max())
    return Verdict(
        _words_for(reached, mean, most),
        reached,
        mean,
        most,
        dict(zip(numbers, draws.mean(axis=0).tolist(), strict=True)),
        len(own),
    )


def without_groups(points: Floats, draws: int) -> list[Floats]:
    """Data of as many rows with the same values in each column and the same correlations, but no groups."""
    generator = np.random.default_rng(SEED)
    values = np.sort(points, axis=0)
    mixing = np.linalg.cholesky(_latent(points, values, generator))
    return [_drawn(values, generator.standard_normal(points.shape) @ mixing.T) for _ in range(draws)]


def _latent(points: Floats, values: Floats, generator: np.random.Generator) -> Floats:
    """The correlations of the normal distribution from which columns of these values come out with the correlations that `points` have.

    They differ where a column is no normal one; each step corrects them by what is still missing.
    """
    wanted = _correlations(points)
    latent = _possible(wanted)
    normal = generator.standard_normal(points.shape)
    for _ in range(_STEPS):
        got = _correlations(_drawn(values, normal @ np.linalg.cholesky(latent).T))
        latent = _possible(np.clip(latent + (wanted - got), -0.999, 0.999))
    return latent


def _drawn(values: Floats, normal: Floats) -> Floats:
    """Each column's sorted values in the order of the normal draws."""
    ranks = np.argsort(np.argsort(normal, axis=0), axis=0)
    return np.take_along_axis(values, ranks, axis=0)


def _correlations(points: Floats) -> Floats:
    # A sample may happen to have a column of one value.
    varied = points.std(axis=0) > 0
    found = np.eye(points.shape[1])
    if varied.any():
        found[np.ix_(varied, varied)] = np.corrcoef(points[:, varied].T)
    return found


def _possible(correlations: Floats) -> Floats:
    """The nearest matrix that correlations can have, by its eigenvalues."""
    values, vectors = np.linalg.eigh(correlations)
    matrix = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    size = np.sqrt(np.diag(matrix))
    possible: Floats = matrix / np.outer(size, size)
    return possible


def _by_k(points: Floats, numbers: Iterable[int]) -> list[float]:
    return silhouettes(points, [kmeans(points, k, starts=_STARTS).labels for k in numbers])


def _words_for(reached: float, reference: float, most: float) -> Groups:
    """The verdict in the words and steps of Kaufman and Rousseeuw (1990, Finding Groups in Data, table 4)."""
    if reached <= most or reached - reference < LEAST_LEAD or reached <= 0.25:
        return "none"
    if reached <= 0.5:
        return "weak"
    return "reasonable" if reached <= 0.7 else "strong"
