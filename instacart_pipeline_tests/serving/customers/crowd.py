"""A crowd of made-up customers: rows of the mart, the tables published of them, and their sums, reckoned row by row.

The reckoning follows the descriptions of the tables (customers/tables.py, customers/mart_tables.py) with Python's own decimals, and
shares no code with the API.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import httpx

from instacart_pipeline.customers.mart_tables import CUSTOMER_MART
from instacart_pipeline.customers.tables import DISTRIBUTION_CENTERS
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.serving.api import create_app
from instacart_pipeline.serving.customers.mart import customers_part, mart_weeks
from instacart_pipeline.serving.customers.mart_weeks import MartWeeks
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.serving import web

WEEK = "2024-07-22"
BEFORE = "2024-07-15"
NEVER = 3600.0
"""Seconds between two searches for a new week, where a test calls `look` itself."""
CENTERS: list[Row] = [
    {"id": number, "name": name, "latitude": latitude, "longitude": longitude}
    for number, name, latitude, longitude in (
        (1, "Memphis TN", 35.1174, -89.9711),
        (2, "Chicago IL", 41.8369, -87.6847),
        (4, "Los Angeles CA", 34.05, -118.25),
        (7, "<b>Philadelphia</b> & Co", 39.95, -75.1667),
        (9, "Charleston SC", 32.7833, -79.9333),
    )
]
SEGMENTS = {1: "Bought nothing", 2: "Spend little", 3: 'Big "spenders" & <b>others</b>'}
COUNTRIES = [("China", 34), ("United States", 22), ("Brasil", 15), ("South Korea", 5), ("France", 4), (None, 1)]
SOURCES = [("Email", 45), ("Adwords", 30), ("YouTube", 10), ("Facebook", 10), ("Organic", 5)]
AGES = [(0, 17), (18, 24), (25, 34), (35, 44), (45, 54), (55, 64), (65, None)]
SUMS = ("customers", "buyers", "orders", "items", "returns")
AMOUNTS = ("spend", "refunds", "gross_margin")


def some_customers(seed: int = 11, count: int = 600) -> list[Row]:
    """Made-up customers: some bought nothing, some have no place, age, country or events; prices with fractions of cents."""
    chance = random.Random(seed)  # noqa: S311  # the same crowd each time, guarding nothing
    return [_customer(chance, number) for number in range(1, 3 * count, 3)]


def _customer(chance: random.Random, number: int) -> Row:
    items = 0 if chance.random() < 0.4 else chance.randrange(1, 7)
    prices = [Decimal(chance.randrange(5_000, 2_500_000)) / 10_000 for _ in range(items)]
    returned = [price for price in prices if chance.random() < 0.12]
    spend, refunds = sum(prices, Decimal(0)), sum(returned, Decimal(0))
    center = None if chance.random() < 0.04 else chance.choice(CENTERS[:-1])  # one centre is nearest to nobody
    segment = 1 if not items else 2 if spend < 200 else 3
    known = chance.random() > 0.05
    return {
        "user_id": number,
        "age": chance.randrange(12, 71) if chance.random() > 0.02 else None,
        "gender": chance.choice("FM"),
        "country": chance.choices([name for name, _ in COUNTRIES], [weight for _, weight in COUNTRIES])[0],
        "state": chance.choice(["Guangdong", "California", None]),
        "registered_at": datetime(2020, 1, 1)
        + timedelta(seconds=chance.randrange(140_000_000), microseconds=number),  # as the lake keeps times
        "dc_id": center and center["id"],
        "nearest_distribution_center": center and center["name"],
        "distance_in_km": center and chance.randrange(100, 1_500_000) / 100,
        "orders": min(items, chance.randrange(1, 4)),
        "items": items,
        "returns": len(returned),
        "return_rate": len(returned) / items if items else None,
        "spend": spend,
        "refunds": refunds,
        "gross_margin": ((spend - refunds) * Decimal("0.52")).quantize(Decimal("0.0001")) - (number % 7 == 0),
        "profit_level": 1 if spend <= 50 else 2 if spend < 150 else 3,
        "days_since_order": chance.randrange(1, 366) if items else None,
        "sessions": chance.randrange(1, 9) if known else 0,
        "most_traffic_source": chance.choices([name for name, _ in SOURCES], [w for _, w in SOURCES])[0]
        if known
        else None,
        "segment": segment,
        "segment_name": SEGMENTS[segment],
    }


def put(platform: Platform, rows: Sequence[Row], dt: str = WEEK, version: str = "20260101T000000000000-000000") -> None:
    """Publish the tables that the API reads."""
    platform.put_rows(DISTRIBUTION_CENTERS, CENTERS, dt=dt, name=version)
    platform.put_rows(CUSTOMER_MART, rows, dt=dt, name=version)


def expected(rows: Sequence[Row], **choice: Any) -> dict[str, Any]:
    """What is answered about a choice, by the names of the API, without what can be asked for."""

    def chosen(without: str = "") -> list[Row]:
        columns = {"country": "country", "segment": "segment", "profit_level": "profit_level", "center": "dc_id"}
        wanted = {columns[name]: value for name, value in choice.items() if name != without}
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    def lists(name: str, column: str, keys: Sequence[Any], of: Callable[[Any, list[Row]], Row]) -> list[Row]:
        among = chosen(name)
        groups = [(key, [row for row in among if row[column] == key]) for key in keys]
        return [{**of(key, some), **sums(some), "share": _ratio(len(some), len(among)) or 0.0} for key, some in groups]

    def most_first(named: list[Row]) -> list[Row]:
        there = [row for row in named if row["customers"]]
        return sorted(there, key=lambda row: -row["customers"])

    centers = [
        *CENTERS,
        *([{"id": None, "name": None}] if any(row["dc_id"] is None for row in chosen("center")) else []),
    ]
    by_id = {center["id"]: center for center in centers}
    countries = sorted({row["country"] for row in rows} - {None})
    sources = sorted({row["most_traffic_source"] for row in rows} - {None})
    everybody = [{**row, "band": _band(row["age"])} for row in chosen()]
    return {
        "totals": sums(chosen()),
        "segments": lists("segment", "segment", sorted({row["segment"] for row in rows}), _segment),
        "centers": lists("center", "dc_id", list(by_id), lambda key, some: _center(by_id[key], some)),
        "profit_levels": lists("profit_level", "profit_level", [1, 2, 3], lambda key, _: {"profit_level": key}),
        "countries": most_first(lists("country", "country", [*countries, None], lambda key, _: {"country": key})),
        "age_bands": [
            {"first": first, "last": last, **sums(some), "share": len(some) / len(everybody)}
            for first, last in [*AGES, (None, None)]
            if (some := [row for row in everybody if row["band"] == (first, last)])
        ],
        "traffic_sources": most_first(
            lists("", "most_traffic_source", [*sources, None], lambda key, _: {"source": key})
        ),
    }


def told(answer: Any) -> dict[str, Any]:
    """What the API said, in the same form."""

    def exact(value: Any, name: str = "") -> Any:
        if isinstance(value, list):
            return [exact(one) for one in value]
        if isinstance(value, dict):
            return {key: exact(one, key) for key, one in value.items()}
        amounts = (*AMOUNTS, "revenue", "mean_spend", "mean_gross_margin")
        return Decimal(value) if name in amounts and value is not None else value

    return {name: exact(value) for name, value in answer.items() if name not in ("as_of", "since", "choice", "choices")}


def sums(rows: Sequence[Row]) -> Row:
    """Customers added up."""
    added = {name: sum((row[name] for row in rows), Decimal(0)) for name in AMOUNTS}
    counted = {name: sum(row[name] for row in rows) for name in ("orders", "items", "returns")}
    return {
        "customers": len(rows),
        "buyers": sum(row["items"] > 0 for row in rows),
        **counted,
        "return_rate": _ratio(counted["returns"], counted["items"]),
        **added,
        "revenue": added["spend"] - added["refunds"],
    }


def listening(platform: Platform, keys: Sequence[str] = (), look_every: float = NEVER) -> AbstractContextManager[str]:
    """The address of the web application with the mart of the platform, which is served over HTTP."""
    return web.listening(create_app([customers_part(weeks_of(platform), look_every=look_every)], keys))


def api(weeks: MartWeeks, keys: Sequence[str] = ()) -> AbstractContextManager[httpx.Client]:
    """A client of it, in this process. It looks for nothing new but by `weeks`."""
    return web.called(create_app([customers_part(weeks, look_every=NEVER)], keys))


def weeks_of(platform: Platform) -> MartWeeks:
    """The mart of the platform, week by week."""
    return mart_weeks(platform.catalog, TableFiles())


def _segment(number: int, rows: list[Row]) -> Row:
    def mean(name: str) -> Any:
        known = [row[name] for row in rows if row[name] is not None]
        return _ratio(sum(known), len(known))

    def mean_amount(name: str) -> Decimal | None:
        if not rows:
            return None
        mean = sum((row[name] for row in rows), Decimal(0)) / len(rows)
        return mean.quantize(Decimal("0.0001"), ROUND_HALF_UP)

    names = ("age", "orders", "items", "days_since_order", "sessions")
    return {
        "segment": number,
        "name": SEGMENTS[number],
        **{f"mean_{name}": mean(name) for name in names},
        **{f"mean_{name}": mean_amount(name) for name in ("spend", "gross_margin")},
        "mean_distance_in_km": _mean_distance(rows),
    }


def _center(center: Row, rows: list[Row]) -> Row:
    near = sum(row["distance_in_km"] <= 500 for row in rows if row["distance_in_km"] is not None)
    placed = sum(row["distance_in_km"] is not None for row in rows)
    unknown = {"latitude": None, "longitude": None}
    return {
        **unknown,
        **center,
        "mean_distance_in_km": _mean_distance(rows),
        "near": near,
        "near_share": _ratio(near, placed),
    }


def _mean_distance(rows: list[Row]) -> float | None:
    known = [Decimal(str(row["distance_in_km"])) for row in rows if row["distance_in_km"] is not None]
    return float(sum(known) / len(known)) if known else None


def _band(age: int | None) -> tuple[int | None, int | None]:
    if age is None:
        return None, None
    return next((first, last) for first, last in AGES if first <= age and (last is None or age <= last))


def _ratio(part: Any, whole: int) -> float | None:
    return part / whole if whole else None
