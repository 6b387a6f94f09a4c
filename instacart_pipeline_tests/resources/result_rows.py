"""The inputs of the reorder system's result_table, a few rows by hand, and what the job makes of them.

Belongs here: rows alone. Doesn't: the job, or any engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline_tests.platform import Row

JOB = GlueJob("result_table", sql("result_table"), files=2)


def put_inputs(put: Callable[[TableContract, Sequence[Row]], object]) -> None:
    """Publish the features of two users and two products."""
    first, second = zip(user(7), user(8), strict=True)
    put(t.USER_FEATURES_1, first)
    put(t.USER_FEATURES_2, second)
    put(t.UP_FEATURES, [pair(7, 10, 3), pair(7, 11, 4), pair(8, 10, 2)])
    put(t.PRD_FEATURES, [product(10), product(11)])


def user(number: int) -> tuple[Row, Row]:
    """The features of a user with four orders, all of whose products are new."""
    first = {"user_id": number, "user_orders": 4, "user_period": None, "user_mean_days_since_prior": 7.5}
    return first, {
        "user_id": number,
        "user_total_products": 10,
        "user_distinct_products": 8,
        "user_reorder_ratio": None,
    }


def pair(user_id: int, product: int, last: int) -> Row:
    row = {"user_id": user_id, "product_id": product, "up_orders": 2, "up_first_order": 2, "up_last_order": last}
    return {**row, "up_average_cart_position": 1.25}


def product(number: int) -> Row:
    counts = {"prod_orders": 8, "prod_reorders": 2, "prod_first_orders": 4, "prod_second_orders": 1}
    return {"product_id": number, **counts}


def expected(user_id: int, product_id: int, last: int) -> tuple[object, ...]:
    pair_and_user = (user_id, product_id, 2, 2, last, 1.25, 4, None, 7.5, 10, 8, None)
    return (*pair_and_user, 8, 2, 4, 1, 0.25, 1.5, 0.25, 2.5, 0.5, 4 - last, 2 / 3)


EXPECTED = [expected(7, 10, 3), expected(7, 11, 4), expected(8, 10, 2)]
