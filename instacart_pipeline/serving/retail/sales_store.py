"""A day of the sales tables in memory, and the change to a newer one.

Belongs here: reading the four tables of one as-of day, and which versions belong together. Doesn't: adding them up (sales_sums.py).

Amounts are whole ten-thousandths of a pound (serving/columns.py).
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instacart_pipeline.lake.versions import MixedUploads, lineage_of
from instacart_pipeline.retail.sandbox_tables import DASHBOARD
from instacart_pipeline.serving.columns import places, read_table, ten_thousandths
from instacart_pipeline.serving.days import DayLooker, NoDay, newest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from instacart_pipeline.lake.contracts import TableContract
    from instacart_pipeline.lake.versions import Version
    from instacart_pipeline.resources.catalog import Catalog
    from instacart_pipeline.resources.table_files import TableFiles

_log = logging.getLogger(__name__)
TABLES = tuple(table.qualified_name for table in DASHBOARD)


@dataclass(frozen=True)
class Facts:
    """Rows of a table in the order of their days. `day` counts days since 1970; `country` and `who` are places in the store's lists.

    `who` is the row's product or customer; of a table by day and country alone it is empty.
    """

    day: NDArray[np.int32]
    country: NDArray[np.int32]
    who: NDArray[np.int32]
    revenue: NDArray[np.int64]
    quantity: NDArray[np.int64]
    lines: NDArray[np.int64]
    invoices: NDArray[np.int64]

    def between(self, first: int, last: int) -> Facts:
        """The rows of the days from `first` to `last`, both included."""
        # In the column's own type: for another one numpy would make the whole column anew.
        start, end = np.searchsorted(self.day, np.array((first, last + 1), self.day.dtype))
        return Facts(*(column[start:end] for column in vars(self).values()))

    def of_country(self, country: int) -> Facts:
        """The rows of one country."""
        chosen = self.country == country
        return Facts(*(column[chosen] if len(column) else column for column in vars(self).values()))


@dataclass(frozen=True)
class SalesStore:
    """The sales as of the day `dt`. Countries, product codes and customers are in the order of the alphabet."""

    dt: str
    versions: Mapping[str, str]
    countries: Sequence[str]
    products: Sequence[str]
    descriptions: Mapping[str, str | None]
    customers: Sequence[str]
    sales: Facts
    product_sales: Facts
    customer_sales: Facts

    @property
    def first_day(self) -> int | None:
        """The first day that something was sold on, in days since 1970; None if nothing ever was."""
        return int(self.sales.day[0]) if len(self.sales.day) else None


class SalesDays(DayLooker):
    """The sales that are served. `current` changes from one store to the next in one step; who has the old one keeps it."""

    def __init__(self, catalog: Catalog, files: TableFiles) -> None:
        super().__init__()
        self.catalog, self.files = catalog, files
        self._store: SalesStore | None = None
        self._looking = threading.Lock()

    @property
    def current(self) -> SalesStore:
        """The store to answer from. Raises NoDay."""
        store = self._store
        if store is None:
            raise NoDay(
                self.trouble
                or f"No day has {' and '.join(TABLES)} yet. Upload transactions with `instacart-pipeline upload retail DIR`, then make "
                f"one with `instacart-pipeline run retail --dt DAY`."
            )
        return store

    def look(self) -> bool:
        """See DayLooker."""
        with self._looking:
            day, self.trouble = newest(self.catalog, TABLES, self._store.dt if self._store else None, of_one_load)
            if day is None:
                return False
            if self._store is not None and (self._store.dt, self._store.versions) == (day.dt, day.names):
                return False
            started = time.perf_counter()
            with tempfile.TemporaryDirectory(prefix="sales-") as scratch:
                folders = {table: self.files.folder(version, Path(scratch)) for table, version in day.versions.items()}
                self._store = read(day.dt, day.names, folders)
            _log.info("Serving the sales as of %s, read in %.1f s", day.dt, time.perf_counter() - started)
            return True


def of_one_load(versions: Mapping[str, Version]) -> None:
    """Raise MixedUploads unless the tables were computed from the same state of whatever they have in common.

    While a day is made again its tables are published one after the other: for that moment they don't add up.
    """
    lineage_of(versions)
    seen: dict[str, str] = {}
    for version in versions.values():
        for table, origin in version.lineage.items():
            if seen.setdefault(table, origin) != origin:
                raise MixedUploads(
                    f"{' and '.join(sorted(versions))} were computed from different loads of {table} ({seen[table]} and {origin}). "
                    f"A run may be under way; if none is, run the day once more."
                )


def read(dt: str, versions: Mapping[str, str], folders: Mapping[str, Path]) -> SalesStore:
    """The store of a day, from the folder of each of TABLES."""
    sales, product_sales, customer_sales, sold = (_table(table, folders[table.qualified_name]) for table in DASHBOARD)
    countries = sorted({name for one in (sales, product_sales, customer_sales) for name in _values(one, "country")})
    products = sorted(_values(product_sales, "product_code"))
    customers = sorted(_values(customer_sales, "customer_id"))
    names = zip(sold.column("product_code").to_pylist(), sold.column("description").to_pylist(), strict=True)
    return SalesStore(
        dt=dt,
        versions=dict(versions),
        countries=countries,
        products=products,
        descriptions=dict(names),
        customers=customers,
        sales=_facts(sales, countries, "", ()),
        product_sales=_facts(product_sales, countries, "product_code", products),
        customer_sales=_facts(customer_sales, countries, "customer_id", customers),
    )


def _table(contract: TableContract, folder: Path) -> Any:
    """The table, by day if it has days."""
    table = read_table(contract, folder)
    return table.sort_by("sale_date") if "sale_date" in table.column_names else table


def _values(table: Any, column: str) -> list[str]:
    values: list[str] = table.column(column).unique().to_pylist()
    return values


def _facts(table: Any, countries: Sequence[str], who: str, names: Sequence[str]) -> Facts:
    def numbers(name: str) -> NDArray[np.int64]:
        if name not in table.column_names:
            return np.empty(0, np.int64)
        values: NDArray[np.int64] = table.column(name).to_numpy()
        return values

    return Facts(
        day=table.column("sale_date").to_numpy().astype("datetime64[D]").astype(np.int32),
        country=places(table.column("country"), countries),
        who=places(table.column(who), names) if who else np.empty(0, np.int32),
        revenue=ten_thousandths(table.column("revenue")),
        quantity=numbers("quantity"),
        lines=numbers("lines"),
        invoices=numbers("invoices"),
    )
