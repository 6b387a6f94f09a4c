"""Every derived table is the same on DuckDB and on Spark, row by row, to the last decimal: hand-made edges.

A generated shop goes through Glue's Spark in test_chain_on_aws.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.assets import a_year_before, sql
from instacart_pipeline_tests.customers.shop import AS_OF, DT, LAST_WEEK, SINCE, Shop, event, item, returned, user
from instacart_pipeline_tests.on_spark import on_spark
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.tiers import costs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STATEMENTS = {table: sql(table.name) for table in t.DERIVED} | {
    t.PURCHASES: sql("purchases").given(since=a_year_before(DT))
}
TICK = timedelta(microseconds=1)


@pytest.fixture(scope="module")
@costs("deep")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Edges: moments beside the as-of day and the year's first, ties, ghosts, no sources, unknown and odd places, and float prices."""
    shop = Shop(Platform(tmp_path_factory.mktemp("by_hand")))
    edges = [SINCE - TICK, SINCE, SINCE + TICK, LAST_WEEK, AS_OF - TICK, AS_OF, AS_OF + TICK]
    places = [(90.0, 0.0), (-90.0, 0.0), (0.0, 180.0), (0.0, -180.0), (None, 1.0), (1.0, None), (-41.8369, 92.3153)]
    prices = [19.43, 5.48, 25.09, 42.79, 10.65, 96.56, 150.0, 50.0, 0.01, 0.0, 999.99]
    users = [
        user(number, created_at=edge, latitude=north, longitude=east, age=None if number % 3 else 30)
        for number, (edge, (north, east)) in enumerate(zip(edges, places, strict=True), 1)
    ]
    users += [user(number) for number in range(8, 20)]
    import numpy as np

    paid = [float(np.float32(price)) for price in prices]
    items: list[Row] = [item(number, 8 + number % 10, price) for number, price in enumerate(paid, 1)]
    items += [item(100 + n, 8, order_id=7, created_at=edge) for n, edge in enumerate(edges)]
    items += [returned(200 + n, 9, paid[n], returned_at=edge) for n, edge in enumerate(edges)]
    items += [item(300 + n, 1 + n, status=status) for n, status in enumerate(t.STATUSES)]
    sources = ("Email", "Organic", None, "YouTube")
    events = [
        event(n, 1 + n % 19, sources[n % 4], created_at=edges[n % 7], session_id=f"s{n // 3}") for n in range(120)
    ]
    events += [event(1000 + n, None, "Facebook") for n in range(5)]
    events += [event(2000 + n, 19, source) for n, source in enumerate(("YouTube", "Adwords"))]
    shop.put(users, items=items, events=events)
    shop.build()
    return shop


@pytest.mark.timeout(900)
def test_spark_gives_the_same_rows(spark: SparkSession, by_hand: Shop) -> None:
    for table in t.DERIVED:
        ours = sorted(by_hand.platform.rows(table, DT), key=lambda row: str(row["user_id"]))
        assert ours, table.name
        theirs = on_spark(spark, by_hand.platform, STATEMENTS[table], table, DT)
        apart = [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other]
        assert apart == [], table.name
