"""The model's jobs: what each is told, and how their outcome is put in words.

Belongs here: hyper-parameters, ranges, inputs, the model card. Doesn't: when a job runs (model_assets.py), what its script does (model/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder.model.code import model_code
from instacart_pipeline.reorder.names import ENDPOINT, GROUP
from instacart_pipeline.reorder.tables import SYSTEM
from instacart_pipeline.resources.endpoints import Canary
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline.resources.sagemaker import (
    Hyperparameters,
    ProcessingJob,
    Range,
    TrainingJob,
    TransformJob,
    TuningJob,
)

__all__ = ["ENDPOINT", "GROUP"]

SAMPLE, TUNED, FINAL, EVALUATION = "sample_model", "tuned_parameters", "final_model", "evaluation"
OBJECTIVE = "validation-logloss"
TRIALS, TRIALS_AT_ONCE = 4, 2

DEFAULTS: Hyperparameters = {
    "max_depth": 5,
    "eta": 0.05,
    "min_child_weight": 8.0,
    "subsample": 0.8,
    "gamma": 0.0,
}
RANGES = {
    "max_depth": Range(3, 12, "integer"),
    "eta": Range(0.05, 0.5),
    "min_child_weight": Range(2, 8),
    "subsample": Range(0.5, 0.9),
    "gamma": Range(0, 10),
}
"""The original's, and so is the budget."""

_METRICS = {
    OBJECTIVE: r"validation-logloss=([0-9.]+)",
    "train-seconds": r"seconds=([0-9.]+)",
    "peak-bytes": r"peak-bytes=([0-9]+)",
}


def _training(name: str, hyperparameters: Hyperparameters) -> TrainingJob:
    return TrainingJob(SYSTEM, name, model_code(), hyperparameters, {"train": m.TRAINING_PAIRS}, _METRICS)


def sample_training() -> TrainingJob:
    """A tenth of the users, one fold, the default hyper-parameters."""
    return _training(SAMPLE, {**DEFAULTS, "sample": 1, "folds": 1})


def tuning() -> TuningJob:
    """The search, on a sample where there are users enough; each trial is judged on one fold of the users."""
    training = _training(TUNED, {**DEFAULTS, "sample": 2, "folds": 1, "refit": 0})
    return TuningJob(TUNED, training, RANGES, OBJECTIVE, maximize=False, trials=TRIALS, at_once=TRIALS_AT_ONCE)


def final_training(tuned: Hyperparameters) -> TrainingJob:
    """All users trained on, with the tuned hyper-parameters."""
    return _training(FINAL, {**DEFAULTS, **{name: tuned[name] for name in RANGES if name in tuned}})


def evaluating(challenger: Artefact, champion: Artefact | None) -> ProcessingJob:
    """Challenger and champion on the held-out users of the day."""
    artefacts = {"challenger": challenger, **({"champion": champion} if champion else {})}
    return ProcessingJob(SYSTEM, EVALUATION, model_code(), "evaluate.py", {"pairs": m.TRAINING_PAIRS}, artefacts)


def transforming(champion: ModelVersion) -> TransformJob:
    """The champion's answer for every open pair."""
    features = champion.card["features"]
    return TransformJob("baskets", champion.artefact, m.OPEN_PAIRS, ("order_id", "product_id"), features, "probability")


def deciding(champion: ModelVersion) -> ProcessingJob:
    """The baskets of the open orders, from the champion's probabilities."""
    tables, arguments = {"probabilities": m.BASKET_PROBABILITIES}, {"spread": str(champion.card["spread"])}
    return ProcessingJob(SYSTEM, "baskets", model_code(), "decide_baskets.py", tables, arguments=arguments)


def canary(features: Sequence[str]) -> Canary:
    """Two rows that any version must answer: one with nothing known, one of ones."""
    return Canary(f"{',' * (len(features) - 1)}\n{','.join('1' for _ in features)}\n".encode(), lines=2)


def metrics_of(told: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an evaluation that the registry keeps."""
    model = told["candidates"]["model"]
    named = {"f1": model["f1"]["mean"], "f1_low": model["f1"]["low"], "f1_high": model["f1"]["high"]}
    return {**named, **{name: model[name] for name in ("auc", "pr_auc", "log_loss", "calibration_error")}}


def model_card(features: Sequence[str], training: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of the registry needs to know of a version."""
    return {
        "intended_use": "The probability that a user's next order has a product they had bought before. It says nothing of new products.",
        "training": f"XGBoost on {training['pairs']:,} pairs of an order and a product; {training['orders']:,} of the orders are their users' last ones. "
        f"Users of bucket 80 to 99 were left out.",
        "evaluation": f"On {told['orders']:,} orders of users that were left out.",
        "features": list(features),
        "rounds": training["rounds"],
        "calibration": {"slope": training["slope"], "intercept": training["intercept"]},
        "spread": training["spread"],
        "figures": told["candidates"],
        "limits": "When a basket is decided, products of an order have nothing in common but how large the basket is. Gaps between orders are capped at 30 days.",
    }


def figures_in_words(told: Mapping[str, Any]) -> str:
    """An evaluation as a Markdown table."""
    lines = [
        "| | mean F1 | 95 % interval | model ahead by | AUC | PR-AUC | log-loss |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in told["candidates"].items():
        f1, ahead = figures["f1"], figures["ahead"]
        rest = [f"{figures[key]:.4f}" if key in figures else "" for key in ("auc", "pr_auc", "log_loss")]
        lead = "" if name == "model" else f"{ahead['mean']:+.4f} ({ahead['low']:+.4f} to {ahead['high']:+.4f})"
        lines.append(
            f"| {name} | {f1['mean']:.4f} | {f1['low']:.4f} to {f1['high']:.4f} | {lead} | {' | '.join(rest)} |"
        )
    return "\n".join(lines)


def verdict_in_words(verdict: Mapping[str, Any], champion: ModelVersion | None) -> str:
    """What came of the comparison with the champion."""
    if champion is None:
        return "There is no champion to be worse than."
    if "ahead" not in verdict:
        return str(verdict.get("reason", ""))
    ahead = verdict["ahead"]
    return (
        f"Mean F1 {ahead['mean']:+.4f} (95 %: {ahead['low']:+.4f} to {ahead['high']:+.4f}) against version {champion.number} "
        f"of {champion.artefact.dt}, on the same held-out orders."
    )
