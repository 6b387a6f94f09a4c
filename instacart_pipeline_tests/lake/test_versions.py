"""Versions: their parameters, their lineage, and which may replace which."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.versions import MixedUploads, Version, is_upload, lineage_of, supersedes
from instacart_pipeline.lake.zones import new_version

TEXTS = st.text(max_size=20)
NAMES = st.sampled_from(["shop_staging.orders", "shop_staging.lines", "shop_curated.orders", "shop_curated.lines"])
UPLOADS = st.sampled_from(["1", "2", "3"])
LINEAGES = st.dictionaries(NAMES, UPLOADS)
OUTCOMES = st.builds(Outcome, TEXTS, st.integers(0, 1 << 40), TEXTS)
VERSIONS = st.builds(
    Version,
    name=TEXTS,
    location=TEXTS,
    rows=st.integers(-1, 1 << 60),
    bytes=st.integers(0, 1 << 60),
    lineage=st.dictionaries(TEXTS, TEXTS),
    outcomes=st.lists(OUTCOMES).map(tuple),
    facts=st.dictionaries(TEXTS, TEXTS),
    retired=st.lists(st.tuples(TEXTS, TEXTS)).map(tuple),
)


def made_from(name: str, **lineage: str) -> Version:
    return Version(name, f"/lake/{name}", 1, 1, {table.replace("__", "."): v for table, v in lineage.items()})


@given(VERSIONS)
@settings(max_examples=30)
def test_a_version_survives_the_catalog(version: Version) -> None:
    parameters = version.parameters()
    assert all(isinstance(value, str) for value in parameters.values())
    assert Version.of(version.location, parameters) == version


def test_names_sort_by_the_time_they_were_made_and_never_repeat() -> None:
    names = [new_version() for _ in range(1000)]
    assert len(set(names)) == 1000
    assert [name.split("-")[0] for name in names] == sorted(name.split("-")[0] for name in names)


def test_lineage_goes_back_to_the_uploads() -> None:
    orders = made_from("o1", shop_staging__orders="u1")
    lines = made_from("l1", shop_staging__lines="u2", shop_staging__orders="u1", shop_curated__orders="o1")
    assert lineage_of({"shop_curated.orders": orders, "shop_curated.lines": lines}) == {
        "shop_staging.orders": "u1",
        "shop_staging.lines": "u2",
        "shop_curated.orders": "o1",
        "shop_curated.lines": "l1",
    }


def test_different_uploads_are_not_read_together() -> None:
    orders, lines = made_from("o2", shop_staging__orders="u2"), made_from("l1", shop_staging__orders="u1")
    with pytest.raises(MixedUploads, match=r"shop_curated.lines and shop_curated.orders come from different uploads"):
        lineage_of({"shop_curated.orders": orders, "shop_curated.lines": lines})


def test_an_upload_read_beside_what_was_made_from_the_one_before_is_refused() -> None:
    with pytest.raises(MixedUploads, match=r"uploads of shop_staging.orders"):
        lineage_of(
            {"shop_staging.orders": made_from("u2"), "shop_curated.orders": made_from("o1", shop_staging__orders="u1")}
        )


def test_two_computations_from_one_upload_may_be_read_together() -> None:
    first = made_from("a", shop_staging__orders="u1", shop_curated__orders="o1")
    second = made_from("b", shop_staging__orders="u1", shop_curated__orders="o2")
    assert lineage_of({"shop_features.a": first, "shop_features.b": second})["shop_curated.orders"] == "o2"


@given(st.dictionaries(st.sampled_from(["shop_curated.a", "shop_curated.b", "shop_curated.c"]), LINEAGES, min_size=1))
@settings(max_examples=50)
def test_lineage_holds_every_origin_or_is_refused(lineages: dict[str, dict[str, str]]) -> None:
    inputs = {name: Version(f"v-{name}", f"/{name}", 1, 1, lineage) for name, lineage in lineages.items()}
    origins = {origin for lineage in lineages.values() for origin in lineage.items()}
    uploads = [name for name, _ in origins if is_upload(name)]
    if len(uploads) > len(set(uploads)):
        with pytest.raises(MixedUploads):
            lineage_of(inputs)
    else:
        newest = {name: max(origin for other, origin in origins if other == name) for name, _ in origins}
        assert lineage_of(inputs) == {**newest, **{name: version.name for name, version in inputs.items()}}


@given(LINEAGES, LINEAGES)
@settings(max_examples=50)
def test_a_version_stays_only_if_it_read_something_newer(one: dict[str, str], other: dict[str, str]) -> None:
    current, candidate = Version("1", "/1", 1, 1, one), Version("2", "/2", 1, 1, other)
    assert supersedes(current, candidate) == any(one[name] > other[name] for name in set(one) & set(other))


@given(LINEAGES)
@settings(max_examples=50)
def test_the_same_inputs_may_always_be_built_again(lineage: dict[str, str]) -> None:
    assert not supersedes(Version("2", "/2", 1, 1, lineage), Version("1", "/1", 1, 1, lineage))


def test_one_upload_catalogued_twice_is_one_version() -> None:
    first = Version("1", "/raw/orders", -1, 9, facts={"listing": "a"})
    again = Version("2", "/raw/orders", -1, 9, facts={"listing": "a"})
    changed = Version("3", "/raw/orders", -1, 9, facts={"listing": "b"})
    assert supersedes(first, again)
    assert not supersedes(first, changed)


def test_a_version_lists_what_it_replaced() -> None:
    first, second, third = made_from("1"), made_from("2"), made_from("3")
    last = third.after(second.after(first.after(None)))
    assert [location for location, _ in last.retired] == ["/lake/1", "/lake/2"]
    assert [location for location, _ in last.without_retired(["/lake/1"]).retired] == ["/lake/2"]


def test_only_versions_replaced_long_enough_ago_are_expired() -> None:
    def ago(days: float) -> str:
        return (datetime.now(timezone.utc) - timedelta(days=days)).isoformat()

    version = Version("3", "/3", 1, 1, retired=(("/1", ago(8)), ("/2", ago(6))))
    assert version.expired(timedelta(days=7)) == ["/1"]
    assert version.expired(timedelta(0)) == ["/1", "/2"]


def test_a_version_that_is_published_again_is_not_among_the_earlier_ones_that_are_removed_one_day() -> None:
    first, second = made_from("v1"), made_from("v2")
    again = first.after(second.after(first))
    assert [location for location, _ in again.retired] == [second.location]
    assert again.expired(timedelta(0)) == [second.location]
    assert again.locations == {first.location, second.location}
