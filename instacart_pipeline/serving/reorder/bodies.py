"""Feature vectors as callers send them: JSON or CSV in, and which form the answer takes.

Belongs here: reading and refusing, with the field, its position and what to write instead. Doesn't: asking the model (asking.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from instacart_pipeline.reorder.model.features import ORIGINAL
from instacart_pipeline.serving.errors import Refused
from instacart_pipeline.serving.requests import CSV, JSON, text_of

LARGEST = 1e38
"""No feature may lie further from nought: the model's numbers are of 32 bits."""
_REMEDY = "Write a number, or leave the field empty if the value is missing."


def wanted_type(accept: str | None, default: str, offered: Sequence[str] = (CSV, JSON)) -> str:
    """The form of the answer, by an Accept header: what is wanted most of what is offered. Raises Refused (406)."""
    if not (accept or "").strip():
        return default
    ranked = []
    for position, part in enumerate((accept or "").lower().split(",")):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((_quality(piece[2:]) for piece in parameters if piece.startswith("q=")), 1.0)
        if quality > 0:
            ranked.append((-quality, position, name))
    for _, _, name in sorted(ranked):
        if name in offered:
            return name
        family = name.removesuffix("/*") if name.endswith("/*") else ""
        if family == "*" or default.startswith(f"{family}/"):
            return default
        if family and (matching := [one for one in offered if one.startswith(f"{family}/")]):
            return matching[0]
    raise Refused(406, "not_acceptable", f"The answer comes as {' or '.join(offered)}, not as {accept}.")


def csv_rows(body: bytes, widths: Sequence[int]) -> list[str]:
    """The rows of a CSV body, each of one of the `widths`. Raises Refused."""
    lines = [line.strip() for line in text_of(body).strip().splitlines()]
    if not lines:
        raise Refused(422, "empty", f"The body is empty. Send rows of {len(ORIGINAL)} numbers: {', '.join(ORIGINAL)}.")
    for number, line in enumerate(lines, start=1):
        fields = line.split(",")
        if len(fields) not in widths or "_" in line or not _all_fit(fields):
            _require_row(fields, number, widths)
    return lines


def json_row(body: bytes) -> str:
    """The row of a JSON body, as CSV: {"features": {name: number, ...}} or {"features": [18 numbers]}. Raises Refused."""
    try:
        told = json.loads(text_of(body))
    except (ValueError, RecursionError) as error:
        raise Refused(400, "malformed_json", f"The body is no JSON: {error}.") from None
    features = told.get("features") if isinstance(told, dict) else None
    if not isinstance(told, dict) or set(told) != {"features"} or not isinstance(features, (dict, list)):
        raise Refused(
            422, "invalid", 'Send {"features": {...}}, by name, or {"features": [...]}, in order, and nothing else.'
        )
    if isinstance(features, dict):
        missing = [name for name in ORIGINAL if name not in features]
        unknown = [name for name in features if name not in ORIGINAL]
        if missing or unknown:
            texts = [
                f"{what}: {', '.join(names[:20])}"
                for what, names in (("missing", missing), ("unknown", unknown))
                if names
            ]
            raise Refused(
                422,
                "invalid",
                f"features must be the original's {len(ORIGINAL)} by name ({'; '.join(texts)}). A missing value is null.",
            )
        values = [features[name] for name in ORIGINAL]
    else:
        values = features
        if len(values) != len(ORIGINAL):
            raise Refused(
                422,
                "invalid",
                f"features has {len(values)} numbers, not {len(ORIGINAL)}: {', '.join(ORIGINAL)}. A missing value is null.",
            )
    return ",".join(_field(name, value) for name, value in zip(ORIGINAL, values, strict=True))


def _field(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(
            422, "invalid", f"features.{name} is {json.dumps(value)[:40]}. Write a number, or null if it is missing."
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not _fits(number):
        raise Refused(
            422, "invalid", f"features.{name} is not a number that the model can take. Write a smaller one, or null."
        )
    return repr(number)


def _require_row(fields: Sequence[str], row: int, widths: Sequence[int]) -> None:
    if len(fields) not in widths:
        told = " or ".join(str(width) for width in dict.fromkeys(widths))
        raise Refused(
            422,
            "invalid",
            f"Row {row} has {len(fields)} fields, not {told}. The original's {len(ORIGINAL)} are: {', '.join(ORIGINAL)}.",
        )
    for position, field in enumerate(fields, start=1):
        text = field.strip()
        if not text:
            continue
        try:
            fits = _fits(float(text)) and "_" not in text
        except ValueError:
            fits = False
        if not fits:
            name = f" ({ORIGINAL[position - 1]})" if len(fields) == len(ORIGINAL) else ""
            hint = "The rows have no header line. " if row == 1 and text in ORIGINAL else ""
            raise Refused(422, "invalid", f"Row {row}, field {position}{name} is {text[:40]!r}. {hint}{_REMEDY}")


def _all_fit(fields: Sequence[str]) -> bool:
    """Whether a row is sound beyond doubt, all fields at a time: most rows are, and a body may have hundreds of thousands of fields."""
    try:
        return sum(abs(float(field)) for field in fields if field) <= LARGEST
    except ValueError:
        return False


def _fits(number: float) -> bool:
    return abs(number) <= LARGEST  # false for NaN too


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
