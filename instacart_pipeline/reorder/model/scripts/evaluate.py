"""Evaluates the challenger, and the champion beside it, on the held-out users of the day."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instacart_pipeline.reorder.model import baskets, evaluation, plots
from instacart_pipeline.reorder.model.features import FEATURES, ORIGINAL
from instacart_pipeline.reorder.model.pairs import Pairs, read_pairs
from instacart_pipeline.reorder.model.users import HELD_OUT


def main() -> None:
    """Score, compare, draw."""
    base = Path(os.environ["SM_PROCESSING_DIR"])
    inputs, output = base / "input", base / "output"
    pairs = read_pairs(inputs / "pairs", FEATURES, HELD_OUT, furthest_back=0)
    if not len(pairs) or not 0 < pairs.label.mean() < 1:
        raise SystemExit(
            f"{len(pairs):,} pairs of held-out users, not of both kinds: nothing can be said of the model."
        )
    challenger = inputs / "challenger"
    model, original = scores(challenger, pairs, told_of(challenger)["features"]), scores(challenger, pairs, ORIGINAL)
    compared = evaluation.candidates(pairs, model, told_of(challenger)["spread"], original)
    told = evaluation.evaluate(pairs, compared)
    own = baskets.f1_scores(pairs.orders(), pairs.label, compared[0].chosen)
    champion = inputs / "champion"
    if champion.is_dir():
        told["champion"] = against(champion, pairs, own)
    gains = json.loads((challenger / "output" / "training.json").read_text())["gain"]
    plots.draw_all(output, pairs, compared, gains)
    (output / "evaluation.json").write_text(json.dumps(told, indent=2))
    figures = told["candidates"]["model"]
    print(f"f1={figures['f1']['mean']:.6f} auc={figures['auc']:.6f} log-loss={figures['log_loss']:.6f}", flush=True)


def against(champion: Path, pairs: Pairs, own: NDArray[np.float64]) -> dict[str, object]:
    """The verdict on a challenger of these F1 scores. A champion that asks for features that are no more has no say."""
    about = told_of(champion)
    names = about["features"]
    gone = [name for name in names if name not in pairs.names]
    if gone:
        return {"not_worse": True, "reason": f"the champion can't be asked: it wants {', '.join(gone)}"}
    orders = pairs.orders()
    chosen = baskets.by_decision(orders, scores(champion, pairs, names), about["spread"])
    return evaluation.verdict(own, baskets.f1_scores(orders, pairs.label, chosen))


def told_of(artefact: Path) -> dict[str, Any]:
    """What a model says of itself: its features and its spread."""
    told: dict[str, Any] = json.loads((artefact / "model" / "model.json").read_text())
    return told


def scores(artefact: Path, pairs: Pairs, names: Sequence[str]) -> NDArray[np.float64]:
    """What a model says of pairs, by the code it was made with, in a process of its own: two codes have modules of one name."""
    with tempfile.TemporaryDirectory() as scratch:
        rows, scored = Path(scratch, "rows.npy"), Path(scratch, "scores.npy")
        np.save(rows, pairs.columns(names))
        command = [sys.executable, "score.py", str(artefact / "model"), str(rows), str(scored)]
        subprocess.run(command, cwd=artefact / "code", check=True)  # noqa: S603
        made: NDArray[np.float64] = np.load(scored)
        return made


if __name__ == "__main__":
    main()
