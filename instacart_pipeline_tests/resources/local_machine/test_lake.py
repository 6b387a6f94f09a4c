"""The lake on this machine: version folders, their locks, sweeping, retention, and the engine's limits."""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from instacart_pipeline import profiles
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.local_machine.sweep import Swept
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.platform import DT, Platform

TABLE = t.USER_FEATURES_1
PATIENCE = 120


@pytest.fixture
def lake(platform: Platform) -> LocalLake:
    return platform.lake


def publish(lake: LocalLake, text: str) -> Path:
    """Publish a version whose only file holds `text`; its folder."""
    with lake.new_version(TABLE, DT) as folder:
        (folder.path / "part").write_text(text)
        lake.publish(TABLE, DT, Version(folder.name, str(folder.path), 1, len(text)))
    return folder.path


def current(lake: LocalLake) -> Path:
    return Path(lake.catalog.current(TABLE, DT).location)


def folders(lake: LocalLake) -> set[Path]:
    return set(Path(lake.zones.partition(TABLE, DT)).iterdir())


def test_a_published_version_is_there_whole_and_alone(lake: LocalLake) -> None:
    path = publish(lake, "rows")
    assert current(lake) == path
    assert [file.name for file in path.iterdir()] == ["part"]
    assert folders(lake) == {path}


def test_a_version_left_unpublished_is_removed(lake: LocalLake) -> None:
    with lake.new_version(TABLE, DT) as folder:
        (folder.path / "part").write_text("half")
    assert folders(lake) == set()


def test_an_error_removes_the_version_and_keeps_the_one_before(lake: LocalLake) -> None:
    before = publish(lake, "rows")
    with pytest.raises(ZeroDivisionError), lake.new_version(TABLE, DT):
        _ = 1 / 0
    assert folders(lake) == {before}
    assert current(lake) == before


def test_an_error_is_not_hidden_by_a_folder_that_is_gone_already(lake: LocalLake) -> None:
    with pytest.raises(ZeroDivisionError), lake.new_version(TABLE, DT) as folder:
        shutil.rmtree(folder.path)
        _ = 1 / 0


def test_a_superseded_version_is_removed(lake: LocalLake) -> None:
    def publish_from(upload: str) -> Path:
        with lake.new_version(TABLE, DT) as folder:
            version = Version(folder.name, str(folder.path), 1, 1, {"reorder_staging.orders": upload})
            lake.publish(TABLE, DT, version)
        return folder.path

    newer, older = publish_from("2"), publish_from("1")
    assert not older.exists()
    assert folders(lake) == {newer}


def _write(settings: Settings, ready: Event, go_on: Event) -> None:
    lake = Platform(**vars(settings)).lake
    with lake.scratch(), lake.new_version(TABLE, DT) as folder:
        (folder.path / "part").write_text("half")
        ready.set()
        go_on.wait(PATIENCE)


@pytest.fixture
def writer(platform: Platform, child_processes: ForkServerContext) -> Iterator[Any]:
    """Another process, in the middle of writing a version and with a scratch folder."""
    ready, go_on = child_processes.Event(), child_processes.Event()
    process = child_processes.Process(target=_write, args=(platform.settings, ready, go_on))
    process.start()
    assert ready.wait(PATIENCE)
    yield process
    process.kill()
    process.join()


def test_what_a_living_writer_writes_is_left_alone(lake: LocalLake, writer: Any) -> None:
    (written,) = folders(lake)
    assert lake.orphaned(TABLE, DT) == []
    assert lake.sweep(TABLE, DT) == []
    published = publish(lake, "rows")
    with lake.scratch():
        assert len(list((Path(lake.home) / "scratch").iterdir())) == 2
    assert folders(lake) == {written, published}
    assert writer.is_alive()


def test_what_a_dead_writer_wrote_is_swept_by_the_next(lake: LocalLake, writer: Any) -> None:
    (written,) = folders(lake)
    writer.kill()
    writer.join()
    assert lake.orphaned(TABLE, DT) == [written]
    published = publish(lake, "rows")
    assert folders(lake) == {published}
    with lake.scratch() as mine:
        assert list((Path(lake.home) / "scratch").iterdir()) == [mine]


def _die_before_locking(settings: Settings) -> None:
    lake, flock = Platform(**vars(settings)).lake, fcntl.flock

    def flock_or_die(lock: Any, operation: int) -> None:
        if Path(lock.name).name == ".writing":
            os.kill(os.getpid(), signal.SIGKILL)
        flock(lock, operation)

    with patch.object(fcntl, "flock", flock_or_die), lake.new_version(TABLE, DT):
        pass


def test_a_folder_whose_maker_died_before_locking_it_is_swept_too(
    platform: Platform, lake: LocalLake, child_processes: ForkServerContext
) -> None:
    maker = child_processes.Process(target=_die_before_locking, args=(platform.settings,))
    maker.start()
    maker.join()
    assert maker.exitcode == -signal.SIGKILL
    assert len(folders(lake)) == 1
    lake.sweep(TABLE, DT)
    assert folders(lake) == set()


def test_a_reader_keeps_the_version_it_found_while_a_new_one_is_published(lake: LocalLake) -> None:
    publish(lake, "old")
    with (current(lake) / "part").open() as reader:
        found = current(lake)
        publish(lake, "new")
        assert reader.read() == "old"
    assert (found / "part").read_text() == "old"
    assert (current(lake) / "part").read_text() == "new"


@pytest.mark.parametrize(("days", "kept"), [(7, True), (0, False)])
def test_replaced_versions_stay_for_the_retention_period(tmp_path: Path, days: int, kept: bool) -> None:
    lake = Platform(tmp_path / "home", retention_days=days).lake
    first, second = publish(lake, "1"), publish(lake, "2")
    lake.sweep(TABLE, DT)
    assert folders(lake) == ({first, second} if kept else {second})
    assert [Path(location) for location, _ in lake.catalog.current(TABLE, DT).retired] == ([first] if kept else [])
    assert (current(lake) / "part").read_text() == "2"


@pytest.mark.parametrize("retention_days", [0, 7])
def test_what_was_published_and_the_catalog_does_not_name_is_never_removed(tmp_path: Path, retention_days: int) -> None:
    lake = Platform(tmp_path / "home", retention_days=retention_days).lake
    published = publish(lake, "the only copy")
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
        (tmp_path / "home" / name).unlink(missing_ok=True)
    assert lake.unnamed(TABLE, DT) == [published]
    assert lake.catalog.lost_days(TABLE) == [DT]
    newer = publish(lake, "rows")
    assert lake.sweep(TABLE, DT) == []
    assert folders(lake) == {published, newer}


def test_a_run_removes_no_more_than_a_tenth_of_the_lake_of_what_was_published(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = Platform(tmp_path / "home", retention_days=0).lake
    first = publish(lake, "x" * 400)
    second = publish(lake, "y" * 100)
    third = publish(lake, "rows")
    assert folders(lake) == {first, second, third}
    assert "`instacart-pipeline sweep` lists them, and removes them with --apply." in caplog.text
    (tmp_path / "home" / "lake" / "raw").mkdir()
    (tmp_path / "home" / "lake" / "raw" / "orders.csv").write_bytes(bytes(5000))
    fourth = publish(lake, "more")
    assert folders(lake) == {third, fourth}


def test_nothing_outside_the_lake_is_removed_whatever_the_catalog_says(tmp_path: Path) -> None:
    lake = Platform(tmp_path / "home", retention_days=0).lake
    elsewhere = tmp_path / "backup" / "v=1"
    elsewhere.mkdir(parents=True)
    for location in (elsewhere, Path(lake.zones.version(TABLE, DT, "2"))):
        lake.publish(TABLE, DT, Version(location.name, str(location), 0, 0))
    assert lake.sweep(TABLE, DT) == []
    assert elsewhere.exists()


def sweep(lake: LocalLake, *, apply: bool = False) -> Swept:
    return profiles.sweep(Settings(home=Path(lake.home), retention_days=lake.retention_days), apply=apply)


def test_more_than_a_tenth_of_the_lake_is_listed_and_removed_only_when_told_so(tmp_path: Path) -> None:
    lake = Platform(tmp_path / "home", retention_days=0).lake
    first, second = publish(lake, "x" * 400), publish(lake, "y" * 400)
    listed = sweep(lake)
    assert (listed.folders, listed.refused) == ({str(first): 400}, True)
    assert folders(lake) == {first, second}
    assert sweep(lake, apply=True).folders == {str(first): 400}
    assert folders(lake) == {second}


def test_sweeping_all_finds_every_table_and_day(lake: LocalLake) -> None:
    published = publish(lake, "rows")
    orphaned = [
        Path(lake.zones.version(table, dt, "20261120T000000000000-abcdef"))
        for table in (TABLE, t.ORDERS)
        for dt in (DT, "2026-11-21")
    ]
    for folder in orphaned:
        folder.mkdir(parents=True)
    raw = Path(lake.zones.raw_partition("reorder", "orders", DT)) / "v=not a version"
    raw.mkdir(parents=True)
    assert sorted(sweep(lake).folders) == sorted(map(str, orphaned))
    assert not any(folder.exists() for folder in orphaned)
    assert published.exists()
    assert raw.exists()
    assert sweep(lake).folders == {}


def test_the_engine_keeps_to_its_threads_and_memory_and_clears_its_spill(tmp_path: Path) -> None:
    lake = Platform(tmp_path / "home", memory="1500MB", threads=1).lake
    with lake.engine() as connection:
        (settings,) = connection.execute(
            "SELECT current_setting('threads'), current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchall()
        assert settings[:2] == (1, "1.0 GiB")  # 1.5 GB less what Python takes
        spill = Path(settings[2])
        assert spill.parent == tmp_path / "home" / "scratch"
    assert not spill.exists()


def test_steps_at_once_share_memory_and_threads(tmp_path: Path) -> None:
    lake = Platform(tmp_path, memory="4GB", threads=4, concurrent_steps=2).lake
    assert (lake.memory, lake.threads) == (2_000_000_000, 2)
