"""The warehouse on this machine: a process that is killed in the middle of a load, and readers who come meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NoReturn

import pytest

from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.resources.warehouse.warehouses import FIRST, SECOND, Shop, line
from instacart_pipeline_tests.struck_engine import struck_before
from instacart_pipeline_tests.tiers import costs

STORAGE_OF_DUCKDB_1_0 = 64
NEW = "20260102T000000000000-000000"


@pytest.fixture
@costs("contract")
def shop(tmp_path: Path) -> Shop:
    """Two loaded days; the lake has a newer version of the first one."""
    platform = Platform(tmp_path, threads=1)
    made = Shop(platform, platform.resources.warehouse, 0)
    made.put(FIRST, [line("a"), line("b")])
    made.put(SECOND, [line("c", SECOND)])
    made.load(FIRST, SECOND)
    made.put(FIRST, [line("d")], NEW)
    return made


def test_a_new_file_opens_in_the_drivers_of_duckdb_1(shop: Shop) -> None:
    header = (shop.backend.home / "warehouse.duckdb").read_bytes()[:20]
    assert int.from_bytes(header[12:20], "little") == STORAGE_OF_DUCKDB_1_0


def test_a_load_whose_process_is_killed_leaves_the_old_rows_and_can_be_done_again(
    shop: Shop, child_processes: ForkServerContext
) -> None:
    process = child_processes.Process(target=_killed_at, args=(str(shop.backend.home), "COMMIT"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert shop.ids() == [f"{FIRST} a", f"{FIRST} b", f"{SECOND} c"]
    assert shop.load(FIRST).total == 2
    assert shop.ids() == [f"{FIRST} d", f"{SECOND} c"]


@pytest.mark.parametrize("point", ["INSERT INTO staged", "DELETE FROM", "INSERT INTO warehouse"])
def test_a_load_that_fails_at_a_statement_leaves_the_old_rows_and_can_be_done_again(shop: Shop, point: str) -> None:
    with struck_before(point, _fail), pytest.raises(ZeroDivisionError):
        shop.load(FIRST)
    assert shop.ids() == [f"{FIRST} a", f"{FIRST} b", f"{SECOND} c"]
    assert shop.load(FIRST).total == 2
    assert shop.ids() == [f"{FIRST} d", f"{SECOND} c"]


def test_rows_that_were_committed_outlive_a_process_that_is_killed_before_it_closes_the_file(
    shop: Shop, child_processes: ForkServerContext
) -> None:
    process = child_processes.Process(
        target=_killed_at, args=(str(shop.backend.home), "SELECT count(*) FROM warehouse")
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert shop.ids() == [f"{FIRST} d", f"{SECOND} c"]


def test_a_reader_waits_for_a_load_and_sees_its_rows(shop: Shop, child_processes: ForkServerContext) -> None:
    held, go_on = child_processes.Event(), child_processes.Event()
    process = child_processes.Process(target=_held_at, args=(str(shop.backend.home), "COMMIT", held, go_on))
    process.start()
    assert held.wait(120)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(shop.ids)
        assert wait([reading], timeout=0.3).not_done
        go_on.set()
        assert reading.result() == [f"{FIRST} d", f"{SECOND} c"]
    process.join()
    assert process.exitcode == 0


def _load(home: str, point: str, strike: Callable[[], None]) -> None:
    platform = Platform(Path(home), threads=1)
    with struck_before(point, strike):
        Shop(platform, platform.resources.warehouse, 0).load(FIRST)


def _killed_at(home: str, point: str) -> None:
    _load(home, point, lambda: os.kill(os.getpid(), signal.SIGKILL))


def _held_at(home: str, point: str, held: Event, go_on: Event) -> None:
    def hold() -> None:
        held.set()
        go_on.wait(120)

    _load(home, point, hold)


def _fail() -> NoReturn:
    raise ZeroDivisionError
