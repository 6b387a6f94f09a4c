"""What the API says when what stands behind it fails: a model server that is away or answers nonsense, nothing deployed, no day."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from instacart_pipeline.container.contract import FEATURES_DIFFER
from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.serving.reorder import shop

CSV = {"Content-Type": "text/csv"}


@dataclass
class Failing:
    """A model server that answers everything with one answer, or hangs up."""

    status: int = 200
    body: bytes = b"0.5\n"
    hang_up: bool = False
    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[None]:
        fault = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                fault.requests.append(self.rfile.read(int(self.headers["Content-Length"])))
                if fault.hang_up:
                    self.close_connection = True
                    return
                status, body = fault.status, fault.body
                self.send_response(status)
                self.send_header("Content-Type", "text/csv")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shop.put_day(Platform(tmp_path))
    shop.deploy(shop.local_endpoints(tmp_path, ("127.0.0.1", 1)), shop.version_of(tmp_path, 1))
    return tmp_path


@pytest.fixture
def failing() -> Iterator[Failing]:
    fault = Failing()
    with fault.serving():
        yield fault


@pytest.fixture
def client(home: Path, failing: Failing) -> Iterator[httpx.Client]:
    with shop.api(shop.service(Platform(home), shop.local_endpoints(home, ("127.0.0.1", failing.port)))) as client:
        yield client


@pytest.mark.parametrize(
    ("fault", "status", "code", "told"),
    [
        (Failing(hang_up=True), 503, "unavailable", "The endpoint reorder does not answer at http://127.0.0.1:"),
        (Failing(500, b"no model was deployed yet"), 502, "model_failed", "answered 500: no model was deployed yet"),
        (Failing(503, b""), 503, "unavailable", "The model can't answer now: no reason given"),
        (Failing(429, b"slow down"), 503, "unavailable", "slow down"),
        (Failing(400, b"out of paper"), 502, "model_failed", "answered 400: out of paper"),
        (Failing(200, b"0.5\n" * 3), 502, "model_failed", "7 rows with something else than a probability each"),
        (Failing(200, b"a\n" * 7), 502, "model_failed", "something else than a probability each"),
        (Failing(200, b"1.5\n" * 7), 502, "model_failed", "something else than a probability each"),
        (Failing(200, b"nan\n" * 7), 502, "model_failed", "something else than a probability each"),
        (Failing(200, b"\xff\xfe"), 502, "model_failed", "something else than a probability each"),
    ],
    ids=lambda value: f"{value.status}-{value.body[:6]!r}" if isinstance(value, Failing) else "",
)
def test_a_model_that_fails_is_never_told_as_the_callers_fault(
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


def test_a_callers_rows_that_the_model_refuses_are_the_callers_fault(client: httpx.Client, failing: Failing) -> None:
    failing.status, failing.body = 415, b"row 1 is odd"
    answer = client.post("/v1/probability", content=shop.ORIGINAL_ROW, headers=CSV)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        422,
        "The model refuses these rows: row 1 is odd",
    )


def test_a_server_that_never_agrees_on_the_features_is_given_up(
    client: httpx.Client, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instacart_pipeline.serving.reorder.asking._PATIENCE_SECONDS", 0.3)
    failing.status, failing.body = 400, FEATURES_DIFFER.encode()
    answer = client.get("/v1/users/7/basket")
    assert answer.status_code == 503
    assert "answers with a version other than the deployed one (reorder/1)" in answer.json()["error"]["message"]
    assert len(failing.requests) > 2


def test_rows_reach_the_model_as_csv_with_empty_fields(client: httpx.Client, failing: Failing) -> None:
    failing.body = b"0.5\n0.5\n"
    client.get("/v1/users/12/basket").raise_for_status()
    assert failing.requests[-1] == b"0.5,5,4\n,5,4\n"


def test_health_says_what_keeps_it(client: httpx.Client, failing: Failing) -> None:
    failing.hang_up = True
    shop.until(lambda: client.get("/health").status_code == 503)
    told = client.get("/health").json()["reorder"]
    assert (told["status"], told["endpoint"], told["day"]) == ("unavailable", "unreachable", DT)
    assert "does not answer" in told["trouble"][0]
    failing.hang_up = False
    shop.until(lambda: client.get("/health").status_code == 200)


def test_without_a_deployment_or_a_day_each_is_asked_for(tmp_path: Path) -> None:
    endpoints = shop.local_endpoints(tmp_path, ("127.0.0.1", 1))
    with shop.api(shop.service(Platform(tmp_path), endpoints)) as client:
        told = client.get("/health")
        assert told.status_code == 503
        assert [text.split(" ")[0] for text in told.json()["reorder"]["trouble"]] == ["Nothing", "No"]
        assert told.json()["reorder"]["status"] == "unused"
        answer = client.get("/v1/users")
        assert answer.status_code == 503
        assert "`instacart-pipeline run reorder-model --dt DAY`" in answer.json()["error"]["message"]
        assert client.post("/invocations", content=shop.ORIGINAL_ROW, headers=CSV).status_code == 503
        shop.put_day(Platform(tmp_path))
        shop.until(lambda: client.get("/v1/users").status_code == 200)
        assert "Nothing was ever deployed" in client.get("/v1/users/7/basket").json()["error"]["message"]


def test_a_new_day_that_cannot_be_read_leaves_the_old_one_and_is_told(
    home: Path, client: httpx.Client, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instacart_pipeline.serving.days._TRY_AGAIN_SECONDS", 0.5)
    failing.body = b"0.5\n" * 7
    broken = Platform(home)
    shop.put_day(broken, "2026-11-21")
    Path(broken.catalog.current(t.PRODUCTS, "2026-11-21").location, "part-00000.parquet").unlink()
    shop.put_day(broken, "2026-11-22")
    Path(broken.catalog.current(t.PRODUCTS, "2026-11-22").location, "part-00000.parquet").write_bytes(b"PAR1")
    shop.until(lambda: client.get("/health").json()["reorder"]["trouble"])
    assert client.get("/v1/users/7/basket").status_code == 200
    shop.put_day(broken, "2026-11-22", version="20260102T000000000000-000000")
    shop.until(lambda: client.get("/health").json()["reorder"]["day"] == "2026-11-22")
    assert client.get("/health").json()["reorder"]["trouble"] == []
