"""The model of the serving benchmark, laid out for every server.

Belongs here: training it and writing it as each server reads it. Doesn't: starting servers or asking them (serving.py).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from instacart_pipeline.container.unpacking import pack
from instacart_pipeline.lake.artefacts import MODEL, SOURCE, Artefact
from instacart_pipeline.reorder.model.code import model_code
from instacart_pipeline.reorder.model.features import ORIGINAL
from instacart_pipeline.reorder.names import ENDPOINT
from instacart_pipeline.resources.endpoints import Canary
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.resources.model_registry import ModelVersion

FEATURES, TREES, DEPTH, BULK = 60, 300, 6, 10_000


def make_model(work: Path, mlflow_python: Path) -> NDArray[np.float32]:
    """Train the model and lay it out for every server; returns rows to ask about."""
    random = np.random.default_rng(7)
    rows = random.random((60_000, FEATURES), np.float32)
    rows[random.random(rows.shape) < 0.05] = np.nan
    chance = 1 / (1 + np.exp(-4 * (np.nan_to_num(rows[:, :8]).mean(axis=1) - 0.6)))
    labels = (random.random(len(rows)) < chance).astype(np.float32)
    parameters = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.1, "tree_method": "hist"}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, labels), TREES)
    original = xgboost.train(parameters, xgboost.DMatrix(rows[:, : len(ORIGINAL)], labels), 20)
    (model := work / "bundle" / "model").mkdir(parents=True)
    booster.save_model(model / "model.ubj")
    original.save_model(model / "original.ubj")
    # A slope of one and no intercept: calibration that changes nothing, so that all answer alike.
    told = {"features": [f"f{n}" for n in range(FEATURES)], "original": list(ORIGINAL), "slope": 1.0, "intercept": 0.0}
    (model / "model.json").write_text(json.dumps({**told, "spread": 0.0}))
    for name, content in model_code().files.items():
        path = work / "bundle" / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    _deploy(work, told["features"])
    _run(
        [
            str(mlflow_python),
            str(Path(__file__).parent / "peers" / "mlflow_save.py"),
            model / "model.ubj",
            work / "mlflow",
        ]
    )
    return rows[:BULK]


def _deploy(work: Path, features: Any) -> None:
    artefact = work / "artefact"
    artefact.mkdir()
    pack(work / "bundle" / "model", artefact / MODEL)
    (artefact / SOURCE).write_bytes(model_code().archive())
    made = Artefact("reorder", "model", "2026-01-01", "v1", str(artefact), model_code().digest)
    version = ModelVersion(ENDPOINT, 1, "Approved", made, {}, {"features": features})
    endpoints = LocalEndpoints(home=str(work / "home"), url="http://127.0.0.1:1")
    endpoints.deploy(ENDPOINT, version, Canary(b"," * (FEATURES - 1) + b"\n", 1))


def _run(command: list[Any]) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
