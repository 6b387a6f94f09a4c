"""Adding up the sales of a country and some days, by the same definitions as the analyses (retail/sql/analyses/).

Belongs here: the sums and their order. Doesn't: HTTP (sales.py), the shapes of answers (sales_answers.py says them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from instacart_pipeline.serving.columns import amount, shared_out
from instacart_pipeline.serving.retail import sales_answers as answers
from instacart_pipeline.serving.retail.sales_store import Facts, SalesStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEASONS: tuple[answers.SeasonName, ...] = ("winter", "spring", "summer", "autumn")
"""Meteorological: winter is December to February."""
_EPOCH = date(1970, 1, 1)
_remembered = lru_cache(maxsize=1 << 14)
"""For what is asked of the same few hundred days with each request."""


@dataclass(frozen=True)
class Choice:
    """What is to be added up: one country or all, and the days from `first` to `last`, both included; None is no bound."""

    country: str | None = None
    first: date | None = None
    last: date | None = None


def add_up(store: SalesStore, choice: Choice, top: int) -> answers.Sales:
    """Everything about the choice. `top` is how many products a season and how many customers are listed.

    Raises KeyError if the store has no such country.
    """
    known_from = store.first_day
    as_of = date.fromisoformat(store.dt)
    if known_from is None:
        first, last = 0, -1
    else:
        first = max(known_from, _number(choice.first) if choice.first else known_from)
        last = min(_number(as_of), _number(choice.last) if choice.last else _number(as_of))
    everywhere = store.sales.between(first, last)
    everywhere_customers = store.customer_sales.between(first, last)
    sales, products, customers = everywhere, store.product_sales.between(first, last), everywhere_customers
    if choice.country is not None:
        place = _place(store, choice.country)
        sales, products, customers = (facts.of_country(place) for facts in (sales, products, customers))
    covered = (_day(first), _day(last)) if first <= last else None
    return answers.Sales(
        as_of=as_of,
        choice=answers.Choice(country=choice.country, first=choice.first, last=choice.last),
        choices=answers.Choices(
            countries=list(store.countries), first_day=None if known_from is None else _day(known_from), last_day=as_of
        ),
        covered=answers.Days(first=covered[0], last=covered[1]) if covered else None,
        totals=_totals(sales, customers),
        months=[
            answers.Month(month=f"{start:%Y-%m}", revenue=amount(int(revenue)), partial=_partial(start, end, covered))
            for start, end, (revenue, _, _) in _periods(sales, _month)
        ],
        quarters=[
            answers.Quarter(
                quarter=f"{start.year}Q{(start.month + 2) // 3}",
                revenue=amount(int(revenue)),
                partial=_partial(start, end, covered),
            )
            for start, end, (revenue, _, _) in _periods(sales, _quarter)
        ],
        weeks=[
            answers.Week(
                week_start=start,
                revenue=amount(int(revenue)),
                quantity=int(quantity),
                invoices=int(invoices),
                partial=_partial(start, end, covered),
            )
            for start, end, (revenue, quantity, invoices) in _periods(sales, _week)
        ],
        seasons=list(_seasons(store, products, top)),
        customers=list(_customers(store, customers, top)),
        countries=list(_countries(store, everywhere, everywhere_customers)),
    )


def _totals(sales: Facts, customers: Facts) -> answers.Totals:
    revenue, invoices = int(sales.revenue.sum()), int(sales.invoices.sum())
    return answers.Totals(
        revenue=amount(revenue),
        quantity=int(sales.quantity.sum()),
        lines=int(sales.lines.sum()),
        invoices=invoices,
        revenue_per_invoice=amount(shared_out(revenue, invoices)) if invoices else None,
        customers=int(np.count_nonzero(np.bincount(customers.who))),
    )


def _periods(
    sales: Facts, bounds: Callable[[date], tuple[date, date]]
) -> Iterator[tuple[date, date, NDArray[np.int64]]]:
    """First and last day of each period that something was sold in, in order, with its revenue, pieces and invoices."""
    days, starts = np.unique(sales.day, return_index=True)
    if not len(days):
        return
    by_day = np.add.reduceat(np.stack((sales.revenue, sales.quantity, sales.invoices)), starts, axis=1)
    periods = [bounds(_day(int(day))) for day in days]
    begins = [at for at, period in enumerate(periods) if at == 0 or period != periods[at - 1]]
    sums = np.add.reduceat(by_day, begins, axis=1)
    for at, begin in enumerate(begins):
        yield (*periods[begin], sums[:, at])


@_remembered
def _month(day: date) -> tuple[date, date]:
    start = day.replace(day=1)
    return start, (start + timedelta(days=31)).replace(day=1) - timedelta(days=1)


@_remembered
def _quarter(day: date) -> tuple[date, date]:
    start = day.replace(day=1, month=day.month - (day.month - 1) % 3)
    return start, (start + timedelta(days=93)).replace(day=1) - timedelta(days=1)


@_remembered
def _week(day: date) -> tuple[date, date]:
    start = day - timedelta(days=day.weekday())
    return start, start + timedelta(days=6)


def _partial(start: date, end: date, covered: tuple[date, date] | None) -> bool:
    return covered is None or start < covered[0] or end > covered[1]


def _seasons(store: SalesStore, sold: Facts, top: int) -> Iterator[answers.Season]:
    count = len(store.products)
    if not len(sold.day):
        return
    first, last = int(sold.day[0]), int(sold.day[-1])
    seasons = np.array([_day(day).month % 12 // 3 for day in range(first, last + 1)], np.int32)
    groups = (seasons * np.int32(count))[sold.day - first] + sold.who
    revenue, quantity = _sums(groups, len(SEASONS) * count, sold.revenue, sold.quantity)
    there = np.bincount(groups, minlength=len(revenue)) > 0
    for number, season in enumerate(SEASONS):
        of_it = np.flatnonzero(there[number * count : (number + 1) * count]) + number * count
        best = of_it[np.lexsort((of_it, -revenue[of_it]))][:top]
        if len(best):
            yield answers.Season(
                season=season,
                products=[
                    answers.ProductSold(
                        product_code=(code := store.products[place % count]),
                        description=store.descriptions.get(code),
                        revenue=amount(int(revenue[place])),
                        quantity=int(quantity[place]),
                    )
                    for place in best
                ],
            )


def _customers(store: SalesStore, sold: Facts, top: int) -> Iterator[answers.Customer]:
    revenue, invoices = _sums(sold.who, len(store.customers), sold.revenue, sold.invoices)
    there = np.flatnonzero(np.bincount(sold.who, minlength=len(revenue)))
    best = there[np.lexsort((there, -revenue[there]))][:top]
    for rank, place in enumerate(best, start=1):
        of_it = np.flatnonzero(sold.who == place)
        latest = of_it[sold.day[of_it] == sold.day[of_it[-1]]]
        yield answers.Customer(
            rank=rank,
            customer_id=store.customers[place],
            country=store.countries[sold.country[latest].min()],
            revenue=amount(int(revenue[place])),
            invoices=int(invoices[place]),
        )


def _countries(store: SalesStore, sales: Facts, customers: Facts) -> Iterator[answers.Country]:
    count = len(store.countries)
    revenue, lines, invoices = _sums(sales.country, count, sales.revenue, sales.lines, sales.invoices)
    # Countries and customers are whatever clients call them: a cell for each pair of them could take any memory.
    pairs = np.unique(customers.country.astype(np.int64) * max(len(store.customers), 1) + customers.who)
    known = np.bincount(pairs // max(len(store.customers), 1), minlength=count)
    there = np.unique(sales.country)
    for rank, place in enumerate(there[np.lexsort((there, -revenue[there]))], start=1):
        yield answers.Country(
            rank=rank,
            country=store.countries[place],
            revenue=amount(int(revenue[place])),
            lines=int(lines[place]),
            invoices=int(invoices[place]),
            customers=int(known[place]),
        )


def _sums(groups: NDArray[np.integer], count: int, *columns: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The sum of each column by group; in whole numbers, which numpy's bincount doesn't keep."""
    sums = [np.zeros(count, np.int64) for _ in columns]
    for total, column in zip(sums, columns, strict=True):
        np.add.at(total, groups, column)
    return sums


def _place(store: SalesStore, country: str) -> int:
    try:
        return list(store.countries).index(country)
    except ValueError:
        raise KeyError(country) from None


def _number(day: date) -> int:
    return (day - _EPOCH).days


@_remembered
def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)
