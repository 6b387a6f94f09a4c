"""DataBrew, whichever backend: each recipe of the reorder system gives the same rows, and what can't be run starts nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.errors import TableNotFound, UnsupportedStep
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import recipe
from instacart_pipeline.resources.published import Published, VersionRefused
from instacart_pipeline_tests.platform import Row
from instacart_pipeline_tests.resources.backends import DEEP_ON_AWS, Day

SOURCE = t.ORDER_PRODUCTS_PRIOR


def line(user: int, number: int, product: int, position: int, reordered: int, gap: float | None) -> Row:
    """A line of an order; orders are numbered so that no two users share one."""
    row = {
        "order_id": 100 * user + number,
        "user_id": user,
        "eval_set": "prior",
        "order_number": number,
        "order_dow": 2,
    }
    bought = {"product_id": product, "add_to_cart_order": position, "reordered": reordered}
    return {**row, "order_hour_of_day": 8, "days_since_prior_order": gap, **bought}


LINES = [
    line(7, 1, 10, 1, 0, None),
    line(7, 1, 11, 2, 0, None),
    line(7, 2, 10, 4, 1, 8.0),
    line(7, 3, 10, 2, 1, 5.5),
    line(7, 3, 12, 1, 0, 5.5),
    line(8, 1, 10, 1, 0, None),
]
EXPECTED: dict[str, tuple[TableContract, list[tuple[object, ...]]]] = {
    "user_features_1": (t.USER_FEATURES_1, [(7, 3, 13.5, 6.75), (8, 1, None, None)]),
    "user_features_2": (t.USER_FEATURES_2, [(7, 5, 3, 2 / 3), (8, 1, 1, None)]),
    "up_features": (
        t.UP_FEATURES,
        [(7, 10, 3, 1, 3, 7 / 3), (7, 11, 1, 1, 1, 2.0), (7, 12, 1, 3, 3, 1.0), (8, 10, 1, 1, 1, 1.0)],
    ),
    "prd_features": (t.PRD_FEATURES, [(10, 4, 2, 2, 1), (11, 1, 0, 1, 0), (12, 1, 0, 1, 0)]),
}


def brew(day: Day, name: str = "prd_features", target: TableContract = t.PRD_FEATURES) -> Published:
    return day.backend.resources.databrew.run(recipe(name), SOURCE, target, day.dt)


@pytest.mark.parametrize(
    ("backend_double", "name"),
    [
        *(("local", name) for name in EXPECTED),
        ("aws", "user_features_1"),
        *(("aws-deep", name) for name in EXPECTED if name != "user_features_1"),
    ],
    indirect=["backend_double"],
)
def test_a_recipe_gives_its_table_on_either_twin(day: Day, name: str) -> None:
    target, rows = EXPECTED[name]
    day.put_rows(SOURCE, LINES)
    published = brew(day, name, target)
    assert day.tuples(target) == rows
    assert (published.version.rows, published.superseded) == (len(rows), False)


def test_a_result_is_published_with_lineage_outcomes_and_size(day: Day) -> None:
    source = day.put_rows(SOURCE, LINES)
    published = brew(day)
    version = day.current(t.PRD_FEATURES)
    assert (published.table, published.dt, published.version) == (t.PRD_FEATURES, day.dt, version)
    assert dict(version.lineage) == {SOURCE.qualified_name: source.name}
    assert [(outcome.rule, outcome.violations) for outcome in version.outcomes] == [
        ("no_nulls", 0),
        ("in_range", 0),
        ("unique_product_id", 0),
    ]
    assert version.bytes > 0
    assert published.seconds > 0
    assert day.orphaned_files(t.PRD_FEATURES) == []


@DEEP_ON_AWS
def test_only_the_rows_of_the_day_are_read(day: Day) -> None:
    replace(day, dt="2027-01-01").put_rows(SOURCE, LINES)
    day.put_rows(SOURCE, LINES[-1:])
    brew(day)
    assert day.tuples(t.PRD_FEATURES) == [(10, 1, 0, 1, 0)]


@DEEP_ON_AWS
def test_running_again_replaces_the_result_whole(day: Day) -> None:
    day.put_rows(SOURCE, LINES)
    first = brew(day).version
    day.put_rows(SOURCE, LINES[-1:], name="20260102T000000000000-000000")
    again = brew(day).version
    assert day.tuples(t.PRD_FEATURES) == [(10, 1, 0, 1, 0)]
    assert again.name > first.name
    assert [location for location, _ in again.retired] == [first.location]


@DEEP_ON_AWS
def test_a_source_without_rows_gives_a_table_without_rows(day: Day) -> None:
    day.put_rows(SOURCE, [])
    assert brew(day).version.rows == 0
    assert day.rows(t.PRD_FEATURES) == []


@DEEP_ON_AWS
def test_a_result_that_breaks_its_contract_leaves_readers_with_the_version_before(day: Day) -> None:
    before = day.put_rows(t.PRD_FEATURES, [])
    day.put_rows(SOURCE, [{**row, "reordered": -1} for row in LINES])
    with pytest.raises(VersionRefused) as refused:
        brew(day)
    assert "in_range: 3 rows." in str(refused.value)
    assert [outcome.rule for outcome in refused.value.outcomes if not outcome.passed] == ["in_range"]
    assert day.current(t.PRD_FEATURES) == before
    assert day.orphaned_files(t.PRD_FEATURES) == []


def test_a_source_without_the_day_is_named(day: Day, jobs_started: Callable[[], int]) -> None:
    replace(day, dt="2027-01-01").put_rows(SOURCE, LINES)
    before = jobs_started()
    with pytest.raises(TableNotFound, match=f"{SOURCE.qualified_name}.* has no partition dt={day.dt}. Build it with"):
        brew(day)
    assert jobs_started() == before


_COUNTS = t.PRD_FEATURES.columns
OTHERS = {
    "other columns": t.USER_FEATURES_1,
    "another type": replace(t.PRD_FEATURES, columns=[_COUNTS[0], replace(_COUNTS[1], type="int"), *_COUNTS[2:]]),
    "one column fewer": replace(t.PRD_FEATURES, columns=_COUNTS[:-1]),
    "one column more": replace(t.PRD_FEATURES, columns=[*_COUNTS, Column("more", "bigint")]),
}


@pytest.mark.parametrize(
    ("backend_double", "other"),
    [*(("local", other) for other in OTHERS), ("aws", "another type")],
    indirect=["backend_double"],
)
def test_a_recipe_that_gives_other_columns_than_the_contract_starts_nothing(
    day: Day, jobs_started: Callable[[], int], other: str
) -> None:
    day.put_rows(SOURCE, LINES)
    before = jobs_started()
    with pytest.raises(UnsupportedStep, match="Recipe prd_features does not give the columns of reorder_features"):
        brew(day, target=OTHERS[other])
    assert jobs_started() == before
    assert day.find(OTHERS[other]) is None
    assert day.orphaned_files(OTHERS[other]) == []


def test_a_step_that_the_rows_can_not_take_starts_nothing(day: Day, jobs_started: Callable[[], int]) -> None:
    day.put_rows(SOURCE, LINES)
    before = jobs_started()
    steps = '[{"Action": {"Operation": "DELETE", "Parameters": {"sourceColumns": "[\\"nowhere\\"]"}}}]'
    with pytest.raises(UnsupportedStep, match=r"Recipe forgetting, step 1 \(DELETE\): .*nowhere"):
        day.backend.resources.databrew.run(Recipe.parse("forgetting", steps), SOURCE, t.PRD_FEATURES, day.dt)
    assert jobs_started() == before
    assert day.find(t.PRD_FEATURES) is None
