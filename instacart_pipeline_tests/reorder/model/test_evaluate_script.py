"""The evaluation's script: challenger and champion on the same held-out orders, and the verdict it writes down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from instacart_pipeline.reorder.model import plots
from instacart_pipeline.reorder.model.pairs import Pairs
from instacart_pipeline.reorder.model.scripts import evaluate, inference
from instacart_pipeline.reorder.model.training import Options, train
from instacart_pipeline_tests.reorder.model.planted import write_pairs

PARAMETERS = {"max_depth": 3, "eta": 0.3, "nthread": 1}
THOROUGH, HASTY = Options(PARAMETERS, 40, 5), Options({**PARAMETERS, "max_depth": 1, "eta": 0.01}, 1, 1)


def scored_here(artefact: Path, pairs: Pairs, names: Sequence[str]) -> NDArray[np.float64]:
    """What `evaluate.scores` has another process say."""
    return inference.predict_fn(pairs.columns(names), inference.model_fn(str(artefact / "model")))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A processing job's folder: pairs, a challenger that learnt hardly anything, and a champion that did."""
    base = tmp_path_factory.mktemp("job")
    pairs = write_pairs(base / "input" / "pairs", users=600)
    for name, options in (("challenger", HASTY), ("champion", THOROUGH)):
        model, output = base / "input" / name / "model", base / "input" / name / "output"
        model.mkdir(parents=True)
        output.mkdir()
        (output / "training.json").write_text(json.dumps(train(pairs, model, options, lambda _: None)))
    (base / "output").mkdir()
    return base


def evaluated(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("SM_PROCESSING_DIR", str(inputs))
    monkeypatch.setattr(evaluate, "scores", scored_here)
    monkeypatch.setattr(plots, "draw_all", lambda *_: {})
    evaluate.main()
    told: dict[str, Any] = json.loads((inputs / "output" / "evaluation.json").read_text())
    return told


def test_a_challenger_that_learnt_less_is_surely_worse(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = evaluated(inputs, monkeypatch)
    assert told["champion"]["not_worse"] is False
    assert told["champion"]["ahead"]["high"] < 0
    assert told["orders"] == 120


def test_a_champion_that_asks_for_features_that_are_no_more_has_no_say(
    inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = inputs / "input" / "champion" / "model" / "model.json"
    before = about.read_text()
    about.write_text(json.dumps({**json.loads(before), "features": ["up_orders", "long_forgotten"]}))
    try:
        told = evaluated(inputs, monkeypatch)
    finally:
        about.write_text(before)
    assert told["champion"] == {
        "not_worse": True,
        "reason": "the champion can't be asked: it wants long_forgotten",
    }
