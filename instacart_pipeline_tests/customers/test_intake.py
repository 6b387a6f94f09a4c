"""What ingest makes of the shop's files: its times, its ghosts, and rows that are not what they should be."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from pyarrow import parquet

from instacart_pipeline.customers import tables as t
from instacart_pipeline.engine.ingest import ingest_table
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline_tests.customers.shop import DT, Shop
from instacart_pipeline_tests.platform import Platform, Row

USER = dict.fromkeys(t.USERS.column_names, "") | {"id": "1", "age": "40", "created_at": "2023-01-02 03:04:05 UTC"}
EVENT = dict.fromkeys(t.EVENTS.column_names, "") | {
    "id": "1",
    "user_id": "1",
    "sequence_number": "1",
    "session_id": "5f6b1b3e-0d0a-4c9e-8f7e-1c2d3e4f5a6b",
    "created_at": "2024-07-23 11:09:00 UTC",
    "traffic_source": "Email",
    "event_type": "home",
}
ORDER = dict.fromkeys(t.ORDERS.column_names, "") | {
    "order_id": "1",
    "user_id": "1",
    "status": "Complete",
    "created_at": "2024-07-23 11:09:00 UTC",
    "num_of_item": "1",
}


class Ingest:
    """Ingest over one file at a time, below `folder`; the only known user is 1."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._runs = folder, 0
        users = folder / "users"
        users.mkdir()
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT 1::BIGINT AS id) TO '{users}/part.parquet' (FORMAT parquet)")
        self._references = {t.USERS.qualified_name: str(users)}

    def read(self, table: TableContract, rows: Sequence[dict[str, str]]) -> tuple[list[Row], list[Row]]:
        """The rows ingested of a file with `rows`, and its rejects."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        good, rejects, scratch = (folder / name for name in ("good", "rejects", "scratch"))
        for made in (good, rejects, scratch):
            made.mkdir(parents=True)
        file = folder / f"{table.name}.csv"
        write(file, rows)
        with duckdb.connect() as connection:
            ingest_table(connection, [file], table, self._references, good, rejects, scratch, folder)
        return parquet.read_table(good).to_pylist(), parquet.read_table(rejects).to_pylist()


def write(file: Path, rows: Sequence[dict[str, str]]) -> None:
    """A CSV file with `rows`, and the header of the first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write_text(text.getvalue(), encoding="utf-8")


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    return Ingest(tmp_path)


TIMES = {
    "2024-07-23 11:09:00 UTC": datetime(2024, 7, 23, 11, 9),
    "2024-07-23 11:09:00.5 UTC": datetime(2024, 7, 23, 11, 9, 0, 500_000),
    "2024-07-23 11:09:00.123456 UTC": datetime(2024, 7, 23, 11, 9, 0, 123_456),
    "2024-07-28 23:59:59.999999 UTC": datetime(2024, 7, 28, 23, 59, 59, 999_999),
    "2024-07-23 11:09:00+00:00": datetime(2024, 7, 23, 11, 9),
    "2024-07-23 11:09:00": datetime(2024, 7, 23, 11, 9),
}
"""As they are written, and as they are read."""


@pytest.mark.parametrize("beside_a_bad_row", [False, True], ids=["read quickly", "read row by row"])
def test_times_are_read_to_the_last_fraction(ingest: Ingest, *, beside_a_bad_row: bool) -> None:
    bad = [{**USER, "id": "100", "age": "old"}] if beside_a_bad_row else []
    good = [{**USER, "id": str(number), "created_at": written} for number, written in enumerate(TIMES)]
    rows, rejects = ingest.read(t.USERS, [*good, *bad])
    assert [row["created_at"] for row in sorted(rows, key=lambda row: int(row["id"]))] == [*TIMES.values()]
    assert len(rejects) == len(bad)


@pytest.mark.parametrize("beside_a_bad_row", [False, True], ids=["read quickly", "read row by row"])
def test_the_events_of_a_ghost_are_admitted_without_a_user(ingest: Ingest, *, beside_a_bad_row: bool) -> None:
    bad = [{**EVENT, "id": "9", "sequence_number": ""}] if beside_a_bad_row else []
    # Where some have none, many a tool writes the others' as 1.0.
    events = [EVENT, {**EVENT, "id": "2", "user_id": ""}, {**EVENT, "id": "3", "user_id": "1.0"}]
    rows, rejects = ingest.read(t.EVENTS, [*events, *bad])
    assert [(row["id"], row["user_id"]) for row in rows] == [(1, 1), (2, None), (3, 1)]
    assert len(rejects) == len(bad)


FAULTS: dict[TableContract, list[tuple[dict[str, str], str, str]]] = {
    t.ORDERS: [
        ({"status": "Lost"}, "status", "status 'Lost' is none of Complete, Cancelled, Returned, Processing, Shipped"),
        ({"status": "complete"}, "status", "status 'complete' is none of Complete, Cancelled, Returned, Processing, Shipped"),
        ({"status": ""}, "status", "status is empty"),
        ({"created_at": "23 July"}, "created_at", "created_at '23 July' is not a timestamp, of no zone or of UTC"),
        ({"created_at": "2024-02-30 11:09:00 UTC"}, "created_at", "created_at '2024-02-30 11:09:00 UTC' is not a timestamp, of no zone or of UTC"),
        ({"created_at": "2024-07-23 11:09:00+02"}, "created_at", "created_at '2024-07-23 11:09:00+02' is not a timestamp, of no zone or of UTC"),
        ({"created_at": "2024-07-23 11:09:00.5 -0500"}, "created_at", "created_at '2024-07-23 11:09:00.5 -0500' is not a timestamp, of no zone or of UTC"),
        ({"created_at": "2024-07-23 11:09:00 Europe/Berlin"}, "created_at", "created_at '2024-07-23 11:09:00 Europe/Berlin' is not a timestamp, of no zone or of UTC"),
        ({"user_id": "7"}, "user_id", "user_id 7 is not in customers_curated.users"),
        ({"user_id": ""}, "user_id", "user_id is empty"),
        ({"num_of_item": "0"}, "num_of_item", "num_of_item 0 is not between 1 and 10000"),
    ],
    t.EVENTS: [
        ({"user_id": "7"}, "user_id", "user_id 7 is not in customers_curated.users"),
        ({"event_type": "scroll"}, "event_type", "event_type 'scroll' is none of home, department, product, cart, purchase, cancel"),
    ],
    t.USERS: [
        ({"latitude": "91"}, "latitude", "latitude 91 is not between -90 and 90"),
        ({"age": "forty"}, "age", "age 'forty' is not a whole number"),
    ],
}  # fmt: skip
"""What is wrong with a row, the column at fault, and the reason that is given."""


@pytest.mark.parametrize("table", FAULTS, ids=lambda table: table.name)
def test_a_row_at_fault_is_rejected_saying_why(ingest: Ingest, table: TableContract) -> None:
    key = table.key[0]
    good = {t.ORDERS: ORDER, t.EVENTS: EVENT, t.USERS: USER}[table]
    wrong = [{**good, key: str(number), **changed} for number, (changed, _, _) in enumerate(FAULTS[table], 1)]
    rows, rejects = ingest.read(table, [{**good, key: "100"}, *wrong])
    assert [found[key] for found in rows] == [100]
    assert [(found["line"], found["column_name"], found["reason"]) for found in rejects] == [
        (line, column, reason) for line, (_, column, reason) in enumerate(FAULTS[table], 3)
    ]


def test_a_column_that_no_contract_knows_is_passed_over(ingest: Ingest) -> None:
    # The shop's own centres come with a point besides their degrees.
    center = {"id": "5", "name": "New Orleans LA", "latitude": "29.95", "longitude": "-90.0667"}
    rows, rejects = ingest.read(
        t.DISTRIBUTION_CENTERS, [{**center, "distribution_center_geom": "POINT(-90.0667 29.95)"}]
    )
    assert rows == [{"id": 5, "name": "New Orleans LA", "latitude": 29.95, "longitude": -90.0667}]
    assert rejects == []


def test_a_week_without_one_of_its_tables_says_which_and_what_to_do(platform: Platform, tmp_path: Path) -> None:
    shop = Shop(platform)
    for table in t.STAGED:
        if table is not t.STAGED_EVENTS:
            write(tmp_path / f"{table.name}.csv", [dict.fromkeys(table.column_names, "1")])
    shop.upload(tmp_path)
    run, _ = shop.run(selection=dg.AssetSelection.assets(*map(asset_key, t.STAGED)))
    assert not run.success
    found = "distribution_centers, users, products, orders, inventory_items, order_items"
    assert f"customers upload of {DT} lacks events (found {found} under raw/customers/*/dt={DT})." in run.error
    assert f"Upload it with `instacart-pipeline upload customers DIR --dt {DT}`" in run.error
