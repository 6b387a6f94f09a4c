"""Findings: what a look at the platform's surroundings comes to, for `instacart-pipeline doctor`.

Belongs here: what a finding says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: of which service, what was found, and what to do if it isn't well.

    `note`: it works, though something is left out; `bad`: runs will fail.
    """

    service: str
    health: Health
    found: str
    remedy: str = ""
