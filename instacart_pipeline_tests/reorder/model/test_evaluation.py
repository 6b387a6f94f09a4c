"""Evaluation: F1 per order, the baselines, and the verdict on a challenger, on cases worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instacart_pipeline.reorder.model import baskets, calibration, evaluation, plots
from instacart_pipeline.reorder.model.features import FEATURES
from instacart_pipeline.reorder.model.pairs import Pairs, read_pairs
from instacart_pipeline.reorder.model.users import HELD_OUT
from instacart_pipeline_tests.reorder.model.planted import write_pairs


def pairs_of(orders: list[int], labels: list[int], **features: list[float]) -> Pairs:
    matrix = np.zeros((len(orders), len(FEATURES)), np.float32)
    for name, values in features.items():
        matrix[:, FEATURES.index(name)] = values
    zeros = np.zeros(len(orders), np.int64)
    return Pairs(np.array(orders), zeros, zeros, np.array(labels, np.float32), matrix, FEATURES)


def test_f1_counts_an_order_of_nothing_as_none() -> None:
    pairs = pairs_of([1, 1, 1, 2, 2, 3, 3], [1, 1, 0, 0, 0, 0, 0])
    chosen = np.array([True, False, True, False, False, True, False])
    # order 1: one of two bought and one wrong; order 2: rightly nothing; order 3: one wrong, and nothing was bought
    scores = baskets.f1_scores(pairs.orders(), pairs.label, baskets.by_rule(pairs.orders(), chosen))
    assert scores.tolist() == [0.5, 1.0, 0.0]


def test_naming_none_beside_a_product_is_half_right_when_nothing_is_bought() -> None:
    pairs = pairs_of([1, 1], [0, 0])
    both = (np.array([True, False]), np.array([True]))
    assert baskets.f1_scores(pairs.orders(), pairs.label, both).tolist() == [pytest.approx(2 / 3)]


def test_the_last_order_once_more() -> None:
    pairs = pairs_of([1, 1, 2], [0, 0, 0], up_in_last_1=[1, 0, 0])
    assert baskets.last_order(pairs).tolist() == [True, False, False]


def test_top_products_are_as_many_as_the_user_re_orders_and_the_latest_among_equals() -> None:
    pairs = pairs_of(
        [1, 1, 1, 2, 2],
        [0] * 5,
        up_orders=[3, 5, 3, 9, 8],
        up_last_order=[4, 1, 6, 1, 1],
        user_reorder_ratio=[0.5, 0.5, 0.5, np.nan, np.nan],
        user_average_basket=[4, 4, 4, 4, 4],
    )
    assert baskets.top_products(pairs).tolist() == [False, True, True, False, False]


def test_the_decision_is_the_same_whatever_order_the_candidates_come_in() -> None:
    draws = np.random.default_rng(3)
    orders, said = np.repeat(np.arange(20), 7), draws.uniform(size=140)
    starts = (np.arange(0, 140, 7), np.full(20, 7))
    chosen, none = baskets.by_decision(starts, said, 0.5)
    shuffled = np.concatenate([draws.permutation(7) + 7 * order for order in range(20)])
    again, none_again = baskets.by_decision(starts, said[shuffled], 0.5)
    assert (chosen[shuffled] == again).all()
    assert (none == none_again).all()
    assert len(orders) == 140


@pytest.mark.parametrize(
    ("change", "not_worse"),
    [(0.1, True), (0.0, True), (-0.001, False), (-0.1, False)],
    ids=["better", "same", "worse by a little, surely", "worse"],
)
def test_a_challenger_that_is_surely_worse_is_refused(change: float, not_worse: bool) -> None:
    champion = np.linspace(0.2, 0.8, 400)
    assert evaluation.verdict(champion + change, champion)["not_worse"] is not_worse


def test_a_challenger_that_may_be_as_good_is_let_through_only_if_it_is_hardly_behind() -> None:
    draws = np.random.default_rng(5)
    champion = draws.uniform(size=50)
    noise = draws.normal(0, 0.3, 50)
    noise -= noise.mean()
    assert evaluation.verdict(champion + noise - 0.002, champion)["not_worse"] is True
    assert evaluation.verdict(champion + noise - 0.03, champion)["not_worse"] is False


def test_the_interval_holds_the_mean_and_narrows_with_more_orders() -> None:
    few, many = (evaluation.interval(np.tile([0.0, 1.0], size)) for size in (20, 2000))
    assert few.low < few.mean == 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_reliability_of_probabilities_that_hold_lies_on_the_diagonal() -> None:
    draws = np.random.default_rng(11)
    said = draws.uniform(size=60_000)
    labels = (draws.uniform(size=60_000) < said).astype(np.float32)
    _, shares, means, counts = evaluation.reliability(said, labels)
    assert np.abs(shares - means).max() < 0.03
    assert counts.sum() == 60_000
    assert evaluation.probability_figures(said, labels)["calibration_error"] < 0.01


def test_calibration_undoes_what_bent_the_scores() -> None:
    draws = np.random.default_rng(13)
    truth = draws.uniform(0.02, 0.98, 50_000)
    labels = (draws.uniform(size=50_000) < truth).astype(np.float64)
    bent = 1 / (1 + np.exp(-(2 * calibration.logit(truth) + 1)))
    slope, intercept = calibration.fit(bent, labels)
    assert slope == pytest.approx(0.5, abs=0.02)
    assert intercept == pytest.approx(-0.5, abs=0.03)
    assert np.abs(calibration.calibrated(bent, slope, intercept) - truth).mean() < 0.01


def test_calibration_that_would_turn_the_order_round_is_left_out() -> None:
    assert calibration.fit(np.array([0.1, 0.2, 0.8, 0.9]), np.array([1.0, 1.0, 0.0, 0.0])) == (1.0, 0.0)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_spread_that_made_the_baskets_is_found_again(spread: float) -> None:
    draws = np.random.default_rng(17)
    orders = np.repeat(np.arange(2000), 15)
    said = draws.beta(1, 4, len(orders))
    common = np.repeat(draws.normal(size=2000), 15)
    shown = 1 / (1 + np.exp(-(calibration.logit(said) * np.sqrt(1 + 0.346 * spread**2) + spread * common)))
    bought = (draws.uniform(size=len(orders)) < shown).astype(np.float64)
    assert calibration.fit_spread(said, bought, orders) == pytest.approx(spread, abs=0.15)


def test_every_candidate_is_evaluated_and_every_picture_drawn(tmp_path: Path) -> None:
    pairs = read_pairs(write_pairs(tmp_path / "pairs", users=400), FEATURES, HELD_OUT)
    truth = (pairs.column("up_order_rate") ** 3).astype(np.float64)
    compared = evaluation.candidates(pairs, truth, 0.0, truth**2)
    told = evaluation.evaluate(pairs, compared)
    assert (told["orders"], told["pairs"]) == (80, 960)
    assert set(told["candidates"]) == {"model", "original", "top products", "last order"}
    assert told["candidates"]["model"]["auc"] == told["candidates"]["original"]["auc"] > 0.8
    assert told["candidates"]["last order"]["ahead"]["mean"] > 0
    drawn = plots.draw_all(tmp_path, pairs, compared, {"up_order_rate": 3.0, "order_dow": 1.0})
    assert set(drawn) == {"precision_recall", "calibration", "importance", "f1_by_basket_size"}
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 100_000 for path in drawn.values())
