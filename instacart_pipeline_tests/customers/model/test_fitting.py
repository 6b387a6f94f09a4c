"""Segments found: who is clustered, by what, how segments are numbered, and that nothing depends on chance or the order of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from instacart_pipeline.customers.model import clustering, fitting, groups
from instacart_pipeline.customers.model.features import FEATURES, LEFT_OUT
from instacart_pipeline.customers.model.naming import BOUGHT_NOTHING, BOUGHT_SOMETHING
from instacart_pipeline.customers.model.rows import Customers, sample
from instacart_pipeline.customers.model.segmentation import RULE, Segmentation
from instacart_pipeline.customers.tables import CUSTOMERS
from instacart_pipeline_tests.customers.model.planted import changed, one_blob, planted, shop


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """Whether there are groups is another file's matter (test_verdicts.py): few draws without any, and few numbers of clusters, are enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "DRAWS", 2)
        patch.setattr(clustering, "MOST", 5)
        yield


def fit(customers: Customers) -> tuple[Segmentation, dict[str, Any]]:
    buyers, _, _ = sample([customers], fitting.FIT_ROWS)
    return fitting.fit(buyers, lambda _: None)


def test_segments_are_numbered_by_mean_spend() -> None:
    customers, _ = planted([200, 200, 200, 200], seed=5)
    model, _ = fit(customers)
    numbers, _ = model.assign(customers)
    spend = [customers.values["spend"][numbers == number].mean() for number in model.numbers if number != RULE]
    assert spend == sorted(spend)


def test_the_same_customers_in_any_order_give_the_same_model() -> None:
    customers, _ = planted([150, 100, 50])
    order = np.random.default_rng(4).permutation(len(customers))
    model, report = fit(customers)
    again, said = fit(customers.where(order))
    assert (model.space, model.names, report) == (again.space, again.names, said)
    assert model.centres.tolist() == again.centres.tolist()
    assert model.assign(customers)[0][order].tolist() == again.assign(customers.where(order))[0].tolist()


def test_customers_who_bought_nothing_are_a_segment_by_rule_and_move_no_centre() -> None:
    buyers, _ = planted([150, 100])
    nobody = {name: np.full(90, np.nan) for name in buyers.values} | dict.fromkeys(
        ("spend", "orders", "items", "gross_margin", "sessions"), np.zeros(90)
    )
    idle = Customers(np.arange(10_000, 10_090), nobody)
    both = Customers(
        np.concatenate([buyers.user_id, idle.user_id]),
        {name: np.concatenate([values, idle.values[name]]) for name, values in buyers.values.items()},
    )
    model, _ = fit(both)
    numbers, distances = model.assign(both)
    assert model.centres.tolist() == fit(buyers)[0].centres.tolist()
    assert set(numbers[-90:].tolist()) == {RULE}
    assert RULE not in numbers[:-90]
    assert model.name(RULE) == BOUGHT_NOTHING
    assert np.isnan(distances[-90:]).all()
    assert not np.isnan(distances[:-90]).any()


def test_a_feature_that_is_the_same_for_all_or_says_what_another_says_is_dropped_by_name() -> None:
    customers, group = planted([150, 100])
    values = customers.values
    spoilt = changed(
        customers,
        sessions=np.full(len(customers), 4.0),
        orders=values["spend"] * 3 + 1,
        distance_in_km=np.full(len(customers), np.nan),
    )
    model, report = fit(spoilt)
    assert not {"sessions", "orders", "distance_in_km"} & set(model.space.names)
    assert report["left_out"]["sessions"] == "This week it is the same for all."
    assert report["left_out"]["orders"] == "This week spend says the same (correlation 1.00)."
    assert report["left_out"]["distance_in_km"] == "This week it is known of nobody."
    assert adjusted_rand_score(group, model.assign(spoilt)[0]) > 0.95


def test_what_is_not_known_of_a_customer_counts_as_the_median_and_is_counted() -> None:
    customers, _ = planted([150, 100])
    age = customers.values["age"].copy()
    age[:10] = np.nan
    model, report = fit(changed(customers, age=age))
    (told,) = [feature for feature in report["features"] if feature["name"] == "age"]
    assert told["filled"] == 10
    axis = model.space.axes[model.space.names.index("age")]
    placed = model.space.place(changed(customers, age=age))[:10, model.space.names.index("age")]
    assert placed == pytest.approx((np.nanmedian(age[10:]) - axis.mean) / axis.deviation)


@pytest.mark.parametrize("many", [1, 2, 49])
def test_few_buyers_are_one_segment_and_it_says_why(many: int) -> None:
    model, report = fit(one_blob(many))
    assert model.names == (BOUGHT_SOMETHING,)
    assert set(model.assign(one_blob(many))[0].tolist()) == {RULE + 1}
    assert report["groups"] == "none"
    assert f"{many} buyers, too few" in report["verdict"]


def test_customers_who_are_all_alike_are_one_segment() -> None:
    customers = one_blob(80).where(np.zeros(80, np.int64))
    model, report = fit(customers)
    assert (len(model.centres), model.space.names) == (1, ())
    assert set(model.assign(customers)[0].tolist()) == {RULE + 1}
    assert "too alike" in report["verdict"]


def test_without_any_buyer_there_is_the_rule_s_segment_alone() -> None:
    customers = shop(40)
    idle = customers.where(~customers.bought)
    model, report = fit(idle)
    assert list(model.numbers) == [RULE]
    assert report["k"] == 0
    assert set(model.assign(idle)[0].tolist()) == {RULE}


def test_customers_of_a_few_kinds_only_are_as_many_segments() -> None:
    two = planted([50, 50])[0].where(np.repeat([0, 50], 50))
    model, _ = fit(two)
    assert len(model.centres) == len(np.unique(two.user_id)) == 2


def test_every_column_of_the_customers_table_is_a_feature_or_left_out_for_a_reason() -> None:
    features = {feature.name for feature in FEATURES}
    assert features | set(LEFT_OUT) | {"user_id"} == set(CUSTOMERS.column_names)
    assert not features & set(LEFT_OUT)
    assert all(len(reason) > 20 for reason in (*LEFT_OUT.values(), *(feature.reason for feature in FEATURES)))


@pytest.mark.parametrize(
    "customers",
    [one_blob(0), one_blob(1), one_blob(80).where(np.zeros(80, np.int64)), one_blob(60)],
    ids=["nobody", "one buyer", "buyers all alike", "buyers"],
)
def test_a_model_read_back_assigns_as_it_did(tmp_path: Path, customers: Customers) -> None:
    model, _ = fit(customers)
    model.write(tmp_path)
    again = Segmentation.read(tmp_path)
    assert (again.space.axes, tuple(again.names), again.centres.shape) == (
        model.space.axes,
        tuple(model.names),
        model.centres.shape,
    )
    assert again.assign(customers)[0].tolist() == model.assign(customers)[0].tolist()
