"""Real orders, products and distribution centres, for which the generator makes the rest of the shop.

Belongs here: reading and refusing those three files. Doesn't: what is generated for them (customers.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from instacart_pipeline.datagen import customers_habits as habits
from instacart_pipeline.datagen.customers_catalogue import PRODUCT_COLUMNS, Catalogue, shelves_of
from instacart_pipeline.datagen.customers_files import DAY, NEVER, quoted
from instacart_pipeline.datagen.customers_habits import Floats, Ints
from instacart_pipeline.datagen.customers_orders import ORDER_COLUMNS, Orders
from instacart_pipeline.lake.errors import ColumnsMissing, FileUnreadable, InputInvalid

FILES = ("distribution_centers.csv", "products.csv", "orders.csv")
_MOST_USERS = 20_000_000
_MOST_ITEMS = 10_000
_EPOCH = date(1970, 1, 1)
_TIME = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})? UTC$"
_CENTER_COLUMNS = ("id", "name", "latitude", "longitude")


@dataclass(frozen=True)
class Beside:
    """What is there: the files, the catalogue, the orders by their place in the file, and whether each user is female.

    `female` has a place for each user_id up to the largest; `ordered` says of which of them there are orders.
    """

    paths: tuple[Path, ...]
    centers: int
    catalogue: Catalogue
    orders: Orders
    female: NDArray[np.bool_]
    ordered: NDArray[np.bool_]

    @property
    def monday(self) -> date:
        """The first Monday on which all the orders count: later than the day of the last."""
        last = _EPOCH + timedelta(days=int(self.orders.created.max() // DAY))
        return last + timedelta(days=7 - last.weekday())


def read_beside(folder: Path, rng: np.random.Generator) -> Beside:
    """Reads the three files. `rng` draws what they don't say: the sex of users without orders.

    Raises: InputInvalid, naming file, column and value, if one is missing or can't be used.
    """
    centers = _File(folder / FILES[0], _CENTER_COLUMNS)
    products = _File(folder / FILES[1], ("id", *PRODUCT_COLUMNS))
    ordered_from = _File(folder / FILES[2], ORDER_COLUMNS)
    orders = _orders(ordered_from)
    female, ordered = _users(ordered_from, orders, rng)
    center_ids = centers.ids("id")
    shelved = products.whole("distribution_center_id", least=0)
    if (lost := ~np.isin(shelved, center_ids)).any():
        row = int(np.argmax(lost))
        raise products.bad("distribution_center_id", row, f"an id of {FILES[0]}")
    return Beside(
        tuple(folder / name for name in FILES), len(center_ids), _catalogue(products), orders, female, ordered
    )


class _File:
    """A CSV file whose columns are read as text and asked for by what they must be."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        if not path.is_file():
            raise InputInvalid(
                f"{path} is not there. The folder of --beside must hold {', '.join(FILES)}; nothing was generated."
            )
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        try:
            table = pa.csv.read_csv(
                path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=convert
            )
        except pa.ArrowInvalid as error:
            raise FileUnreadable(f"{path} can't be read as CSV: {error}. Nothing was generated.") from error
        if missing := [name for name in columns if name not in table.column_names]:
            raise ColumnsMissing(
                f"{path} lacks the columns {', '.join(missing)} (found {', '.join(table.column_names)}); "
                "nothing was generated."
            )
        if not table.num_rows:
            raise FileUnreadable(f"{path} holds a header and no rows; nothing was generated.")
        self._table = table.select(columns).combine_chunks()

    def texts(self, column: str) -> pa.Array:
        return self._table[column].combine_chunks()

    def bad(self, column: str, row: int, expected: str) -> InputInvalid:
        value = self.texts(column)[row].as_py()
        return InputInvalid(
            f"{self._path}, column {column}, row {row + 1:,} below the header: {value!r} is not {expected}. "
            "Nothing was generated."
        )

    def _all(self, column: str, good: pa.Array, expected: str) -> None:
        there = pc.fill_null(good, False)
        if not pc.all(there).as_py():
            raise self.bad(column, pc.index(there, pa.scalar(False)).as_py(), expected)

    def whole(self, column: str, *, least: int, most: int = 2**53) -> Ints:
        """Whole numbers from `least` to `most`."""
        texts = self.texts(column)
        expected = f"a whole number from {least} to {most}"
        self._all(column, pc.match_substring_regex(texts, r"^\d{1,16}$"), expected)
        numbers = texts.cast(pa.int64())
        self._all(column, pc.and_(pc.greater_equal(numbers, least), pc.less_equal(numbers, most)), expected)
        return numbers.to_numpy()  # type: ignore[no-any-return]

    def ids(self, column: str) -> Ints:
        """Whole numbers, each once."""
        numbers = self.whole(column, least=0)
        first = np.zeros(len(numbers), dtype=np.bool_)
        first[np.unique(numbers, return_index=True)[1]] = True
        if not first.all():
            raise self.bad(column, int(np.argmin(first)), "an id of its own: an earlier row has it")
        return numbers

    def amounts(self, column: str) -> Floats:
        """Numbers from 0 up, with or without decimals."""
        texts = self.texts(column)
        self._all(column, pc.match_substring_regex(texts, r"^\d{1,15}(\.\d+)?$"), "an amount such as 12.5")
        return texts.cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]

    def moments(self, column: str, *, needed: bool = False) -> Ints:
        """Times as microseconds since 1970, NEVER where there is none."""
        texts = self.texts(column)
        expected = "a time such as 2024-07-23 11:09:00 UTC"
        good = pc.match_substring_regex(texts, _TIME)
        self._all(column, good if needed else pc.fill_null(good, True), expected)
        try:
            read = pc.replace_substring(texts, " UTC", "").cast(pa.timestamp("us")).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise InputInvalid(f"{self._path}, column {column}: {error}. Nothing was generated.") from error
        return pc.fill_null(read, NEVER).to_numpy()  # type: ignore[no-any-return]

    def places(self, column: str, of: Sequence[str]) -> Ints:
        """Words, as their places in `of`."""
        texts = self.texts(column)
        found = pc.index_in(texts, value_set=pa.array(of))
        self._all(column, found.is_valid(), f"one of {', '.join(of)}")
        return found.cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def _orders(file: _File) -> Orders:
    return Orders(
        ids=file.ids("order_id"),
        user=file.whole("user_id", least=1, most=_MOST_USERS) - 1,
        status=file.places("status", habits.STATUSES),
        created=file.moments("created_at", needed=True),
        shipped=file.moments("shipped_at"),
        delivered=file.moments("delivered_at"),
        returned=file.moments("returned_at"),
        items=file.whole("num_of_item", least=1, most=_MOST_ITEMS),
    )


def _users(file: _File, orders: Orders, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    users = int(orders.user.max()) + 1
    female = rng.random(users) < 0.5  # either sex alike
    female[orders.user] = pc.fill_null(pc.equal(file.texts("gender"), "F"), False).to_numpy(zero_copy_only=False)
    ordered = np.zeros(users, dtype=np.bool_)
    ordered[orders.user] = True
    return female, ordered


def _catalogue(file: _File) -> Catalogue:
    file.amounts("cost")
    price = file.amounts("retail_price")
    sold_to = {
        who: pc.fill_null(pc.equal(file.texts("department"), who), False).to_numpy(zero_copy_only=False)
        for who in ("Men", "Women")
    }
    columns = {name: quoted(file.texts(name).to_pylist()) for name in PRODUCT_COLUMNS}
    return Catalogue(file.ids("id"), columns, shelves_of(sold_to["Men"], sold_to["Women"], price))
