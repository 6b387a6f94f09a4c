"""What a thing in AWS lacks of what it should be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any], at: str = "") -> tuple[str, ...]:
    """Every place where `there` has another value than `wanted`, as "Path.To: old -> new". What only `there` has is let be.

    Texts that hold JSON objects are compared as what they hold.
    """
    found: list[str] = []
    for name, value in wanted.items():
        found += _compared(value, there.get(name), f"{at}{name}")
    return tuple(found)


def _compared(wanted: Any, there: Any, at: str) -> list[str]:
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        return list(differences(wanted, there, f"{at}."))
    if isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        return [
            each
            for place, pair in enumerate(zip(wanted, there, strict=True))
            for each in _compared(*pair, f"{at}[{place}]")
        ]
    if wanted == there or _object(wanted) == _object(there) != {}:
        return []
    return [f"{at}: {_shown(there)} -> {_shown(wanted)}"]


def _object(text: object) -> dict[str, Any]:
    """The JSON object in a text; an empty one if it holds none."""
    try:
        held = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _shown(value: object) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
