"""The raw zone, whichever backend: what is put is listed, what hasn't changed is left alone, and ETags follow the content."""

from __future__ import annotations

from pathlib import Path

import pytest

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources import storage
from instacart_pipeline.resources.storage import listing_digest
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.raw_zones import DAY, LocalZone, S3Zone, Zone
from instacart_pipeline_tests.tiers import costs

FILES = {"a.csv": "id\n1\n", "b.csv.gz": "not looked into"}


@pytest.fixture(params=["local", "s3"])
@costs("contract")
def zone(request: pytest.FixtureRequest, tmp_path: Path) -> Zone:
    return LocalZone(tmp_path) if request.param == "local" else S3Zone(tmp_path, request.getfixturevalue("aws"))


def test_what_is_put_is_listed_with_its_path_size_and_time(zone: Zone) -> None:
    assert zone.put(FILES) == {"a.csv": True, "b.csv.gz": True}
    first, second = zone.objects()
    assert (first.path, first.size) == (f"{DAY}/a.csv", 5)
    assert 1_700_000_000 < first.modified_ns / 1e9 < 5_000_000_000
    assert second.path.endswith("/b.csv.gz")
    assert zone.read("a.csv") == FILES["a.csv"]
    assert zone.storage.days("reorder", "orders") == [DT]


def test_nothing_is_listed_where_nothing_was_put(zone: Zone) -> None:
    assert (zone.objects(), list(zone.storage.days("reorder", "orders"))) == ([], [])


def test_days_are_the_day_folders_of_the_table_alone(zone: Zone) -> None:
    for path in ("dt=2026-11-03", "dt=2026-11-01/below", "dt=soon", "other", "DT=2026-11-02"):
        zone.write(f"/reorder/orders/{path}/a.csv", "x")
    zone.write("/reorder/orders_old/dt=2020-01-01/a.csv", "x")
    zone.write("/reorder/orders/dt=2020-01-02", "a file, no folder")
    found = [day for day in zone.storage.days("reorder", "orders") if day != "2020-01-02"]
    assert found == ["2026-11-01", "2026-11-03", "soon"]


def test_the_same_bytes_again_leave_the_file_alone(zone: Zone) -> None:
    zone.put(FILES)
    before = zone.objects()
    assert zone.put(FILES) == {"a.csv": False, "b.csv.gz": False}
    assert zone.objects() == before
    assert zone.put({**FILES, "a.csv": "id\n2\n"}) == {"a.csv": True, "b.csv.gz": False}
    assert listing_digest(zone.objects()) != listing_digest(before)


def test_what_something_else_uploaded_is_left_alone_too_if_it_is_the_same(zone: Zone) -> None:
    zone.write("a.csv", FILES["a.csv"])
    zone.write("b.csv.gz", "other bytes")
    assert zone.put(FILES) == {"a.csv": False, "b.csv.gz": True}


def test_a_file_that_is_replaced_within_a_moment_changes_the_listing(zone: Zone) -> None:
    zone.put({"a.csv": "one"})
    before = listing_digest(zone.objects())
    zone.put({"a.csv": "two"})
    assert listing_digest(zone.objects()) != before


def test_files_that_are_no_longer_in_the_upload_are_removed(zone: Zone) -> None:
    zone.put(FILES)
    zone.write("_SUCCESS", "a marker of somebody's")
    zone.put({"c.csv": "id\n3\n"})
    assert zone.listed() == ["c.csv"]
    assert zone.names() == ["_SUCCESS", "c.csv"]


def test_hidden_files_markers_folders_and_other_kinds_are_no_data(zone: Zone) -> None:
    zone.put({"a.csv": "id\n1\n"})
    for name in (".a.csv.part", ".hidden.csv", "_SUCCESS", "_tmp.csv", "notes.txt", "a.csv.bak", "below/b.csv"):
        zone.write(name, "x")
    zone.write("folder.csv/inside", "x")
    zone.write("B.CSV.GZ", "x")
    assert zone.listed() == ["B.CSV.GZ", "a.csv"]


def test_a_limit_bounds_the_listing(zone: Zone) -> None:
    zone.put({f"{number}.csv": "x" for number in range(5)})
    found = zone.storage.objects("reorder", "orders", DT, limit=2)
    assert [each.path for each in found] == [f"{DAY}/0.csv", f"{DAY}/1.csv"]


def test_more_files_than_an_upload_may_have_are_an_error_and_never_cut_off(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MOST_FILES", 3)
    zone.put({f"{number}.csv": "x" for number in range(3)})
    assert len(zone.storage.all_objects("reorder", "orders", DT)) == 3
    zone.put({f"{number}.csv": "x" for number in range(4)})
    with pytest.raises(InputInvalid, match="orders dt=2026-11-20 of reorder has more than 3 files") as refused:
        zone.storage.all_objects("reorder", "orders", DT)
    for remedy in ("Upload it again in fewer, larger files", "INSTACART_STREAM_BUFFER_SECONDS", "stream replay"):
        assert remedy in str(refused.value)  # whichever way they came


def test_a_stream_of_many_shards_may_write_a_file_each_minute_all_day() -> None:
    assert storage.MOST_FILES > 32 * 24 * 60


def test_odd_names_are_put_and_listed_as_they_are(zone: Zone) -> None:
    names = ["a b+c%20=d.csv", "größe & ä.csv"]
    zone.put({name: name for name in names})
    assert zone.listed() == names
    assert [zone.read(name) for name in names] == names
    assert len(set(zone.etags())) == 2


def test_an_etag_follows_the_content_alone(zone: Zone) -> None:
    zone.put({"a.csv": "one", "b.csv": "one", "c.csv": "two"})
    first, second, other = zone.etags()
    assert first == second != other
    assert [zone.storage.etag(found) for found in zone.objects()] == [first, second, other]
    zone.put({"a.csv": "gone for now"})
    zone.put({"a.csv": "two", "b.csv": "one", "c.csv": "two"})
    assert zone.etags() == [other, second, other]


def add(zone: Zone, name: str, content: str) -> bool:
    return zone.storage.add("reorder", "orders", DT, name, content.encode())


def test_a_file_that_is_added_leaves_the_others_alone_and_replaces_one_of_its_name(zone: Zone) -> None:
    zone.put(FILES)
    assert add(zone, "c.csv", "id\n3\n")
    assert zone.listed() == ["a.csv", "b.csv.gz", "c.csv"]
    assert add(zone, "c.csv", "id\n4, größe\n")
    assert [zone.read(name) for name in ("a.csv", "c.csv")] == [FILES["a.csv"], "id\n4, größe\n"]
    assert zone.names() == ["a.csv", "b.csv.gz", "c.csv"]


def test_a_file_that_is_added_makes_its_day_and_has_the_etag_of_its_content(zone: Zone) -> None:
    add(zone, "a.csv", "one")
    assert zone.storage.days("reorder", "orders") == [DT]
    (before,) = zone.etags()
    zone.put({"a.csv": "one"})
    assert zone.etags() == [before]


def test_the_same_file_added_again_leaves_it_alone_whoever_wrote_it(zone: Zone) -> None:
    zone.write("a.csv", "id\n1\n")
    add(zone, "b.csv", "id\n2\n")
    before = zone.objects()
    assert (add(zone, "a.csv", "id\n1\n"), add(zone, "b.csv", "id\n2\n")) == (False, False)
    assert zone.objects() == before


def test_the_raw_zone_shows_nothing_of_a_file_that_can_not_be_added(tmp_path: Path) -> None:
    zone = LocalZone(tmp_path)
    zone.write("taken.csv/inside", "a folder in its place")
    with pytest.raises(storage.FileNotWritten, match=r"taken\.csv can't be written: Is a directory"):
        add(zone, "taken.csv", "id\n1\n")
    assert zone.listed() == []
