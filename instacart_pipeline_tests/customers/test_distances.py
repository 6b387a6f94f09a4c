"""The distance to the nearest centre: the statement itself against published figures and against another formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.assets import sql
from instacart_pipeline.lake.sql import schema_of
from instacart_pipeline_tests.customers.shop import DT

Place = tuple[float, float]
"""Degrees north and east."""
RADIUS = 6371.0
HALF_WAY_ROUND = 20015.09  # pi * 6371 = 20015.0868
QUARTER = 10007.54  # half of it: 10007.5434
STATEMENT = sql("nearest_centers").bind(dt=DT).render("duckdb", schema_of([t.USERS, t.DISTRIBUTION_CENTERS]))
_PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def nearest(homes: Sequence[Place], centers: Sequence[Place]) -> list[tuple[int, float]]:
    """Of each home the number of the nearest centre, counted from 0, and the distance in km."""
    engine = _engine()
    for table, places in (("users", homes), ("distribution_centers", centers)):
        engine.execute(f"DELETE FROM customers_curated.{table}")
        north, east = zip(*places, strict=True)
        made = {"id": range(len(places)), "latitude": north, "longitude": east}
        engine.register("made", pa.table({name: pa.array(values) for name, values in made.items()}))
        engine.execute(f"INSERT INTO customers_curated.{table} BY NAME SELECT *, '{DT}' AS dt FROM made")
        engine.unregister("made")
    found = engine.execute(f"SELECT user_id, dc_id, distance_in_km FROM ({STATEMENT}) ORDER BY user_id").fetchall()
    assert [row[0] for row in found] == [*range(len(homes))]
    return [(row[1], row[2]) for row in found]


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One for all tests, with empty tables: to make one takes longer than what is asked of it."""
    engine = duckdb.connect(config={"threads": 1})
    engine.execute("CREATE SCHEMA customers_curated")
    where = "id BIGINT, latitude DOUBLE, longitude DOUBLE, dt VARCHAR"
    engine.execute(f"CREATE TABLE customers_curated.users ({where}, created_at TIMESTAMP DEFAULT '2020-01-01')")
    engine.execute(f"CREATE TABLE customers_curated.distribution_centers ({where}, name VARCHAR DEFAULT '')")
    return engine


def distance(home: Place, center: Place) -> float:
    ((_, found),) = nearest([home], [center])
    return found


def by_vectors(home: Place, center: Place) -> float:
    """The angle between two unit vectors, by the arctangent of their cross and dot products: exact at any distance."""

    def vector(place: Place) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        north, east = np.radians(place)
        return np.array([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])

    one, other = vector(home), vector(center)
    return float(RADIUS * np.arctan2(np.linalg.norm(np.cross(one, other)), one @ other))


@pytest.mark.parametrize(
    ("home", "center", "published", "tolerance"),
    [
        # Rosetta Code, "Haversine formula": Nashville airport to Los Angeles airport, for a radius of 6371.0 km
        ((36.12, -86.67), (33.94, -118.40), 2886.44444283798, 0.006),
        # scikit-learn, metrics.pairwise.haversine_distances: Ezeiza airport to Charles de Gaulle airport, 6371 km
        ((-34.83333, -58.5166646), (49.0083899664, 2.53844117956), 11099.54035582, 0.006),
        # README of the package haversine: Lyon to Paris, 392.2172595594006 for a radius of 6371.0088 km
        ((45.7597, 4.8422), (48.8567, 2.3508), 392.2172595594006 * 6371 / 6371.0088, 0.006),
        # Movable Type, "Calculate distance, bearing and more": Land's End to John o' Groats, 968.9 km to four figures
        ((50 + 3 / 60 + 59 / 3600, -5 - 42 / 60 - 53 / 3600), (58 + 38 / 60 + 38 / 3600, -3 - 4 / 60 - 12 / 3600), 968.9, 0.05),
    ],
    ids=["Nashville to Los Angeles", "Buenos Aires to Paris", "Lyon to Paris", "Land's End to John o' Groats"],
)  # fmt: skip
def test_distances_are_the_published_ones(home: Place, center: Place, published: float, tolerance: float) -> None:
    assert distance(home, center) == pytest.approx(published, abs=tolerance)
    assert distance(center, home) == distance(home, center)


def test_degrees_left_as_they_are_gave_another_published_figure() -> None:
    # The page of scikit-learn 0.21 forgot the radians of the same pair of airports and told 11279.45379464 km.
    south, north = (-34.83333, -58.5166646), (49.0083899664, 2.53844117956)
    half = [math.sin((b - a) / 2) ** 2 for a, b in zip(south, north, strict=True)]
    forgot = 2 * RADIUS * math.asin(math.sqrt(half[0] + math.cos(south[0]) * math.cos(north[0]) * half[1]))
    assert forgot == pytest.approx(11279.45379464, abs=1e-6)
    assert distance(south, north) == pytest.approx(11099.54, abs=0.006)


@pytest.mark.parametrize(
    ("home", "center", "expected"),
    [
        ((41.8369, -87.6847), (41.8369, -87.6847), 0.0),
        ((0.0, 0.0), (0.0, 180.0), HALF_WAY_ROUND),
        ((0.0, -90.0), (0.0, 90.0), HALF_WAY_ROUND),
        ((90.0, 0.0), (-90.0, 0.0), HALF_WAY_ROUND),
        ((41.8369, -87.6847), (-41.8369, 92.3153), HALF_WAY_ROUND),
        ((0.0, 179.5), (0.0, -179.5), 111.19),  # across the date line: one degree, not 359
        ((10.0, 180.0), (10.0, -180.0), 0.0),
        ((90.0, 0.0), (90.0, 137.0), 0.0),  # every meridian meets at the pole
        ((90.0, 17.0), (0.0, -80.0), QUARTER),
        ((-90.0, 0.0), (0.0, 33.0), QUARTER),
        ((0.0, 0.0), (0.0, 90.0), QUARTER),
        ((89.5, 0.0), (89.5, 180.0), 111.19),  # over the pole
    ],
)
def test_the_ends_of_the_earth_are_where_they_are(home: Place, center: Place, expected: float) -> None:
    assert distance(home, center) == expected


@settings(max_examples=30)
@example([(23.456789, 45.678901)], [(-23.456789, -134.321099)])  # antipodes: rounding may bring the haversine above 1
@given(st.lists(_PLACES, min_size=1, max_size=30), st.lists(_PLACES, min_size=1, max_size=12))
def test_the_nearest_is_the_nearest_by_another_formula(homes: list[Place], centers: list[Place]) -> None:
    for home, (number, found) in zip(homes, nearest(homes, centers), strict=True):
        away = [by_vectors(home, center) for center in centers]
        # Half of the last decimal, and what an arcsine near 1 loses.
        assert found == pytest.approx(min(away), abs=0.0055)
        assert away[number] == pytest.approx(min(away), abs=0.011)
        assert found == round(found, 2)


def test_antipodes_everywhere_have_a_distance() -> None:
    """The haversine of antipodes is 1 but for rounding; more than 1 has no arcsine."""
    numbers = np.random.default_rng(1)
    homes = [*zip(numbers.uniform(-90, 90, 500).tolist(), numbers.uniform(-180, 0, 500).tolist(), strict=True)]
    above = 0
    for north, _ in homes:
        half_north, half_east = math.radians(-2 * north) / 2, math.radians(180) / 2
        whole = math.sin(half_north) ** 2 + math.cos(math.radians(north)) ** 2 * math.sin(half_east) ** 2
        above += whole > 1
    assert above > 0
    for home in homes[:40]:
        assert distance(home, (-home[0], home[1] + 180)) == HALF_WAY_ROUND
