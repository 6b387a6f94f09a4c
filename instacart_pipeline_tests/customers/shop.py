"""A shop whose customers, items and visits lie in the lake, by hand, and what the customers system makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.assets import a_year_before, build_assets, sql
from instacart_pipeline.customers.checks import build_checks
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.orchestration.partitions import weekly
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline_tests.platform import Platform, Row, Run, run_of, shared_instance

DT = "2024-07-29"
"""A Monday. The last year as of it began on 2023-07-29."""
AS_OF = datetime(2024, 7, 29)
SINCE = datetime(2023, 7, 29)
LONG_AGO = datetime(2020, 1, 1)
LAST_WEEK = datetime(2024, 7, 22, 10, 30)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

NEW_YORK = {"id": 6, "name": "Port Authority of New York/New Jersey NY/NJ", "latitude": 40.634, "longitude": -73.7834}
CHICAGO = {"id": 2, "name": "Chicago IL", "latitude": 41.8369, "longitude": -87.6847}
LOS_ANGELES = {"id": 4, "name": "Los Angeles CA", "latitude": 34.05, "longitude": -118.25}


def user(number: int, **changes: Any) -> Row:
    """A customer in Chicago who registered long ago."""
    home = {"latitude": CHICAGO["latitude"], "longitude": CHICAGO["longitude"]}
    known = {"age": 40, "gender": "F", "country": "United States", "state": "Illinois", "traffic_source": "Search"}
    return {"id": number, **home, **known, "created_at": LONG_AGO, **changes}


def item(number: int, user_id: int = 1, price: float = 20.0, *, cost: float = 8.0, **changes: Any) -> Row:
    """An item bought last week in an order of its own, and kept. `cost` is that of its piece of the stock."""
    return {
        "id": number,
        "order_id": number,
        "user_id": user_id,
        "product_id": 1,
        "inventory_item_id": number,
        "status": "Complete",
        "created_at": LAST_WEEK,
        "sale_price": price,
        "cost": cost,
        **changes,
    }


def returned(number: int, user_id: int = 1, price: float = 20.0, **changes: Any) -> Row:
    """An item bought last week that was returned two days later."""
    return item(number, user_id, price, status="Returned", **{"returned_at": LAST_WEEK + timedelta(days=2), **changes})


def event(number: int, user_id: int | None, source: str | None, **changes: Any) -> Row:
    """An event of last week, in a session of its own."""
    return {
        "id": number,
        "user_id": user_id,
        "sequence_number": 1,
        "session_id": f"session-{number}",
        "created_at": LAST_WEEK,
        "traffic_source": source,
        "event_type": "home",
        **changes,
    }


class Shop:
    """The curated tables, published by hand, and the tables made of them by the real services."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.weeks = weekly(platform.settings.customers_first_day)

    def put(
        self,
        users: Sequence[Row] = (),
        *,
        items: Sequence[Row] = (),
        events: Sequence[Row] = (),
        centers: Sequence[Row] = (CHICAGO, NEW_YORK, LOS_ANGELES),
        orders: Sequence[Row] | None = None,
        dt: str = DT,
    ) -> None:
        """Publish the rows as a week of curated tables."""
        rows = curated(users, items=items, events=events, centers=centers, orders=orders)
        for table, made in rows.items():
            self.platform.put_rows(table, made, dt=dt, name=new_version())

    def upload(self, folder: Path, dt: str = DT) -> None:
        """Put the CSV files of `folder`, each named as its table, into the raw zone."""
        for file in sorted(folder.glob("*.csv")):
            self.platform.storage.put(t.SYSTEM, file.stem, dt, [file])

    def build(self, dt: str = DT) -> None:
        """Make every derived table, by the statements and services of the assets."""
        athena, glue = self.platform.resources.athena, self.platform.resources.glue
        athena.create_table_as(sql("nearest_centers"), t.NEAREST_CENTERS, dt)
        athena.create_table_as(sql("purchases").given(since=a_year_before(dt)), t.PURCHASES, dt)
        for table in (t.TRAFFIC_SOURCES, t.CUSTOMERS):
            glue.run(GlueJob(table.name, sql(table.name)), table, dt)

    def run(
        self,
        dt: str = DT,
        *,
        selection: dg.AssetSelection | None = None,
        instance: dg.DagsterInstance | None = None,
    ) -> tuple[Run, list[dg.AssetCheckEvaluation]]:
        """Run the real assets and checks for a week, from the raw files on unless a selection is given."""
        result = dg.materialize(
            [*build_assets(self.weeks), *build_checks(self.weeks)],
            selection=selection,
            resources=self.platform.resources.by_name(),
            instance=instance or shared_instance(),
            partition_key=dt,
            raise_on_error=False,
            run_config=QUIET,
        )
        return run_of(result), [*result.get_asset_check_evaluations()]


def curated(
    users: Sequence[Row] = (),
    *,
    items: Sequence[Row] = (),
    events: Sequence[Row] = (),
    centers: Sequence[Row] = (CHICAGO, NEW_YORK, LOS_ANGELES),
    orders: Sequence[Row] | None = None,
) -> dict[TableContract, Sequence[Row]]:
    """The rows of a week's curated tables. The orders, unless given, are those that the items say."""
    pieces = [{"id": row["inventory_item_id"], "product_id": row["product_id"], "cost": row["cost"]} for row in items]
    return {
        t.DISTRIBUTION_CENTERS: centers,
        t.USERS: users,
        t.ORDERS: orders_of(items) if orders is None else orders,
        t.INVENTORY_ITEMS: [{**piece, "created_at": LONG_AGO} for piece in pieces],
        t.ORDER_ITEMS: [{name: value for name, value in row.items() if name != "cost"} for row in items],
        t.EVENTS: events,
    }


def orders_of(items: Sequence[Row]) -> list[Row]:
    """The orders that the items belong to, as the items say."""
    found: dict[int, Row] = {}
    for row in items:
        order = found.setdefault(row["order_id"], {**row, "gender": "F", "num_of_item": 0})
        order["num_of_item"] += 1
    return [{name: row.get(name) for name in t.ORDERS.column_names} for row in found.values()]
