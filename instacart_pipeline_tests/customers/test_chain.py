"""A small week of the customers system, whole: every figure is that of the files, counted by other means, and lake and warehouse agree."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.automation import WEEKLY_JOB
from instacart_pipeline.customers.model.naming import BOUGHT_NOTHING
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline_tests.customers.shop import AS_OF, DT, SINCE
from instacart_pipeline_tests.customers.test_mart_assets import rows_of
from instacart_pipeline_tests.customers.weeks import upload
from instacart_pipeline_tests.platform import Platform, Row, Run
from instacart_pipeline_tests.tiers import costs

USERS = 160
"""Enough for several segments of those who bought something."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated") / "shop"
    generate_customers(out, scale=USERS / 100_000, as_of=date.fromisoformat(DT))
    return out


@pytest.fixture(scope="module")
@costs("e2e")
def week(files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Platform, Run]:
    """The week, built by the job that the schedule starts."""
    platform = Platform(tmp_path_factory.mktemp("week") / "home")
    upload(platform, files, DT)
    return platform, platform.run(DT, job=WEEKLY_JOB)


def test_a_week_makes_every_table_and_passes_every_check(week: tuple[Platform, Run]) -> None:
    _, run = week
    assert (run.errors, run.failed_checks, run.success) == ({}, set(), True)
    tables = (*t.STAGED, *t.CURATED_TABLES.values(), *t.DERIVED, *m.MART_TABLES, *m.WAREHOUSE_TABLES)
    assert {table.name for table in tables} | {"segmentation"} == run.materialized


def test_every_customers_figures_are_those_of_the_files(week: tuple[Platform, Run], files: Path) -> None:
    platform, _ = week
    expected = {row["user_id"]: row for row in counted(files)}
    ours = {row["user_id"]: row for row in platform.rows(t.CUSTOMERS, DT)}
    assert ours.keys() == expected.keys()
    assert len(ours) > 100
    apart = [(ours[number], row) for number, row in expected.items() if not same(ours[number], row)]
    assert apart == []
    assert len({row["profit_level"] for row in ours.values()}) == 3  # the shop has customers of every kind
    assert any(row["returns"] for row in ours.values())


def test_customers_and_their_segments_become_a_mart_in_lake_and_warehouse_that_agree(
    week: tuple[Platform, Run],
) -> None:
    platform, _ = week
    customers, mart = platform.rows(t.CUSTOMERS, DT), platform.rows(m.CUSTOMER_MART, DT)
    assert [{name: row[name] for name in t.CUSTOMERS.column_names} for row in mart] == customers
    named = {row["user_id"]: row["segment_name"] for row in platform.rows(m.CUSTOMER_SEGMENTS, DT)}
    assert {row["user_id"]: row["segment_name"] for row in mart} == named
    assert {user for user, name in named.items() if name == BOUGHT_NOTHING} == {
        row["user_id"] for row in customers if not row["items"]
    }
    profiles = platform.rows(m.SEGMENT_PROFILES, DT)
    assert len(profiles) == len({row["segment"] for row in mart}) > 2
    assert sum(row["customers"] for row in profiles) == len(mart)
    assert sum(row["spend"] for row in profiles) == sum(row["spend"] for row in mart) > 0
    assert rows_of(platform.resources.warehouse, m.WAREHOUSE_MART) == [
        {"dt": DT, "as_of": date.fromisoformat(DT), **row} for row in mart
    ]


def same(ours: Row, expected: Row) -> bool:
    """Whether two rows are equal, the distance but for its last decimal."""
    apart = {name for name, value in expected.items() if ours[name] != value}
    near = expected["distance_in_km"] is not None and abs(ours["distance_in_km"] - expected["distance_in_km"]) < 0.0051
    return apart <= ({"distance_in_km"} if near else set())


def counted(files: Path) -> Iterator[Row]:
    """The rows of customers as one reads them off the files, user by user."""
    centers = [
        (int(c["id"]), c["name"], float(c["latitude"]), float(c["longitude"]))
        for c in lines(files, "distribution_centers")
    ]
    cost = {row["id"]: money(row["cost"]) for row in lines(files, "inventory_items")}
    items, events = defaultdict(list), defaultdict(list)
    for row in lines(files, "order_items"):
        items[row["user_id"]].append(row)
    for row in lines(files, "events"):
        if row["user_id"]:
            events[row["user_id"]].append(row)
    for user in lines(files, "users"):
        registered = moment(user["created_at"])
        if registered >= AS_OF:
            continue
        bought = [
            row
            for row in items[user["id"]]
            if row["status"] != "Cancelled" and SINCE <= moment(row["created_at"]) < AS_OF
        ]
        back = [row for row in bought if row["status"] == "Returned" and moment(row["returned_at"]) < AS_OF]
        kept = [row for row in bought if row not in back]
        spend, refunds = (sum((money(row["sale_price"]) for row in rows), Decimal(0)) for rows in (bought, back))
        visits = [row for row in events[user["id"]] if moment(row["created_at"]) < AS_OF]
        times = Counter(row["traffic_source"] for row in visits)
        latest = {
            source: max(row["created_at"] for row in visits if row["traffic_source"] == source) for source in times
        }
        top = [
            source for source in times if (times[source], latest[source]) == max((times[s], latest[s]) for s in times)
        ]
        away = sorted(
            (round(arc((float(user["latitude"]), float(user["longitude"])), (north, east)), 2), number, name)
            for number, name, north, east in centers
        )[0]
        last = max((moment(row["created_at"]) for row in bought), default=None)
        yield {
            "user_id": int(user["id"]),
            "age": int(user["age"]),
            "gender": user["gender"],
            "country": user["country"],
            "state": user["state"] or None,
            "registered_at": registered,
            "dc_id": away[1],
            "nearest_distribution_center": away[2],
            "distance_in_km": away[0],
            "orders": len({row["order_id"] for row in bought}),
            "items": len(bought),
            "returns": len(back),
            "return_rate": len(back) / len(bought) if bought else None,
            "spend": spend,
            "refunds": refunds,
            "gross_margin": spend - refunds - sum((cost[row["inventory_item_id"]] for row in kept), Decimal(0)),
            "profit_level": 1 if spend <= 50 else 2 if spend < 150 else 3,
            "days_since_order": (AS_OF - last.replace(hour=0, minute=0, second=0, microsecond=0)) // timedelta(days=1) if last else None,
            "sessions": len({row["session_id"] for row in visits}),
            "most_traffic_source": min(top, default=None),
        }  # fmt: skip


def lines(files: Path, table: str) -> list[dict[str, str]]:
    with (files / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix(" UTC"))


def money(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.0001"))


def arc(home: tuple[float, float], center: tuple[float, float]) -> float:
    """The great-circle distance in km, by the arctangent form."""
    (north, east), (other_north, other_east) = ([math.radians(angle) for angle in place] for place in (home, center))
    apart = other_east - east
    across = math.cos(other_north) * math.sin(apart)
    along = math.cos(north) * math.sin(other_north) - math.sin(north) * math.cos(other_north) * math.cos(apart)
    beside = math.sin(north) * math.sin(other_north) + math.cos(north) * math.cos(other_north) * math.cos(apart)
    return 6371 * math.atan2(math.hypot(across, along), beside)
