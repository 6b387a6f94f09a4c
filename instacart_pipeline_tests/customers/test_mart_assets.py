"""The mart holds every customer with the segment, the profiles are exact, and the warehouse has what the lake has or what it had before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from instacart_pipeline.customers import charts
from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers.mart_assets import build_mart_assets, build_mart_checks, warehouse_sql
from instacart_pipeline.customers.tables import CUSTOMERS
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.orchestration.partitions import weekly
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.resources.warehouse import Loaded, Warehouse
from instacart_pipeline.resources.warehouse.local import LocalWarehouse
from instacart_pipeline_tests.customers.mart import customer_row, mart_row, no_buyer, segment_row
from instacart_pipeline_tests.platform import Platform, Row, Run, run_of
from instacart_pipeline_tests.struck_engine import struck_before
from instacart_pipeline_tests.tiers import costs

LAST, DT = "2026-11-16", "2026-11-23"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
KEEN = {"segment": 2, "segment_name": "Keen buyers"}
PEOPLE = [
    customer_row(1),
    customer_row(
        2,
        age=21,
        items=5,
        returns=2,
        return_rate=0.4,
        spend=Decimal("310.1001"),
        refunds=Decimal("100.0001"),
        gross_margin=Decimal("-7.5500"),
        profit_level=3,
        distance_in_km=0.1,
        days_since_order=2,
    ),
    no_buyer(3),
    no_buyer(4, sessions=1),
]
SEGMENTS = [segment_row(1, **KEEN), segment_row(2, **KEEN), segment_row(3), segment_row(4)]


class Mart:
    """The assets of the mart over hand-made customers and segments."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.warehouse: Warehouse = platform.resources.warehouse
        self.instance = dg.DagsterInstance.ephemeral()

    def put(self, people: Sequence[Row] = PEOPLE, segments: Sequence[Row] = SEGMENTS, *, dt: str = DT) -> None:
        """Publish a week's customers and segments."""
        for table, rows in ((CUSTOMERS, people), (m.CUSTOMER_SEGMENTS, segments)):
            self.platform.put_rows(table, rows, dt=dt, name=new_version())

    def run(self, dt: str = DT, *, only: Sequence[TableContract] = ()) -> Run:
        """Run the real assets and checks, or those of some tables."""
        weeks = weekly(self.platform.settings.customers_first_day)
        return run_of(
            dg.materialize(
                [*build_mart_assets(weeks), *build_mart_checks(weeks)],
                selection=dg.AssetSelection.assets(*map(asset_key, only)) if only else None,
                resources={**self.platform.resources.by_name(), "warehouse": self.warehouse},
                instance=self.instance,
                partition_key=dt,
                raise_on_error=False,
                run_config=QUIET,
            )
        )

    def loaded(self, table: TableContract = m.WAREHOUSE_MART) -> list[Row]:
        """What the warehouse has, in the order of weeks and keys."""
        return rows_of(self.platform.resources.warehouse, table)


def rows_of(warehouse: Warehouse, table: TableContract) -> list[Row]:
    names = ", ".join(("dt", *table.column_names))
    query = Query.parse("all", f"SELECT {names} FROM {table.qualified_name} ORDER BY 1, 2, 3")  # a contract's name
    return warehouse.query(query).table.to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
@costs("contract")
def mart(tmp_path: Path) -> Mart:
    return Mart(Platform(tmp_path / "home", threads=1))


@pytest.fixture(scope="module")
@costs("contract")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mart:
    """A week's mart, run once."""
    mart = Mart(Platform(tmp_path_factory.mktemp("mart") / "home", threads=1))
    mart.put()
    run = mart.run()
    assert (run.errors, run.failed_checks, run.success) == ({}, set(), True)
    return mart


def test_every_customer_is_in_the_mart_once_with_the_segment_and_the_warehouse_has_the_same(made: Mart) -> None:
    wanted = [
        {**row, "segment": segment["segment"], "segment_name": segment["segment_name"]}
        for row, segment in zip(PEOPLE, SEGMENTS, strict=True)
    ]
    assert made.platform.rows(m.CUSTOMER_MART, DT) == wanted
    assert made.loaded() == [{"dt": DT, "as_of": date.fromisoformat(DT), **row} for row in wanted]


def test_a_profile_is_that_of_the_segments_customers_to_the_last_decimal(made: Mart) -> None:
    # By hand: of customers 3 and 4, who bought nothing, and of whom neither age nor place is known; then of 1 and 2.
    assert made.platform.rows(m.SEGMENT_PROFILES, DT) == [
        {
            "segment": 1,
            "segment_name": "Occasional buyers",
            "customers": 2,
            "share": 0.5,
            "mean_age": None,
            "mean_distance_in_km": None,
            "mean_orders": 0.0,
            "mean_items": 0.0,
            "return_rate": None,
            "mean_spend": 0.0,
            "mean_gross_margin": 0.0,
            "mean_days_since_order": None,
            "mean_sessions": 0.5,
            "spend": Decimal("0.0000"),
            "gross_margin": Decimal("0.0000"),
        },
        {
            **KEEN,
            "customers": 2,
            "share": 0.5,
            "mean_age": 30.5,
            "mean_distance_in_km": 6402.47 / 2,
            "mean_orders": 1.0,
            "mean_items": 3.5,
            "return_rate": 2 / 7,
            "mean_spend": 390.3501 / 2,
            "mean_gross_margin": 31.575 / 2,
            "mean_days_since_order": 6.0,
            "mean_sessions": 3.0,
            "spend": Decimal("390.3501"),
            "gross_margin": Decimal("31.5750"),
        },
    ]
    assert [row["segment"] for row in made.loaded(m.WAREHOUSE_PROFILES)] == [1, 2]


def test_a_customer_without_a_segment_stops_the_mart_rather_than_be_left_out(mart: Mart) -> None:
    mart.put(segments=SEGMENTS[:3])
    run = mart.run(only=[m.CUSTOMER_MART, m.WAREHOUSE_MART])
    assert ("customer_mart", "no_nulls") in run.failed_checks
    assert run.materialized == set()


class Forgetful(LocalWarehouse):
    """Loses who bought nothing on the way in."""

    def load(self, query: Query, target: TableContract, days: Sequence[str]) -> Loaded:
        forgetting = query.expression.where("items > 0") if target == m.WAREHOUSE_MART else query.expression
        return super().load(Query(query.name, forgetting), target, days)


def test_a_warehouse_that_differs_from_the_lake_fails_its_check_and_says_by_how_much(mart: Mart) -> None:
    mart.put()
    mart.warehouse = Forgetful(lake=mart.platform.lake)
    run = mart.run(only=[m.CUSTOMER_MART, m.WAREHOUSE_MART])
    assert run.failed_checks == {("customer_mart", "warehouse_equals_the_lake")}
    assert not run.success


def test_the_mart_is_drawn(made: Mart) -> None:
    event = made.instance.get_latest_materialization_event(dg.AssetKey(m.CUSTOMER_MART.asset_key))
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata
    assert all("data:image/png;base64," in str(told[name].value) for name in ("profit_levels", "nearest_centers"))


def test_a_picture_of_nobody_is_one_too() -> None:
    assert charts.profit_levels([], DT).startswith(b"\x89PNG")
    assert charts.nearest_centers([{"center": None, "customers": 1, "distance_in_km": None}], DT).startswith(b"\x89PNG")


# A load that fails in its middle. The warehouse of before TRUNCATEd first, so such a one left an empty table. That a process that is
# killed there leaves no more, of any table, is proven in resources/warehouse/test_local_warehouse.py.


def put_mart(platform: Platform, rows: Sequence[Row], dt: str = DT) -> None:
    platform.put_rows(m.CUSTOMER_MART, rows, dt=dt, name=new_version())


def load(warehouse: Warehouse, *days: str) -> Loaded:
    return warehouse.load(warehouse_sql(m.WAREHOUSE_MART), m.WAREHOUSE_MART, days)


def _fail() -> None:
    raise JobFailed("the disk is full")


def test_a_load_that_fails_leaves_what_was_there_and_one_done_again_takes_the_place_of_its_week_alone(
    platform: Platform,
) -> None:
    for dt in (LAST, DT):
        put_mart(platform, [mart_row(1), mart_row(2)], dt)
    warehouse = platform.resources.warehouse
    load(warehouse, LAST, DT)
    before = rows_of(warehouse, m.WAREHOUSE_MART)
    assert len(before) == 4
    put_mart(platform, [mart_row(1, **KEEN)])
    for point in ("DELETE FROM", "COMMIT"):
        with struck_before(point, _fail), pytest.raises(JobFailed, match="the disk is full"):
            load(warehouse, DT)
        assert rows_of(warehouse, m.WAREHOUSE_MART) == before, point
    assert load(warehouse, DT).rows == 1
    assert [(row["dt"], row["segment"]) for row in rows_of(warehouse, m.WAREHOUSE_MART)] == [
        (LAST, 1),
        (LAST, 1),
        (DT, 2),
    ]
