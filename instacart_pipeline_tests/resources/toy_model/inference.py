"""Answers each row with the mean that was learnt plus the row's first number; a missing one counts as 0.

A model file that holds "broken" can't be loaded; a row that starts with -1 can't be predicted.
"""

import json
from pathlib import Path
from typing import Any

Rows = list[list[float | None]]


def model_fn(model_dir: str) -> Any:
    return json.loads(Path(model_dir, "model.json").read_text())["mean"]


def input_fn(body: bytes, content_type: str) -> Rows:
    if content_type != "text/csv":
        raise ValueError(f"{content_type} is not text/csv")
    return [[float(field) if field else None for field in line.split(",")] for line in body.decode().splitlines()]


def predict_fn(data: Rows, model: float) -> list[float]:
    if any(row[0] == -1 for row in data):
        raise RuntimeError("-1 can't be predicted")
    return [model + (row[0] or 0.0) for row in data]


def output_fn(prediction: list[float], accept: str) -> tuple[str, str]:
    if accept == "application/json":
        return json.dumps({"predictions": [{"score": score} for score in prediction]}), accept
    if accept != "text/csv":
        raise ValueError(f"{accept} is not supported")
    return "".join(f"{score}\n" for score in prediction), accept
