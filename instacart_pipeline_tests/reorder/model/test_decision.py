"""The decision: the best of all baskets, held against trying every basket and every outcome."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instacart_pipeline.reorder.model.decision import _CELLS_AT_ONCE, decide


def expected_f1(p: list[float], basket: set[int | None]) -> float:
    """The expected F1 of a basket (None is "None"), by going through every outcome."""
    total = 0.0
    for outcome in product((False, True), repeat=len(p)):
        chance = math.prod(x if bought else 1 - x for x, bought in zip(p, outcome, strict=True))
        truth: set[int | None] = {i for i, bought in enumerate(outcome) if bought} or {None}
        total += chance * 2 * len(truth & basket) / (len(truth) + len(basket))
    return total


def best_of_all(p: list[float]) -> float:
    """The highest expected F1 of any basket that isn't empty."""
    every = ({i for i, taken in enumerate(which) if taken} for which in product((False, True), repeat=len(p)))
    baskets = [basket | extra for basket in every for extra in (set(), {None}) if basket | extra]
    return max(expected_f1(p, set(basket)) for basket in baskets)


probabilities = st.lists(st.floats(0, 1), max_size=6).map(lambda p: sorted(p, reverse=True))


@given(st.lists(probabilities, min_size=1, max_size=4))
def test_no_basket_at_all_is_better(orders: list[list[float]]) -> None:
    decided = decide(np.array([x for p in orders for x in p], float), np.array([len(p) for p in orders]))
    for number, p in enumerate(orders):
        basket: set[int | None] = set(range(int(decided.products[number])))
        if decided.none[number]:
            basket.add(None)
        assert decided.expected_f1[number] == pytest.approx(expected_f1(p, basket), abs=1e-12)
        assert decided.expected_f1[number] == pytest.approx(best_of_all(p), abs=1e-12)


@pytest.mark.parametrize(
    ("p", "products", "none", "f1"),
    [
        ([], 0, True, 1.0),
        ([1.0], 1, False, 1.0),
        ([0.0], 0, True, 1.0),
        ([0.6], 1, True, 2 / 3),  # either way one of the two is right: 2 * 1 / (1 + 2)
        ([1.0, 1.0, 0.6], 3, False, 0.6 * 1.0 + 0.4 * 0.8),
        ([1.0, 1.0, 0.5], 2, False, 0.9),  # three are as good: the smaller basket is taken
    ],
)
def test_by_hand(p: list[float], products: int, none: bool, f1: float) -> None:
    decided = decide(np.array(p, float), np.array([len(p)]))
    assert (decided.products[0], decided.none[0]) == (products, none)
    assert decided.expected_f1[0] == pytest.approx(f1)


def f1_with_something_in_common(p: list[float], spread: float, basket: set[int | None]) -> float:
    """The expected F1 of a basket when all candidates share a normal term in their log-odds, by a fine sum over it."""
    scale = math.sqrt(1 + 0.346 * spread**2)
    points = np.linspace(-6, 6, 241)
    weights = np.exp(-(points**2) / 2)
    given_it = [[1 / (1 + math.exp(-(math.log(x / (1 - x)) * scale + spread * z))) for x in p] for z in points]
    each = [expected_f1(conditional, basket) for conditional in given_it]
    return float(np.average(each, weights=weights))


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.floats(0.02, 0.9), min_size=1, max_size=4).map(lambda p: sorted(p, reverse=True)), st.floats(0.3, 1.5)
)
def test_what_products_have_in_common_is_weighed_in(p: list[float], spread: float) -> None:
    decided = decide(np.array(p), np.array([len(p)]), spread)
    sizes = [set(range(k)) | extra for k in range(len(p) + 1) for extra in (set(), {None}) if k or extra]
    best = max(f1_with_something_in_common(p, spread, set(basket)) for basket in sizes)
    basket: set[int | None] = set(range(int(decided.products[0]))) | ({None} if decided.none[0] else set())
    assert decided.expected_f1[0] == pytest.approx(best, abs=0.01)
    assert f1_with_something_in_common(p, spread, basket) == pytest.approx(best, abs=0.01)


def test_what_is_certain_stays_certain_whatever_else_is_in_common() -> None:
    decided = decide(np.array([1.0, 1.0, 0.0]), np.array([3]), 1.0)
    assert (decided.products[0], decided.none[0], decided.expected_f1[0]) == (2, False, 1.0)


def test_orders_of_any_size_come_back_in_their_own_order() -> None:
    rng = np.random.default_rng(7)
    counts = rng.integers(0, 40, 2000)
    orders = [np.sort(rng.beta(0.5, 4, count))[::-1] for count in counts]
    together = decide(np.concatenate(orders), counts)
    for number in range(0, 2000, 97):
        alone = decide(orders[number], counts[number : number + 1])
        assert together.products[number] == alone.products[0]
        assert together.expected_f1[number] == pytest.approx(alone.expected_f1[0])


@pytest.mark.parametrize(
    ("p", "counts", "what"),
    [
        ([0.5], [2], "1 probabilities for orders of 2"),
        ([0.1, 0.5], [2], "not sorted downwards, at position 1"),
        ([1.5], [1], "outside"),
    ],
)
def test_what_does_not_fit_is_refused(p: list[float], counts: list[int], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        decide(np.array(p), np.array(counts))


def test_thousands_of_orders_of_one_size_are_decided_in_batches() -> None:
    rng = np.random.default_rng(7)
    counts = np.full(4_000, 65)
    p = -np.sort(-rng.beta(0.4, 3, (4_000, 65)), axis=1)
    batch = _CELLS_AT_ONCE // 66**2
    assert 2 * batch < len(counts)
    decided = decide(p.ravel(), counts, spread=0.8)
    assert 0.2 < decided.expected_f1.mean() < 0.9
    assert decided.products.mean() > 1
    for number in (0, batch - 1, batch, len(counts) - 1):
        alone = decide(p[number], counts[:1], spread=0.8)
        assert (decided.products[number], decided.none[number]) == (alone.products[0], alone.none[0])
        assert decided.expected_f1[number] == pytest.approx(alone.expected_f1[0])
