"""The pictures of a segmentation.

Belongs here: drawing figures that are computed elsewhere. Each is a small PNG, as it is kept with the asset's metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instacart_pipeline.customers.model.segmentation import Segmentation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREEN, _ORANGE, _GREY = "#0a6e4f", "#d0743c", "#6b7a8f"
_LONGEST_NAME = 44


def draw_all(folder: Path, model: Segmentation, report: Mapping[str, Any]) -> None:
    """Draw each picture that there is something to show in into a folder."""
    if len(report["by_k"]) > 1:
        _picture(folder / "silhouette_and_elbow.png", lambda axes: _by_k(axes, report))
    if len(model.centres) and model.space.axes:
        _picture(folder / "profiles.png", lambda axes: _profiles(axes, model), grid=False)
    _picture(folder / "sizes.png", lambda axes: _sizes(axes, report))


def _picture(path: Path, draw: Callable[[Any], None], *, grid: bool = True) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  # Figure alone needs no screen and no global state

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    draw(axes)
    figure.savefig(path, dpi=100)


def _by_k(axes: Axes, report: Mapping[str, Any]) -> None:
    tried = report["by_k"]
    numbers = [each["k"] for each in tried]
    axes.plot(numbers, [each["silhouette"] for each in tried], color=_GREEN, marker="o", label="silhouette")
    axes.plot(
        numbers,
        [each["reference"] for each in tried],
        color=_GREEN,
        linestyle=":",
        label="silhouette of data without groups",
    )
    axes.axvline(report["k"], color=_GREY, linewidth=6, alpha=0.2, label=f"chosen: {report['k']}")
    axes.set(
        title=f"Groups: {report['groups']}", xlabel="clusters", ylabel="silhouette", ylim=(0, None), xticks=numbers
    )
    other = axes.twinx()
    other.plot(numbers, [each["inertia"] for each in tried], color=_ORANGE, marker="s", label="inertia")
    other.set_ylabel("inertia")
    other.spines["top"].set_visible(False)
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], frameon=False, fontsize=8, loc="lower left")


def _profiles(axes: Axes, model: Segmentation) -> None:
    centres = np.round(model.centres, 1) + 0.0  # no -0.0
    most = max(1.0, float(np.abs(centres).max()))
    axes.imshow(centres, cmap="PiYG", vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(len(model.space.names)), list(model.space.names), rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(centres)), [_label(model, number) for number in model.numbers[1:]], fontsize=7)
    for (row, column), value in np.ndenumerate(centres):
        dark = abs(value) > 0.6 * most
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set(title="Centres, in standard deviations from the mean of all buyers")


def _sizes(axes: Axes, report: Mapping[str, Any]) -> None:
    segments = report["segments"][::-1]
    names = [_shortened(f"{each['segment']} {each['name']}") for each in segments]
    bars = axes.barh(names, [each["customers"] for each in segments], color=_GREEN)
    axes.bar_label(bars, [f"{each['share']:.1%}" for each in segments], padding=3, fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(x=0.12)
    axes.set(title="Customers of each segment")


def _label(model: Segmentation, number: int) -> str:
    return _shortened(f"{number} {model.name(number)}")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."
