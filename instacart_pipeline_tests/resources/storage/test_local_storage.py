"""The raw zone on this machine: how a file is written there, and when it is read again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from instacart_pipeline.resources.storage import RawObject
from instacart_pipeline.resources.storage import local as local_storage
from instacart_pipeline_tests.resources.raw_zones import DAY, LocalZone

FILES = {"a.csv": "id\n1\n", "b.csv.gz": "not looked into"}


@pytest.fixture
def zone(tmp_path: Path) -> LocalZone:
    return LocalZone(tmp_path)


def test_a_listing_gives_the_time_to_the_nanosecond(zone: LocalZone) -> None:
    zone.put(FILES)
    written = (zone.folder / "a.csv").stat()
    assert zone.objects()[0] == RawObject(f"{DAY}/a.csv", written.st_size, written.st_mtime_ns)


def test_a_listing_never_shows_a_file_that_is_half_written(zone: LocalZone, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_put_that_dies_leaves_the_file_as_it_was(zone: LocalZone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.put({"a.csv": "before"})
    listed = zone.objects()

    def dies(source: Path, target: Path) -> None:
        target.write_text(source.read_text()[:3])
        raise OSError("no space left")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="no space"):
        patched.setattr(shutil, "copyfile", dies)
        zone.put({"a.csv": "afterwards"})
    assert (zone.objects(), zone.read("a.csv")) == (listed, "before")

    zone.put({"a.csv": "afterwards"})
    assert zone.names() == ["a.csv"]


def test_a_new_time_alone_leaves_the_etag(zone: LocalZone) -> None:
    zone.put(FILES)
    etags = zone.etags()
    os.utime(zone.folder / "a.csv", ns=(1, 1))
    assert zone.etags() == etags


def test_a_file_is_read_for_its_etag_once(zone: LocalZone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.put(FILES)
    etags = zone.etags()
    monkeypatch.setattr(local_storage, "_digest", lambda path: pytest.fail(f"{path} is read again"))
    assert zone.etags() == etags
