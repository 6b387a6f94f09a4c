"""The raw zone: files appear whole or not at all, and what hasn't changed is left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from instacart_pipeline.resources.local import storage as local_storage
from instacart_pipeline.resources.local.storage import LocalStorage
from instacart_pipeline.resources.storage import RawObject, listing_digest
from instacart_pipeline_tests.platform import DT

FILES = {"a.csv": "id\n1\n", "b.csv.gz": "not looked into"}


class Zone:
    """A raw zone in a folder of its own, and uploads of one table to it."""

    def __init__(self, home: Path) -> None:
        self.home, self.storage = home, LocalStorage(home=str(home))

    @property
    def folder(self) -> Path:
        return self.home / "lake" / "raw" / "reorder" / "orders" / f"dt={DT}"

    def put(self, files: Mapping[str, str]) -> Mapping[str, bool]:
        source = self.home / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        for name, text in files.items():
            (source / name).write_text(text)
        return self.storage.put("reorder", "orders", DT, sorted(source.iterdir()))

    def objects(self) -> list[RawObject]:
        return list(self.storage.objects("reorder", "orders", DT))

    def names(self) -> list[str]:
        """Everything that lies in the day's folder, hidden or not."""
        return sorted(path.name for path in self.folder.iterdir())

    def etags(self) -> list[str]:
        return [self.storage.etag(found) for found in self.objects()]


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(tmp_path)


def test_what_is_put_is_listed_with_its_path_size_and_time(zone: Zone) -> None:
    assert zone.put(FILES) == {"a.csv": True, "b.csv.gz": True}
    written = (zone.folder / "a.csv").stat()
    first, second = zone.objects()
    assert first == RawObject(f"reorder/orders/dt={DT}/a.csv", written.st_size, written.st_mtime_ns)
    assert second.path.endswith("/b.csv.gz")
    assert zone.storage.days("reorder", "orders") == [DT]


def test_nothing_is_listed_where_nothing_was_put(zone: Zone) -> None:
    assert (zone.objects(), zone.storage.days("reorder", "orders")) == ([], [])


def test_a_listing_never_shows_a_file_that_is_half_written(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.put({"a.csv": "before"})
    seen: list[list[tuple[str, int]]] = []

    def half_of_it(source: Path, target: Path) -> None:
        target.write_text(source.read_text()[:3])
        seen.append([(found.path.rsplit("/")[-1], found.size) for found in zone.objects()])
        target.write_text(source.read_text())

    monkeypatch.setattr(shutil, "copyfile", half_of_it)
    zone.put({"a.csv": "afterwards", "b.csv": "another one"})
    assert seen == [[("a.csv", 6)], [("a.csv", 10)]]
    assert zone.names() == ["a.csv", "b.csv"]


def test_a_put_that_dies_leaves_the_file_as_it_was(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.put({"a.csv": "before"})
    listed = zone.objects()

    def dies(source: Path, target: Path) -> None:
        target.write_text(source.read_text()[:3])
        raise OSError("no space left")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(shutil, "copyfile", dies)
        zone.put({"a.csv": "afterwards"})
    assert (zone.objects(), (zone.folder / "a.csv").read_text()) == (listed, "before")

    zone.put({"a.csv": "afterwards"})
    assert zone.names() == ["a.csv"]


def test_the_same_bytes_again_leave_the_file_alone(zone: Zone) -> None:
    zone.put(FILES)
    before = zone.objects()
    assert zone.put(FILES) == {"a.csv": False, "b.csv.gz": False}
    assert zone.objects() == before
    assert zone.put({**FILES, "a.csv": "id\n2\n"}) == {"a.csv": True, "b.csv.gz": False}
    assert listing_digest(zone.objects()) != listing_digest(before)


def test_files_that_are_no_longer_in_the_upload_are_removed(zone: Zone) -> None:
    zone.put(FILES)
    zone.put({"c.csv": "id\n3\n"})
    assert [found.path.rsplit("/")[-1] for found in zone.objects()] == ["c.csv"]


def test_hidden_files_markers_folders_and_other_kinds_are_no_data(zone: Zone) -> None:
    zone.put({"a.csv": "id\n1\n"})
    for name in (".a.csv.part", ".hidden.csv", "_SUCCESS", "_tmp.csv", "notes.txt", "a.csv.bak"):
        (zone.folder / name).write_text("x")
    (zone.folder / "folder.csv").mkdir()
    assert [found.path.rsplit("/")[-1] for found in zone.objects()] == ["a.csv"]


def test_a_limit_bounds_the_listing(zone: Zone) -> None:
    zone.put({f"{number}.csv": "x" for number in range(5)})
    assert len(zone.storage.objects("reorder", "orders", DT, limit=2)) == 2


def test_an_etag_follows_the_content_alone(zone: Zone) -> None:
    zone.put({"a.csv": "one", "b.csv": "one", "c.csv": "two"})
    first, second, other = zone.etags()
    assert first == second != other
    os.utime(zone.folder / "a.csv", ns=(1, 1))
    assert zone.etags() == [first, second, other]
    zone.put({"a.csv": "two", "b.csv": "one", "c.csv": "two"})
    assert zone.etags() == [other, second, other]


def test_a_file_is_read_for_its_etag_once(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.put(FILES)
    etags = zone.etags()
    monkeypatch.setattr(local_storage, "_digest", lambda path: pytest.fail(f"{path} is read again"))
    assert zone.etags() == etags
