"""A generated thelook shop, read back, for the tests of what is true of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from instacart_pipeline.customers.tables import STAGED
from instacart_pipeline.datagen.customers import ShopDump, generate_customers
from instacart_pipeline_tests.tiers import costs

MONDAY = date(2026, 11, 23)
TAKEN = pd.Timestamp("2026-11-23 10:00", tz="UTC")
TIMES = ("created_at", "shipped_at", "delivered_at", "returned_at", "sold_at")


@dataclass(frozen=True)
class ReadShop:
    """The seven tables of a dump, times as times."""

    dump: ShopDump
    distribution_centers: pd.DataFrame
    users: pd.DataFrame
    products: pd.DataFrame
    orders: pd.DataFrame
    inventory_items: pd.DataFrame
    order_items: pd.DataFrame
    events: pd.DataFrame

    @staticmethod
    def of(dump: ShopDump) -> ReadShop:
        return ReadShop(dump, **{table.name: _read(dump.folder / f"{table.name}.csv") for table in STAGED})

    def table(self, name: str) -> pd.DataFrame:
        found: pd.DataFrame = getattr(self, name)
        return found


def _read(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype={"postal_code": str}, low_memory=False, float_precision="round_trip")
    for name in set(TIMES) & set(table.columns):
        table[name] = pd.to_datetime(table[name].str.removesuffix(" UTC"), format="ISO8601", utc=True)
    return table


@pytest.fixture(scope="session")
def thelook(tmp_path_factory: pytest.TempPathFactory) -> ReadShop:
    """Some of the shop as of MONDAY: 1,500 users."""
    return ReadShop.of(generate_customers(tmp_path_factory.mktemp("thelook") / "dump", scale=0.015, as_of=MONDAY))


@pytest.fixture(scope="session")
@costs("deep")
def much_of_thelook(tmp_path_factory: pytest.TempPathFactory) -> ReadShop:
    """The same of 6,000 users, for what is true of many only."""
    return ReadShop.of(generate_customers(tmp_path_factory.mktemp("thelook") / "dump", scale=0.06, as_of=MONDAY))


@pytest.fixture
@costs("deep")
def processes() -> None:
    """For tests that let the generator, or themselves, start processes."""
