"""Baskets: what is predicted for each order, by the decision or by a rule, and how good that is.

Belongs here: from scores and labels of pairs to F1 per order. An order with no re-ordered product counts as the basket {"None"}, and so does an
empty prediction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.reorder.model.decision import decide
from instacart_pipeline.reorder.model.pairs import Pairs

Chosen = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""For each pair whether it is in the predicted basket, and for each order whether "None" is."""


def by_decision(
    orders: tuple[NDArray[np.int64], NDArray[np.int64]], probabilities: NDArray[np.float64], spread: float
) -> Chosen:
    """The baskets with the highest expected F1; `orders` are the (starts, counts) of the pairs of each order, `spread` as in decision.py."""
    starts, counts = orders
    order = np.repeat(np.arange(len(counts)), counts)
    ranked = np.lexsort((-probabilities, order))
    decisions = decide(probabilities[ranked], counts, spread)
    rank = np.arange(len(ranked)) - np.repeat(starts, counts)
    chosen = np.zeros(len(probabilities), np.bool_)
    chosen[ranked] = rank < np.repeat(decisions.products, counts)
    return chosen, decisions.none


def by_rule(orders: tuple[NDArray[np.int64], NDArray[np.int64]], chosen: NDArray[np.bool_]) -> Chosen:
    """Baskets of the pairs that a rule chooses; "None" where it chooses none."""
    return chosen, _per_order(orders, chosen) == 0


def last_order(pairs: Pairs) -> NDArray[np.bool_]:
    """The products of the user's last order."""
    again: NDArray[np.bool_] = pairs.column("up_in_last_1") > 0
    return again


def top_products(pairs: Pairs) -> NDArray[np.bool_]:
    """The user's most bought products, as many as they re-order at a time on average; the latest first among equals."""
    starts, counts = pairs.orders()
    order = np.repeat(np.arange(len(counts)), counts)
    ranked = np.lexsort((-pairs.column("up_last_order"), -pairs.column("up_orders"), order))
    rank = np.arange(len(ranked)) - np.repeat(starts, counts)
    usual = np.nan_to_num(pairs.column("user_reorder_ratio")) * pairs.column("user_average_basket")
    chosen = np.zeros(len(pairs), np.bool_)
    chosen[ranked] = rank < np.rint(usual[ranked])
    return chosen


def f1_scores(
    orders: tuple[NDArray[np.int64], NDArray[np.int64]], labels: NDArray[np.float32], baskets: Chosen
) -> NDArray[np.float64]:
    """F1 of each order's basket."""
    chosen, none = baskets
    bought, predicted = _per_order(orders, labels > 0), _per_order(orders, chosen)
    right = _per_order(orders, chosen & (labels > 0))
    nothing = bought == 0
    scores: NDArray[np.float64] = 2 * (right + (nothing & none)) / (bought + nothing + predicted + none)
    return scores


def _per_order(orders: tuple[NDArray[np.int64], NDArray[np.int64]], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    starts, counts = orders
    if not len(counts):
        return np.zeros(0, np.int64)
    summed: NDArray[np.int64] = np.add.reduceat(mask.astype(np.int64), starts)
    return summed
