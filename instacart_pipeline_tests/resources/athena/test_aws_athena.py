"""Athena on AWS: what is published, what is reported, and what a query costs in requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from instacart_pipeline.lake.errors import TableNotFound
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT

ORDERS = [
    {
        "order_id": 1,
        "user_id": 7,
        "eval_set": "prior",
        "order_number": 1,
        "order_dow": 2,
        "order_hour_of_day": 8,
        "days_since_prior_order": None,
    },
    {
        "order_id": 2,
        "user_id": 7,
        "eval_set": "train",
        "order_number": 2,
        "order_dow": 3,
        "order_hour_of_day": 9,
        "days_since_prior_order": 5.0,
    },
]
LINES = [
    {"order_id": 1, "product_id": 10, "add_to_cart_order": 1, "reordered": 0},
    {"order_id": 2, "product_id": 10, "add_to_cart_order": 1, "reordered": 1},
    {"order_id": 2, "product_id": 11, "add_to_cart_order": 2, "reordered": 0},
]


@pytest.fixture
def platform(aws: AwsDouble, tmp_path: Path) -> AwsPlatform:
    platform = AwsPlatform(tmp_path, aws.endpoint)
    results = {"ResultConfiguration": {"OutputLocation": "s3://lake/work/athena/"}}
    aws.client("athena").create_work_group(
        Name="instacart", Configuration={**results, "EnforceWorkGroupConfiguration": False}
    )
    platform.put_rows(t.ORDERS, ORDERS)
    platform.put_rows(t.ORDER_PRODUCTS, LINES)
    return platform


def labels(platform: AwsPlatform) -> None:
    platform.resources.athena.create_table_as(sql("order_products_train"), t.ORDER_PRODUCTS_TRAIN, DT)


def test_a_table_is_made_judged_and_published(platform: AwsPlatform, aws: AwsDouble) -> None:
    labels(platform)
    rows = platform.rows(t.ORDER_PRODUCTS_TRAIN)
    assert [(row["order_id"], row["product_id"], row["eval_set"]) for row in rows] == [
        (2, 10, "train"),
        (2, 11, "train"),
    ]
    version = platform.catalog.current(t.ORDER_PRODUCTS_TRAIN, DT)
    assert version.rows == 2
    assert {outcome.rule for outcome in version.outcomes} >= {"no_nulls", "in_range"}
    assert platform.unpublished(t.ORDER_PRODUCTS_TRAIN) == []
    assert aws.client("glue").get_tables(DatabaseName="reorder_unpublished")["TableList"] == []


def test_what_the_query_did_and_cost_is_reported(platform: AwsPlatform) -> None:
    published = platform.resources.athena.create_table_as(sql("order_products_train"), t.ORDER_PRODUCTS_TRAIN, DT)
    assert int(published.service["bytes_scanned"]) > 0
    assert float(published.service["estimated_cost_usd"]) == pytest.approx(2 * 10e6 / 1e12 * 5)
    assert str(published.service["job_link"]).endswith(str(published.service["job_id"]))


def test_a_result_that_breaks_its_contract_is_not_published_and_leaves_nothing(
    platform: AwsPlatform,
) -> None:
    labels(platform)
    before = platform.rows(t.ORDER_PRODUCTS_TRAIN)
    platform.put_rows(t.ORDER_PRODUCTS, [*LINES, LINES[2]], name="20260102T000000000000-000000")
    with pytest.raises(VersionRefused, match=r"unique_user_id_order_number_product_id: 1 rows"):
        labels(platform)
    assert platform.rows(t.ORDER_PRODUCTS_TRAIN) == before
    assert platform.unpublished(t.ORDER_PRODUCTS_TRAIN) == []


def test_a_missing_input_is_named_before_anything_is_started(platform: AwsPlatform, aws: AwsDouble) -> None:
    platform.catalog.drop_partition(t.ORDERS.database, t.ORDERS.name, DT)
    with pytest.raises(TableNotFound, match=r"reorder_curated.orders, which has no partition dt=2026-11-20"):
        labels(platform)
    assert aws.jobs("athena") == []


def test_rows_come_back_in_their_types_and_order(platform: AwsPlatform) -> None:
    statement = (
        "SELECT order_id, days_since_prior_order AS gap, eval_set FROM reorder_curated.orders ORDER BY order_id DESC"
    )
    result = platform.resources.athena.query(Query.parse("test", statement), limit=1)
    assert result.table.to_pylist() == [{"order_id": 2, "gap": 5.0, "eval_set": "train"}]
    assert result.truncated
    assert platform.sql("SELECT sum(product_id) AS total FROM reorder_curated.order_products") == [{"total": 31}]
