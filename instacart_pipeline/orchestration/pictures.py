"""Pictures as the metadata of assets: drawn small, in one look, and kept within the metadata itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dagster import MarkdownMetadataValue, MetadataValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[["Axes"], None]
MAIN, PALE, QUIET, TEXT = "#0a6e4f", "#8fc1ae", "#6b7a8f", "#2f3a45"
_LONGEST = 34
"""Characters of a name that fit beside its bar."""


def picture(name: str, png: bytes) -> MarkdownMetadataValue:
    """A PNG as Dagster shows it among an asset's metadata."""
    return MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")


def chart(title: str, dt: str, draw: Draw, *, unit: str) -> bytes:
    """A PNG, 800 pixels wide, of what `draw` puts on the axes; `unit` is said beside the upright one."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # Figure alone needs no screen and no global state
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415
    from matplotlib.ticker import StrMethodFormatter  # noqa: PLC0415

    figure = Figure(figsize=(8, 4.6), layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.1))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c5ccd4")
    axes.tick_params(colors=TEXT, labelsize=9, length=0)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_ylabel(unit, color=QUIET)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    draw(axes)
    axes.set_xlabel(axes.get_xlabel(), color=QUIET, parse_math=False)
    axes.set_title(title, loc="left", color=TEXT, fontsize=12, fontweight="bold")
    axes.set_title(f"as of {dt}", loc="right", color=QUIET, fontsize=9)
    made = io.BytesIO()
    figure.savefig(made, dpi=100, format="png")
    return made.getvalue()


def bars(names: Sequence[str], lengths: Sequence[float], notes: Sequence[str], *, unit: str) -> Draw:
    """A bar a name, the first one on top, its length and note beside it; `unit` is said below."""

    def draw(axes: Axes) -> None:
        drawn = axes.barh(range(len(names)), lengths, 0.7, color=MAIN)
        told = [f"{length:,.0f}   {note}" for length, note in zip(lengths, notes, strict=True)]
        axes.bar_label(drawn, told, padding=4, fontsize=9, color=TEXT)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.invert_yaxis()
        axes.margins(x=0.3)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=unit, ylabel="")

    return draw


def nothing(told: str) -> Draw:
    """No more than a text, where there is nothing to be drawn."""

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, told, ha="center", transform=axes.transAxes, color=QUIET)

    return draw


def short(name: str) -> str:
    """A name in one line of bounded length. Names come from outside, so they are drawn as they are, with parse_math=False."""
    name = "".join(char if char.isprintable() else " " for char in name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
