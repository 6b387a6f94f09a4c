"""What the API says when what stands behind it fails: a model server that is away or answers nonsense, nothing deployed, no day.

How each answer of a model is taken is test_asking.py's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from instacart_pipeline.reorder import tables as t
from instacart_pipeline.serving.reorder import asking
from instacart_pipeline.serving.reorder.service import Service
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.reorder import shop
from instacart_pipeline_tests.tiers import costs

CSV = {"Content-Type": "text/csv"}


@dataclass
class Failing:
    """What a model server answers to everything, or that it hangs up."""

    status: int = 200
    body: bytes = b"0.5\n" * 7
    hang_up: bool = False
    requests: list[bytes] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    """A model server that does as `fault` says."""

    fault: Failing


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        fault = self.server.fault
        fault.requests.append(self.rfile.read(int(self.headers["Content-Length"])))
        if fault.hang_up:
            self.close_connection = True
            return
        self.send_response(fault.status)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(fault.body)))
        self.end_headers()
        self.wfile.write(fault.body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
@costs("contract")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.fault = Failing()
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def failing(server: Server) -> Failing:
    return server.fault


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """A platform with a day."""
    shop.put_day(platform)
    return platform


@pytest.fixture
def service(platform: Platform, server: Server) -> Service:
    endpoints = shop.local_endpoints(platform.home, ("127.0.0.1", server.server_port))
    shop.put_behind(endpoints, shop.version_of(platform.home, 1))
    return shop.service(platform, endpoints)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with shop.api(service) as client:
        yield client


@pytest.mark.parametrize(
    ("fault", "status", "code", "told"),
    [
        (Failing(hang_up=True), 503, "unavailable", "The endpoint reorder does not answer at http://127.0.0.1:"),
        (Failing(500, b"no model was deployed yet"), 502, "model_failed", "answered 500: no model was deployed yet"),
    ],
    ids=["hangs up", "fails"],
)
def test_a_model_that_fails_is_reported_until_it_answers(
    client: httpx.Client, failing: Failing, fault: Failing, status: int, code: str, told: str
) -> None:
    failing.status, failing.body, failing.hang_up = fault.status, fault.body, fault.hang_up
    answer = client.get("/v1/users/7/basket")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert told in answer.json()["error"]["message"]
    assert answer.headers["retry-after"] == "2"
    failing.status, failing.body, failing.hang_up = 200, b"0.5\n" * 7, False
    answer = client.get("/v1/users/7/basket")
    assert answer.status_code == 200, answer.text


def test_rows_reach_the_model_as_csv_with_empty_fields(client: httpx.Client, failing: Failing) -> None:
    failing.body = b"0.5\n0.5\n"
    client.get("/v1/users/12/basket").raise_for_status()
    assert failing.requests[-1] == b"0.5,5,4\n,5,4\n"


def test_health_says_what_keeps_it(client: httpx.Client, failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PROBE_SECONDS", -1.0)
    failing.body = b"0.5\n"
    assert client.get("/health").status_code == 200
    failing.hang_up = True
    answer = client.get("/health")
    told = answer.json()["reorder"]
    assert answer.status_code == 503
    assert (told["status"], told["endpoint"], told["day"]) == ("unavailable", "unreachable", DT)
    assert "does not answer" in told["trouble"][0]
    failing.hang_up = False
    assert client.get("/health").status_code == 200


def test_without_a_deployment_or_a_day_each_is_asked_for(tmp_path: Path, server: Server) -> None:
    service = shop.service(Platform(tmp_path), shop.local_endpoints(tmp_path, ("127.0.0.1", server.server_port)))
    with shop.api(service) as client:
        told = client.get("/health")
        assert told.status_code == 503
        assert [text.split(" ")[0] for text in told.json()["reorder"]["trouble"]] == ["Nothing", "No"]
        assert told.json()["reorder"]["status"] == "unused"
        answer = client.get("/v1/users")
        assert answer.status_code == 503
        assert "`instacart-pipeline run reorder-model --dt DAY`" in answer.json()["error"]["message"]
        assert client.post("/invocations", content=shop.ORIGINAL_ROW, headers=CSV).status_code == 503
        shop.put_day(Platform(tmp_path))
        assert service.days.look()
        assert client.get("/v1/users").status_code == 200
        assert "Nothing was ever deployed" in client.get("/v1/users/7/basket").json()["error"]["message"]


def test_a_new_day_that_cannot_be_read_leaves_the_old_one_and_is_told(
    platform: Platform, service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instacart_pipeline.serving.days._TRY_AGAIN_SECONDS", -1.0)
    shop.put_day(platform, "2026-11-21")
    Path(platform.catalog.current(t.PRODUCTS, "2026-11-21").location, "part-00000.parquet").unlink()
    service.days.try_to_look()
    assert "dt=2026-11-21" in client.get("/health").json()["reorder"]["trouble"][0]
    shop.put_day(platform, "2026-11-22")
    Path(platform.catalog.current(t.PRODUCTS, "2026-11-22").location, "part-00000.parquet").write_bytes(b"PAR1")
    service.days.try_to_look()
    (trouble,) = client.get("/health").json()["reorder"]["trouble"]
    assert "A newer day can't be served" in trouble
    assert "dt=2026-11-21" not in trouble
    assert client.get("/v1/users/7/basket").json()["day"] == DT
    shop.put_day(platform, "2026-11-22", version="20260102T000000000000-000000")
    service.days.try_to_look()
    assert client.get("/v1/users/7/basket").json()["day"] == "2026-11-22"
    assert client.get("/health").json()["reorder"]["trouble"] == []


def test_a_new_day_and_a_new_version_are_found_without_being_asked_for(
    platform: Platform, service: Service, server: Server
) -> None:
    endpoints = shop.local_endpoints(platform.home, ("127.0.0.1", server.server_port))
    with shop.api(service, look_every=0.05) as client:
        assert client.get("/v1/users/7/basket").json()["day"] == DT
        shop.put_day(platform, "2026-11-21")
        shop.put_behind(endpoints, shop.version_of(platform.home, 2))
        web.until(lambda: client.get("/health").json()["reorder"]["day"] == "2026-11-21")
        web.until(lambda: client.get("/health").json()["reorder"]["model"]["version"] == 2)


def test_a_version_that_wants_what_the_day_lacks_is_told_with_what_to_do(
    platform: Platform, service: Service, client: httpx.Client, server: Server, failing: Failing
) -> None:
    endpoints = shop.local_endpoints(platform.home, ("127.0.0.1", server.server_port))
    shop.put_behind(endpoints, shop.version_of(platform.home, 2, features=("chance", "up_moon")))
    service.model.look()
    answer = client.get("/v1/users/7/basket")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"]["message"] == (
        f"The deployed model wants features that {DT} lacks: up_moon. "
        f"Build the day again with `instacart-pipeline run reorder-model --dt {DT}`."
    )
    failing.body = b"0.5\n"
    assert client.post("/invocations", content=shop.ORIGINAL_ROW, headers=CSV).status_code == 200
