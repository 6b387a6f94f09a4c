"""Transactions and the command `serve`: processes that are killed, two on one socket, a disk without room, numbers of all processes."""

from __future__ import annotations

import random
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.processes import Serve, Serving
from instacart_pipeline_tests.serving.retail.sales_client import a_line, lines_in
from instacart_pipeline_tests.tiers import missing

KILLS = 4


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def two(home: Path, serve_in_depth: Serve) -> Iterator[Serving]:
    """A server of two processes."""
    with serve_in_depth(home, "--workers", "2") as served:
        web.until(lambda: len(answering(served)) == 2)
        yield served


def workers(served: Serving, threads: int = 0) -> list[psutil.Process]:
    """The processes of the API that are alive and have so many threads."""
    found = []
    for one in served.children():
        with suppress(psutil.NoSuchProcess):  # which a zombie is, too
            if "instacart_pipeline.cli.api_worker" in one.cmdline() and one.num_threads() >= threads:
                found.append(one)
    return found


def answering(served: Serving) -> list[psutil.Process]:
    """Those that take requests by now: the threads of the application run."""
    return workers(served, threads=5)


class Posting:
    """Callers who post lines of their own, one at a time or fifty, and remember what was answered."""

    def __init__(self, url: str, callers: int) -> None:
        self.url, self.stopping = url, threading.Event()
        self.sent: list[list[dict[str, Any]]] = []
        self.accepted: set[str] = set()
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._post, args=(number,)) for number in range(callers)]

    def __enter__(self) -> Posting:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(web.PATIENCE)

    def _post(self, caller: int) -> None:
        with web.client_of(self.url) as client:
            for number in takewhile(lambda _: not self.stopping.is_set(), count(1)):
                self._post_one(client, caller, number)

    def _post_one(self, client: httpx.Client, caller: int, number: int) -> None:
        lines = 50 if number % 5 == 0 else 1
        body = [a_line(InvoiceNo=f"{caller}-{number}", Quantity=1 + at // 2) for at in range(lines)]
        with self._lock:
            self.sent.append(body)
        try:
            answer = client.post("/v1/transactions", json=body)
        except httpx.TransportError:
            return  # killed before it answered: the line may be stored or not
        with self._lock:
            if answer.status_code == 200:
                self.accepted.update(answer.json()["line_ids"])
            else:
                self.failures.append(answer.text)


def test_what_was_accepted_outlives_kills_and_a_resend_of_all_makes_it_whole(home: Path, two: Serving) -> None:
    chance = random.Random(7)  # noqa: S311  # the moments of the kills, guarding nothing
    with Posting(two.url, callers=2) as posting:
        for _ in range(KILLS):
            before = len(posting.accepted)
            web.until(lambda before=before: len(posting.accepted) > before + 20)
            time.sleep(chance.random() * 0.2)
            while not (alive := answering(two)):  # the other one died just before, and a new one begins
                time.sleep(0.02)
            chance.choice(alive).kill()
    assert two.text().count("is started again") >= KILLS - 2, "the last may be dead still"
    assert posting.failures == []
    stream = LocalStream(home=str(home))
    stored = {line.line_id for line in lines_in(stream)}
    assert len(posting.accepted) > 20 * KILLS
    assert posting.accepted <= stored

    web.until(lambda: len(answering(two)) == 2)

    def again(body: list[dict[str, Any]]) -> list[str]:
        ids: list[str] = two.client.post("/v1/transactions", json=body).raise_for_status().json()["line_ids"]
        return ids

    with ThreadPoolExecutor(4) as pool:
        wanted = [one for ids in pool.map(again, posting.sent) for one in ids]
    assert len(wanted) == len(set(wanted)) == sum(map(len, posting.sent))
    assert {line.line_id for line in lines_in(stream)} == set(wanted), "each line once, and nothing else"


def test_two_processes_take_requests_from_one_socket_and_tell_their_numbers_as_one(home: Path, two: Serving) -> None:
    client = two.client

    def post(quantity: int) -> int:
        answer = client.post("/v1/transactions", json=a_line(Quantity=quantity), headers={"Connection": "close"})
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(1, 101))) == {200}
    assert len({line.line_id for line in lines_in(LocalStream(home=str(home)))}) == 100
    for _ in range(5):
        assert (
            'instacart_lines_total{result="accepted"} 100.0'
            in client.get("/metrics", headers={"Connection": "close"}).text
        )
    (folder,) = (home / "scratch").glob("container-*")
    counted = {int(path.stem.rpartition("_")[2]) for path in folder.glob("counter_*.db")}
    assert counted == {one.pid for one in workers(two)}
    next(iter(workers(two))).kill()
    web.until(lambda: "is started again" in two.text())
    web.until(lambda: len(answering(two)) == 2)
    told = client.get("/metrics", headers={"Connection": "close"}).text
    assert 'instacart_lines_total{result="accepted"} 100.0' in told, "what the dead one counted stays"
    assert "instacart_lines_waiting 0.0" in told


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason=missing("Linux"))
def test_a_disk_without_room_is_told_until_there_is_some(home: Path, serve_in_depth: Serve) -> None:
    with serve_in_depth(home) as served:
        accepted = served.client.post("/v1/transactions", json=a_line()).raise_for_status().json()["line_ids"]
        (worker,) = workers(served)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))  # no file may grow
        answer = served.client.post("/v1/transactions", json=[a_line(Quantity=q) for q in range(7, 500)])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert answer.json()["error"]["code"] == "stream_full"
        assert "Make room on its disk" in answer.json()["error"]["message"]
        assert served.client.get("/health").status_code == 503
        assert "Make room on its disk" in served.client.get("/health/retail").json()["trouble"][0]
        assert [line.line_id for line in lines_in(LocalStream(home=str(home)))] == accepted
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        answer = served.client.post("/v1/transactions", json=[a_line(Quantity=q) for q in range(7, 500)])
        assert answer.json()["accepted"] == 493
        assert served.client.get("/health").status_code == 200
        assert [one.pid for one in workers(served)] == [worker.pid], "it never ended"
