"""Calibration: turning a model's scores into probabilities that hold what they say.

Platt scaling: J. Platt, "Probabilistic outputs for support vector machines", 1999: p = 1 / (1 + exp(-(a logit(score) + b))), a and b by
maximum likelihood on predictions for users the model had not seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
