"""Training: from labelled pairs to the model folder, by XGBoost.

Belongs here: what is learnt from which pairs. Part of the code that trains: numpy, pyarrow, xgboost and scikit-learn only.

Users are parted into folds. Each fold that is tried is predicted by a model of the others, which gives the number of rounds, and honest
scores to calibrate by; then one model is made of all of them. Earlier orders of the users serve as further examples, worth less the
further back they lie; what is measured is measured on last orders only, which are what will be asked for.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xgboost
from numpy.typing import NDArray

from instacart_pipeline.reorder.model import calibration
from instacart_pipeline.reorder.model.features import FEATURES, ORIGINAL
from instacart_pipeline.reorder.model.pairs import Pairs, read_pairs
from instacart_pipeline.reorder.model.users import FOLDS, SAMPLE, TRAINED_ON, fold_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Parameters = dict[str, Any]
Sample = Literal["none", "always", "if many"]

_HALF_LIFE = 2.0
"""Orders back after which an example counts for half."""
_MANY_ORDERS = 2_000
"""Of so many orders one fold says enough of rounds and calibration; of fewer, all are tried."""
_ENOUGH_ORDERS = 2_000
"""A sample of fewer last orders than this says too little, when there are more to be had."""
ORIGINAL_PARAMETERS: Parameters = {"max_depth": 5, "eta": 0.1, "gamma": 4.0, "min_child_weight": 6, "subsample": 0.8}
_ORIGINAL_ROUNDS, _ORIGINAL_PATIENCE = 500, 10


class TooFewLabels(Exception):
    """There is nothing to learn from."""


@dataclass(frozen=True)
class Options:
    """What a training is told. `sample` says when a tenth of the users is enough. `folds` 0 tries as many as are worth it; without `refit` no model is made of all folds together."""

    parameters: Parameters
    rounds: int = 1500
    patience: int = 30
    sample: Sample = "none"
    folds: int = 0
    refit: bool = True


@dataclass(frozen=True)
class Fold:
    """What one fold gave: rounds until it was predicted best, scores and labels of its pairs, and how well they agree."""

    rounds: int
    scores: NDArray[np.float64]
    labels: NDArray[np.float64]
    orders: NDArray[np.int64]
    log_loss: float


def train(pairs_folder: Path, model_folder: Path, options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Train on the labelled pairs in a folder, write the model to another, and return the report. `say` gets the log, line by line.

    Raises TooFewLabels.
    """
    started = time.perf_counter()
    pairs = _read(pairs_folder, options.sample)
    last = pairs.orders_back == 0
    bought = int(pairs.label[last].sum())
    if bought == 0 or bought == int(last.sum()):
        raise TooFewLabels(
            f"{int(last.sum()):,} pairs of last orders, {bought:,} of them bought: nothing can be learnt from these. "
            f"The upload needs train orders of more users."
        )
    orders = len(np.unique(pairs.order_id[last]))
    say(f"{len(pairs):,} pairs, {int(last.sum()):,} of them of {orders:,} last orders; {len(FEATURES)} features")
    tried = options.folds or (1 if orders > _MANY_ORDERS else FOLDS)
    folds = _cross_validate(pairs, FEATURES, options, tried, say)
    report: dict[str, Any] = {
        "pairs": len(pairs),
        "orders": orders,
        "folds": tried,
        "rounds": _rounds(folds),
        "log_loss": sum(fold.log_loss for fold in folds) / len(folds),
    }
    if options.refit:
        scores, labels, of_order = (
            np.concatenate([getattr(fold, name) for fold in folds]) for name in ("scores", "labels", "orders")
        )
        slope, intercept = calibration.fit(scores, labels)
        spread = calibration.fit_spread(calibration.calibrated(scores, slope, intercept), labels, of_order)
        booster = _fit(pairs, FEATURES, options.parameters, report["rounds"])
        booster.save_model(model_folder / "model.ubj")
        say(
            f"model of {report['rounds']} rounds; calibrated by slope {slope:.3f}, intercept {intercept:+.3f}; spread {spread}"
        )
        original = _original(pairs.where(last), say)
        original.save_model(model_folder / "original.ubj")
        report |= {
            "slope": slope,
            "intercept": intercept,
            "spread": spread,
            "original_rounds": original.num_boosted_rounds(),
        }
        gains: Mapping[str, Any] = booster.get_score(importance_type="gain")
        report["gain"] = {name: float(gains.get(f"f{place}", 0.0)) for place, name in enumerate(FEATURES)}
        described = {
            "features": FEATURES,
            "original": ORIGINAL,
            "slope": slope,
            "intercept": intercept,
            "spread": spread,
        }
        (model_folder / "model.json").write_text(json.dumps(described))
    report["seconds"] = time.perf_counter() - started
    return report


def _read(folder: Path, sample: Sample) -> Pairs:
    if sample != "none":
        pairs = read_pairs(folder, FEATURES, SAMPLE)
        if sample == "always" or len(np.unique(pairs.order_id[pairs.orders_back == 0])) >= _ENOUGH_ORDERS:
            return pairs
    return read_pairs(folder, FEATURES, TRAINED_ON)


def _cross_validate(
    pairs: Pairs, names: tuple[str, ...], options: Options, tried: int, say: Callable[[str], None]
) -> list[Fold]:
    fold_of_pair = np.array([fold_of(bucket) for bucket in range(100)])[pairs.user_bucket]
    found = []
    for number in range(tried):
        rest = fold_of_pair != number
        own = pairs.where((fold_of_pair == number) & (pairs.orders_back == 0))
        if not len(own) or not pairs.label[rest].any() or not own.label.any():
            continue  # of very few users a fold may have none
        validated = xgboost.DMatrix(own.columns(names), own.label)
        evaluated: dict[str, dict[str, list[float]]] = {}
        booster = xgboost.train(
            {**_BASE, **options.parameters},
            _matrix(pairs.where(rest), names),  # not kept: the matrix holds what it needs of it
            options.rounds,
            evals=[(validated, "validation")],
            evals_result=evaluated,
            early_stopping_rounds=options.patience,
            verbose_eval=False,
            callbacks=[_Progress(number, say)],
        )
        best = int(booster.best_iteration) + 1
        scores = booster.predict(validated, iteration_range=(0, best)).astype(np.float64)
        found.append(
            Fold(best, scores, own.label.astype(np.float64), own.order_id, min(evaluated["validation"]["logloss"]))
        )
    if not found:
        raise TooFewLabels(
            "No fold of the users has labels of both kinds. The upload needs train orders of more users."
        )
    return found


def _rounds(folds: list[Fold]) -> int:
    return max(1, round(float(np.mean([fold.rounds for fold in folds]))))


def _original(last: Pairs, say: Callable[[str], None]) -> xgboost.Booster:
    """The original's model: eighteen features, its own parameters, on last orders alone; early stopping on whole users, unlike there."""
    fold = _cross_validate(
        last, ORIGINAL, Options(ORIGINAL_PARAMETERS, _ORIGINAL_ROUNDS, _ORIGINAL_PATIENCE), 1, lambda _: None
    )
    say(f"the original's model of {_rounds(fold)} rounds")
    return _fit(last, ORIGINAL, ORIGINAL_PARAMETERS, _rounds(fold))


def _fit(pairs: Pairs, names: tuple[str, ...], parameters: Mapping[str, Any], rounds: int) -> xgboost.Booster:
    return xgboost.train({**_BASE, **parameters}, _matrix(pairs, names), rounds)


def _matrix(pairs: Pairs, names: tuple[str, ...]) -> xgboost.DMatrix:
    weight = 0.5 ** (pairs.orders_back / _HALF_LIFE)
    return xgboost.QuantileDMatrix(pairs.columns(names), pairs.label, weight=weight.astype(np.float32))


_BASE: Parameters = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "reg_lambda": 20,
    "seed": 7,
}


class _Progress(xgboost.callback.TrainingCallback):
    """Says how well the fold is predicted, every few rounds."""

    def __init__(self, fold: int, say: Callable[[str], None]) -> None:
        super().__init__()
        self._fold, self._say = fold, say

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        del model
        if epoch % 10 == 9:
            self._say(
                f"[{epoch + 1}] fold-{self._fold} validation-logloss={evals_log['validation']['logloss'][-1]:.6f}"
            )
        return False
