"""The pictures of the mart.

Belongs here: drawing rows that are counted elsewhere (mart_assets.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instacart_pipeline.orchestration.pictures import bars, chart, nothing, short

Rows = Sequence[Mapping[str, Any]]

LEVELS = {1: "1: up to 50", 2: "2: below 150", 3: "3: from 150"}
"""The profit levels in words: US dollars spent in the last year."""
_NOBODY = nothing("no customers yet")
_SHOWN = 12


def profit_levels(rows: Rows, dt: str) -> bytes:
    """A bar a profit level, of the customers in it: `profit_level`, `customers`, `items`, `returns`."""
    told = sorted(rows, key=lambda row: row["profit_level"])
    everyone = sum(row["customers"] for row in told)
    notes = [
        f"{row['customers'] / everyone:.0%} of all; "
        + (f"{row['returns'] / row['items']:.1%} of items returned" if row["items"] else "no items")
        for row in told
    ]
    drawn = bars([LEVELS[row["profit_level"]] for row in told], _customers(told), notes, unit="customers")
    return chart("Profit levels and returns", dt, drawn if told else _NOBODY, unit="")


def nearest_centers(rows: Rows, dt: str) -> bytes:
    """A bar a distribution centre, of those it is nearest to: `center` (None where that isn't known), `customers`, `distance_in_km` (the mean)."""
    told = sorted(rows, key=lambda row: (-row["customers"], row["center"] or ""))[:_SHOWN]
    names = [short(row["center"] or "place not known") for row in told]
    notes = ["" if row["distance_in_km"] is None else f"{row['distance_in_km']:,.0f} km away" for row in told]
    drawn = bars(names, _customers(told), notes, unit="customers")
    return chart("Customers by nearest distribution centre", dt, drawn if told else _NOBODY, unit="")


def _customers(rows: Rows) -> list[float]:
    return [float(row["customers"]) for row in rows]
