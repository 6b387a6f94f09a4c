"""Answers with the feature `chance`, wherever among the model's features it stands; of the original's eighteen with a tenth of the first.

A row of features in another order than the model's own would be answered with another number, so nobody can mistake one for the other.
The model file may hold a delay in seconds, and "broken" in place of features; a row that starts with -1 can't be predicted.
"""

import json
import time
from pathlib import Path
from typing import Any

Rows = list[list[float | None]]


def model_fn(model_dir: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(model_dir, "model.json").read_text())
    return told


def describe(model: dict[str, Any]) -> dict[str, Any]:
    return {"features": model["features"]}


def input_fn(body: bytes, content_type: str) -> Rows:
    if content_type != "text/csv":
        raise ValueError(f"{content_type} is not text/csv")
    return [[float(field) if field else None for field in line.split(",")] for line in body.decode().splitlines()]


def predict_fn(data: Rows, model: dict[str, Any]) -> list[float]:
    time.sleep(model.get("delay", 0.0))
    if any(row[0] == -1 for row in data):
        raise RuntimeError("-1 can't be predicted")
    at = model["features"].index("chance")
    return [
        min(max((row[0] or 0.0) / 10, 0.0), 1.0) if len(row) == 18 else (row[at] or 0.0) + model["shift"]
        for row in data
    ]


def output_fn(prediction: list[float], accept: str) -> tuple[str, str]:
    if accept != "text/csv":
        raise ValueError(f"{accept} is not supported")
    return "".join(f"{score}\n" for score in prediction), accept
