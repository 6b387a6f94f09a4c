"""Tests of the generated Instacart-shaped uploads: their rules, their continuity over days, and how true to life they are.

The figures to compare with were measured once on the public Instacart data; none of it is needed here.
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from instacart_pipeline.datagen import reorder_catalogue, reorder_files
from instacart_pipeline.datagen.reorder import DayUpload, generate_reorder
from instacart_pipeline.datagen.reorder_calibration import FULL_USERS
from instacart_pipeline.datagen.reorder_people import CHUNK_USERS
from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid
from instacart_pipeline_tests.tiers import costs

FIRST_DAY = date(2026, 11, 20)
SCALE = 0.0015
FRIDAY = 6  # order_dow 0 is Saturday

HEADERS = {
    "aisles.csv": "aisle_id,aisle",
    "departments.csv": "department_id,department",
    "products.csv": "product_id,product_name,aisle_id,department_id",
    "orders.csv": "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order",
    "order_products__prior.csv": "order_id,product_id,add_to_cart_order,reordered",
    "order_products__train.csv": "order_id,product_id,add_to_cart_order,reordered",
}


@dataclass
class Day:
    """One day's upload, read back."""

    upload: DayUpload
    orders: pd.DataFrame
    prior: pd.DataFrame
    train: pd.DataFrame

    @staticmethod
    def of(upload: DayUpload) -> Day:
        lines = [pd.read_csv(upload.folder / f"order_products__{side}.csv") for side in ("prior", "train")]
        return Day(upload, pd.read_csv(upload.folder / "orders.csv"), *lines)

    def lines(self) -> pd.DataFrame:
        """All lines with their orders, by user and order number."""
        both = pd.concat([self.prior, self.train]).merge(self.orders, on="order_id", validate="many_to_one")
        ordered: pd.DataFrame = both.sort_values(["user_id", "order_number", "add_to_cart_order"]).reset_index(
            drop=True
        )
        return ordered


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Day]:
    out = tmp_path_factory.mktemp("reorder")
    return [Day.of(upload) for upload in generate_reorder(out, scale=SCALE, days=3, first_day=FIRST_DAY)]


@pytest.fixture(scope="module")
@costs("deep")
def large(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of 2,062 users, for what is true of many only."""
    (upload,) = generate_reorder(tmp_path_factory.mktemp("reorder"), scale=0.01, first_day=FIRST_DAY)
    return Day.of(upload)


@pytest.fixture(scope="module")
def first(days: list[Day]) -> Day:
    return days[0]


@pytest.fixture(scope="module")
def lines(first: Day) -> pd.DataFrame:
    return first.lines()


def fingerprint(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


# -------------------------------------------------------------------- the files


def test_a_day_holds_the_six_files_with_their_headers(first: Day) -> None:
    heads = {path.name: path.open(encoding="utf-8").readline().rstrip("\n") for path in first.upload.folder.iterdir()}
    assert heads == HEADERS


def test_hours_have_two_digits_and_gaps_one_decimal_or_nothing(first: Day) -> None:
    raw = pd.read_csv(first.upload.folder / "orders.csv", dtype=str, keep_default_na=False)
    assert raw.order_hour_of_day.str.fullmatch(r"[01]\d|2[0-3]").all()
    assert raw.days_since_prior_order.str.fullmatch(r"(\d+\.0)?").all()
    assert ((raw.days_since_prior_order == "") == (raw.order_number == "1")).all()


def test_product_names_hold_commas_and_quotes_and_still_read_back(first: Day) -> None:
    path = first.upload.folder / "products.csv"
    with path.open(encoding="utf-8", newline="") as file:
        products = list(csv.DictReader(file))
    names = [product["product_name"] for product in products]
    assert len(set(names)) == len(names) == first.upload.products
    assert [int(product["product_id"]) for product in products] == list(range(1, len(names) + 1))
    assert any("," in name for name in names)
    assert any('"' in name for name in names)
    assert '""' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("scale", [0.0001, 0.002])
def test_even_a_small_shop_has_all_aisles_and_departments(tmp_path: Path, scale: float) -> None:
    (upload,) = generate_reorder(tmp_path, scale=scale, first_day=FIRST_DAY)
    products = pd.read_csv(upload.folder / "products.csv")
    aisles = pd.read_csv(upload.folder / "aisles.csv")
    departments = pd.read_csv(upload.folder / "departments.csv")
    assert upload.users >= 20
    assert upload.products >= 500
    assert set(products.aisle_id) == set(aisles.aisle_id) == set(range(1, 135))
    assert set(products.department_id) == set(departments.department_id) == set(range(1, 22))
    assert (products.groupby("aisle_id").department_id.nunique() == 1).all()


def test_the_report_counts_what_the_files_hold(first: Day) -> None:
    upload = first.upload
    counted = (first.orders.user_id.nunique(), len(first.orders), len(first.prior), len(first.train))
    assert counted == (upload.users, upload.orders, upload.prior_lines, upload.train_lines)


# -------------------------------------------------------------------- the rules of the data


def test_rows_come_in_the_usual_order(first: Day) -> None:
    assert pd.MultiIndex.from_frame(first.orders[["user_id", "order_number"]]).is_monotonic_increasing
    for lines in (first.prior, first.train):
        assert pd.MultiIndex.from_frame(lines[["order_id", "add_to_cart_order"]]).is_monotonic_increasing


def test_order_ids_of_the_first_day_are_a_shuffle_of_one_to_n(first: Day) -> None:
    ids = first.orders.order_id
    assert sorted(ids) == list(range(1, len(ids) + 1))
    assert abs(np.corrcoef(ids, first.orders.user_id)[0, 1]) < 0.05


def test_users_number_their_four_to_hundred_orders_without_holes(first: Day) -> None:
    per_user = first.orders.groupby("user_id").order_number.agg(["min", "max", "count"])
    assert (per_user["min"] == 1).all()
    assert (per_user["max"] == per_user["count"]).all()
    assert per_user["max"].between(4, 100).all()


def test_a_users_last_order_is_the_target_and_no_other(days: list[Day]) -> None:
    for day in days:
        last = day.orders.groupby("user_id").order_number.transform("max") == day.orders.order_number
        assert ((day.orders.eval_set != "prior") == last).all()


def test_baskets_of_test_orders_are_in_no_file(days: list[Day]) -> None:
    for day in days:
        ids = {side: set(orders.order_id) for side, orders in day.orders.groupby("eval_set")}
        assert set(day.prior.order_id) == ids["prior"]
        assert set(day.train.order_id) == ids["train"]


def test_a_product_is_in_an_order_once_and_cart_positions_have_no_holes(lines: pd.DataFrame) -> None:
    assert not lines.duplicated(["order_id", "product_id"]).any()
    assert (lines.add_to_cart_order == lines.groupby("order_id").cumcount() + 1).all()


def test_reordered_says_whether_the_user_bought_the_product_before(days: list[Day]) -> None:
    for day in days:
        lines = day.lines()
        before = lines.groupby(["user_id", "product_id"]).cumcount() > 0
        assert (lines.reordered == before.astype(int)).all()


def test_days_of_the_week_agree_with_the_gaps(days: list[Day]) -> None:
    orders = days[-1].orders
    gap, same_user = orders.days_since_prior_order, orders.user_id == orders.user_id.shift()
    exact = same_user & (gap < 30)
    assert ((orders.order_dow - orders.order_dow.shift())[exact] % 7 == gap[exact] % 7).all()
    assert gap[same_user].between(0, 30).all()
    assert gap[~same_user].isna().all()


def test_a_second_order_on_one_day_is_not_placed_before_the_first(first: Day) -> None:
    again = first.orders.days_since_prior_order == 0
    assert again.any()
    assert (first.orders.order_hour_of_day[again] >= first.orders.order_hour_of_day.shift()[again]).all()


# -------------------------------------------------------------------- days on end


def test_every_order_keeps_its_id_and_basket_on_later_days(days: list[Day]) -> None:
    unchanged = ["order_id", "user_id", "order_number", "order_dow", "order_hour_of_day", "days_since_prior_order"]
    for earlier, later in pairwise(days):
        both = earlier.orders[unchanged].merge(later.orders[unchanged], how="left", indicator=True)
        assert (both._merge == "both").all()
        assert later.orders.order_id.max() == len(later.orders) > len(earlier.orders)
        held = pd.concat([later.prior, later.train])
        kept = pd.concat([earlier.prior, earlier.train]).merge(held, how="left", indicator=True)
        assert (kept._merge == "both").all()


@pytest.mark.parametrize("side", ["train", "test"])
def test_the_target_of_who_orders_again_becomes_prior_with_its_basket(days: list[Day], side: str) -> None:
    earlier, later = days[0], days[1]
    newly = later.orders[~later.orders.order_id.isin(earlier.orders.order_id)]
    targets = earlier.orders[(earlier.orders.eval_set == side) & earlier.orders.user_id.isin(newly.user_id)]
    assert len(targets) >= 5
    assert (later.orders.set_index("order_id").eval_set[targets.order_id] == "prior").all()
    assert targets.order_id.isin(later.prior.order_id).all()


def test_new_orders_fall_on_their_day(days: list[Day]) -> None:
    for ahead, (earlier, later) in enumerate(pairwise(days), 1):
        newly = later.orders[~later.orders.order_id.isin(earlier.orders.order_id)]
        assert set(newly.order_dow) == {(FRIDAY + ahead) % 7}
        assert 0.05 < newly.user_id.nunique() / later.upload.users < 0.16


def test_users_keep_their_side_of_the_split(days: list[Day]) -> None:
    sides = [day.orders[day.orders.eval_set != "prior"].set_index("user_id").eval_set for day in days]
    assert all(side.equals(sides[0]) for side in sides)
    assert (sides[0] == "train").mean() == pytest.approx(131_209 / 206_209, abs=0.04)


def test_nobody_passes_a_hundred_orders(tmp_path: Path) -> None:
    uploads = generate_reorder(tmp_path, scale=0.001, days=25, first_day=FIRST_DAY)
    orders = pd.read_csv(uploads[-1].folder / "orders.csv")
    assert orders.order_number.max() == 100
    assert uploads[-1].orders > 1.1 * uploads[0].orders


# -------------------------------------------------------------------- the same again


def test_the_same_seed_gives_the_same_bytes_whatever_days_follow(tmp_path: Path, first: Day) -> None:
    (again,) = generate_reorder(tmp_path, scale=SCALE, days=1, first_day=FIRST_DAY)
    assert fingerprint(again.folder) == fingerprint(first.upload.folder)


@pytest.mark.usefixtures("processes")
def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    users = CHUNK_USERS + 100  # two pieces of work
    made = [
        generate_reorder(
            tmp_path / str(workers), scale=users / FULL_USERS, seed=3, first_day=FIRST_DAY, workers=workers
        )
        for workers in (1, 2)
    ]
    for one, two in zip(*made, strict=True):
        assert fingerprint(one.folder) == fingerprint(two.folder)


@pytest.mark.usefixtures("processes")
def test_a_program_read_from_standard_input_gets_the_same_too(tmp_path: Path, first: Day) -> None:
    # Worker processes can't import such a main module again; they die, and the work is done without them.
    program = f"""
from datetime import date
from pathlib import Path
from instacart_pipeline.datagen.reorder import generate_reorder
generate_reorder(Path({str(tmp_path)!r}), scale={SCALE}, first_day=date(2026, 11, 20), workers=2)
"""
    ran = subprocess.run([sys.executable, "-"], input=program, text=True, timeout=600, check=False, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    assert fingerprint(tmp_path / "2026-11-20") == fingerprint(first.upload.folder)


def test_another_seed_gives_another_shop_and_other_people(tmp_path: Path) -> None:
    made = [
        generate_reorder(tmp_path / str(seed), scale=0.001, seed=seed, first_day=FIRST_DAY)[0].folder for seed in (1, 2)
    ]
    alike = {name for name, digest in fingerprint(made[0]).items() if fingerprint(made[1])[name] == digest}
    assert alike == {"aisles.csv", "departments.csv"}


# -------------------------------------------------------------------- refusals and failures


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"scale": -1.0}, {"scale": float("nan")}, {"days": 0}, {"seed": -1}])
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    tmp_path: Path, bad: dict[str, int]
) -> None:
    with pytest.raises(SettingsInvalid, match=f"{next(iter(bad))}="):
        generate_reorder(tmp_path / "out", first_day=FIRST_DAY, **({"scale": 0.001} | bad))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_day_that_is_there_already_is_not_touched(tmp_path: Path) -> None:
    taken = tmp_path / "2026-11-21"
    taken.mkdir()
    (taken / "orders.csv").write_text("mine")
    with pytest.raises(PipelineError, match="2026-11-21"):
        generate_reorder(tmp_path, scale=0.001, days=2, first_day=FIRST_DAY)
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-21"]
    assert (taken / "orders.csv").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "2026-11-20").mkdir()
    (upload,) = generate_reorder(tmp_path, scale=0.001, first_day=FIRST_DAY)
    assert {path.name for path in upload.folder.iterdir()} == set(HEADERS)


def test_a_failure_while_writing_leaves_no_trace_of_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reorder_files, "_formatted", full_disk)
    with pytest.raises(OSError, match="No space"):
        generate_reorder(tmp_path, scale=0.001, first_day=FIRST_DAY)
    assert list(tmp_path.iterdir()) == []


def test_progress_rises_to_one(tmp_path: Path) -> None:
    heard: list[tuple[str, float]] = []
    tell: Callable[[str, float], None] = lambda what, share: heard.append((what, share))  # noqa: E731
    generate_reorder(tmp_path, scale=0.001, days=2, first_day=FIRST_DAY, progress=tell)
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert heard[-1] == ("done", 1.0)


# -------------------------------------------------------------------- true to life


def test_people_order_as_often_as_real_ones(large: Day) -> None:
    per_user = large.orders.groupby("user_id").order_number.max()
    assert per_user.mean() == pytest.approx(16.6, rel=0.06)
    assert per_user.quantile([0.25, 0.5, 0.75]).tolist() == pytest.approx([6, 10, 20], abs=1.5)
    gaps = large.orders.days_since_prior_order.dropna()
    assert gaps.mean() == pytest.approx(11.2, rel=0.05)
    share = gaps.value_counts(normalize=True)
    assert share[30] == pytest.approx(0.118, rel=0.12)
    assert share[7] == pytest.approx(0.099, rel=0.12)
    assert share[7] > share[6] and share[14] > max(share[13], share[15]) and share[30] > share[29]


def test_people_order_on_real_days_and_at_real_hours(large: Day) -> None:
    dow = large.orders.order_dow.value_counts(normalize=True).sort_index()
    assert dow.tolist() == pytest.approx([0.178, 0.170, 0.136, 0.130, 0.122, 0.134, 0.130], rel=0.08)
    hour = large.orders.order_hour_of_day
    assert hour.between(9, 16).mean() == pytest.approx(0.653, rel=0.05)
    assert (hour < 6).mean() == pytest.approx(0.0165, rel=0.25)


def test_baskets_are_as_large_as_real_ones(large: Day) -> None:
    prior, train = (lines.groupby("order_id").size() for lines in (large.prior, large.train))
    assert prior.mean() == pytest.approx(10.09, rel=0.06)
    assert train.mean() == pytest.approx(10.55, rel=0.08)
    assert prior.quantile([0.25, 0.5, 0.75, 0.95]).tolist() == pytest.approx([5, 8, 14, 25], abs=1.5)


def test_people_buy_again_as_much_as_real_ones(large: Day) -> None:
    assert large.prior.reordered.mean() == pytest.approx(0.590, rel=0.06)
    assert large.train.reordered.mean() == pytest.approx(0.599, rel=0.08)
    none = large.train.groupby("order_id").reordered.sum() == 0
    assert none.mean() == pytest.approx(0.0656, abs=0.02)
    pairs = large.prior.merge(large.orders, on="order_id").groupby(["user_id", "product_id"]).ngroups
    assert pairs / large.upload.users == pytest.approx(64.5, rel=0.08)


def test_a_few_products_sell_most_and_staples_are_bought_again_more(large: Day) -> None:
    sold = large.prior.groupby("product_id").reordered.agg(["count", "mean"]).sort_values("count", ascending=False)
    share = sold["count"] / sold["count"].sum()
    assert 0.01 < share.iloc[0] < 0.025
    assert share.iloc[: len(share) // 10].sum() > 0.45
    assert sold["mean"].iloc[0] > 0.75
    places = pd.read_csv(large.upload.folder / "products.csv")
    departments = pd.read_csv(large.upload.folder / "departments.csv")
    placed = large.prior.merge(places, on="product_id").merge(departments, on="department_id")
    again = placed.groupby("department").reordered.mean()
    assert again["produce"] == pytest.approx(0.66, rel=0.08)
    assert again["dairy and eggs"] == pytest.approx(0.67, rel=0.08)
    assert again["pantry"] == pytest.approx(0.36, rel=0.12)
    assert again["personal care"] < 0.45 < again["frozen foods"] < again["drinks"]


def test_favourites_go_into_the_cart_first(large: Day) -> None:
    by_position = large.train.groupby("add_to_cart_order").reordered.mean()
    assert by_position[1] == pytest.approx(0.72, abs=0.05)
    assert by_position[1] > by_position[5] > by_position[15]


def candidates(large: Day) -> pd.DataFrame:
    """Pairs of train users with five or more prior orders: in how many of the last five, since when, and the outcome."""
    lines = large.lines()
    lines = lines.assign(last=lines.groupby("user_id").order_number.transform("max"))
    train_users = large.orders[large.orders.eval_set == "train"].user_id
    lines = lines[lines.user_id.isin(train_users) & (lines["last"] > 5)]
    prior, target = lines[lines.eval_set == "prior"], lines[lines.eval_set == "train"]
    recent = prior.order_number >= prior["last"] - 5
    pairs = recent.groupby([prior.user_id, prior.product_id]).sum().rename("recent").reset_index()
    bought = target[["user_id", "product_id"]].assign(bought=1)
    merged: pd.DataFrame = pairs.merge(bought, how="left").fillna({"bought": 0})
    return merged


def test_what_was_bought_lately_is_bought_again(large: Day) -> None:
    chance = candidates(large).groupby("recent").bought.mean()
    assert chance.is_monotonic_increasing
    assert chance[0] == pytest.approx(0.028, abs=0.01)
    assert chance[5] == pytest.approx(0.73, abs=0.12)


def test_about_a_tenth_of_what_users_know_is_in_their_next_order(large: Day) -> None:
    assert candidates(large).bought.mean() == pytest.approx(0.09, abs=0.015)


def test_a_shop_larger_than_the_real_one_has_a_catalogue_to_match() -> None:
    larger = reorder_catalogue.build_catalogue(3.0, seed=7)
    assert len(larger.names) == len(larger.aisle_id) == reorder_catalogue.catalogue_size(3.0) > 49_688
