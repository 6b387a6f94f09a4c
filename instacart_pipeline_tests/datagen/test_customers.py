"""The generated thelook shop: its files, how its tables agree with each other, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from instacart_pipeline.customers.tables import STAGED
from instacart_pipeline.datagen import customers_files, customers_visits
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline.datagen.customers_files import NEVER, times
from instacart_pipeline.datagen.customers_words import DEPARTMENTS
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid
from instacart_pipeline_tests.datagen.conftest import MONDAY, TAKEN, TIMES, ReadShop
from instacart_pipeline_tests.tiers import missing

HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)
A_TABLE = pytest.mark.parametrize("table", STAGED, ids=lambda table: table.name)


HEADERS = {
    "distribution_centers.csv": "id,name,latitude,longitude",
    "users.csv": "id,first_name,last_name,email,age,gender,state,street_address,postal_code,city,country,"
    "latitude,longitude,traffic_source,created_at",
    "products.csv": "id,cost,category,name,brand,retail_price,department,sku,distribution_center_id",
    "orders.csv": "order_id,user_id,status,gender,created_at,returned_at,shipped_at,delivered_at,num_of_item",
    "order_items.csv": "id,order_id,user_id,product_id,inventory_item_id,status,created_at,shipped_at,delivered_at,"
    "returned_at,sale_price",
    "inventory_items.csv": "id,product_id,created_at,sold_at,cost,product_category,product_name,product_brand,"
    "product_retail_price,product_department,product_sku,product_distribution_center_id",
    "events.csv": "id,user_id,sequence_number,session_id,created_at,ip_address,city,state,postal_code,browser,"
    "traffic_source,uri,event_type",
}


def fingerprint(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


# -------------------------------------------------------------------- the files


def test_the_files_have_thelooks_columns_in_its_order(thelook: ReadShop) -> None:
    heads = {path.name: path.open(encoding="utf-8").readline().rstrip("\n") for path in thelook.dump.folder.iterdir()}
    assert heads == HEADERS


@A_TABLE
def test_a_table_keeps_its_contract(thelook: ReadShop, table: TableContract) -> None:
    rows = thelook.table(table.name)
    assert set(rows.columns) == {column.name for column in table.columns}
    for column in table.columns:
        values = rows[column.name]
        if column.key:
            assert values.is_unique
        if not column.nullable:
            assert values.notna().all(), column.name
        if column.between:
            assert values.dropna().between(*column.between).all(), column.name
        if column.one_of:
            assert set(values.dropna()) == set(column.one_of), column.name
        if column.references:
            pointed = thelook.table(column.references.table.name)[column.references.column]
            assert values.dropna().isin(pointed).all(), column.name


def test_the_report_counts_what_the_files_hold(thelook: ReadShop) -> None:
    assert thelook.dump.rows == {table.name: len(thelook.table(table.name)) for table in STAGED}
    assert thelook.dump.as_of == MONDAY


def test_times_are_written_as_thelook_writes_them(thelook: ReadShop) -> None:
    raw = pd.read_csv(thelook.dump.folder / "orders.csv", dtype=str)
    for column in set(TIMES) & set(raw.columns):
        assert raw[column].dropna().str.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{0,5}[1-9])? UTC").all(), column
    fractions = raw.created_at.str.contains(".", regex=False)
    assert 0.003 < fractions.mean() < 0.03
    assert thelook.orders.created_at[fractions].min() >= TAKEN - 3 * DAY


def test_a_time_keeps_its_microseconds_without_trailing_zeros_and_no_time_is_null() -> None:
    second = 1_721_732_940_000_000
    written = times(np.array([second, second + 70_000, NEVER, second + 1, 0]))
    assert written.to_pylist() == [
        "2024-07-23 11:09:00 UTC",
        "2024-07-23 11:09:00.07 UTC",
        None,
        "2024-07-23 11:09:00.000001 UTC",
        "1970-01-01 00:00:00 UTC",
    ]


def test_names_of_products_hold_commas_and_quotes_and_still_read_back(thelook: ReadShop) -> None:
    names = thelook.products.name
    assert names.str.contains(",").any()
    assert names.str.contains('"').any()
    stock = thelook.inventory_items.merge(thelook.products, left_on="product_id", right_on="id", suffixes=("", "_own"))
    for column in ("category", "name", "brand", "retail_price", "department", "sku", "distribution_center_id"):
        assert stock[f"product_{column}"].equals(stock[column]), column
    assert stock.cost.equals(stock.cost_own)


def test_prices_are_single_precision_and_above_cost(thelook: ReadShop) -> None:
    price = thelook.products.retail_price
    assert (price.astype("float32").astype("float64") == price).all()
    assert (thelook.products.cost < price).all()
    assert (thelook.products.cost > 0).all()


def test_the_distribution_centers_are_thelooks_ten(thelook: ReadShop) -> None:
    centers = thelook.distribution_centers.set_index("id")
    assert list(centers.index) == list(range(1, 11))
    assert centers.name[1] == "Memphis TN"
    assert centers.loc[10].tolist() == ["Savannah GA", 32.0167, -81.1167]


# -------------------------------------------------------------------- how the tables agree


def test_items_are_their_orders_in_number_user_status_and_times(thelook: ReadShop) -> None:
    items = thelook.order_items.merge(thelook.orders, on="order_id", suffixes=("", "_order"), validate="many_to_one")
    for column in ("user_id", "status", "created_at", "shipped_at", "delivered_at", "returned_at"):
        assert items[column].equals(items[f"{column}_order"]), column
    counted = thelook.order_items.groupby("order_id").size().reindex(thelook.orders.order_id)
    assert (counted.to_numpy() == thelook.orders.num_of_item.to_numpy()).all()


def test_an_item_is_a_piece_of_its_product_that_was_in_stock_and_sold_for_its_price(thelook: ReadShop) -> None:
    assert thelook.order_items.inventory_item_id.is_unique
    items = thelook.order_items.merge(
        thelook.inventory_items, left_on="inventory_item_id", right_on="id", suffixes=("", "_piece")
    )
    assert (items.product_id == items.product_id_piece).all()
    assert (items.sale_price == items.product_retail_price).all()
    assert (items.created_at == items.sold_at).all()
    assert (items.created_at_piece <= items.created_at).all()
    assert thelook.inventory_items.sold_at.notna().sum() == len(items)


def test_customers_buy_for_their_own_sex(thelook: ReadShop) -> None:
    bought = thelook.order_items.merge(thelook.products, left_on="product_id", right_on="id").merge(
        thelook.users, left_on="user_id", right_on="id", suffixes=("", "_user")
    )
    assert (bought.department == bought.gender.map({"M": "Men", "F": "Women"})).all()
    ordered = thelook.orders.merge(thelook.users, left_on="user_id", right_on="id", suffixes=("", "_user"))
    assert (ordered.gender == ordered.gender_user).all()


def test_status_says_which_dates_an_order_has(thelook: ReadShop) -> None:
    orders = thelook.orders
    assert (orders.shipped_at.notna() == orders.status.isin(["Shipped", "Complete", "Returned"])).all()
    assert (orders.delivered_at.notna() == orders.status.isin(["Complete", "Returned"])).all()
    assert (orders.returned_at.notna() == (orders.status == "Returned")).all()
    for earlier, later, days in (
        ("created_at", "shipped_at", 3),
        ("shipped_at", "delivered_at", 5),
        ("delivered_at", "returned_at", 3),
    ):
        took = (orders[later] - orders[earlier]).dropna()
        assert took.between(0 * DAY, days * DAY).all()


def test_nobody_orders_or_visits_before_registering(thelook: ReadShop) -> None:
    registered = thelook.users.set_index("id").created_at
    assert (thelook.orders.created_at >= thelook.orders.user_id.map(registered) + HOUR).all()
    signed_in = thelook.events.dropna(subset="user_id")
    assert (signed_in.created_at > signed_in.user_id.map(registered)).all()


def test_the_dump_ends_on_its_monday_at_ten_and_holds_rows_of_that_day(thelook: ReadShop) -> None:
    for name in ("users", "orders", "order_items", "inventory_items", "events"):
        created = thelook.table(name).created_at
        assert created.max() < TAKEN, name
        assert 0 < (created >= pd.Timestamp(MONDAY, tz="UTC")).sum() < 0.01 * len(created) + 3, name
    assert thelook.orders.created_at.min() < TAKEN - 4 * 365 * DAY


def test_a_visit_is_numbered_from_one_and_has_one_user_address_browser_and_source(thelook: ReadShop) -> None:
    events = thelook.events.sort_values(["session_id", "sequence_number"])
    visits = events.groupby("session_id")
    assert (events.sequence_number == visits.cumcount() + 1).all()
    assert (events.created_at.diff()[events.sequence_number > 1] > pd.Timedelta(0)).all()
    same = ["user_id", "ip_address", "city", "state", "postal_code", "browser", "traffic_source"]
    assert (visits[same].nunique(dropna=False) == 1).all(axis=None)
    assert (thelook.events.id == np.arange(1, len(events) + 1)).all()


def test_every_order_ends_a_visit_of_its_customer_that_looked_at_its_products(thelook: ReadShop) -> None:
    bought = thelook.events[thelook.events.event_type == "purchase"]
    keys = ["user_id", "created_at"]
    assert sorted(map(tuple, bought[keys].to_numpy())) == sorted(map(tuple, thelook.orders[keys].to_numpy()))
    last = thelook.events.groupby("session_id").sequence_number.transform("max")
    assert (bought.sequence_number == last[bought.index]).all()
    items = thelook.order_items.merge(bought, on=keys)
    looked = thelook.events[thelook.events.event_type == "product"][["session_id", "uri"]].drop_duplicates()
    items["uri"] = "/product/" + items.product_id.astype(str)
    assert items.merge(looked, on=["session_id", "uri"]).shape[0] == len(items) == len(thelook.order_items)


def test_ghosts_buy_nothing_and_are_users_of_no_table(thelook: ReadShop) -> None:
    ghosts = thelook.events[thelook.events.user_id.isna()]
    assert 0.4 < len(ghosts) / len(thelook.events) < 0.55
    assert "purchase" not in set(ghosts.event_type)


def test_visitors_come_from_where_their_user_lives(thelook: ReadShop) -> None:
    signed_in = thelook.events.dropna(subset="user_id").merge(
        thelook.users, left_on="user_id", right_on="id", suffixes=("", "_user")
    )
    for column in ("city", "state", "postal_code"):
        assert (signed_in[column] == signed_in[f"{column}_user"]).all(), column


def test_customers_live_around_the_true_places_of_their_cities(much_of_thelook: ReadShop) -> None:
    middles = much_of_thelook.users.groupby("city")[["latitude", "longitude"]].median()
    for city, latitude, longitude in (
        ("New York", 40.71, -74.01),
        ("São Paulo", -23.55, -46.63),
        ("Tokyo", 35.68, 139.65),
        ("Sydney", -33.87, 151.21),
    ):
        assert middles.loc[city].tolist() == pytest.approx([latitude, longitude], abs=0.1)
    spread = much_of_thelook.users.groupby("city").latitude.std()
    assert spread.median() == pytest.approx(0.12, abs=0.03)
    assert much_of_thelook.users.country.nunique() == 12
    assert much_of_thelook.users.age.agg(["min", "max"]).tolist() == [12, 70]


# -------------------------------------------------------------------- the same again


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    one, two, other = (
        fingerprint(generate_customers(tmp_path / name, scale=0.002, as_of=MONDAY, seed=seed).folder)
        for name, seed in (("one", 7), ("two", 7), ("other", 8))
    )
    assert one == two
    assert {name for name in one if one[name] == other[name]} == {"distribution_centers.csv"}


@pytest.mark.usefixtures("processes")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason=missing("Linux"))
def test_the_number_of_cores_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Several pieces of events, so that they are made side by side where there are cores.
    monkeypatch.setattr(customers_visits, "_USERS_AT_A_TIME", 100)
    program = f"""
import os
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
from datetime import date
from pathlib import Path
from instacart_pipeline.datagen import customers_visits
from instacart_pipeline.datagen.customers import generate_customers
customers_visits._USERS_AT_A_TIME = 100
generate_customers(Path({str(tmp_path / "one")!r}), scale=0.005, as_of=date(2026, 11, 23))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)
    generate_customers(tmp_path / "all", scale=0.005, as_of=MONDAY)
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "all")


@pytest.mark.parametrize("scale", [0.00001, 0.003])
def test_even_a_small_shop_has_users_hundreds_of_products_and_rows_of_its_monday(tmp_path: Path, scale: float) -> None:
    shop = ReadShop.of(generate_customers(tmp_path / "small", scale=scale, as_of=MONDAY))
    assert len(shop.users) == max(50, round(100_000 * scale))
    assert len(shop.products) >= 400
    assert set(shop.products.category) == {kind.name for _, kinds in DEPARTMENTS for kind in kinds}
    assert (shop.users.created_at >= pd.Timestamp(MONDAY, tz="UTC")).sum() >= 2


# -------------------------------------------------------------------- refusals and failures


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"scale": 0.0}, "scale="),
        ({"scale": float("inf")}, "scale="),
        ({"seed": -1}, "seed="),
        ({"as_of": date(2026, 11, 25)}, "such as 2026-11-23 or 2026-11-30"),
        ({"as_of": None}, "as_of="),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    tmp_path: Path, bad: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        generate_customers(tmp_path / "out", **({"scale": 0.001, "as_of": MONDAY} | bad))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched_and_an_empty_one_is_filled(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(PipelineError, match="not an empty folder"):
        generate_customers(tmp_path, scale=0.001, as_of=MONDAY)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]
    (tmp_path / "empty").mkdir()
    dump = generate_customers(tmp_path / "empty", scale=0.001, as_of=MONDAY)
    assert {path.name for path in dump.folder.iterdir()} == {f"{table.name}.csv" for table in STAGED}


def test_a_failure_while_writing_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(customers_files, "_bytes_of", full_disk)
    with pytest.raises(OSError, match="No space"):
        generate_customers(tmp_path / "out", scale=0.001, as_of=MONDAY)
    assert list(tmp_path.iterdir()) == []


def test_progress_rises_to_one(tmp_path: Path) -> None:
    heard: list[tuple[str, float]] = []
    generate_customers(
        tmp_path / "out", scale=0.001, as_of=MONDAY, progress=lambda what, share: heard.append((what, share))
    )
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert heard[-1] == ("done", 1.0)
    assert ("writing events", 1.0) in heard
