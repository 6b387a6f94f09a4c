"""Visits to the site of the generated thelook shop, page by page: those that ended with an order, others, and ghosts.

Belongs here: events.csv. Doesn't: what was ordered (customers_orders.py).

A visit is made of parts: the home page or not, looks at products, and an end. A part is a word of letters, an event a letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from instacart_pipeline.datagen import customers_habits as habits
from instacart_pipeline.datagen.customers_catalogue import Catalogue
from instacart_pipeline.datagen.customers_files import (
    DAY,
    SECOND,
    Column,
    Piece,
    fixed_width,
    hex_digits,
    joined,
    quoted,
    random_of,
    text,
    times,
)
from instacart_pipeline.datagen.customers_habits import Ints
from instacart_pipeline.datagen.customers_orders import EXACT_DAYS, Orders
from instacart_pipeline.datagen.customers_people import CITY_NAMES, POSTAL_CODES, SHORTEST_BEFORE_ORDER, STATES, People

EVENT_COLUMNS = (
    *("id", "user_id", "sequence_number", "session_id", "created_at", "ip_address", "city", "state", "postal_code"),
    *("browser", "traffic_source", "uri", "event_type"),
)
EVENT_TYPES = ("home", "department", "product", "cart", "purchase", "cancel")
_LETTERS = "HDPCBX"
_DEPARTMENT, _PRODUCT = 1, 2
_WORDS = ("", "H", "DP", "P", "DPC", "DPPC", "PC", "CX", "B")
_LENGTHS = np.array([len(word) for word in _WORDS])
_EVENTS = np.array([[_LETTERS.index(letter) for letter in word.ljust(4, "H")] for word in _WORDS])

_ORDERED, _LOOKED, _GHOST = range(3)
# A row a kind of visit, in this order; heads, looks and ends with a column a word.
_HEADS = np.array([(0.55, 0.45), (0.60, 0.40), (0.85, 0.15)])
_LOOKS = np.array([(0, 0, 0, 0, 0.5, 0.4, 0.1), (0, 0, 0.7, 0.3, 0, 0, 0), (0, 0, 0.5, 0.5, 0, 0, 0)])
_ENDS = np.array([(0, 0, 0, 0, 0, 0, 0, 0, 1), (0.7, 0, 0, 0, 0, 0, 0, 0.3, 0), (0.82, 0, 0, 0, 0, 0, 0, 0.18, 0)])
_LOOK_COUNTS = np.array([(1, 0, 0), (0.5, 0.3, 0.2), (0.85, 0.15, 0)])
"""Of visits without an order by 1, 2 and 3 looks; those with one have a look an item."""
_GHOSTS_A_USER = 5
_MOST_LOOKS = 12
"""Pages of a large order's further items aren't looked at again, so that the visit fits between registering and ordering."""
_SHORTEST_PAGE, _LONGEST_PAGE = 5, 60
"""Seconds on a page. Of the longest visit: 1 + 12 * 4 + 1 pages, all in SHORTEST_BEFORE_ORDER."""
_BROWSERS = ("Chrome", "Safari", "Firefox", "IE", "Other")
_BROWSER_SHARES = (0.5, 0.2, 0.2, 0.05, 0.05)
_USERS_AT_A_TIME = 10_000


@dataclass(frozen=True)
class _Visits:
    """Some visits: who (-1 is a ghost), the user in whose place, the kind, the last page's time, looks, and the order's place or -1."""

    user: Ints
    place: Ints
    kind: Ints
    ended: Ints
    looks: Ints
    order: Ints


@dataclass(frozen=True)
class _Pages:
    """The events of some visits: the visit's place, the number within it, the event type, the product's place, the time."""

    visit: Ints
    number: Ints
    kind: Ints
    product: Ints
    created: Ints


def event_pieces(
    people: People,
    orders: Orders,
    products: Ints,
    catalogue: Catalogue,
    *,
    start: int,
    end: int,
    seed: int,
    stream: int,
) -> Iterator[Piece]:
    """The rows of events.csv, user by user some thousands at a time. `products` are the ordered items' places, order by order."""
    by_user = np.argsort(orders.user, kind="stable")
    bounds = np.searchsorted(orders.user[by_user], np.arange(0, len(people) + _USERS_AT_A_TIME, _USERS_AT_A_TIME))
    first_item = np.cumsum(orders.items) - orders.items
    addresses, written = _addresses(catalogue), 0
    for chunk, low in enumerate(range(0, len(people), _USERS_AT_A_TIME)):
        rng = random_of(seed, stream, chunk)
        users = np.arange(low, min(low + _USERS_AT_A_TIME, len(people)))
        visits = _visits(rng, people, orders, users, by_user[bounds[chunk] : bounds[chunk + 1]], (start, end))
        pages = _pages(rng, visits, products, first_item, len(catalogue.ids))
        yield partial(_event_columns, people, visits, pages, addresses, rng, written)
        written += len(pages.visit)


def event_piece_count(people: People) -> int:
    """How many pieces events.csv is made in."""
    return -(-len(people) // _USERS_AT_A_TIME)


def _visits(
    rng: np.random.Generator, people: People, orders: Orders, users: Ints, ordered: Ints, span: tuple[int, int]
) -> _Visits:
    start, end = span
    lookers = np.repeat(users, rng.poisson(habits.VISITS[people.habit[users]]))
    ghosts = rng.choice(users, _GHOSTS_A_USER * len(users))
    kind = np.repeat((_ORDERED, _LOOKED, _GHOST), (len(ordered), len(lookers), len(ghosts)))
    since = np.concatenate((people.registered[lookers], np.full(len(ghosts), start))) + SHORTEST_BEFORE_ORDER
    ended = since + (rng.random(len(since)) * (end - since)).astype(np.int64)
    ended = np.maximum(np.minimum(ended, end - 1) // SECOND * SECOND, since)
    fraction = rng.integers(SECOND, size=len(ended))
    ended += np.where((ended >= end - EXACT_DAYS * DAY) & (ended < end - SECOND), fraction, 0)
    looks = habits.drawn(rng, _LOOK_COUNTS, kind) + 1
    looks[: len(ordered)] = np.minimum(orders.items[ordered], _MOST_LOOKS)
    buyers = orders.user[ordered]
    return _Visits(
        user=np.concatenate((buyers, lookers, np.full(len(ghosts), -1))),
        place=np.concatenate((buyers, lookers, ghosts)),
        kind=kind,
        ended=np.concatenate((orders.created[ordered], ended)),
        looks=looks,
        order=np.concatenate((ordered, np.full(len(lookers) + len(ghosts), -1))),
    )


def _pages(rng: np.random.Generator, visits: _Visits, products: Ints, first_item: Ints, catalogue_size: int) -> _Pages:
    parts = visits.looks + 2
    visit = np.repeat(np.arange(len(parts)), parts)
    at = _within(parts)
    word = habits.drawn(rng, _LOOKS, visits.kind[visit])
    head, last = at == 0, at == parts[visit] - 1
    word[head] = habits.drawn(rng, _HEADS, visits.kind)
    word[last] = habits.drawn(rng, _ENDS, visits.kind)
    product = rng.integers(catalogue_size, size=len(visit))
    look = ~head & ~last & (visits.order[visit] >= 0)
    product[look] = products[first_item[visits.order[visit[look]]] + at[look] - 1]

    pages = _LENGTHS[word]
    part = np.repeat(np.arange(len(pages)), pages)
    visit = visit[part]
    of_visit = np.bincount(visit, minlength=len(parts))
    number = _within(of_visit)
    seconds = rng.integers(_SHORTEST_PAGE, _LONGEST_PAGE + 1, len(visit))
    passed = np.cumsum(seconds)
    until_end = passed[np.cumsum(of_visit) - 1][visit] - passed
    created = visits.ended[visit] - until_end * SECOND
    return _Pages(visit, number + 1, _EVENTS[word[part], _within(pages)], product[part], created)


def _within(counts: Ints) -> Ints:
    """0, 1, 2, ... for each of `counts`, on end."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _event_columns(
    people: People, visits: _Visits, pages: _Pages, addresses: pa.Array, rng: np.random.Generator, before: int
) -> list[Column]:
    known = visits.user >= 0
    habit = np.where(known, people.habit[visits.place], -1)
    source = habits.visit_sources(rng, habit, people.favoured[visits.place])
    city = pa.array(people.city[visits.place])
    user = pc.if_else(pa.array(known), text(visits.user + 1), pa.scalar(None, pa.string()))
    session = _session_ids(rng, len(habit))
    visitor = joined(
        _network_addresses(rng, len(habit)),
        CITY_NAMES.take(city),
        STATES.take(city),
        POSTAL_CODES.take(pa.array(people.postal[visits.place])),
        pa.array(_BROWSERS).take(pa.array(habits.drawn_alike(rng, _BROWSER_SHARES, len(habit)))),
        pa.array(habits.VISIT_SOURCES).take(pa.array(source)),
        between=",",
    )
    visit = pa.array(pages.visit)
    address = np.where(pages.kind == _DEPARTMENT, 2 * pages.product, 2 * pages.product + 1)
    address = np.where(np.isin(pages.kind, (_DEPARTMENT, _PRODUCT)), len(EVENT_TYPES) + address, pages.kind)
    return [
        text(np.arange(before + 1, before + len(visit) + 1)),
        user.take(visit),
        text(pages.number),
        session.take(visit),
        times(pages.created),
        visitor.take(visit),
        addresses.take(pa.array(address)),
        pa.array(EVENT_TYPES).take(pa.array(pages.kind)),
    ]


def _addresses(catalogue: Catalogue) -> pa.Array:
    """What stands in `uri`: an event type's own address each, then a department's and a product's for each product."""
    own = [f"/{kind}" for kind in EVENT_TYPES]
    shelf = zip(*(catalogue.columns[name].to_pylist() for name in ("department", "category", "brand")), strict=True)
    departments = [
        f"/department/{_plain(department)}/category/{_plain(category)}/brand/{_plain(brand)}"
        for department, category, brand in shelf
    ]
    pairs = zip(departments, catalogue.ids.tolist(), strict=True)
    return quoted([*own, *(address for department, number in pairs for address in (department, f"/product/{number}"))])


def _plain(name: str | None) -> str:
    return (name or "").lower().replace('"', "").replace("/", " ").strip()


def _session_ids(rng: np.random.Generator, size: int) -> pa.Array:
    digits = hex_digits(rng, size, 32, b"0123456789abcdef")
    chars = np.full((size, 36), ord("-"), dtype=np.uint8)
    chars[:, [at for at in range(36) if at not in (8, 13, 18, 23)]] = digits
    return fixed_width(chars)


def _network_addresses(rng: np.random.Generator, size: int) -> pa.Array:
    numbers = pa.array([str(number) for number in range(256)])
    first = rng.integers(1, 224, size)
    return joined(*(numbers.take(pa.array(part)) for part in (first, *rng.integers(0, 256, (3, size)))), between=".")
