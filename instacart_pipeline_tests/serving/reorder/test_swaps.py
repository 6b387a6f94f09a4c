"""What changes while it is served: model versions, days. Nobody who asks meanwhile is told anything but a whole answer."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.reorder import shop
from instacart_pipeline_tests.tiers import costs

OTHER_ORDER = ("user_orders", "up_orders", "chance")
NEXT = "2026-11-21"
CSV = {"Content-Type": "text/csv"}
DoctorReport = tuple[int, str, float]
"""The version that answered, the day, and what it said of user 7 and product 1."""


class Hammering:
    """Threads that ask without pause. `answers` counts what they were told, `failures` what was no answer."""

    def __init__(self, url: str, threads: int) -> None:
        self.answers: Counter[DoctorReport] = Counter()
        self.vectors = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url, number)) for number in range(threads)]

    def _ask(self, url: str, number: int) -> None:
        with web.client_of(url) as client:
            while not self._stop.is_set():
                try:
                    if number % 4 == 3:
                        answer = client.post("/invocations", content=shop.ORIGINAL_ROW, headers=CSV)
                        self.vectors += answer.raise_for_status().text == "0.3\n"
                        continue
                    told: Any = client.get("/v1/users/7/basket").raise_for_status().json()
                    first = told["basket"][0]
                    assert (first["product_id"], len(told["basket"]) + len(told["others"])) == (1, 7), told
                    self.answers[told["model"]["version"], told["day"], round(first["probability"], 3)] += 1
                except (httpx.HTTPError, AssertionError, IndexError) as error:
                    self.failures.append(f"{error} {getattr(getattr(error, 'response', None), 'text', '')}")

    def saw(self, told: DoctorReport, times: int = 20) -> bool:
        """Whether that was told so often already."""
        return self.answers[told] >= times

    def __enter__(self) -> Hammering:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(web.PATIENCE)


@contextmanager
def served(home: Path) -> Iterator[tuple[LocalEndpoints, str]]:
    """The endpoints of a home and the address of its API, with a model server of two processes."""
    with model_server(home) as address:
        endpoints = shop.local_endpoints(home, address)
        with shop.listening(shop.service(Platform(home), endpoints), look_every=0.1) as url:
            yield endpoints, url


@contextmanager
def model_server(home: Path) -> Iterator[tuple[str, int]]:
    # A server of several processes makes its sockets itself, so it is started by its own command line.
    arguments = ["--watch", str(home / "endpoints" / "reorder.json"), "--workers", "2"]
    command = [sys.executable, "-m", "instacart_pipeline.container.server", *arguments]
    with subprocess.Popen(
        [*command, "--port", "0", "--end-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout and server.stdin
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        try:
            until_pinged = httpx.HTTPTransport(retries=5)
            with httpx.Client(transport=until_pinged, timeout=web.PATIENCE) as client:
                client.get(f"http://127.0.0.1:{port}/ping").raise_for_status()
            yield "127.0.0.1", port
        finally:
            server.stdin.close()
            server.wait(web.PATIENCE)


@pytest.fixture
@costs("deep")
def home(tmp_path: Path) -> Path:
    shop.put_day(Platform(tmp_path))
    shop.put_behind(shop.local_endpoints(tmp_path, ("127.0.0.1", 1)), shop.version_of(tmp_path, 1))
    return tmp_path


def test_a_new_version_takes_over_without_a_request_lost(home: Path) -> None:
    """Also one that wants its features in another order: rows made for the other would be answered with 5."""
    with served(home) as (endpoints, url), Hammering(url, threads=4) as hammering:
        web.until(lambda: hammering.saw((1, DT, 0.92)))
        for number in (2, 3):
            features = OTHER_ORDER if number % 2 == 0 else shop.FEATURES
            shop.deploy(endpoints, shop.version_of(home, number, features=features, shift=number / 100))
            expected = (number, DT, round(0.92 + number / 100, 3))
            web.until(partial(hammering.saw, expected))
    assert hammering.failures == []
    assert set(hammering.answers) == {(1, DT, 0.92), (2, DT, 0.94), (3, DT, 0.95)}
    assert hammering.vectors


def test_a_new_day_takes_over_without_a_request_lost(home: Path) -> None:
    with served(home) as (_, url), Hammering(url, threads=4) as hammering:
        web.until(lambda: hammering.saw((1, DT, 0.92)))
        shop.put_day(Platform(home), NEXT, shift=0.05)
        web.until(lambda: hammering.saw((1, NEXT, 0.97)))
        # The same day once more, as when an upload is corrected.
        shop.put_day(Platform(home), NEXT, shift=0.01, version="20260102T000000000000-000000")
        web.until(lambda: hammering.saw((1, NEXT, 0.93)))
        web.until(lambda: len([path for path in (home / "serving").iterdir() if path.is_dir()]) == 1)
    assert hammering.failures == []
    assert set(hammering.answers) == {(1, DT, 0.92), (1, NEXT, 0.97), (1, NEXT, 0.93)}


def test_a_day_and_a_version_with_other_features_may_change_at_once(home: Path) -> None:
    with served(home) as (endpoints, url), Hammering(url, threads=4) as hammering:
        web.until(lambda: hammering.saw((1, DT, 0.92)))
        shop.put_day(Platform(home), NEXT, shift=0.05)
        shop.deploy(endpoints, shop.version_of(home, 2, features=OTHER_ORDER))
        web.until(lambda: hammering.saw((2, NEXT, 0.97)))
    assert hammering.failures == []
    assert set(hammering.answers) <= {
        (version, day, chance) for version in (1, 2) for day, chance in ((DT, 0.92), (NEXT, 0.97))
    }
