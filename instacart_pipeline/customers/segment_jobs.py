"""The segments' jobs: what each is told, and how their outcome is put in words.

Belongs here: inputs, and a report as text. Doesn't: when a job runs (segment_assets.py), what its script does (model/).

The jobs are SageMaker processing jobs. One instance is enough at any size of the shop, and why stands in model/fitting.py: a bigger one
(INSTACART_TRAINING_INSTANCE) buys time, not better segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instacart_pipeline.customers.model.code import model_code
from instacart_pipeline.customers.model.limits import MUCH, SOME
from instacart_pipeline.customers.tables import CUSTOMERS, SYSTEM
from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.resources.sagemaker import ProcessingJob

SEGMENTATION = "segmentation"
MOST_MOVED = 0.1
"""Share of the customers known in both weeks that may change their segment within a week before somebody should look."""
_MOVES_SHOWN = 10


def segmenting(last_week: Artefact | None) -> ProcessingJob:
    """Find the week's segments, and compare with last week's if there are any."""
    artefacts = {"last_week": last_week} if last_week else {}
    arguments = {"against": last_week.dt} if last_week else {}
    return ProcessingJob(
        SYSTEM, SEGMENTATION, model_code(), "segment.py", {"customers": CUSTOMERS}, artefacts, arguments
    )


def assigning(segmentation: Artefact) -> ProcessingJob:
    """Put every customer into one of the segments."""
    artefacts = {SEGMENTATION: segmentation}
    return ProcessingJob(SYSTEM, "segments", model_code(), "assign.py", {"customers": CUSTOMERS}, artefacts)


@dataclass(frozen=True)
class Steadiness:
    """Whether customers stayed in their segments. `figures` are those it was judged by; empty where there is nothing to compare with."""

    steady: bool
    words: str
    figures: Mapping[str, float]


def steadiness(told: Mapping[str, Any]) -> Steadiness:
    """What a report says of the drift since last week."""
    drift = told["drift"]
    if drift is None:
        return Steadiness(True, f"Nothing to compare with: {told['drift_unknown']}.", {})
    figures = {
        "psi": drift["psi"],
        "customers_in_both": drift["customers_in_both"],
        "moved": drift["moved"],
        "share_moved": drift["share_moved"],
        "agreement": drift["agreement"],
    }
    words = (
        f"By the segments of {drift['against']}: sizes have a population stability index of {drift['psi']:.4f} "
        f"({drift['shift']} shift; some from {SOME}, much from {MUCH}); {drift['moved']:,} of {drift['customers_in_both']:,} customers "
        f"({drift['share_moved']:.1%}, at most {MOST_MOVED:.0%} is usual) moved to another one. This week's own segments agree with them by an "
        f"adjusted Rand index of {drift['agreement']:.3f}."
    )
    return Steadiness(drift["psi"] < SOME and drift["share_moved"] <= MOST_MOVED, words, figures)


def figures_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a report that are worth a line, or a plot over weeks, each."""
    named = ("customers", "buyers", "fitted_rows", "k", "k_by", "groups", "silhouette", "silhouette_without_groups")
    alike = {
        f"adjusted_rand_{against.replace(' ', '_')}_{name}": each[name]
        for against, each in told["stability"].items()
        for name in ("mean", "least")
    }
    return {**{name: told[name] for name in named if name in told}, **alike}


def features_in_words(told: Mapping[str, Any]) -> str:
    """The features, and the columns that are none, each with its reason, as Markdown."""
    used = [[f"**{each['name']}**", each["scale"], f"{each['filled']:,}", each["reason"]] for each in told["features"]]
    unused = [[name, "left out", "", why] for name, why in told["left_out"].items()]
    return _table(["column", "scale", "NULL, taken as the median", "why"], [*used, *unused])


def numbers_in_words(told: Mapping[str, Any]) -> str:
    """The numbers of clusters that were tried, as Markdown."""
    rows = [
        [
            f"**{each['k']}**" if each["k"] == told["k"] else str(each["k"]),
            f"{each['silhouette']:.4f}",
            f"{each['reference']:.4f}",
            f"{each['inertia']:,.0f}",
        ]
        for each in told["by_k"]
    ]
    head = ["clusters", "silhouette", "silhouette of data without groups", "inertia"]
    return _table(head, rows) if rows else str(told["k_by"])


def segments_in_words(told: Mapping[str, Any]) -> str:
    """The segments: sizes and means, as Markdown."""
    names = list(told["segments"][0]["means"])
    rows = [
        [
            str(each["segment"]),
            each["name"],
            f"{each['customers']:,}",
            f"{each['share']:.1%}",
            *("" if each["means"][name] is None else f"{each['means'][name]:,.2f}" for name in names),
        ]
        for each in told["segments"]
    ]
    return _table(["segment", "name", "customers", "share", *names], rows)


def drift_in_words(told: Mapping[str, Any]) -> str:
    """The drift: sizes, the most frequent moves, and which segment was which, as Markdown."""
    drift = told["drift"]
    if drift is None:
        return steadiness(told).words
    sizes = [[str(each["segment"]), each["name"], f"{each['then']:,}", f"{each['now']:,}"] for each in drift["sizes"]]
    moves = [[str(each["from"]), str(each["to"]), f"{each['customers']:,}"] for each in drift["moves"][:_MOVES_SHOWN]]
    matched = [
        [str(each["now"]), "new", ""]
        if each["then"] is None
        else [str(each["now"]), str(each["then"]), f"{each['distance']:.3f}"]
        for each in drift["matched"]
    ]
    return "\n\n".join(
        [
            steadiness(told).words,
            _table(["segment of last week", "name", "customers then", "customers now"], sizes),
            _table(["from", "to", "customers"], moves) if moves else "Nobody moved.",
            _table(["segment now", "was", "centre moved by (standard deviations)"], matched),
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
