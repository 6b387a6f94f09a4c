"""K-means: trying numbers of clusters, how well each parts the customers, and how stable the clusters are.

Belongs here: K-means itself and its figures. Doesn't: whether there are groups at all (groups.py), what a cluster is called (naming.py).

Fits run on one thread (one_thread). With more, sums are taken in no set order, and the same customers would give other last digits; and many
small fits, beside whatever else the machine does, are up to a hundred times slower, as their threads wait for one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from instacart_pipeline.customers.model.rows import Floats

Labels = NDArray[np.int32]

SEED = 7
STARTS = 10
FEWEST, MOST = 2, 8
"""Numbers of clusters that are tried."""
SILHOUETTE_ROWS = 2_000
"""Customers that a silhouette is computed of: every one is compared with every other."""
_OTHER_SEEDS = (11, 13, 17, 19, 23)
_HALVES = 5


@dataclass(frozen=True)
class Clustering:
    """So many clusters: the centre of each, the cluster of each row, how far rows lie from their centres (squared, in all), and the silhouette."""

    centres: Floats
    labels: Labels
    inertia: float
    silhouette: float = float("nan")

    @property
    def k(self) -> int:
        """How many there are."""
        return len(self.centres)


@dataclass(frozen=True)
class Stability:
    """How alike clusterings come out: adjusted Rand index (1 is the same, 0 is chance) with the one that counts, mean and least."""

    mean: float
    least: float


@contextmanager
def one_thread() -> Iterator[None]:
    """Whatever is computed in the block is computed in one order."""
    with threadpool_limits(1):
        yield


def kmeans(points: Floats, k: int, seed: int = SEED, starts: int = STARTS) -> Clustering:
    """The best of several starts (k-means++)."""
    made = KMeans(k, n_init=starts, random_state=seed).fit(points)
    return Clustering(made.cluster_centers_, made.labels_, float(made.inertia_))


def numbers_to_try(points: Floats) -> range:
    """The numbers of clusters that so many rows can bear: ten rows a cluster at least, and as many different rows as clusters."""
    most = min(MOST, len(points) // 10, len(np.unique(points, axis=0)))
    return range(FEWEST, most + 1)


def try_numbers(points: Floats) -> list[Clustering]:
    """A clustering for each number to try, with its silhouette on a sample."""
    rows = np.random.default_rng(SEED).permutation(len(points))[:SILHOUETTE_ROWS]
    tried = [kmeans(points, k) for k in numbers_to_try(points)]
    reached = silhouettes(points[rows], [each.labels[rows] for each in tried])
    return [
        Clustering(each.centres, each.labels, each.inertia, silhouette)
        for each, silhouette in zip(tried, reached, strict=True)
    ]


def silhouettes(points: Floats, labelings: Sequence[Labels]) -> list[float]:
    """The mean silhouette (Rousseeuw 1987) of each of several clusterings of the same rows; 0 for one with a single cluster.

    Distances are computed once for all of them.
    """
    squares = np.einsum("ij,ij->i", points, points)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * points @ points.T, 0))
    np.fill_diagonal(distances, 0)
    return [
        float(silhouette_score(distances, labels, metric="precomputed")) if len(np.unique(labels)) > 1 else 0.0
        for labels in labelings
    ]


def knee(tried: Sequence[Clustering]) -> int:
    """The number of clusters after which more of them bring little: where the curve of the inertia lies furthest below its chord.

    As Kneedle (Satopaa et al. 2011) has it, without smoothing.
    """
    inertia = np.array([each.inertia for each in tried])
    fall = inertia[0] - inertia[-1]
    if len(tried) < 3 or fall <= 0:
        return tried[0].k
    below = np.linspace(1, 0, len(tried)) - (inertia - inertia[-1]) / fall
    return tried[int(np.argmax(below))].k


def stability(points: Floats, chosen: Clustering) -> dict[str, Stability]:
    """Whether the same clusters come out again: of other seeds, and of random halves of the rows.

    Seeds alone tell whether K-means finds the best clusters of these rows; halves whether other customers of the same kind would give them
    too (Ben-Hur, Elisseeff and Guyon 2002). Neither tells of groups: a continuum may be cut at the same places every time.
    """
    draws = np.random.default_rng(SEED)
    seeds = [kmeans(points, chosen.k, seed).labels for seed in _OTHER_SEEDS]
    halves = []
    for _ in range(_HALVES):
        half = draws.permutation(len(points))[: max(len(points) // 2, chosen.k)]
        centres = kmeans(points[half], min(chosen.k, len(np.unique(points[half], axis=0)))).centres
        halves.append(nearest(points, centres)[0])
    return {"other seeds": _alike(chosen.labels, seeds), "random halves": _alike(chosen.labels, halves)}


def _alike(labels: Labels, others: Sequence[Labels]) -> Stability:
    indices = [float(adjusted_rand_score(labels, other)) for other in others]
    return Stability(float(np.mean(indices)), min(indices))


def nearest(points: Floats, centres: Floats) -> tuple[Labels, Floats]:
    """The nearest centre of each row, of several at the same distance the first, and how far it is."""
    squared = np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
    place = np.argmin(squared, axis=1)
    return place.astype(np.int32), np.sqrt(squared[np.arange(len(points)), place])
