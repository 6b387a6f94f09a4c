"""What was known before each order: recency and rhythm, and that nothing of the order itself is among it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.model.features import FEATURES, ORIGINAL
from instacart_pipeline_tests.platform import DT, Platform, Row, write_upload
from instacart_pipeline_tests.reorder.building import build
from instacart_pipeline_tests.reorder.rhythm import alike, build_pairs
from instacart_pipeline_tests.tiers import costs

# A user's orders as (days since the one before, products); the last one is the target.
History = list[tuple[int, list[int]]]


def keyed(rows: list[Row]) -> dict[tuple[int, int], Row]:
    return {(row["order_id"], row["product_id"]): row for row in rows}


def put_histories(platform: Platform, histories: dict[int, History], *, known: bool = True) -> None:
    """Publish the orders of some users, with products 1 to 9 in three aisles, as if they had been ingested."""
    orders: list[Row] = []
    lines: dict[TableContract, list[Row]] = defaultdict(list)
    for user, history in histories.items():
        bought: set[int] = set()
        for number, (gap, products) in enumerate(history, 1):
            last = number == len(history)
            order = {
                "order_id": user * 1000 + number,
                "user_id": user,
                "eval_set": ("train" if known else "test") if last else "prior",
                "order_number": number,
                "order_dow": number % 7,
                "order_hour_of_day": 9,
                "days_since_prior_order": None if number == 1 else float(gap),
            }
            orders.append(order)
            for position, product in enumerate(products, 1):
                line = {"product_id": product, "add_to_cart_order": position, "reordered": int(product in bought)}
                if not last:
                    lines[t.ORDER_PRODUCTS_PRIOR].append({**order, **line})
                if not last or known:
                    lines[t.ORDER_PRODUCTS].append({"order_id": order["order_id"], **line})
            bought.update(products)
    platform.put_rows(t.ORDERS, orders)
    for table in (t.ORDER_PRODUCTS_PRIOR, t.ORDER_PRODUCTS):
        platform.put_rows(table, lines[table])
    platform.put_rows(
        t.PRODUCTS,
        [{"product_id": p, "product_name": str(p), "aisle_id": p % 3, "department_id": p % 2} for p in range(1, 10)],
    )


@pytest.fixture(scope="module")
@costs("contract")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Row]:
    """The training pairs of two users."""
    platform = Platform(tmp_path_factory.mktemp("home"))
    # User 7 bought 1 in orders 1, 3 and 4 of 4, on days 0, 9 and 14; the target is order 5, on day 20.
    of_7: History = [(0, [1, 2]), (4, [2]), (5, [1]), (5, [3, 1]), (6, [1])]
    put_histories(platform, {7: of_7, 8: [(0, [1]), (4, [2]), (5, [2]), (3, [2])]})
    build_pairs(platform, windows=0)
    return keyed(platform.rows(m.TRAINING_PAIRS))


def test_rhythm_of_a_pair_by_hand(by_hand: dict[tuple[int, int], Row]) -> None:
    row = by_hand[7005, 1]
    assert {name: row[name] for name in row if name.startswith("up_in_last")} == {
        "up_in_last_1": 1,
        "up_in_last_2": 2,
        "up_in_last_3": 2,
        "up_in_last_5": 3,
        "up_in_last_10": 3,
    }
    assert row["up_streak"] == 2
    assert (row["up_days_since_last_order"], row["up_days_since_first_order"]) == (6.0, 20.0)
    assert (row["up_mean_gap_orders"], row["up_mean_gap_days"]) == (1.5, 7.0)
    assert row["up_overdue_orders"] == pytest.approx(1 / 1.5)
    assert row["up_overdue_days"] == pytest.approx(6 / 7)
    assert row["up_orders_fading"] == pytest.approx(0.8 + 0.8**2 + 0.8**4)
    assert (row["user_orders"], row["user_period"], row["user_mean_days_since_prior"]) == (4, 14.0, 14 / 3)
    assert (row["user_last_basket"], row["user_last_reorders"]) == (2, 1)
    assert (row["order_number"], row["days_since_prior_order"], row["label"]) == (5, 6.0, 1)


def test_a_product_bought_once_has_no_cycle_to_be_overdue_by(by_hand: dict[tuple[int, int], Row]) -> None:
    row = by_hand[8004, 1]
    assert [
        row[name] for name in ("up_mean_gap_orders", "up_mean_gap_days", "up_overdue_orders", "up_overdue_days")
    ] == [None] * 4


def test_an_order_whose_basket_is_not_known_is_asked_and_not_learnt_from(platform: Platform) -> None:
    put_histories(platform, {7: [(0, [1]), (4, [2]), (5, [2]), (3, [])]}, known=False)
    build_pairs(platform, windows=0)
    assert platform.rows(m.TRAINING_PAIRS) == []
    assert set(keyed(platform.rows(m.OPEN_PAIRS))) == {(7004, 1), (7004, 2)}


def rhythm_by_brute_force(history: History) -> dict[int, Row]:
    """The features of each product of a history whose last order is the target, straight from their definitions."""
    days, day = [], 0
    for number, (gap, _) in enumerate(history, 1):
        day += gap if number > 1 else 0
        days.append(day)
    target = len(history)
    found = {}
    for product in {p for _, products in history[:-1] for p in products}:
        numbers = [number for number, (_, products) in enumerate(history[:-1], 1) if product in products]
        streak = 0
        while streak < 6 and target - 1 - streak in numbers:
            streak += 1
        found[product] = {
            "up_orders": len(numbers),
            "up_first_order": numbers[0],
            "up_last_order": numbers[-1],
            **{f"up_in_last_{k}": sum(number >= target - k for number in numbers) for k in (1, 2, 3, 5, 10)},
            "up_streak": streak,
            "up_days_since_last_order": float(days[-1] - days[numbers[-1] - 1]),
            "up_days_since_first_order": float(days[-1] - days[numbers[0] - 1]),
            "up_orders_since_last_order": target - 1 - numbers[-1],
            "user_distinct_products": len({p for _, products in history[:-1] for p in products}),
            "user_total_products": sum(len(products) for _, products in history[:-1]),
            "label": int(product in history[-1][1]),
        }
    return found


baskets = st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True)
histories = st.lists(st.tuples(st.integers(0, 30), baskets), min_size=4, max_size=14)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(users=st.lists(histories, min_size=20, max_size=40))
def test_rhythm_is_what_its_definitions_say(platform: Platform, users: list[History]) -> None:
    put_histories(platform, dict(enumerate(users, 1)))
    build_pairs(platform, windows=0)
    found: dict[int, dict[int, Row]] = defaultdict(dict)
    for row in platform.rows(m.TRAINING_PAIRS):
        found[row["user_id"]][row["product_id"]] = row
    for user, history in enumerate(users, 1):
        expected = rhythm_by_brute_force(history)
        rows = found[user]
        assert {product: {name: rows[product][name] for name in told} for product, told in expected.items()} == expected
        assert set(rows) == set(expected)


def built(platform: Platform, upload: Path, *, windows: int = 2) -> Platform:
    build(platform, upload)
    build_pairs(platform, windows=windows)
    return platform


def original_of(platform: Platform, table: TableContract) -> dict[tuple[int, int], Row]:
    where = "" if table is t.RESULT_TABLE else " AND orders_back = 0"
    rows = platform.sql(
        f"SELECT user_id, product_id, {', '.join(ORIGINAL)} FROM {table.qualified_name} WHERE dt = '{DT}'{where}"
    )
    return {(row["user_id"], row["product_id"]): row for row in rows}


def require_the_eighteen(platform: Platform) -> None:
    found = {**original_of(platform, m.TRAINING_PAIRS), **original_of(platform, m.OPEN_PAIRS)}
    assert_same(original_of(platform, t.RESULT_TABLE), found)


def test_the_eighteen_of_real_baskets_are_the_result_tables(platform: Platform, real_data: Path) -> None:
    require_the_eighteen(built(platform, real_data / "retail_baskets"))


def with_other_products(upload: Path, file: str, orders: set[int]) -> None:
    """Put into each of these orders products 1 and 12, whatever it held."""
    path = upload / file
    head, *lines = path.read_text().splitlines()
    kept = [line for line in lines if int(line.split(",")[0]) not in orders]
    told = [f"{order},{product},{place},0" for order in sorted(orders) for place, product in ((1, 1), (2, 12))]
    path.write_text("\n".join([head, *kept, *told]) + "\n")


def features_of(rows: list[Row], *, from_back: int = 0) -> dict[tuple[int, int], Row]:
    return {
        key: {name: row[name] for name in FEATURES}
        for key, row in keyed(rows).items()
        if row["orders_back"] >= from_back
    }


def assert_same(first: dict[tuple[int, int], Row], second: dict[tuple[int, int], Row]) -> None:
    assert first.keys() == second.keys()
    assert [key for key, row in first.items() if not alike(row, second[key])] == []


@pytest.fixture(scope="module")
@costs("contract")
def before(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The small upload and its pairs, as it is written."""
    folder = tmp_path_factory.mktemp("before")
    return built(Platform(folder / "home"), write_upload(folder / "upload"))


def test_the_eighteen_of_a_last_order_are_the_result_tables(before: Platform) -> None:
    require_the_eighteen(before)


def test_other_products_in_the_target_orders_change_labels_only(
    before: Platform, platform: Platform, upload_folder: Path
) -> None:
    targets = {row["order_id"] for row in before.rows(t.ORDERS) if row["eval_set"] == "train"}
    with_other_products(upload_folder, "order_products__train.csv", targets)
    after = built(platform, upload_folder)
    first, second = before.rows(m.TRAINING_PAIRS), after.rows(m.TRAINING_PAIRS)
    assert_same(features_of(first), features_of(second))
    assert_same(features_of(before.rows(m.OPEN_PAIRS)), features_of(after.rows(m.OPEN_PAIRS)))
    assert [row["label"] for row in first] != [row["label"] for row in second]


def test_an_earlier_target_knows_nothing_of_itself_or_of_what_came_later(
    before: Platform, platform: Platform, upload_folder: Path
) -> None:
    one_back = {row["order_id"] for row in before.rows(m.ORDER_CONTEXT) if row["orders_back"] == 1}
    with_other_products(upload_folder, "order_products__prior.csv", one_back)
    after = built(platform, upload_folder)
    first, second = (features_of(each.rows(m.TRAINING_PAIRS), from_back=1) for each in (before, after))
    assert first
    assert_same(first, second)


def test_a_user_keeps_their_bucket_and_buckets_are_about_as_large(platform: Platform) -> None:
    users = [*range(1, 5001), 9_000_000_000_000]
    order = {"eval_set": "train", "order_number": 1, "order_dow": 0, "order_hour_of_day": 0}
    platform.put_rows(t.ORDERS, [{"order_id": user, "user_id": user, **order} for user in users])
    from instacart_pipeline.reorder.assets import sql

    platform.resources.athena.create_table_as(sql("order_context"), m.ORDER_CONTEXT, DT)
    buckets = {row["user_id"]: row["user_bucket"] for row in platform.rows(m.ORDER_CONTEXT)}
    assert all(buckets[user] == user % 1000003 * 2654435761 % 2**32 * 100 // 2**32 for user in users)
    sizes = [list(buckets.values()).count(bucket) for bucket in range(100)]
    assert 30 <= min(sizes) <= max(sizes) <= 70
