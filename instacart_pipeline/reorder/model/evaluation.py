"""Evaluation: how good a model is on users it has never seen, beside the baselines on the same users.

Belongs here: figures. Doesn't: where scores come from (scripts/evaluate.py), pictures (plots.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.reorder.model import baskets
from instacart_pipeline.reorder.model.features import ORIGINAL_THRESHOLD
from instacart_pipeline.reorder.model.pairs import Pairs

_RESAMPLES = 2000
_BINS = 15
TOLERANCE = 0.02
"""Mean F1 that a challenger may lie below the champion before it is worse, even where chance can't be ruled out."""

Orders = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Interval:
    """A mean over orders and its 95 % confidence interval, by the bootstrap over users (each has one order)."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """What is compared: the probability of each pair, if it gives one, and the basket of each order."""

    name: str
    scores: NDArray[np.float64] | None
    chosen: baskets.Chosen


def candidates(
    pairs: Pairs, model: NDArray[np.float64], spread: float, original: NDArray[np.float64]
) -> list[Candidate]:
    """The model, deciding with its spread, and what it is held against: the original's model, the user's top products, the last order once more."""
    orders = pairs.orders()
    return [
        Candidate("model", model, baskets.by_decision(orders, model, spread)),
        Candidate("original", original, baskets.by_rule(orders, original > ORIGINAL_THRESHOLD)),
        Candidate("top products", None, baskets.by_rule(orders, baskets.top_products(pairs))),
        Candidate("last order", None, baskets.by_rule(orders, baskets.last_order(pairs))),
    ]


def evaluate(pairs: Pairs, compared: list[Candidate]) -> dict[str, Any]:
    """The figures of each candidate; `ahead` is how far the first one's mean F1 lies above, order by order."""
    orders = pairs.orders()
    f1 = {each.name: baskets.f1_scores(orders, pairs.label, each.chosen) for each in compared}
    first = f1[compared[0].name]
    told = {}
    for each in compared:
        told[each.name] = {
            "f1": asdict(interval(f1[each.name])),
            "ahead": asdict(interval(first - f1[each.name])),
            **(probability_figures(each.scores, pairs.label) if each.scores is not None else {}),
        }
    return {"pairs": len(pairs), "orders": len(orders[0]), "candidates": told}


def probability_figures(scores: NDArray[np.float64], labels: NDArray[np.float32]) -> dict[str, float]:
    """AUC, area under the precision-recall curve (average precision), log-loss, and expected calibration error."""
    from sklearn import metrics  # noqa: PLC0415  # needed to evaluate, not to serve

    _, shares, means, counts = reliability(scores, labels)
    return {
        "auc": float(metrics.roc_auc_score(labels, scores)),
        "pr_auc": float(metrics.average_precision_score(labels, scores)),
        "log_loss": float(metrics.log_loss(labels, scores)),
        "calibration_error": float(np.average(np.abs(shares - means), weights=counts)),
    }


def reliability(
    scores: NDArray[np.float64], labels: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Pairs parted by score into bins of equal size: upper edge, share bought, mean score and number of each bin."""
    ranked = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(ranked, _BINS) if len(part)]
    edges = np.array([scores[part[-1]] for part in parts])
    shares = np.array([labels[part].mean() for part in parts], np.float64)
    means = np.array([scores[part].mean() for part in parts])
    return edges, shares, means, np.array([len(part) for part in parts])


def interval(values: NDArray[np.float64]) -> Interval:
    """The mean of `values` and where it lies in 95 of 100 samples drawn from them."""
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    draws = np.random.default_rng(7)
    means = [values[draws.integers(0, len(values), len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def verdict(challenger: NDArray[np.float64], champion: NDArray[np.float64]) -> dict[str, Any]:
    """Whether a challenger may take over, by the F1 of the same orders: not if it is worse beyond chance, nor by more than TOLERANCE."""
    ahead = interval(challenger - champion)
    worse = ahead.high < 0 or ahead.mean < -TOLERANCE
    return {"not_worse": not worse, "ahead": asdict(ahead), "champion_f1": asdict(interval(champion))}
