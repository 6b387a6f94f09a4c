"""The whole chain on a generated shop: every figure of every customer is that of the files, counted by other means, twice."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.customers import tables as t
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline_tests.customers.shop import AS_OF, DT, SINCE, Shop
from instacart_pipeline_tests.platform import Platform, Row

USERS = 400


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated") / "shop"
    generate_customers(out, scale=USERS / 100_000, as_of=date.fromisoformat(DT))
    return out


@pytest.fixture(scope="module")
def shop(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(Platform(tmp_path_factory.mktemp("shop") / "home"))
    made.upload(files)
    return made


def test_a_week_is_built_again_to_the_same_rows_which_are_those_of_the_files(shop: Shop, files: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run, checks = shop.run(instance=instance)
    assert run.success, run.errors
    assert {table.name for table in (*t.STAGED, *t.DERIVED)} <= run.materialized
    assert [check.check_name for check in checks if not check.passed] == []
    assert {"every_customer_once", "spend_accounted", "items_agree_with_orders"} <= {
        check.check_name for check in checks
    }
    tables = (*t.ADMITTED.values(), *t.DERIVED)
    before = {table.name: shop.platform.rows(table, DT) for table in tables}

    expected = {row["user_id"]: row for row in counted(files)}
    ours = {row["user_id"]: row for row in before["customers"]}
    assert ours.keys() == expected.keys()
    apart = [(ours[number], row) for number, row in expected.items() if not same(ours[number], row)]
    assert apart == []
    assert len({row["profit_level"] for row in ours.values()}) == 3  # the shop has customers of every kind
    assert any(row["returns"] for row in ours.values())

    run, _ = shop.run()
    assert run.success, run.errors
    assert {table.name: shop.platform.rows(table, DT) for table in tables} == before


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
