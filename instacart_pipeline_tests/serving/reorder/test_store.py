"""What requests look up: made once whoever asks first, whole or not at all, from files in any order, and gone when nobody reads it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkContext
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.serving.days import NoDay
from instacart_pipeline.serving.reorder import building
from instacart_pipeline.serving.reorder.days import Days
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.reorder import shop
from instacart_pipeline_tests.tiers import costs

NEXT = "2026-11-21"


def days(platform: Platform) -> Days:
    return Days(platform.catalog, TableFiles(), platform.home / "serving")


def folders(platform: Platform) -> list[str]:
    return sorted(path.name for path in (platform.home / "serving").iterdir() if path.is_dir())


@pytest.fixture
def served(platform: Platform) -> Days:
    shop.put_day(platform)
    found = days(platform)
    found.look()
    return found


def test_a_users_rows_are_what_the_tables_hold(served: Days) -> None:
    store = served.current
    position = store.position(7)
    assert position is not None
    products, matrix = store.candidates(position)
    assert store.features == shop.FEATURES
    assert products.tolist() == list(shop.CHANCES[7])
    assert matrix.dtype == np.float32
    assert matrix[:, 0].tolist() == [np.float32(chance) for chance in shop.CHANCES[7].values()]
    assert np.isnan(matrix[5, 2])
    assert matrix[0, 2] == 4
    assert store.order(position).days_since == 7.0
    assert store.position(3) is None
    assert store.knows(3)
    assert not store.knows(8)


def test_files_that_are_not_in_order_as_a_whole_are_put_in_order(platform: Platform, served: Days) -> None:
    """A table of several files may be sorted by user within each of them only."""
    folder = Path(platform.catalog.current(shop.OPEN_PAIRS, DT).location)
    (whole,) = folder.glob("*.parquet")
    rows = parquet.read_table(whole)
    other = Path(str(folder) + "0")
    other.mkdir()
    for number in range(3):
        parquet.write_table(rows.take(list(range(2 - number, rows.num_rows, 3))), other / f"part-{number}.parquet")
    version = Version("20260103T000000000000-000000", str(other), rows.num_rows, 1)
    platform.catalog.publish("reorder_sandbox", "open_pairs", DT, version)
    before = served.current
    assert served.look()
    for position in range(before.users):
        (ids, matrix), (known, expected) = served.current.candidates(position), before.candidates(position)
        assert sorted(ids.tolist()) == sorted(known.tolist())
        by_id, expected_by_id = np.argsort(ids), np.argsort(known)
        assert np.array_equal(matrix[by_id], expected[expected_by_id], equal_nan=True)


def test_the_newest_day_is_served_once_all_its_tables_are_there(platform: Platform, served: Days) -> None:
    platform.put_rows(shop.OPEN_PAIRS, [], dt=NEXT)
    assert not served.look()
    assert served.current.dt == DT
    shop.put_day(platform, NEXT)
    assert served.look()
    assert served.current.dt == NEXT
    assert not served.look()


def test_a_day_of_two_uploads_waits(platform: Platform, served: Days) -> None:
    shop.put_day(platform, NEXT)
    for table, upload in ((shop.OPEN_PAIRS, "a"), (t.ORDERS, "b")):
        put = platform.catalog.current(table, NEXT)
        lineage = {"reorder_staging.orders": upload}
        newer = Version(f"2{put.name}", put.location, put.rows, put.bytes, lineage, facts={"n": "2"})
        platform.catalog.publish(table.database, table.name, NEXT, newer)
    assert not served.look()
    assert served.current.dt == DT
    assert "different uploads" in served.trouble


def test_without_a_day_the_command_that_makes_one_is_named(platform: Platform) -> None:
    found = days(platform)
    assert not found.look()
    with pytest.raises(NoDay, match="instacart-pipeline run reorder-model --dt DAY"):
        found.current  # noqa: B018  # it raises


def test_pairs_of_somebody_without_an_open_order_are_refused(platform: Platform) -> None:
    shop.put_day(platform)
    row = {"order_id": 1, "product_id": 1, "user_id": 3, "chance": 0.1, "user_orders": 1, "up_orders": 1}
    platform.put_rows(shop.OPEN_PAIRS, [row], name="20260104T000000000000-000000")
    with pytest.raises(building.DayInconsistent, match="has user 3, who has no open order"):
        days(platform).look()
    assert folders(platform) == []


def test_a_day_nobody_reads_any_more_is_removed(platform: Platform, served: Days) -> None:
    reading = served.current
    shop.put_day(platform, NEXT)
    served.look()
    served.look()
    assert len(folders(platform)) == 2, "somebody still reads the day before"
    assert reading.candidates(0)[0].tolist() == list(shop.CHANCES[7])
    del reading
    served.look()
    assert folders(platform) == [served.current.folder.name]


def test_all_who_notice_a_day_at_once_make_it_once(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whichever process they are: the lock is one between open files, which threads have as well."""
    shop.put_day(platform)
    at_once, made, build = threading.Barrier(4), list[object](), building.build

    def counted(*arguments: object) -> None:
        made.append(arguments)
        time.sleep(0.1)  # the others come to the lock meanwhile
        build(*arguments)  # type: ignore[arg-type]

    def served() -> str:
        at_once.wait()
        found = days(platform)
        assert found.look()
        return found.current.dt

    monkeypatch.setattr(building, "build", counted)
    with ThreadPoolExecutor(4) as pool:
        assert [each.result() for each in [pool.submit(served) for _ in range(4)]] == [DT] * 4
    assert len(made) == 1


@pytest.fixture
@costs("contract")
def forked() -> ForkContext:
    """Processes that are this one's copies."""
    return multiprocessing.get_context("fork")


def test_a_process_killed_while_it_makes_a_day_leaves_nothing_to_be_taken_for_one(
    platform: Platform, forked: ForkContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put_day(platform)
    with monkeypatch.context() as slow:
        slow.setattr(building, "_write_products", lambda *_: time.sleep(600))
        process = forked.Process(target=lambda: days(platform).look())
        process.start()
        web.until(lambda: any(platform.home.glob("serving/.making-*/store/features.npy")))
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join(web.PATIENCE)
    found = days(platform)
    assert found.look()
    assert folders(platform) == [found.current.folder.name]
