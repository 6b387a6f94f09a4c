"""Generates the seven tables of the thelook shop at any size, or the four that go with real orders and products.

Belongs here: the entry, its checks, and the order of the work. How customers differ is in customers_habits.py; who they are, what they
order and how they visit the site in customers_people.py, _orders.py and _visits.py; the products in _catalogue.py, text in _files.py.
"""

from __future__ import annotations

import csv
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from instacart_pipeline.datagen import customers_habits as habits
from instacart_pipeline.datagen import customers_orders as shop
from instacart_pipeline.datagen import customers_people as population
from instacart_pipeline.datagen import customers_visits as site
from instacart_pipeline.datagen.customers_beside import Beside, read_beside
from instacart_pipeline.datagen.customers_catalogue import PRODUCT_COLUMNS, Catalogue, build_catalogue
from instacart_pipeline.datagen.customers_files import DAY, HOUR, Piece, random_of, write_table
from instacart_pipeline.datagen.customers_places import CENTERS
from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid

FULL_USERS = 100_000
_SMALLEST_USERS = 50
_YEARS_DAYS = 5 * 365 + 1
_BEFORE_FIRST_ORDER_DAYS = 30
_TAKEN = 10 * HOUR
"""How long into the as-of day the dump is taken."""
_EPOCH = date(1970, 1, 1)
_CATALOGUE, _PEOPLE, _USERS_FILE, _ORDERS, _ITEMS, _VISITS, _SEXES = range(7)


@dataclass(frozen=True)
class ShopDump:
    """A folder of the seven files, the Monday it is for, and the rows of each table."""

    folder: Path
    as_of: date
    rows: Mapping[str, int]


@dataclass(frozen=True)
class _Shop:
    catalogue: Catalogue
    people: population.People
    orders: shop.Orders
    start: int
    end: int


def generate_customers(
    out: Path,
    *,
    scale: float = 1.0,
    as_of: date | None = None,
    seed: int = 7,
    beside: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> ShopDump:
    """Writes the shop's seven tables as CSV files to the folder `out`, as a dump taken on the Monday `as_of` at 10:00 UTC.

    Scale 1 is 100,000 users, about 125,000 orders and 2.4 million events, of five years; users shrink with the scale (never below 50),
    products with its square root (never below 400). Nothing was created after the dump was taken, but what was done of the Monday itself
    is in it. The same arguments give the same bytes. `out` appears whole or not at all. `progress` hears what is being done and how much
    of everything is, from 0 to 1.

    With `beside`, a folder of the shop's own orders.csv, products.csv and distribution_centers.csv, these are copied, and users, items,
    pieces in stock and events are made for them, whatever the scale. `as_of` is then the first Monday after the last order unless given.

    Raises: SettingsInvalid for a scale, seed or day that makes no sense; InputInvalid for files of `beside` that can't be used;
    PipelineError if `out` already holds something. In each case before anything is written.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise SettingsInvalid(
            f"scale={scale}: it must be above 0. 1 is the full size (100,000 users), 0.01 a small try."
        )
    if seed < 0:
        raise SettingsInvalid(f"seed={seed}: it must be 0 or above.")
    if as_of is not None and as_of.weekday() != 0:
        before = as_of - timedelta(days=as_of.weekday())
        raise SettingsInvalid(f"as_of={as_of}: it must be a Monday, such as {before} or {before + timedelta(days=7)}.")
    if as_of is None and beside is None:
        raise SettingsInvalid("as_of=None: without real orders to go by, the Monday of the dump must be given.")
    out = out.resolve()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise PipelineError(
            f"{out} already exists and is not an empty folder; nothing was generated. "
            "Remove it, or generate into another folder."
        )
    tell = progress or (lambda _what, _share: None)
    tell("reading" if beside else "shopping", 0.0)
    there = None if beside is None else read_beside(beside, random_of(seed, _SEXES))
    monday = as_of or (there.monday if there else date.min)
    end = (monday - _EPOCH).days * DAY + _TAKEN
    made = _shop_beside(there, seed, end) if there else _shop(scale, seed, end)

    out.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        hidden.chmod(0o755)
        rows = _copied(hidden, there, made) if there else _catalogue_files(hidden, made.catalogue)
        rows |= _write(hidden, made, seed, tell, orders=there is None)
        hidden.rename(out)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    tell("done", 1.0)
    return ShopDump(out, monday, rows)


def _shop(scale: float, seed: int, end: int) -> _Shop:
    rng = random_of(seed, _PEOPLE)
    users = max(_SMALLEST_USERS, round(FULL_USERS * scale))
    start = end - _YEARS_DAYS * DAY
    counts = habits.order_counts(rng, users)
    habit = habits.habits_of(rng, counts)
    registered = population.registrations(rng, users, start, end)
    people = population.settle(rng, rng.random(users) < 0.5, habit, registered)
    orders = shop.place_orders(random_of(seed, _ORDERS), people, counts, end)
    return _Shop(build_catalogue(random_of(seed, _CATALOGUE), scale), people, orders, start, end)


def _shop_beside(there: Beside, seed: int, end: int) -> _Shop:
    """Customers for the orders that are there, with habits that these make likely."""
    rng, orders, users = random_of(seed, _PEOPLE), there.orders, len(there.female)
    start = int(orders.created.min()) - _BEFORE_FIRST_ORDER_DAYS * DAY
    counts = np.bincount(orders.user, minlength=users)
    ends = np.bincount(orders.user * len(habits.STATUSES) + orders.status, minlength=users * len(habits.STATUSES))
    habit = habits.habits_of(rng, counts, ends.reshape(users, -1))
    registered = population.registrations(rng, users, start, max(end, start + DAY))
    first = np.full(users, np.iinfo(np.int64).max)
    np.minimum.at(first, orders.user, orders.created)
    registered[there.ordered] = population.registrations_before(rng, first[there.ordered], start)
    return _Shop(there.catalogue, population.settle(rng, there.female, habit, registered), orders, start, end)


def _write(folder: Path, made: _Shop, seed: int, tell: Callable[[str, float], None], *, orders: bool) -> dict[str, int]:
    """Writes the tables that are made for the orders, and the orders themselves if they are generated. Returns the rows of each."""
    catalogue, people = made.catalogue, made.people
    items, stock = shop.fill_orders(random_of(seed, _ITEMS), people, made.orders, catalogue, made.start, made.end)
    visits = site.event_pieces(
        people, made.orders, items.product, catalogue, start=made.start, end=made.end, seed=seed, stream=_VISITS
    )
    tables: list[tuple[str, Sequence[str], Iterator[Piece]]] = [
        ("users", population.USER_COLUMNS, population.user_pieces(people, seed, _USERS_FILE)),
        *([("orders", shop.ORDER_COLUMNS, shop.order_pieces(made.orders, people))] if orders else []),
        ("order_items", shop.ITEM_COLUMNS, shop.item_pieces(items, made.orders, catalogue)),
        ("inventory_items", shop.STOCK_COLUMNS, shop.stock_pieces(stock, catalogue)),
        ("events", site.EVENT_COLUMNS, visits),
    ]
    rows, pieces = dict[str, int](), site.event_piece_count(people)
    for name, header, parts in tables:
        tell(f"writing {name}", 0.2 + 0.05 * len(rows))
        told = partial(_tell_events, tell, pieces) if name == "events" else None
        rows[name] = write_table(folder / f"{name}.csv", header, parts, told)
    return rows


def _tell_events(tell: Callable[[str, float], None], pieces: int, done: int) -> None:
    tell("writing events", 0.45 + 0.55 * done / pieces)


def _copied(folder: Path, there: Beside, made: _Shop) -> dict[str, int]:
    for path in there.paths:
        shutil.copyfile(path, folder / path.name)
    return {
        "distribution_centers": there.centers,
        "products": len(made.catalogue.ids),
        "orders": len(made.orders),
    }


def _catalogue_files(folder: Path, catalogue: Catalogue) -> dict[str, int]:
    with (folder / "distribution_centers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "name", "latitude", "longitude"))
        writer.writerows((number, *center) for number, center in enumerate(CENTERS, 1))
    columns = [catalogue.ids, *(catalogue.columns[name] for name in PRODUCT_COLUMNS)]
    products = write_table(folder / "products.csv", ("id", *PRODUCT_COLUMNS), iter([lambda: columns]))
    return {"distribution_centers": len(CENTERS), "products": products}
