"""Drift: nothing where nothing changed, and what changed where something did."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instacart_pipeline.customers.model import clustering, fitting, groups
from instacart_pipeline.customers.model.drift import Drift, LastWeek, comparable, stability_index
from instacart_pipeline.customers.model.features import READ
from instacart_pipeline.customers.model.rows import Customers, Written, batches, sample, scrambled
from instacart_pipeline.customers.model.segmentation import RULE, Segmentation
from instacart_pipeline_tests.customers.model.planted import changed, planted, write


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """As in test_fitting.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "DRAWS", 2)
        patch.setattr(clustering, "MOST", 5)
        yield


def fitted(customers: Customers) -> Segmentation:
    return fitting.fit(sample([customers], fitting.FIT_ROWS)[0], lambda _: None)[0]


@pytest.fixture(scope="module")
def customers() -> Customers:
    return planted([300, 200, 100])[0]


@pytest.fixture(scope="module")
def model(customers: Customers) -> Segmentation:
    return fitted(customers)


def compared(
    then: Customers, model: Segmentation, now: Customers, model_now: Segmentation | None = None
) -> dict[str, Any]:
    drift = Drift(LastWeek("2024-01-01", model, then.user_id, model.assign(then)[0]), model_now or model)
    for part in np.array_split(np.arange(len(now)), 3):
        batch = now.where(part)
        drift.add(batch, (model_now or model).assign(batch)[0])
    return drift.told()


def test_the_same_week_has_not_drifted(customers: Customers, model: Segmentation) -> None:
    told = compared(customers, model, customers)
    assert (told["psi"], told["moved"], told["moves"], told["shift"]) == (0.0, 0, [], "none")
    assert (told["customers_in_both"], told["agreement"]) == (600, 1.0)
    assert [(pair["now"], pair["then"], pair["distance"]) for pair in told["matched"]] == [
        (number, number, 0.0) for number in model.numbers
    ]


def test_a_tenth_of_the_customers_who_double_their_spend_are_seen_to_move(customers: Customers) -> None:
    tenth = scrambled(customers.user_id) % np.uint64(10) == 0
    # A shop without gaps between its segments, which whoever spends twice as much may cross.
    crowd = changed(
        customers,
        **{name: np.full(600, np.median(values)) for name, values in customers.values.items() if name != "spend"},
    )
    spend = np.random.default_rng(2).lognormal(4, 0.8, 600)
    then = changed(crowd, spend=spend)
    of_spend = fitted(then)
    told = compared(then, of_spend, changed(crowd, spend=np.where(tenth, 2 * spend, spend)))
    assert 0 < told["moved"] <= tenth.sum()
    assert told["share_moved"] == told["moved"] / 600
    assert told["psi"] > 0
    assert all(move["to"] > move["from"] for move in told["moves"])  # they spend more, so up they go
    assert sum(move["customers"] for move in told["moves"]) == told["moved"]


def test_customers_who_came_or_went_count_for_sizes_but_move_nowhere(customers: Customers, model: Segmentation) -> None:
    told = compared(customers.where(np.arange(500)), model, customers.where(np.arange(100, 600)))
    assert (told["customers_in_both"], told["moved"]) == (400, 0)
    assert sum(each["then"] for each in told["sizes"]) == sum(each["now"] for each in told["sizes"]) == 500


def test_a_segment_that_empties_is_much_of_a_shift(customers: Customers, model: Segmentation) -> None:
    numbers, _ = model.assign(customers)
    told = compared(customers, model, customers.where(numbers != numbers[0]))
    assert told["shift"] == "much"
    assert math.isfinite(told["psi"])


def test_segments_are_matched_though_their_numbers_changed(customers: Customers, model: Segmentation) -> None:
    turned = replace(model, centres=model.centres[::-1].copy(), names=model.names[::-1])
    told = compared(customers, model, customers, turned)
    assert [(pair["now"], pair["then"]) for pair in told["matched"]] == [(RULE, RULE), (2, 4), (3, 3), (4, 2)]
    assert told["agreement"] == 1.0
    fewer = replace(model, centres=model.centres[:1], names=model.names[:1])
    assert compared(customers, fewer, customers, model)["matched"][-1] == {"now": 4, "then": None, "distance": None}


def test_the_stability_index_is_the_textbook_s() -> None:
    then, now = np.array([50, 30, 20, 0]), np.array([40, 30, 30, 0])
    expected = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.3 - 0.2) * math.log(0.3 / 0.2)
    assert stability_index(then, now) == pytest.approx(expected)
    assert stability_index(then, np.zeros(4, np.int64)) == 0.0


def test_a_model_that_asks_for_a_column_that_is_gone_can_t_be_compared(model: Segmentation) -> None:
    assert comparable(model, dict.fromkeys(READ)) == ""
    assert "asks for sessions, which" in comparable(model, dict.fromkeys(set(READ) - {"sessions"}))


def test_a_model_that_is_written_and_read_assigns_alike(
    customers: Customers, model: Segmentation, tmp_path: Path
) -> None:
    model.write(tmp_path)
    again = Segmentation.read(tmp_path)
    assert again.assign(customers)[0].tolist() == model.assign(customers)[0].tolist()
    assert [again.name(number) for number in again.numbers] == [model.name(number) for number in model.numbers]


def test_customers_are_read_in_batches_whatever_files_they_lie_in(customers: Customers, tmp_path: Path) -> None:
    read = list(batches(write(customers, tmp_path / "many", files=4), READ))
    assert np.concatenate([part.user_id for part in read]).tolist() == customers.user_id.tolist()
    assert np.concatenate([part.values["spend"] for part in read]) == pytest.approx(customers.values["spend"])


def test_a_sample_is_the_same_in_any_order_and_keeps_its_customers_as_the_shop_grows(customers: Customers) -> None:
    kept, bought, everyone = sample([customers], 100)
    assert (len(kept), bought, everyone) == (100, 600, 600)
    order = np.random.default_rng(1).permutation(600)
    again, _, _ = sample([customers.where(order[:50]), customers.where(order[50:])], 100)
    assert again.user_id.tolist() == kept.user_id.tolist()
    fewer, _, _ = sample([customers.where(np.arange(300))], 100)
    early = set(kept.user_id.tolist()) & set(customers.user_id[:300].tolist())
    assert early <= set(fewer.user_id.tolist())


def test_a_file_half_written_has_not_its_name_yet(tmp_path: Path) -> None:
    import pyarrow as pa

    written = Written(tmp_path / "made.parquet", pa.schema([("user_id", pa.int64())]))
    written.add([[1, 2]])
    assert not (tmp_path / "made.parquet").exists()
    written.close()
    assert [path.name for path in tmp_path.iterdir()] == ["made.parquet"]
