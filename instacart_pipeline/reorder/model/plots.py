"""The pictures of an evaluation.

Belongs here: drawing figures that are computed elsewhere. Each is a small PNG, as it is kept with the asset's metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.reorder.model import baskets, evaluation
from instacart_pipeline.reorder.model.pairs import Pairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"model": "#0a6e4f", "original": "#d0743c", "top products": "#6b7a8f", "last order": "#a9b3bf"}
_SHOWN_FEATURES = 20
_SIZES = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 10_000))


def draw_all(
    folder: Path, pairs: Pairs, compared: list[evaluation.Candidate], gains: Mapping[str, float]
) -> dict[str, Path]:
    """Draw each picture into a folder; returns the files by what they show."""
    scored = [each for each in compared if each.scores is not None]
    drawn: dict[str, Callable[[Axes], None]] = {
        "precision_recall": lambda axes: _precision_recall(axes, pairs, scored),
        "calibration": lambda axes: _calibration(axes, pairs, scored),
        "importance": lambda axes: _importance(axes, gains),
        "f1_by_basket_size": lambda axes: _f1_by_basket_size(axes, pairs, compared),
    }
    return {name: _picture(folder / f"{name}.png", draw) for name, draw in drawn.items()}


def _picture(path: Path, draw: Callable[[Any], None]) -> Path:
    from matplotlib.figure import Figure  # noqa: PLC0415  # Figure alone needs no screen and no global state

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    draw(axes)
    figure.savefig(path, dpi=100)
    return path


def _precision_recall(axes: Axes, pairs: Pairs, scored: list[evaluation.Candidate]) -> None:
    from sklearn.metrics import average_precision_score, precision_recall_curve  # noqa: PLC0415

    for each in scored:
        precision, recall, _ = precision_recall_curve(pairs.label, each.scores)
        area = average_precision_score(pairs.label, each.scores)
        axes.plot(recall, precision, color=_COLOURS.get(each.name), label=f"{each.name} ({area:.3f})")
    axes.axhline(float(pairs.label.mean()), color="#a9b3bf", linestyle=":", label=f"chance ({pairs.label.mean():.3f})")
    axes.set(title="Precision and recall of pairs", xlabel="recall", ylabel="precision", ylim=(0, 1), xlim=(0, 1))
    axes.legend(frameon=False)


def _calibration(axes: Axes, pairs: Pairs, scored: list[evaluation.Candidate]) -> None:
    most = 0.05
    for each in scored:
        assert each.scores is not None  # noqa: S101  # the caller left the others out
        _, shares, means, _ = evaluation.reliability(each.scores, pairs.label)
        axes.plot(means, shares, marker="o", markersize=4, color=_COLOURS.get(each.name), label=each.name)
        most = max(most, float(shares.max()), float(means.max()))
    axes.plot([0, most], [0, most], color="#a9b3bf", linestyle=":", label="as said")
    axes.set(title="What was said, and what came", xlabel="mean probability", ylabel="share bought")
    axes.legend(frameon=False)


def _importance(axes: Axes, gains: Mapping[str, float]) -> None:
    best = sorted(gains.items(), key=lambda item: item[1])[-_SHOWN_FEATURES:]
    total = sum(gains.values()) or 1.0
    axes.barh([name for name, _ in best], [gain / total for _, gain in best], color=_COLOURS["model"])
    axes.tick_params(axis="y", labelsize=7)
    axes.set(title="Features by gain", xlabel="share of the mean gain of a split")


def _f1_by_basket_size(axes: Axes, pairs: Pairs, compared: list[evaluation.Candidate]) -> None:
    orders = pairs.orders()
    bought = np.add.reduceat(pairs.label, orders[0]) if len(orders[0]) else np.zeros(0)
    groups = [(bought >= low) & (bought <= high) for low, high in _SIZES]
    shown = [place for place, group in enumerate(groups) if group.any()]
    width = 0.8 / len(compared)
    for number, each in enumerate(compared):
        f1: NDArray[np.float64] = baskets.f1_scores(orders, pairs.label, each.chosen)
        heights = [float(f1[groups[place]].mean()) for place in shown]
        at = np.arange(len(shown)) + (number - (len(compared) - 1) / 2) * width
        axes.bar(at, heights, width, color=_COLOURS.get(each.name), label=each.name)
    names = ["none", "1-2", "3-5", "6-10", "11-20", "21+"]
    axes.set_xticks(
        np.arange(len(shown)), [f"{names[place]}\n({int(groups[place].sum()):,} orders)" for place in shown], fontsize=8
    )
    axes.set(title="F1 by the number of products that were re-ordered", ylabel="mean F1")
    axes.legend(frameon=False)
