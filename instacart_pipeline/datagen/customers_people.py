"""Who shops at the generated thelook shop: where customers live, since when they are registered, and how each shops.

Belongs here: what is one a user, and users.csv. Doesn't: orders (customers_orders.py), visits to the site (customers_visits.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from instacart_pipeline.datagen import customers_habits as habits
from instacart_pipeline.datagen import customers_words as words
from instacart_pipeline.datagen.customers_files import (
    DAY,
    HOUR,
    MINUTE,
    Column,
    Piece,
    joined,
    quoted,
    random_of,
    text,
    times,
)
from instacart_pipeline.datagen.customers_habits import Floats, Ints
from instacart_pipeline.datagen.customers_places import COUNTRIES

USER_COLUMNS = (
    *("id", "first_name", "last_name", "email", "age", "gender", "state", "street_address", "postal_code", "city"),
    *("country", "latitude", "longitude", "traffic_source", "created_at"),
)
YOUNGEST, OLDEST = 12, 70
SHORTEST_BEFORE_ORDER = HOUR
"""Nobody orders sooner after registering; the visit that ends with the order fits in between."""
_LATECOMERS = 2
"""Users who register on the as-of day itself whatever the scale: a dump is taken some hours into its day."""
_SCATTER = 0.12
"""Standard deviation of where customers live around their city's middle, degrees of latitude: 13 km."""
_CODES = np.arange(10, 100)
_USERS_AT_A_TIME = 50_000

_CITIES = [(country, city) for country in COUNTRIES for city in country.cities]
_CITY_WEIGHTS = [
    country.share * city.people / sum(other.people for other in country.cities) for country, city in _CITIES
]
CITY_NAMES = quoted([city.name for _, city in _CITIES])
STATES = quoted([city.state for _, city in _CITIES])
_COUNTRIES = quoted([country.name for country, _ in _CITIES])
POSTAL_CODES = pa.array([f"{city.postal}{code}" for _, city in _CITIES for code in _CODES.tolist()])
"""All there are; a place in it is one of People.postal."""


@dataclass(frozen=True)
class People:
    """The users by id - 1. `registered` in microseconds since 1970; `city` a place in CITY_NAMES, `habit` one in HABITS."""

    female: NDArray[np.bool_]
    habit: Ints
    registered: Ints
    city: Ints
    postal: Ints
    favoured: Ints

    def __len__(self) -> int:
        return len(self.habit)


def settle(rng: np.random.Generator, female: NDArray[np.bool_], habit: Ints, registered: Ints) -> People:
    """Gives each user a home, and a way by which the user likes to come to the shop."""
    city = habits.drawn_alike(rng, _CITY_WEIGHTS, len(habit))
    postal = city * len(_CODES) + rng.integers(len(_CODES), size=len(habit))
    return People(female, habit, registered, city, postal, habits.favoured_sources(rng, habit))


def registrations(rng: np.random.Generator, users: int, start: int, end: int) -> Ints:
    """When each user registered: any minute from `start` on, early enough before `end` for an order."""
    span = end - start - 2 * SHORTEST_BEFORE_ORDER
    moments = start + (rng.random(users) * span).astype(np.int64)
    late = rng.choice(users, min(_LATECOMERS, users), replace=False)
    today = end // DAY * DAY
    moments[late] = today + (rng.random(len(late)) * (start + span - today)).astype(np.int64)
    return moments // MINUTE * MINUTE


def registrations_before(rng: np.random.Generator, first: Ints, start: int) -> Ints:
    """When each user registered who ordered first at `first`: a day before or earlier, not before `start`."""
    moments = start + (rng.random(len(first)) * (first - DAY - start)).astype(np.int64)
    return moments // MINUTE * MINUTE


def user_pieces(people: People, seed: int, stream: int) -> Iterator[Piece]:
    """The rows of users.csv, by id."""
    for chunk, low in enumerate(range(0, len(people), _USERS_AT_A_TIME)):
        high = min(low + _USERS_AT_A_TIME, len(people))
        yield partial(_user_columns, people, slice(low, high), random_of(seed, stream, chunk))


def _user_columns(people: People, some: slice, rng: np.random.Generator) -> list[Column]:
    habit, city = people.habit[some], people.city[some]
    size = len(habit)
    ids = text(np.arange(some.start + 1, some.stop + 1))
    hers, his = _any_of(rng, words.FEMALE_NAMES, size), _any_of(rng, words.MALE_NAMES, size)
    first, last = pc.if_else(pa.array(people.female[some]), hers, his), _any_of(rng, words.LAST_NAMES, size)
    mail = joined(joined(pc.ascii_lower(first), ids, between=""), _any_of(rng, words.MAIL_HOSTS, size), between="@")
    age = rng.integers(YOUNGEST, OLDEST + 1, size)
    street = joined(text(rng.integers(1, 1000, size)), _any_of(rng, words.STREETS, size), between=" ")
    latitude, longitude = _homes(rng, city)
    at = pa.array(city)
    return [
        ids,
        first,
        last,
        mail,
        text(age),
        pa.array(["M", "F"]).take(pa.array(people.female[some].astype(np.int8))),
        STATES.take(at),
        street,
        POSTAL_CODES.take(pa.array(people.postal[some])),
        CITY_NAMES.take(at),
        _COUNTRIES.take(at),
        text(latitude),
        text(longitude),
        pa.array(habits.USER_SOURCES).take(pa.array(habits.user_sources(rng, habit))),
        times(people.registered[some]),
    ]


def _any_of(rng: np.random.Generator, choices: tuple[str, ...], size: int) -> pa.Array:
    return quoted(choices).take(pa.array(rng.integers(len(choices), size=size)))


def _homes(rng: np.random.Generator, city: Ints) -> tuple[Floats, Floats]:
    middle = np.array([(place.latitude, place.longitude) for _, place in _CITIES])[city]
    off = rng.standard_normal((len(city), 2)) * _SCATTER
    latitude = middle[:, 0] + off[:, 0]
    longitude = middle[:, 1] + off[:, 1] / np.cos(np.radians(latitude))
    return np.round(latitude, 6), np.round(longitude, 6)
