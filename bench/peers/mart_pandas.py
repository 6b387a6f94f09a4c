"""The customer mart's figures with pandas.

Belongs here: pandas as a good analyst writes it: whole files, vectorised, one merge a question. Doesn't: a memory limit or chunks; who
needs them leaves pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from bench.peers import WEEK, arguments

EARTH_RADIUS_KM = 6371


def build(raw: Path, out: Path, memory: str, *, narrow: bool = False) -> None:  # noqa: ARG001  # all peers are called alike
    """Write customers.parquet, a row a customer. `narrow` reads only the columns that are asked for."""
    as_of = pd.Timestamp(WEEK, tz="UTC")
    since = pd.Timestamp(date(WEEK.year - 1, WEEK.month, WEEK.day), tz="UTC")

    def read(name: str, used: Sequence[str], *times: str) -> pd.DataFrame:
        table = pd.read_csv(raw / f"{name}.csv", usecols=list(used) if narrow else None)
        for column in times:
            table[column] = pd.to_datetime(table[column].str.removesuffix(" UTC"), format="ISO8601", utc=True)
        return table

    who = ["id", "age", "gender", "country", "state", "latitude", "longitude", "created_at"]
    users = read("users", who, "created_at")
    users = users[users["created_at"] < as_of].rename(columns={"id": "user_id", "created_at": "registered_at"})
    centers = pd.read_csv(raw / "distribution_centers.csv")
    nearest = nearest_centers(users, centers)

    bought = ["order_id", "user_id", "inventory_item_id", "status", "created_at", "returned_at", "sale_price"]
    items = read("order_items", bought, "created_at", "returned_at")
    pieces = read("inventory_items", ["id", "cost"])[["id", "cost"]].rename(columns={"id": "inventory_item_id"})
    items = items[(items["created_at"] >= since) & (items["created_at"] < as_of) & (items["status"] != "Cancelled")]
    items = items.merge(pieces, on="inventory_item_id")
    items = items[items["user_id"].isin(users["user_id"])]
    purchases = purchases_of(items, as_of)
    del pieces, items

    visited = ["id", "user_id", "session_id", "created_at", "traffic_source"]
    events = read("events", visited, "created_at")
    events = events[events["user_id"].notna() & (events["created_at"] < as_of)]
    visits = traffic_of(events)
    del events

    customers = (
        users[["user_id", "age", "gender", "country", "state", "registered_at"]]
        .merge(nearest, on="user_id", how="left")
        .merge(purchases, on="user_id", how="left")
        .merge(visits, on="user_id", how="left")
    )
    counted = ["orders", "items", "returns", "spend", "refunds", "gross_margin", "sessions"]
    customers[counted] = customers[counted].fillna(0)
    spend = customers["spend"]
    customers["profit_level"] = np.select([spend <= 50, spend < 150], [1, 2], 3)
    customers["days_since_order"] = (as_of - customers.pop("last_order_at").dt.normalize()).dt.days
    customers.sort_values("user_id").to_parquet(out / "customers.parquet", index=False)


def nearest_centers(users: pd.DataFrame, centers: pd.DataFrame) -> pd.DataFrame:
    """The nearest centre of each user whose place is known, by the haversine formula; of several, the lowest id."""
    centers = centers.sort_values("id")
    placed = users.dropna(subset=["latitude", "longitude"])
    here = np.radians(placed[["latitude", "longitude"]].to_numpy())[:, None, :]
    there = np.radians(centers[["latitude", "longitude"]].to_numpy())[None, :, :]
    across = (there - here) / 2
    chord = np.sin(across[..., 0]) ** 2 + np.cos(here[..., 0]) * np.cos(there[..., 0]) * np.sin(across[..., 1]) ** 2
    away = np.floor(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(chord, 1))) * 100 + 0.5) / 100
    first = away.argmin(axis=1)
    nearest: pd.DataFrame = pd.DataFrame(
        {
            "user_id": placed["user_id"].to_numpy(),
            "dc_id": centers["id"].to_numpy()[first],
            "nearest_distribution_center": centers["name"].to_numpy()[first],
            "distance_in_km": away.min(axis=1),
        }
    )
    return nearest


def purchases_of(items: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """What each user bought: `items` are those of the last year, with what each cost the shop."""
    returned = (items["status"] == "Returned") & (items["returned_at"] < as_of)
    price, cost = items["sale_price"].round(4), items["cost"].round(4)
    items = items.assign(
        price=price, returned=returned, refund=price.where(returned, 0), margin=(price - cost).where(~returned, 0)
    )
    by_user = items.groupby("user_id").agg(
        orders=("order_id", "nunique"),
        items=("order_id", "size"),
        returns=("returned", "sum"),
        return_rate=("returned", "mean"),
        spend=("price", "sum"),
        refunds=("refund", "sum"),
        gross_margin=("margin", "sum"),
        last_order_at=("created_at", "max"),
    )
    rounded: pd.DataFrame = by_user.round({"spend": 4, "refunds": 4, "gross_margin": 4}).reset_index()
    return rounded


def traffic_of(events: pd.DataFrame) -> pd.DataFrame:
    """The sessions of each user and the source of the most events; of several that of the latest, then the first by name."""
    sources = events.groupby(["user_id", "traffic_source"], as_index=False).agg(
        events=("id", "size"), latest=("created_at", "max")
    )
    ranked = sources.sort_values(
        ["user_id", "events", "latest", "traffic_source"], ascending=[True, False, False, True]
    )
    top = ranked.drop_duplicates("user_id").set_index("user_id")["traffic_source"]
    sessions = events.groupby("user_id")["session_id"].nunique()
    by_user: pd.DataFrame = pd.DataFrame({"sessions": sessions, "most_traffic_source": top}).reset_index()
    return by_user


if __name__ == "__main__":
    build(*arguments(__doc__))
