"""Which products to predict for an order: the basket with the highest expected F1, "None" included.

Belongs here: the decision, given a probability for each candidate. Doesn't: where the probabilities come from.

Candidates are taken for independent. Of all baskets of k products the one of the k most probable has the highest expected
F1, so only k, and whether "None" is named too, is left to decide. Following Ye, Chai, Lee and Chieu, "Optimizing F-measure: a tale
of two approaches", ICML 2012, both are found exactly in O(n^2) for n candidates:

    E[F1(k)] = sum over j of 2 j P(j of the top k are bought) E[1 / (k + j + bought of the rest)]

with the last factor by a recursion over the rest. An order of which no candidate is bought counts as the basket {"None"}.

Baskets are large or small as a whole, though: products of one order are not independent. `spread` is the standard deviation of what all products of
an order have in common, z ~ N(0, 1), on the scale of the log-odds: P(product | z) = s(m logit(p) + spread z), with s the logistic function and
m = sqrt(1 + 0.346 spread^2), which keeps the mean over z at p (to within 0.011, for any spread up to 2). Given z they are independent, and in the
same order, so E[F1(k)] is the mean over z of the above, by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NODES = 5
"""Points of the quadrature over what the products of an order have in common."""
LOGISTIC_NORMAL = 0.346
"""Of the approximation of a logistic-normal mean: (16 sqrt(3) / (15 pi))^2. S. Zeger, K. Liang, P. Albert, "Models for longitudinal data: a
generalized estimating equation approach", Biometrics 44, 1988."""
_EDGE = 1e-9
_CELLS_AT_ONCE = 5_000_000
"""Numbers, of 8 bytes each, in the largest table of orders that are decided together: one of n candidates has (n + 1)^2."""


@dataclass(frozen=True)
class Decisions:
    """A decision for each order, in the orders' own order.

    `products` is how many of its most probable candidates are predicted; `none` whether "None" is; `expected_f1` the
    expected F1 of that basket. Of baskets as good as each other the one without "None", then the smaller one, is taken.
    """

    products: NDArray[np.int64]
    none: NDArray[np.bool_]
    expected_f1: NDArray[np.float64]


def decide(probabilities: NDArray[np.float64], counts: NDArray[np.int64], spread: float = 0.0) -> Decisions:
    """The best basket of each order; `spread` 0 takes its products for independent.

    `probabilities` holds the candidates of all orders one after another, each order's sorted downwards, values within
    [0, 1]; `counts` how many of them are each order's. Raises ValueError if they don't fit each other.
    """
    import numpy as np  # noqa: PLC0415  # loaded where it is used, so that importing definitions stays cheap

    if int(counts.sum()) != len(probabilities):
        raise ValueError(f"{len(probabilities)} probabilities for orders of {int(counts.sum())} candidates")
    starts = np.concatenate([[0], np.cumsum(counts)])
    _require_sorted(np, probabilities, starts)
    products = np.zeros(len(counts), np.int64)
    none = np.zeros(len(counts), np.bool_)
    expected = np.zeros(len(counts))
    # Orders of like size together, the largest first: a batch is as wide as its largest order.
    by_size = np.argsort(-counts, kind="stable")
    first = 0
    while first < len(counts):
        width = int(counts[by_size[first]])
        batch = by_size[first : first + max(1, _CELLS_AT_ONCE // (width + 1) ** 2)]
        first += len(batch)
        column = np.arange(width)
        there = column < counts[batch, None]
        padded = np.where(there, probabilities[np.where(there, starts[batch, None] + column, 0)] if width else 0.0, 0.0)
        products[batch], none[batch], expected[batch] = _best(np, padded, counts[batch], spread)
    return Decisions(products, none, expected)


def _best(
    np: Any, p: NDArray[np.float64], counts: NDArray[np.int64], spread: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """The best (products, none, expected F1) of orders of equal width; candidates beyond `counts` have probability 0."""
    orders, n = p.shape
    expected = np.sum([weight * _expected(np, given) for weight, given in given_common(np, p, spread)], axis=0)
    expected[:, np.arange(n + 1)[:, None] > counts] = -1.0
    flat = expected.reshape(2 * (n + 1), orders)
    at = flat.argmax(axis=0)
    return at % (n + 1), at >= n + 1, flat[at, np.arange(orders)]


def given_common(
    np: Any, p: NDArray[np.float64], spread: float, nodes: int = _NODES
) -> list[tuple[float, NDArray[np.float64]]]:
    """The points of the quadrature over what an order's products have in common: (weight, probabilities given it)."""
    if spread == 0:
        return [(1.0, p)]
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    kept = np.clip(p, _EDGE, 1 - _EDGE)
    logits = np.log(kept / (1 - kept)) * (1 + LOGISTIC_NORMAL * spread**2) ** 0.5
    certain = (p == 0) | (p == 1)
    return [
        (float(weight), np.where(certain, p, 1 / (1 + np.exp(-(logits + spread * point)))))
        for point, weight in zip(points, weights / weights.sum(), strict=True)
    ]


def _expected(np: Any, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """E[F1] of the k most probable of each order's independent candidates, without and with "None": [named, k, order]."""
    orders, n = p.shape
    among_top = np.zeros((n + 1, orders, n + 1))  # [k, order, j]: the chance that j of the top k are bought
    among_top[0, :, 0] = 1.0
    for k in range(1, n + 1):
        bought = p[:, k - 1, None]
        among_top[k] = among_top[k - 1] * (1 - bought)
        among_top[k, :, 1:] += among_top[k - 1, :, :-1] * bought
    nothing = among_top[n, :, 0]

    weights = 2.0 * np.arange(n + 1)
    expected = np.zeros((2, n + 1, orders))  # without and with "None"
    # inverse[order, a - 1] = E[1 / (a + bought of the rest)], from k = n, where there is no rest, down to 0.
    inverse = np.broadcast_to(1.0 / np.arange(1, 2 * n + 3), (orders, 2 * n + 2)).copy()
    for k in range(n, -1, -1):
        chances = among_top[k] * weights
        for named in (0, 1):
            sizes = slice(k + named - 1, k + named + n) if k + named else slice(0, n + 1)
            expected[named, k] = (chances * inverse[:, sizes]).sum(axis=1)
        if k:
            bought = p[:, k - 1, None]
            inverse[:, :-1] = bought * inverse[:, 1:] + (1 - bought) * inverse[:, :-1]
    expected[0, 0] = 0.0  # an empty basket that doesn't say "None" is right of nothing
    expected[1] += nothing * 2.0 / (np.arange(n + 1)[:, None] + 2.0)
    told: NDArray[np.float64] = expected
    return told


def _require_sorted(np: Any, probabilities: NDArray[np.float64], starts: NDArray[np.int64]) -> None:
    if len(probabilities) and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ValueError("a probability lies outside of [0, 1]")
    rises = np.flatnonzero(np.diff(probabilities) > 0) + 1
    within = rises[~np.isin(rises, starts)]
    if len(within):
        raise ValueError(f"the candidates of an order are not sorted downwards, at position {int(within[0])}")
