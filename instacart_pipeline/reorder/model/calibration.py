"""Calibration: turning a model's scores into probabilities that hold what they say.

Platt scaling: J. Platt, "Probabilistic outputs for support vector machines", 1999: p = 1 / (1 + exp(-(a logit(score) + b))), a and b by
maximum likelihood on predictions for users the model had not seen. And how much the products of an order have in common: the spread of
decision.py, by maximum likelihood on the same predictions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.reorder.model.decision import given_common

_EDGE = 1e-6
"""Scores are kept this far from 0 and 1, where the logit ends."""


def logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(p / (1 - p)), of scores kept within (0, 1)."""
    kept = np.clip(scores, _EDGE, 1 - _EDGE)
    logits: NDArray[np.float64] = np.log(kept / (1 - kept))
    return logits


def fit(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[float, float]:
    """The (slope, intercept) for scores of pairs whose labels are known; (1, 0), which changes nothing, if they are all alike."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # needed to train, not to serve

    if len(set(labels.tolist())) < 2:
        return 1.0, 0.0
    found = LogisticRegression(C=np.inf).fit(logit(scores)[:, None], labels)
    slope = float(found.coef_[0, 0])
    # A slope that isn't positive would turn the order of products round: too few labels to say anything.
    return (slope, float(found.intercept_[0])) if slope > 0 else (1.0, 0.0)


def calibrated(scores: NDArray[np.float64], slope: float, intercept: float) -> NDArray[np.float64]:
    """The probabilities."""
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-(slope * logit(scores) + intercept)))
    return probabilities


def fit_spread(probabilities: NDArray[np.float64], labels: NDArray[np.float64], orders: NDArray[np.int64]) -> float:
    """The spread, between 0 and 2 in tenths, under which what was bought in these orders is most likely. `orders` are their ids, a pair each."""
    _, order = np.unique(orders, return_inverse=True)

    def likelihood(spread: float) -> float:
        given = given_common(np, np.clip(probabilities, _EDGE, 1 - _EDGE), spread, nodes=15)
        each = [
            np.log(weight) + np.bincount(order, np.where(labels > 0, np.log(p), np.log1p(-p))) for weight, p in given
        ]
        return float(np.logaddexp.reduce(each, axis=0).sum())

    return max((tenths / 10 for tenths in range(21)), key=likelihood)
