"""The shop behind generated invoices: its products with their seasons, its customers, and what is on invoices besides products.

Belongs here: what there is to sell and who buys. Doesn't: the invoices of a day (retail.py).
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

_Choice = TypeVar("_Choice")

SEASONS = ("winter", "spring", "summer", "autumn")
_IN_SEASON, _OUT_OF_SEASON = 5.0, 0.4
_PRODUCTS = 2400
_CUSTOMERS = 1500
_HOME = "United Kingdom"
_ABROAD = (
    *("Germany", "France", "EIRE", "Spain", "Netherlands", "Belgium", "Switzerland", "Portugal", "Australia", "Norway"),
    *("Italy", "Channel Islands", "Finland", "Cyprus", "Sweden", "Austria", "Denmark", "Japan", "Poland", "USA"),
)
_STYLES = (
    *(
        "WHITE",
        "RED",
        "PINK",
        "BLUE",
        "IVORY",
        "VINTAGE",
        "RETROSPOT",
        "HANGING",
        "WOODEN",
        "KNITTED",
        "ANTIQUE SILVER",
    ),
    *("FELTCRAFT", "SWEETHEART", "REGENCY", "FRENCH", "JUMBO", "MINI", "SET OF 6", "PACK OF 72", "ASSORTED COLOUR"),
)
_MOTIFS = (
    *("HEART", "STAR", "BIRD", "POLKA DOT", "UNION JACK", "STRAWBERRY", "DAISY", "SPACEBOY", "WOODLAND", "DOLLY GIRL"),
    *("PAISLEY", "ALPHABET", "LOVE", "BUTTERFLY", "ROSE"),
)
_THINGS = {
    "": ("MUG", "CAKE CASES", "LUNCH BAG", "DOORMAT", "CLOCK", "T-LIGHT HOLDER", "WASHBAG", "TEASPOONS", "TRINKET BOX", "NOTEBOOK"),
    "winter": ("HOT WATER BOTTLE", "HAND WARMER", "TREE DECORATION"),
    "spring": ("EASTER EGG", "PLANT MARKER", "BIRD HOUSE"),
    "summer": ("PARASOL", "PICNIC BAG", "SUN HAT"),
    "autumn": ("LANTERN", "CHRISTMAS GARLAND", "GIFT WRAP"),
}  # fmt: skip
_PENCE = (29, 42, 55, 85, 125, 145, 165, 195, 210, 255, 295, 375, 425, 495, 595, 795, 995, 1275, 1695)
FEES = (
    ("M", "Manual", (100, 1500, 2500)),
    ("C2", "CARRIAGE", (5000,)),
    ("BANK CHARGES", "Bank Charges", (1500,)),
    ("S", "SAMPLES", (1250, 3300)),
)
"""Stock codes that are no products, with description and prices in pence. Postage and discounts are made where they belong."""


@dataclass(frozen=True)
class Product:
    """What is sold. `pence` is its price; descriptions have blanks at an end where the shop's have."""

    code: str
    description: str
    pence: int


@dataclass(frozen=True)
class Customer:
    """Who buys."""

    number: int
    country: str


@dataclass(frozen=True)
class Shop:
    """Products and customers, and which are picked how often. `weights` are cumulative, by season."""

    products: Sequence[Product]
    customers: Sequence[Customer]
    weights: Mapping[str, Sequence[float]]
    customer_weights: Sequence[float]

    def product(self, season: str, draw: float) -> Product:
        """A product, by a number from 0 to 1: a few are bought far more often than the rest, and each in its season."""
        return self.products[_place(self.weights[season], draw)]

    def customer(self, draw: float) -> Customer:
        """A customer, by a number from 0 to 1."""
        return self.customers[_place(self.customer_weights, draw)]


def shop_of(seed: int) -> Shop:
    """The shop of a seed."""
    draw = random.Random(f"shop {seed}").random  # noqa: S311  # nothing is kept secret by it
    products, seasons = [], []
    for number in range(_PRODUCTS):
        season = _picked(SEASONS, draw) if draw() < 0.25 else ""
        name = f"{_picked(_STYLES, draw)} {_picked(_MOTIFS, draw)} {_picked(_THINGS[season], draw)}"
        padded = f"{name} " if draw() < 0.2 else name
        letter = _picked("ABCDEFG", draw) if draw() < 0.25 else ""
        products.append(Product(f"{20_000 + 7 * number}{letter}", padded, _picked(_PENCE, draw)))
        seasons.append(season)
    popularity = [1 / (1 + int(_PRODUCTS * draw())) ** 0.8 for _ in products]
    weights = {
        now: list(
            accumulate(
                liked * (1 if not own else _IN_SEASON if own == now else _OUT_OF_SEASON)
                for liked, own in zip(popularity, seasons, strict=True)
            )
        )
        for now in SEASONS
    }
    customers = [
        Customer(12_346 + 3 * number, _HOME if draw() < 0.9 else _ABROAD[int(len(_ABROAD) * draw() ** 2)])
        for number in range(_CUSTOMERS)
    ]
    eagerness = list(accumulate(1 / (1 + int(_CUSTOMERS * draw())) ** 0.5 for _ in customers))
    return Shop(products, customers, weights, eagerness)


def _picked(choices: Sequence[_Choice], draw: Callable[[], float]) -> _Choice:
    return choices[int(len(choices) * draw())]


def _place(cumulated: Sequence[float], draw: float) -> int:
    return min(bisect(cumulated, draw * cumulated[-1]), len(cumulated) - 1)
