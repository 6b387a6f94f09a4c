"""Customers, segments and the mart as tests write them by hand: rows of the contracts, with what isn't said as it is for many."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from instacart_pipeline_tests.platform import Row

SEGMENT = {"segment": 1, "segment_name": "Occasional buyers"}


def customer_row(user_id: int, **changes: Any) -> Row:
    """A customer who bought two items in one order, and kept both."""
    return {
        "user_id": user_id,
        "age": 40,
        "gender": "F",
        "country": "Germany",
        "state": "Berlin",
        "registered_at": datetime(2023, 3, 1, 8, 30, 15, 250_000),
        "dc_id": 6,
        "nearest_distribution_center": "Port Authority of New York/New Jersey NY/NJ",
        "distance_in_km": 6402.37,
        "orders": 1,
        "items": 2,
        "returns": 0,
        "return_rate": 0.0,
        "spend": Decimal("80.2500"),
        "refunds": Decimal(0),
        "gross_margin": Decimal("39.1250"),
        "profit_level": 2,
        "days_since_order": 10,
        "sessions": 3,
        "most_traffic_source": "Email",
        **changes,
    }


def no_buyer(user_id: int, **changes: Any) -> Row:
    """A customer who bought nothing in the year, of whom neither age, place nor visits are known."""
    unknown = dict.fromkeys(("age", "dc_id", "nearest_distribution_center", "distance_in_km", "most_traffic_source"))
    nothing = {"orders": 0, "items": 0, "return_rate": None, "days_since_order": None, "sessions": 0, "profit_level": 1}
    return customer_row(user_id, **{**unknown, **nothing, "spend": Decimal(0), "gross_margin": Decimal(0), **changes})


def mart_row(user_id: int, **changes: Any) -> Row:
    """The same customer in the mart, in a segment."""
    return customer_row(user_id, **{**SEGMENT, **changes})


def segment_row(user_id: int, **changes: Any) -> Row:
    """Which segment a customer is in."""
    return {"user_id": user_id, **SEGMENT, "distance_to_center": 0.5, **changes}


def profile_row(**changes: Any) -> Row:
    """The profile of a segment of one customer like `customer_row`."""
    figures = {"mean_age": 40.0, "mean_distance_in_km": 6402.37, "mean_orders": 1.0, "mean_items": 2.0}
    money = {
        "mean_spend": 80.25,
        "mean_gross_margin": 39.125,
        "spend": Decimal("80.25"),
        "gross_margin": Decimal("39.125"),
    }
    rest = {"return_rate": 0.0, "mean_days_since_order": 10.0, "mean_sessions": 3.0}
    return {**SEGMENT, "customers": 1, "share": 1.0, **figures, **rest, **money, **changes}
