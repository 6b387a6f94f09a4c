"""What the generated thelook shop sells: products with their prices and departments, as text and as what shopping needs of them.

Belongs here: everything about products that holds for all customers, and draws from the shelves. Doesn't: a catalogue that is there
already (customers_beside.py), or pieces in stock (customers_orders.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from instacart_pipeline.datagen import customers_words as words
from instacart_pipeline.datagen.customers_files import fixed_width, hex_digits, quoted, text
from instacart_pipeline.datagen.customers_habits import Floats, Ints, drawn_alike

_FULL_PRODUCTS = 29_120
_SMALLEST_PRODUCTS = 400
_NO_BRAND = 0.001
_CENTER_WEIGHTS = (13, 13, 13, 9, 7, 9, 9, 10, 10, 7)
_PRICE_SPREAD = 0.62
"""Standard deviation of the logarithm of prices within a category."""
_CENTS = (0.99, 0.95, 0.00, 0.50, 0.49)
_CENT_WEIGHTS = (0.4, 0.2, 0.2, 0.1, 0.1)
PRODUCT_COLUMNS = ("cost", "category", "name", "brand", "retail_price", "department", "sku", "distribution_center_id")
"""Columns of products.csv behind the id, in their order; a piece in stock carries the same ones in the same order."""


@dataclass(frozen=True)
class Catalogue:
    """Products by their place in the file. `columns` are PRODUCT_COLUMNS as text for CSV files; `ids` the products' ids.

    `shelves` are the products' places, cheapest first, for men and for women.
    """

    ids: Ints
    columns: Mapping[str, pa.Array]
    shelves: tuple[Ints, Ints]

    def picked(self, rng: np.random.Generator, female: NDArray[np.bool_], bend: Floats) -> Ints:
        """A product for each customer: from the shelf for her or for him, by its rank in price bent by `bend`."""
        rank = rng.random(len(female)) ** bend
        places = np.empty(len(female), dtype=np.int64)
        for sex, shelf in ((False, self.shelves[0]), (True, self.shelves[1])):
            rows = np.flatnonzero(female == sex)
            places[rows] = shelf[np.minimum((rank[rows] * len(shelf)).astype(np.int64), len(shelf) - 1)]
        return places


def shelves_of(men: NDArray[np.bool_], women: NDArray[np.bool_], price: Floats) -> tuple[Ints, Ints]:
    """Places of the products for men and for women, cheapest first; where there are none for one of them, all are for both."""
    ranked = np.argsort(price, kind="stable")
    his, hers = ranked[men[ranked]], ranked[women[ranked]]
    return (his if len(his) else ranked), (hers if len(hers) else ranked)


def build_catalogue(rng: np.random.Generator, scale: float) -> Catalogue:
    """The shop's products: 29,120 at scale 1, growing with the square root of the scale, never below 400."""
    size = max(_SMALLEST_PRODUCTS, round(_FULL_PRODUCTS * float(np.sqrt(scale))))
    kinds = [(department, category) for department, categories in words.DEPARTMENTS for category in categories]
    kind = np.sort(drawn_alike(rng, [category.part for _, category in kinds], size))
    middle = np.array([category.price for _, category in kinds])[kind]
    dollars = np.clip(np.floor(middle * np.exp(_PRICE_SPREAD * rng.standard_normal(size))), 2, 998)
    price = (dollars + np.array(_CENTS)[drawn_alike(rng, _CENT_WEIGHTS, size)]).astype(np.float32).astype(np.float64)
    part = np.array([category.cost for _, category in kinds])[kind] + rng.uniform(-0.05, 0.05, size)
    women = np.array([department == "Women" for department, _ in kinds])[kind]
    columns = {
        "cost": text(price * part),
        "category": quoted([category.name for _, category in kinds]).take(pa.array(kind)),
        "name": quoted(_names(rng, [category for _, category in kinds], kind)),
        "brand": quoted(_brands(rng, size)),
        "retail_price": text(price),
        "department": quoted([department for department, _ in kinds]).take(pa.array(kind)),
        "sku": fixed_width(hex_digits(rng, size, 32, b"0123456789ABCDEF")),
        "distribution_center_id": text(drawn_alike(rng, _CENTER_WEIGHTS, size) + 1),
    }
    return Catalogue(np.arange(1, size + 1), columns, shelves_of(~women, women, price))


def _names(rng: np.random.Generator, kinds: list[words.Category], kind: Ints) -> list[str | None]:
    styles, fabrics, colours, endings = (
        [choices[at] for at in rng.integers(len(choices), size=len(kind)).tolist()]
        for choices in (words.STYLES, words.FABRICS, words.COLOURS, words.ENDINGS)
    )
    picks = rng.random(len(kind)).tolist()
    things = [kinds[k].things[int(pick * len(kinds[k].things))] for k, pick in zip(kind.tolist(), picks, strict=True)]
    return [
        f"{style} {fabric} {thing} - {colour}{ending}"
        for style, fabric, thing, colour, ending in zip(styles, fabrics, things, colours, endings, strict=True)
    ]


def _brands(rng: np.random.Generator, size: int) -> list[str | None]:
    """A brand a product: a few brands have many; of one in a thousand products none is known."""
    brands = [f"{head} {tail}".strip() for head, tail in product(words.BRAND_HEADS, words.BRAND_TAILS)]
    order = rng.permutation(len(brands))
    rank = np.minimum((len(brands) * rng.random(size) ** 2).astype(np.int64), len(brands) - 1)
    known = (rng.random(size) >= _NO_BRAND).tolist()
    return [brands[at] if there else None for at, there in zip(order[rank].tolist(), known, strict=True)]
