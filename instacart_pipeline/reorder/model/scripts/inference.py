"""The reorder model's inference hooks, as SageMaker's script mode calls them. They need nothing but the model folder.

A row is either all features of the model, in the order of its model.json, or the original endpoint's eighteen numbers, which are answered by
the original's model. Empty fields are missing values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

_SMALL = 65_536
"""Bytes of CSV up to which Python parses faster than a reader is set up."""


class ReorderModel:
    """The model, its calibration, and the original's model."""

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / "model.json").read_text())
        self.features: list[str] = told["features"]
        self.original_features: list[str] = told["original"]
        self._slope, self._intercept = told["slope"], told["intercept"]
        self._model, self._original = (_booster(folder / name) for name in ("model.ubj", "original.ubj"))

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """A probability for each row. Raises ValueError if rows have another number of fields than any model here."""
        width = rows.shape[1]
        if width == len(self.features):
            scores = np.clip(
                self._model.inplace_predict(rows, validate_features=False).astype(np.float64), 1e-6, 1 - 1e-6
            )
            logits = np.log(scores / (1 - scores))
            calibrated: NDArray[np.float64] = 1 / (1 + np.exp(-(self._slope * logits + self._intercept)))
            return calibrated
        if width == len(self.original_features):
            scored: NDArray[np.float64] = self._original.inplace_predict(rows, validate_features=False).astype(
                np.float64
            )
            return scored
        raise ValueError(
            f"a row has {width} numbers; give all {len(self.features)} of the model, or the {len(self.original_features)} of the original endpoint"
        )


def _booster(path: Path) -> xgboost.Booster:
    booster = xgboost.Booster()
    booster.load_model(path)
    # Requests are answered side by side: threads within one would only get in each other's way.
    booster.set_param({"nthread": 1})
    return booster


def model_fn(model_dir: str) -> ReorderModel:
    """The model in a folder."""
    return ReorderModel(Path(model_dir))


def describe(model: ReorderModel) -> dict[str, Any]:
    """What the model takes."""
    return {"features": model.features}


def input_fn(body: bytes, content_type: str) -> NDArray[np.float32]:
    """The rows of a body. Raises ValueError naming the line and the field that can't be read."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/csv":
        return _small_csv(body) if len(body) <= _SMALL else _large_csv(body)
    if kind == "application/json":
        rows = json.loads(body)
        rows = rows.get("instances") if isinstance(rows, dict) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
            raise ValueError('write JSON as {"instances": [[1, 2.5, null, ...], ...]}')
        return _matrix([[np.nan if field is None else float(field) for field in row] for row in rows])
    raise ValueError(f"{content_type} is neither text/csv nor application/json")


def _small_csv(body: bytes) -> NDArray[np.float32]:
    rows = []
    for number, line in enumerate(body.decode().strip("\r\n").split("\n"), 1):
        fields = line.rstrip("\r").split(",")
        try:
            rows.append([float(field) if field.strip() else np.nan for field in fields])
        except ValueError:
            place, field = next((p, f) for p, f in enumerate(fields, 1) if f.strip() and not _is_number(f))
            raise ValueError(f"line {number}, field {place}: {field[:40]!r} is not a number") from None
    return _matrix(rows)


def _matrix(rows: list[list[float]]) -> NDArray[np.float32]:
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise ValueError(f"line {number} has {len(row)} fields, the first one {width}")
    return np.array(rows, np.float32)


def _large_csv(body: bytes) -> NDArray[np.float32]:
    import pyarrow as pa  # noqa: PLC0415  # only bulk requests need it
    from pyarrow import csv  # noqa: PLC0415

    first, _, _ = body.partition(b"\n")
    width = first.count(b",") + 1
    names = [str(place) for place in range(width)]
    try:
        table = csv.read_csv(
            pa.BufferReader(body),
            csv.ReadOptions(column_names=names, use_threads=False),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float32()), null_values=[""]),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(str(error)) from None
    rows = np.empty((table.num_rows, width), np.float32)
    for place, column in enumerate(table.columns):
        rows[:, place] = column.to_numpy()
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def predict_fn(data: NDArray[np.float32], model: ReorderModel) -> NDArray[np.float64]:
    """A probability for each row."""
    return model.predict(data)


def output_fn(prediction: NDArray[np.float64], accept: str) -> tuple[bytes, str]:
    """The probabilities as text/csv, one a line, or as JSON. Raises ValueError on another type."""
    if accept == "text/csv":
        return "".join(f"{probability:.9g}\n" for probability in prediction.tolist()).encode(), accept
    if accept == "application/json":
        return json.dumps({"predictions": [{"score": score} for score in prediction.tolist()]}).encode(), accept
    raise ValueError(f"{accept} is neither text/csv nor application/json")
