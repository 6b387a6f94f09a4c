"""Workers as processes: killed at any moment, told to stop, side by side, and asked for their numbers."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from instacart_pipeline.retail.consumers.consumer import RecordLine
from instacart_pipeline.retail.consumers.event_source_mapping import EventSourceMapping
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline_tests.retail.consumers.shop import Shop, lag, many_lines, soon
from instacart_pipeline_tests.tiers import costs


class Workers:
    """Workers of the shop's consumers, as `stream work` starts them."""

    def __init__(self, home: Path) -> None:
        self.home, self.running = home, list[subprocess.Popen[bytes]]()

    def start(self, consumer: str, *options: str, **settings: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "instacart_pipeline.cli.stream_worker", "--consumer", consumer, *options]
        environment = {
            **os.environ,
            "INSTACART_HOME": str(self.home),
            "INSTACART_STREAM_BUFFER_SECONDS": "1",
            **settings,
        }
        with (self.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, env=environment)
        self.running.append(process)
        return process

    def end(self) -> None:
        for process in self.running:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
@costs("deep")
def processes() -> ForkServerContext:
    """Makes child processes that have everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.fixture
@costs("deep")
def workers(tmp_path: Path) -> Iterator[Workers]:
    started = Workers(tmp_path)
    yield started
    started.end()


def ended(processes: Sequence[subprocess.Popen[bytes]], seconds: float = 120.0) -> list[int]:
    return [process.wait(seconds) for process in processes]


def work(home: Path, name: str, *, until_empty: bool, dies: bool) -> None:
    """A worker, in a process of its own that has everything loaded. One that `dies` is killed between its first batch and the commit."""
    consumer = Shop(home).consumer(name, window=0.0)
    if dies:
        consumer = replace(consumer, store=partial(_store_and_die, consumer.store))
    EventSourceMapping(Shop(home).stream, consumer, 0.01).run(threading.Event(), until_empty=until_empty)


def _store_and_die(store: Callable[[Sequence[RecordLine]], None], taken: Sequence[RecordLine]) -> None:
    store(taken)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_killed_again_and_again_at_any_moment_loses_no_line_and_counts_none_twice(
    shop: Shop, name: str, processes: ForkServerContext
) -> None:
    chance = random.Random(name)  # noqa: S311  # which moments doesn't matter, but that they are the same again
    lines = list(many_lines(12_000))
    shop.put(lines[:6000], at_once=1000)
    kills = between = 0
    for place in range(6):
        shop.put(lines[6000 + place * 1000 : 7000 + place * 1000], at_once=100)
        before, dies = lag(shop, name), place % 2 == 0
        options = {"until_empty": False, "dies": dies}
        process = processes.Process(target=work, args=(shop.home, name), kwargs=options)
        process.start()
        if not dies:
            soon(lambda: lag(shop, name) < before)  # noqa: B023  # it is called here and now
            time.sleep(chance.uniform(0.0, 0.1))
            process.kill()
        process.join(120)
        kills += process.exitcode == -signal.SIGKILL
        between += dies and lag(shop, name) == before
    assert (kills, between) == (6, 3)
    last = processes.Process(target=work, args=(shop.home, name), kwargs={"until_empty": True, "dies": False})
    last.start()
    last.join(120)
    assert (last.exitcode, lag(shop, name), shop.letters(name)) == (0, 0, [])
    expected = {line.line_id for line in lines}
    if name == "raw_zone":
        found = shop.raw_lines()
        assert found.keys() == expected
        doubles = sum(found.values()) - len(found)
        assert doubles <= 6 * 6000  # at most a batch a kill, and each the same line to the letter
    else:
        assert shop.invoices() == dict.fromkeys(expected, 1)
        assert {(each["lines"], each["is_cancellation"]) for each in shop.customers().values()} == {(20, False)}
        assert len(shop.customers()) == 600


def test_a_worker_ends_with_its_parent_and_at_sigterm_with_everything_committed_that_it_did(
    shop: Shop, workers: Workers
) -> None:
    shop.put(many_lines(3000))
    by_signal, by_parent = workers.start("lookups"), workers.start("raw_zone")
    soon(lambda: lag(shop, "lookups") < 3000)
    by_signal.terminate()
    assert by_parent.stdin is not None
    by_parent.stdin.close()
    assert ended([by_signal, by_parent]) == [0, 0]
    assert len(shop.invoices()) == 3000 - lag(shop, "lookups")


def test_two_workers_side_by_side_store_each_line_once(shop: Shop, workers: Workers) -> None:
    shop.put(many_lines(8000), at_once=2000)
    assert ended([workers.start("lookups", "--until-empty") for _ in range(2)]) == [0, 0]
    assert set(shop.invoices().values()) == {1}
    assert (len(shop.invoices()), lag(shop, "lookups")) == (8000, 0)


def test_a_worker_serves_its_numbers_while_it_works_a_backlog_off(shop: Shop, workers: Workers) -> None:
    shop.put(many_lines(2000))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    process = workers.start("raw_zone", "--metrics-port", str(port))
    soon(lambda: not lag(shop, "raw_zone"))

    def handled() -> float:
        lines = [
            line for line in _metrics(port).splitlines() if line.startswith('stream_records_total{consumer="raw_zone"')
        ]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    soon(lambda: handled() == 2000)
    assert 'stream_batch_seconds_count{consumer="raw_zone"}' in _metrics(port)
    process.terminate()
    assert ended([process]) == [0]


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    return text
