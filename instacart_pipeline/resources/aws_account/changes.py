"""One thing that AWS should have: what of it differs, and how that is mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsRefused

Action = Literal["create", "update", "unchanged"]


@dataclass(frozen=True)
class Change:
    """One thing that AWS should have. `differs` says what is missing or other than it should be; `apply` mends that."""

    service: str
    name: str
    action: Action
    differs: tuple[str, ...]
    apply: Callable[[], object]


def made(service: str, name: str, make: Callable[[], object]) -> Change:
    """A thing that isn't there. That it was made in the meantime is no error."""

    def apply() -> None:
        try:
            make()
        except (AwsConflict, AwsRefused) as refused:
            # Made by an earlier try of the same call, whose answer was lost. Athena has no error of its own for that.
            if isinstance(refused, AwsRefused) and "already" not in refused.message:
                raise

    return Change(service, name, "create", (), apply)


def plan_update(service: str, name: str, differs: tuple[str, ...], mend: Callable[[], object]) -> Change:
    """A thing that is there, and differs or doesn't."""
    return Change(service, name, "update" if differs else "unchanged", differs, mend)


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
