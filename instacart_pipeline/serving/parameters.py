"""Parameters that several routes take alike.

Belongs here: how one is written, and what is refused of it. Doesn't: what it chooses (retail/sales.py, customers/mart.py).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator


def _written_as_a_day(given: object) -> object:
    if isinstance(given, str) and not (len(given) == 10 and given[4] == given[7] == "-"):
        raise ValueError("write a day as 2011-01-31")  # pydantic takes seconds since 1970 for days too
    return given


Day = Annotated[date | None, BeforeValidator(_written_as_a_day)]
"""A day, or none."""
