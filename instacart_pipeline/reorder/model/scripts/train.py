"""Trains the reorder model, as SageMaker's script mode starts it."""

from __future__ import annotations

import argparse
import json
import os
import resource
from pathlib import Path

from instacart_pipeline.reorder.model.training import Options, Sample, TooFewLabels, train

_SAMPLES: tuple[Sample, ...] = ("none", "always", "if many")


def main() -> None:
    """Read the hyper-parameters and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max_depth", type=int, default=5)
    parser.add_argument("--eta", type=float, default=0.05)
    parser.add_argument("--min_child_weight", type=float, default=8.0)
    parser.add_argument("--subsample", type=float, default=0.8)
    parser.add_argument("--gamma", type=float, default=0.0)
    parser.add_argument("--colsample_bytree", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=1500, help="most rounds of boosting")
    parser.add_argument(
        "--patience", type=int, default=30, help="rounds without a better score after which a fold ends"
    )
    parser.add_argument(
        "--sample", type=int, default=0, choices=(0, 1, 2), help="1: a tenth of the users; 2: if that is enough"
    )
    parser.add_argument("--folds", type=int, default=0, help="folds to try; 0: as many as are worth it")
    parser.add_argument("--refit", type=int, default=1, help="0: only say how well it does")
    told = parser.parse_args()
    tunable = ("max_depth", "eta", "min_child_weight", "subsample", "gamma", "colsample_bytree")
    parameters = {name: getattr(told, name) for name in tunable}
    parameters["nthread"] = int(os.environ.get("SM_NUM_CPUS") or os.cpu_count() or 1)
    options = Options(parameters, told.rounds, told.patience, _SAMPLES[told.sample], told.folds, bool(told.refit))
    try:
        report = train(
            Path(os.environ["SM_CHANNEL_TRAIN"]),
            Path(os.environ["SM_MODEL_DIR"]),
            options,
            lambda line: print(line, flush=True),
        )
    except TooFewLabels as error:
        raise SystemExit(str(error)) from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"validation-logloss={report['log_loss']:.6f} seconds={report['seconds']:.1f} peak-bytes={peak}", flush=True)
    Path(os.environ["SM_OUTPUT_DATA_DIR"], "training.json").write_text(
        json.dumps({**report, "peak_bytes": peak}, indent=2)
    )


if __name__ == "__main__":
    main()
