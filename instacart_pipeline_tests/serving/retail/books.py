"""Books of a shop: lines of invoices, the sales tables published of them, and what the analyses say of them, reckoned line by line.

The reckoning follows the descriptions of the tables (retail/sandbox_tables.py) with Python's own decimals, and shares no code with the API.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import httpx

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.retail import sandbox_tables as t
from instacart_pipeline.serving.api import create_app
from instacart_pipeline.serving.retail.sales import sales_days, sales_part
from instacart_pipeline.serving.retail.sales_store import SalesDays
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.serving import web

DT = "2011-12-09"
UNKNOWN = "unknown"
NEVER = 3600.0
"""Seconds between two searches for a new day, where a test calls `look` itself."""
SEASONS = {12: "winter", 1: "winter", 2: "winter", 3: "spring", 4: "spring", 5: "spring", 6: "summer", 7: "summer"}
NAMES = {
    "10002": "INFLATABLE POLITICAL GLOBE",
    "22423": "REGENCY CAKESTAND 3 TIER",
    "23843": "PAPER CRAFT , LITTLE BIRDIE",
    "47566": "PARTY BUNTING",
    "85123A": '<b>WHITE</b> HANGING HEART & "T-LIGHT" HOLDER',
    "99999": None,
}


class Line(NamedTuple):
    """A line of an invoice; a cancellation's invoice begins with C."""

    day: date
    country: str
    invoice: str
    customer: str
    product: str
    quantity: int
    price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.price


def some_lines(seed: int = 7, count: int = 1500) -> list[Line]:
    """Made-up books from December 2010 to the 9th of December 2011: whole days without sales, cancellations, fees, fractions of pence."""
    chance = random.Random(seed)  # noqa: S311  # the same books each time, guarding nothing
    first = date(2010, 12, 1)
    lines: list[Line] = []
    while len(lines) < count:
        day = first + timedelta(days=chance.randrange(374))
        if day.weekday() == 5 or date(2010, 12, 24) <= day <= date(2011, 1, 3):
            continue
        number = 536365 + len(lines)
        country = chance.choices(["United Kingdom", "Germany", "France", "EIRE", "Iceland"], [60, 12, 12, 10, 1])[0]
        customer = UNKNOWN if chance.random() < 0.25 else str(12346 + chance.randrange(40))
        cancelled = chance.random() < 0.1
        for _ in range(chance.randrange(1, 8)):
            product = chance.choice([*NAMES, "POST", "M"])
            price = (
                Decimal(chance.randrange(1, 200_000)) / 10_000
                if chance.random() < 0.1
                else Decimal(chance.randrange(10, 2000)) / 100
            )
            quantity = chance.randrange(1, 50) * (-1 if cancelled else 1)
            lines.append(Line(day, country, f"{'C' if cancelled else ''}{number}", customer, product, quantity, price))
    return lines


def put(platform: Platform, lines: Sequence[Line], dt: str = DT, version: str = "20260101T000000000000-000000") -> None:
    """Publish the tables that the dashboard reads."""
    for table, rows in tables_of(lines).items():
        platform.put_rows(table, rows, dt=dt, name=version)


def tables_of(lines: Sequence[Line]) -> dict[TableContract, list[Row]]:
    """The rows of the tables that the dashboard reads."""

    def grouped(of: Iterable[Line], *names: str) -> Iterator[tuple[Row, list[Line]]]:
        groups: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
        for line in of:
            groups[tuple(getattr(line, name) for name in names)].append(line)
        for key, lines_of_it in sorted(groups.items()):
            renamed = {"day": "sale_date", "product": "product_code", "customer": "customer_id"}
            yield {renamed.get(name, name): value for name, value in zip(names, key, strict=True)}, lines_of_it

    products = [line for line in lines if _is_product(line)]
    known = [line for line in lines if line.customer != UNKNOWN]
    return {
        t.DAILY_PRODUCT_SALES: [
            {**key, "revenue": _revenue(of), "quantity": _pieces(of)}
            for key, of in grouped(products, "day", "country", "product")
        ],
        t.DAILY_CUSTOMER_SALES: [
            {**key, "revenue": _revenue(of), "invoices": _invoices(of)}
            for key, of in grouped(known, "day", "country", "customer")
        ],
        t.PRODUCTS_SOLD: [
            {"product_code": code, "description": NAMES[code]} for code in sorted({line.product for line in products})
        ],
        t.DAILY_SALES: [
            {**key, "revenue": _revenue(of), "quantity": _pieces(of), "lines": len(of), "invoices": _invoices(of)}
            for key, of in grouped(lines, "day", "country")
        ],
    }


def expected(lines: Sequence[Line], top: int = 100) -> dict[str, list[Row]]:
    """The rows of the analyses, by the names of the API; a season has all of its products, the best first."""
    return {
        "months": [{"month": key, "revenue": _revenue(of)} for key, of in _by(lines, lambda line: f"{line.day:%Y-%m}")],
        "quarters": [
            {"quarter": key, "revenue": _revenue(of)}
            for key, of in _by(lines, lambda line: f"{line.day.year}Q{-(-line.day.month // 3)}")
        ],
        "weeks": [
            {"week_start": key, "revenue": _revenue(of), "quantity": _pieces(of), "invoices": _invoices(of)}
            for key, of in _by(lines, lambda line: str(line.day - timedelta(days=line.day.weekday())))
        ],
        "seasons": [
            {
                "season": season,
                "products": _best(
                    {"product_code": code, "description": NAMES[code], "revenue": _revenue(of), "quantity": _pieces(of)}
                    for code, of in _by(sold, lambda line: line.product)
                )[:top],
            }
            for season in ("winter", "spring", "summer", "autumn")
            if (sold := [x for x in lines if _is_product(x) and SEASONS.get(x.day.month, _late(x.day.month)) == season])
        ],
        "customers": _ranked(
            {
                "customer_id": key,
                "country": min(x.country for x in of if x.day == max(y.day for y in of)),
                "revenue": _revenue(of),
                "invoices": _invoices(of),
            }
            for key, of in _by([x for x in lines if x.customer != UNKNOWN], lambda line: line.customer)
        )[:top],
        "countries": _ranked(
            {
                "country": key,
                "revenue": _revenue(of),
                "lines": len(of),
                "invoices": _invoices(of),
                "customers": len({x.customer for x in of} - {UNKNOWN}),
            }
            for key, of in _by(lines, lambda line: line.country)
        ),
    }


def told(answer: Any) -> dict[str, list[Row]]:
    """What the API said, in the same form."""

    def exact(value: Any) -> Any:
        if isinstance(value, list):
            return [exact(one) for one in value]
        if isinstance(value, dict):
            return {k: Decimal(v) if k == "revenue" else exact(v) for k, v in value.items() if k != "partial"}
        return value

    parts = ("months", "quarters", "weeks", "seasons", "customers", "countries")
    return {name: exact(answer[name]) for name in parts}


def listening(platform: Platform, keys: Sequence[str] = (), look_every: float = NEVER) -> AbstractContextManager[str]:
    """The address of the web application with the sales of the platform, which is served over HTTP."""
    return web.listening(create_app([sales_part(days_of(platform), look_every=look_every)], keys))


def api(days: SalesDays, keys: Sequence[str] = ()) -> AbstractContextManager[httpx.Client]:
    """A client of it, in this process. It looks for nothing new but by `days`."""
    return web.called(create_app([sales_part(days, look_every=NEVER)], keys))


def days_of(platform: Platform) -> SalesDays:
    """The sales of the platform, day by day."""
    return sales_days(platform.catalog, TableFiles())


def _late(month: int) -> str:
    return "summer" if month == 8 else "autumn"


def _is_product(line: Line) -> bool:
    return line.product[:5].isdigit()


def _revenue(of: Iterable[Line]) -> Decimal:
    return sum((line.amount for line in of), Decimal(0))


def _pieces(of: Iterable[Line]) -> int:
    return sum(line.quantity for line in of)


def _invoices(of: Iterable[Line]) -> int:
    return len({line.invoice for line in of if line.invoice[0] != "C"})


def _by(lines: Iterable[Line], key: Callable[[Line], str]) -> Iterator[tuple[str, list[Line]]]:
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        groups[key(line)].append(line)
    yield from sorted(groups.items())


def _best(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row["revenue"])  # the sort keeps the order of the keys among equals


def _ranked(rows: Iterable[Row]) -> list[Row]:
    return [{"rank": rank, **row} for rank, row in enumerate(_best(rows), start=1)]
