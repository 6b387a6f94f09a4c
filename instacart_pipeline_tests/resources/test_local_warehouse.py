"""The warehouse on this machine: a process that is killed in the middle of a load, and readers who come meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from instacart_pipeline_tests.faulty_run import processes
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.resources.warehouses import FIRST, SECOND, Shop, line
from instacart_pipeline_tests.struck_engine import struck_before

NEW = "20260102T000000000000-000000"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two loaded days; the lake has a newer version of the first one."""
    platform = Platform(tmp_path, threads=1)
    made = Shop(platform, platform.resources.warehouse, 0)
    made.put(FIRST, [line("a"), line("b")])
    made.put(SECOND, [line("c", SECOND)])
    made.load(FIRST, SECOND)
    made.put(FIRST, [line("d")], NEW)
    return made


@pytest.mark.parametrize("point", ["INSERT INTO staged", "DELETE FROM", "INSERT INTO warehouse", "COMMIT"])
def test_a_load_whose_process_is_killed_leaves_the_old_rows_and_can_be_done_again(shop: Shop, point: str) -> None:
    process = processes.Process(target=_killed_at, args=(str(shop.twin.home), point))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert shop.ids() == [f"{FIRST} a", f"{FIRST} b", f"{SECOND} c"]
    assert shop.load(FIRST).total == 2
    assert shop.ids() == [f"{FIRST} d", f"{SECOND} c"]


def test_rows_that_were_committed_outlive_a_process_that_is_killed_before_it_closes_the_file(shop: Shop) -> None:
    process = processes.Process(target=_killed_at, args=(str(shop.twin.home), "SELECT count(*) FROM warehouse"))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert shop.ids() == [f"{FIRST} d", f"{SECOND} c"]


def test_a_reader_waits_for_a_load_and_sees_its_rows(shop: Shop) -> None:
    held, go_on = processes.Event(), processes.Event()
    process = processes.Process(target=_held_at, args=(str(shop.twin.home), "COMMIT", held, go_on))
    process.start()
    assert held.wait(60)
    reader = processes.Process(target=_read, args=(str(shop.twin.home),))
    reader.start()
    time.sleep(0.3)
    assert reader.is_alive()
    go_on.set()
    process.join(60)
    reader.join(60)
    assert (process.exitcode, reader.exitcode) == (0, 0)


def _load(home: str, point: str, strike: Callable[[], None]) -> None:
    platform = Platform(Path(home), threads=1)
    with struck_before(point, strike):
        Shop(platform, platform.resources.warehouse, 0).load(FIRST)


def _killed_at(home: str, point: str) -> None:
    _load(home, point, lambda: os.kill(os.getpid(), signal.SIGKILL))


def _held_at(home: str, point: str, held: Event, go_on: Event) -> None:
    def hold() -> None:
        held.set()
        go_on.wait(60)

    _load(home, point, hold)


def _read(home: str) -> None:
    platform = Platform(Path(home), threads=1)
    assert Shop(platform, platform.resources.warehouse, 0).ids() == [f"{FIRST} d", f"{SECOND} c"]
