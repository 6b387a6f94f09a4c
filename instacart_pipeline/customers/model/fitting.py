"""Fitting: from a sample of buyers to the model, with an account of every choice that was made.

Belongs here: the order of the steps, and how many segments there are. Part of the code that SageMaker runs: numpy, pyarrow and
scikit-learn only.

One processing instance is enough by design: the model is fitted on FIT_ROWS customers at most, which bounds its time and memory, and all
others are assigned in batches. Ten million customers cost more reading, nothing else; a bigger instance is worth its price only to raise
FIT_ROWS, and a cluster (Spark ML's KMeans) is worth it for none of this: a centre's error shrinks with the root of the sample, and at a
hundred thousand it is far below what a week changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from instacart_pipeline.customers.model import clustering, groups, naming
from instacart_pipeline.customers.model.features import FEATURES, LEFT_OUT
from instacart_pipeline.customers.model.rows import Customers, Floats
from instacart_pipeline.customers.model.segmentation import Segmentation
from instacart_pipeline.customers.model.space import Space, space_of

FIT_ROWS = 100_000
"""Most customers that a model is fitted on."""
FEWEST = 50
"""Of fewer buyers nothing is clustered: they are one segment."""
_DIGITS = 9


@clustering.one_thread()
def fit(buyers: Customers, say: Callable[[str], None]) -> tuple[Segmentation, dict[str, Any]]:
    """The model of these buyers, who all bought something, and the account of it. The same buyers in the same order give the same model.

    `say` gets the log, line by line.
    """
    space = space_of(buyers)
    say(f"{len(buyers):,} buyers; features: {', '.join(space.names) or 'none'}")
    for name, why in space.dropped.items():
        say(f"{name} is left out: {why}")
    report: dict[str, Any] = {
        "fitted_rows": len(buyers),
        "features": _features(space),
        "left_out": _left_out(space),
    }
    points = space.place(buyers)
    if len(buyers) < FEWEST or len(clustering.numbers_to_try(points)) == 0:
        return _one_segment(space, buyers, report)
    model, found = _clustered(space, points, buyers, say)
    return model, report | found


def _clustered(
    space: Space, points: Floats, buyers: Customers, say: Callable[[str], None]
) -> tuple[Segmentation, dict[str, Any]]:
    verdict = groups.judge(points)
    say(verdict.words)
    tried = clustering.try_numbers(points)
    best = max(tried, key=lambda each: (each.silhouette, -each.k)).k
    knee = clustering.knee(tried)
    # Without groups the silhouette has nothing to choose by: it would take the two halves, or as many slices as there may be.
    k, why = (knee, "no groups: the knee of the inertia") if verdict.groups == "none" else (best, "the best silhouette")
    say(f"{k} clusters ({why}); best silhouette at {best}, knee at {knee}")
    chosen = next(each for each in tried if each.k == k)
    # Where many rows are alike, K-means may leave a cluster without any: it is no segment.
    spend = buyers.values["spend"]
    means = {place: float(spend[chosen.labels == place].mean()) for place in np.unique(chosen.labels).tolist()}
    order = sorted(means, key=lambda place: (means[place], chosen.centres[place].tolist()))
    centres = np.round(chosen.centres[order], _DIGITS) + 0.0  # no -0.0
    model = Segmentation(space, centres, tuple(naming.names_of(centres, space.names)))
    stable = clustering.stability(points, chosen)
    for against, each in stable.items():
        say(f"adjusted Rand index with {against}: mean {each.mean:.3f}, least {each.least:.3f}")
    return model, {
        "by_k": [
            {"k": each.k, "silhouette": each.silhouette, "inertia": each.inertia, "reference": verdict.by_k[each.k]}
            for each in tried
        ],
        "k": k,
        "k_by": why,
        "k_best": best,
        "k_knee": knee,
        "silhouette": chosen.silhouette,
        "groups": verdict.groups,
        "verdict": verdict.words,
        "silhouette_without_groups": verdict.reference,
        "stability": {against: asdict(each) for against, each in stable.items()},
    }


def _one_segment(space: Space, buyers: Customers, report: dict[str, Any]) -> tuple[Segmentation, dict[str, Any]]:
    """All buyers as one segment, about the mean; of nobody none."""
    many = 1 if len(buyers) else 0
    why = "Nobody bought anything in the last year: all customers are one segment."
    if many:
        why = f"{len(buyers):,} buyers, too few or too alike to cluster: they are one segment (from {FEWEST} on they are clustered)."
    model = Segmentation(space, np.zeros((many, len(space.axes))), (naming.BOUGHT_SOMETHING,) * many)
    return model, report | {"by_k": [], "k": many, "k_by": why, "groups": "none", "verdict": why, "stability": {}}


def _features(space: Space) -> list[dict[str, Any]]:
    about = {feature.name: feature for feature in FEATURES}
    return [
        {"name": axis.name, "scale": axis.scale, "filled": space.filled[axis.name], "reason": about[axis.name].reason}
        for axis in space.axes
    ]


def _left_out(space: Space) -> dict[str, str]:
    return {**{name: f"This week {why}." for name, why in space.dropped.items()}, **LEFT_OUT}
