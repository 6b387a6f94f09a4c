"""The features that customers are told apart by, and why each is one.

Belongs here: names, scales and reasons, for every column of the customers' table. Doesn't: what a column means (tables.py).

Only those who bought anything in the last year are clustered. For the others orders, spend, return rate and days since the last order
are 0 or NULL together, and whatever number stood in for NULL, K-means would find that spike before anything else: a rule dressed up as
a discovery. So the rule is said: they are a segment of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scale = Literal["as is", "log1p"]


@dataclass(frozen=True)
class Feature:
    """A column to cluster by. `high` and `low` are the words for a segment that lies far above or below the mean."""

    name: str
    scale: Scale
    reason: str
    high: str
    low: str


FEATURES = (
    Feature(
        "spend",
        "log1p",
        "How much is bought. Amounts are skewed, and what counts is how many times as much, not how many dollars more.",
        "high spend",
        "low spend",
    ),
    Feature(
        "orders",
        "log1p",
        "How often is bought: the same spend may be one order or many.",
        "many orders",
        "few orders",
    ),
    Feature(
        "days_since_order",
        "as is",
        "How lately was bought: who has not come for long may be lost.",
        "not seen for long",
        "seen lately",
    ),
    Feature(
        "return_rate",
        "as is",
        "How much comes back: returns cost, and are the one figure asked for that spend hides.",
        "many returns",
        "few returns",
    ),
    Feature(
        "sessions",
        "log1p",
        "How often the site is visited, whether anything is bought or not.",
        "many visits",
        "few visits",
    ),
    Feature("age", "as is", "Who buys: the one number there is of the person.", "older", "younger"),
    Feature(
        "distance_in_km",
        "log1p",
        "How far parcels go, thus how long they take. A kilometre more says less the further away a customer is.",
        "far away",
        "near a centre",
    ),
)
"""In the order of preference: of two that say the same the first stays."""

LEFT_OUT = {
    "items": "Spend and orders say it: a third measure of how much is bought would count it three times over.",
    "returns": "return_rate says it free of how much was bought.",
    "refunds": "It is what return_rate says, times spend.",
    "gross_margin": "It follows spend and returns. What segments earn is told by their profiles.",
    "profit_level": "It is spend in three steps: nothing that spend does not say, with its differences blurred.",
    "registered_at": "It says when a customer came, which grows by a week every week: segments would drift by the calendar.",
    **dict.fromkeys(
        ("gender", "country", "state", "dc_id", "nearest_distribution_center", "most_traffic_source"),
        "A label: between labels there is no distance for K-means to take a mean of. Compare it across segments instead.",
    ),
}
"""Why each other column of the customers' table is none."""

READ = ("user_id", "items", "gross_margin", *(feature.name for feature in FEATURES))
"""The columns that are read: the features, who it is, whether anything was bought, and what is earned."""
