"""One thing that AWS should have: what of it differs, and how that is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
