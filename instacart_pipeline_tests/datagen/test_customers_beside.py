"""Customers, items, pieces and visits that are made for orders and products that are there already."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from instacart_pipeline.customers.tables import STAGED
from instacart_pipeline.datagen.customers import ShopDump, generate_customers
from instacart_pipeline.datagen.customers_beside import FILES
from instacart_pipeline.lake.errors import ColumnsMissing, FileUnreadable, InputInvalid
from instacart_pipeline_tests.datagen.conftest import MONDAY, ReadShop


@pytest.fixture(scope="module")
def own_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a shop's own three files, with holes in its ids, a column too many, and the last order on a Saturday."""
    made = generate_customers(tmp_path_factory.mktemp("shop") / "made", scale=0.002, as_of=MONDAY, seed=3)
    folder = tmp_path_factory.mktemp("shop") / "there"
    folder.mkdir()
    for name in FILES:
        table = pd.read_csv(made.folder / name, dtype=str, keep_default_na=False)
        if name == "orders.csv":
            table = table[(table.created_at < "2026-11-21 20") & (table.order_id.astype(int) % 5 > 0)].sample(
                frac=1, random_state=1
            )
            table.loc[table.index[0], "created_at"] = "2026-11-21 19:35:58.91 UTC"
            table["order_id"] = (table.order_id.astype(int) * 3 + 100).astype(str)
            table["user_id"] = (table.user_id.astype(int) + 10).astype(str)
        if name == "products.csv":
            table["id"] = (table.id.astype(int) * 2).astype(str)
        if name == "distribution_centers.csv":
            table["geom"] = "POINT(0 0)"
        table.to_csv(folder / name, index=False)
    return folder


@pytest.fixture
def there(own_files: Path, tmp_path: Path) -> Path:
    """A copy of these files, to be changed."""
    return Path(shutil.copytree(own_files, tmp_path / "there"))


def change(folder: Path, name: str, edit: Callable[[pd.DataFrame], object]) -> None:
    """Edits one of the three files as a table of text."""
    table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    edit(table)
    table.to_csv(folder / name, index=False)


def assert_made_for(there: Path, dump: ShopDump) -> None:
    """The dump is whole, and agrees with the orders and products it was made for."""
    shop = ReadShop.of(dump)
    assert dump.rows == {table.name: len(shop.table(table.name)) for table in STAGED}
    assert {name: (dump.folder / name).read_bytes() for name in FILES} == {n: (there / n).read_bytes() for n in FILES}
    for table in STAGED:
        rows = shop.table(table.name)
        for told in table.columns:
            if told.references:
                pointed = shop.table(told.references.table.name)[told.references.column]
                assert rows[told.name].dropna().isin(pointed).all(), (table.name, told.name)
    assert list(shop.users.id) == list(range(1, shop.orders.user_id.max() + 1))
    items, raw, products = (
        pd.read_csv(dump.folder / f"{name}.csv", dtype=str) for name in ("order_items", "orders", "products")
    )
    orders = raw.set_index("order_id")
    for column in ("user_id", "status", "created_at", "shipped_at", "delivered_at", "returned_at"):
        assert (items[column].fillna("") == items.order_id.map(orders[column]).fillna("")).all(), column
    assert (items.sale_price == items.product_id.map(products.set_index("id").retail_price)).all()
    counted = shop.order_items.groupby("order_id").size()
    assert (shop.orders.order_id.map(counted) == shop.orders.num_of_item).all()
    registered = shop.users.set_index("id")
    assert (shop.orders.created_at >= shop.orders.user_id.map(registered.created_at) + pd.Timedelta(hours=1)).all()
    assert (shop.orders.gender == shop.orders.user_id.map(registered.gender)).all()
    assert (shop.events.event_type == "purchase").sum() == len(shop.orders)


def test_a_whole_shop_is_made_around_the_orders_that_are_there(tmp_path: Path, there: Path) -> None:
    dump = generate_customers(tmp_path / "out", beside=there)
    assert dump.as_of == date(2026, 11, 23)
    assert_made_for(there, dump)


def test_it_is_the_same_shop_each_time(tmp_path: Path, there: Path) -> None:
    one, two = (generate_customers(tmp_path / name, beside=there).folder for name in ("one", "two"))
    assert all((one / path.name).read_bytes() == path.read_bytes() for path in two.iterdir())


def test_orders_of_a_monday_are_for_the_week_after_and_a_monday_that_is_given_is_kept(
    tmp_path: Path, there: Path
) -> None:
    change(there, "orders.csv", lambda t: t.__setitem__("created_at", "2026-11-23 08:00:00 UTC"))
    assert generate_customers(tmp_path / "next", beside=there).as_of == date(2026, 11, 30)
    given = generate_customers(tmp_path / "given", beside=there, as_of=date(2025, 1, 6))
    assert given.as_of == date(2025, 1, 6)
    assert_made_for(there, given)


def test_it_can_be_done_for_part_of_the_real_orders(tmp_path: Path, real_data: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    for name in FILES:
        content = (real_data / "thelook" / name).read_bytes()
        (folder / name).write_bytes(content)
    orders = pd.read_csv(folder / "orders.csv", dtype=str, keep_default_na=False)
    orders[orders.user_id.astype(int) <= 3000].to_csv(folder / "orders.csv", index=False)
    assert_made_for(folder, generate_customers(tmp_path / "out", beside=folder))


@pytest.mark.parametrize(
    ("name", "column", "value", "said"),
    [
        ("orders.csv", "order_id", "x1", "'x1' is not a whole number"),
        ("orders.csv", "user_id", "0", "'0' is not a whole number from 1 to"),
        ("orders.csv", "user_id", "4000000000", "'4000000000' is not a whole number"),
        ("orders.csv", "user_id", "", "None is not a whole number"),
        ("orders.csv", "status", "Lost", "'Lost' is not one of Complete, "),
        ("orders.csv", "created_at", "yesterday", "'yesterday' is not a time such as"),
        ("orders.csv", "created_at", "", "None is not a time such as"),
        ("orders.csv", "returned_at", "2024-07-23", "'2024-07-23' is not a time such as"),
        ("orders.csv", "num_of_item", "1.5", "'1.5' is not a whole number from 1 to"),
        ("products.csv", "retail_price", "-2", "'-2' is not an amount"),
        ("products.csv", "cost", "free", "'free' is not an amount"),
        ("products.csv", "distribution_center_id", "11", "'11' is not an id of distribution_centers.csv"),
    ],
)
def test_a_value_that_cant_be_used_is_named_with_file_column_and_row(
    tmp_path: Path, there: Path, name: str, column: str, value: str, said: str
) -> None:
    change(there, name, lambda t: t.loc.__setitem__((6, column), value))
    with pytest.raises(InputInvalid) as caught:
        generate_customers(tmp_path / "out", beside=there)
    text = str(caught.value)
    assert f"{there / name}, column {column}, row 7 below the header: {said}" in text
    assert not (tmp_path / "out").exists()


def test_a_day_that_no_calendar_has_is_named_with_its_file_and_column(tmp_path: Path, there: Path) -> None:
    change(there, "orders.csv", lambda t: t.loc.__setitem__((6, "created_at"), "2024-13-40 00:00:00 UTC"))
    with pytest.raises(InputInvalid, match=r"orders\.csv, column created_at.*2024-13-40"):
        generate_customers(tmp_path / "out", beside=there)


def test_an_id_that_comes_twice_is_refused(tmp_path: Path, there: Path) -> None:
    change(there, "products.csv", lambda t: t.loc.__setitem__((6, "id"), t.id[2]))
    with pytest.raises(InputInvalid, match=r"products\.csv, column id, row 7 .* an earlier row has it"):
        generate_customers(tmp_path / "out", beside=there)


def test_a_missing_file_column_or_row_is_refused_by_name(tmp_path: Path, there: Path) -> None:
    change(there, "orders.csv", lambda t: t.drop(columns=["status", "num_of_item"], inplace=True))
    with pytest.raises(ColumnsMissing, match=r"orders\.csv lacks the columns status, num_of_item"):
        generate_customers(tmp_path / "out", beside=there)
    change(there, "products.csv", lambda t: t.drop(index=t.index, inplace=True))
    with pytest.raises(FileUnreadable, match=r"products\.csv holds a header and no rows"):
        generate_customers(tmp_path / "out", beside=there)
    (there / "distribution_centers.csv").write_bytes(b"id,name,latitude,longitude\n1,M\xfcnchen,48,11\n")
    with pytest.raises(FileUnreadable, match=r"distribution_centers\.csv can't be read as CSV"):
        generate_customers(tmp_path / "out", beside=there)
    (there / "distribution_centers.csv").unlink()
    with pytest.raises(InputInvalid, match=r"distribution_centers\.csv is not there"):
        generate_customers(tmp_path / "out", beside=there)
    assert not (tmp_path / "out").exists()
