"""Files of invoices as UCI Online Retail has them, a file a day, of any size.

Belongs here: the invoices of a day, with the quirks of the real ones, and their files. Doesn't: what is sold to whom (retail_shop.py).

The quirks: cancellations of earlier sales on invoices that start with C, unknown customers, customer numbers written 17850.0, postage and fees,
lines that are alike in everything, descriptions with blanks at an end or none at all, corrections without a price, a code in small letters.
"""

from __future__ import annotations

import csv
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from instacart_pipeline.datagen.retail_shop import FEES, SEASONS, Customer, Product, Shop, shop_of

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
_FIRST_INVOICE = 536_365
_REMEMBERED = 5000
"""Latest sales that may still be cancelled."""
_OPENS, _OPEN_MINUTES = 8 * 60, 11 * 60
_ABOUT_AN_INVOICE = 20
_QUANTITIES = (1, 1, 2, 2, 3, 4, 6, 6, 8, 12, 12, 24, 48)
Row = tuple[str, str, str, int, str, str, str, str]


@dataclass(frozen=True)
class DayFile:
    """A file that was written, and how many lines it has."""

    path: Path
    lines: int


def generate_retail(out: Path, *, days: int, lines_a_day: int, seed: int, first_day: date) -> Iterator[DayFile]:
    """Write `days` files of `lines_a_day` lines each to the folder `out`, named by day, each as it is asked for.

    The same arguments give the same bytes. A file appears whole or not at all.
    """
    out.mkdir(parents=True, exist_ok=True)
    books = _Books(shop_of(seed))
    for number in range(days):
        day = first_day + timedelta(days=number)
        rows = books.day(day, lines_a_day, random.Random(f"{seed} {day.isoformat()}"))  # noqa: S311  # no secret
        path = out / f"{day.isoformat()}.csv"
        partial = path.with_name(f".{path.name}.part")
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(rows)
        partial.replace(path)
        yield DayFile(path, len(rows))


class _Books:
    """The shop's books: invoices are numbered on from day to day, and what was sold may be cancelled later."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self._next = shop, _FIRST_INVOICE
        self._sold: deque[tuple[Product, int, Customer]] = deque(maxlen=_REMEMBERED)

    def day(self, day: date, lines: int, rng: random.Random) -> list[Row]:
        """The lines of a day, in the order of their invoices."""
        # Only `random` is promised to give the same numbers on every Python.
        draw, season = rng.random, SEASONS[day.month % 12 // 3]
        rows: list[Row] = []
        while len(rows) < lines:
            # However large the invoices turn out, the day goes from opening to closing.
            minute = _OPENS + _OPEN_MINUTES * len(rows) // lines
            time = f"{day.isoformat()} {minute // 60:02}:{minute % 60:02}:00"
            kind = draw()
            if kind < 0.14 and self._sold:
                rows += self._cancellation(time, draw)
            elif kind < 0.18:
                rows.append(self._correction(time, season, draw))
            elif kind < 0.1805:
                rows.append((self._number("A"), "B", "Adjust bad debt", 1, time, "-11062.06", "", "United Kingdom"))
            else:
                rows += self._sale(time, season, draw)
        return rows[:lines]

    def _sale(self, time: str, season: str, draw: Callable[[], float]) -> list[Row]:
        number, customer = self._number(), self._shop.customer(draw())
        known = draw() < 0.88
        # A customer who isn't known is mostly a shop window's: many lines, one piece each.
        size = 1 + int(2 * _ABOUT_AN_INVOICE * draw() * draw() * (2 if known else 4))
        rows: list[Row] = []
        for _ in range(size):
            product = self._shop.product(season, draw())
            quantity = _QUANTITIES[int(len(_QUANTITIES) * draw())] if known else 1 + int(3 * draw())
            code = product.code.lower() if draw() < 0.003 else product.code
            row = _row(number, code, product.description, quantity, time, product.pence, customer if known else None)
            rows.append(row)
            if draw() < 0.01:
                rows.append(row)  # entered twice, and meant so
            if known:
                self._sold.append((product, quantity, customer))
        if known and customer.country != "United Kingdom" and draw() < 0.7:
            rows.append(_row(number, "POST", "POSTAGE", 1 + int(3 * draw()), time, 1800, customer))
        elif not known and draw() < 0.3:
            rows.append(_row(number, "DOT", "DOTCOM POSTAGE", 1, time, 5000 + int(90_000 * draw()), None))
        elif draw() < 0.02:
            code, description, prices = FEES[int(len(FEES) * draw())]
            pence = prices[int(len(prices) * draw())]
            rows.append(_row(number, code, description, 1, time, pence, customer if known else None))
        return rows

    def _cancellation(self, time: str, draw: Callable[[], float]) -> list[Row]:
        """Takes back lines that one customer bought earlier, whole or in part."""
        at = int(len(self._sold) * draw())
        _, _, customer = self._sold[at]
        number, rows = self._number("C"), list[Row]()
        for product, quantity, buyer in (self._sold[at], *list(self._sold)[at + 1 : at + 1 + int(4 * draw())]):
            if buyer == customer:
                back = quantity if draw() < 0.6 else 1 + int(quantity * draw())
                rows.append(
                    _row(number, product.code, product.description, -min(back, quantity), time, product.pence, customer)
                )
        if draw() < 0.02:
            rows.append(_row(number, "D", "Discount", -1, time, 500 + int(5000 * draw()), customer))
        return rows

    def _correction(self, time: str, season: str, draw: Callable[[], float]) -> Row:
        """A correction of the stock: no price, no customer, and a description only now and then."""
        said = ("", "", "damaged", "?", "check", "wet/rusty")[int(6 * draw())]
        return _row(self._number(), self._shop.product(season, draw()).code, said, -1 - int(60 * draw()), time, 0, None)

    def _number(self, letter: str = "") -> str:
        self._next += 1
        return f"{letter}{self._next - 1}"


def _row(
    number: str, code: str, description: str, quantity: int, time: str, pence: int, customer: Customer | None
) -> Row:
    written, country = (f"{customer.number}.0", customer.country) if customer else ("", "United Kingdom")
    return number, code, description, quantity, time, str(pence / 100), written, country
