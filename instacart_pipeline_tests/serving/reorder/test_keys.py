"""API keys: what they open, what stays open, and that none is ever written anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.reorder import shop
from instacart_pipeline_tests.tiers import costs

KEYS = ("first-key-of-sixteen", "second-key-of-sixteen")
CLOSED = (
    ("GET", "/v1/users"),
    ("GET", "/v1/products?search=b"),
    ("GET", "/v1/users/7/basket"),
    ("GET", "/v1/users/7/products/1/probability"),
    ("POST", "/v1/probability"),
    ("POST", "/invocations"),
)


@pytest.fixture(scope="module")
@costs("contract")
def locked(home: Path, endpoints: LocalEndpoints) -> Iterator[httpx.Client]:
    """A client of an API with keys."""
    with shop.listening(shop.service(Platform(home), endpoints), KEYS) as url, web.client_of(url) as client:
        yield client


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "unauthorized"
    assert "X-API-Key" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_without_a_key_nothing_is_answered(locked: httpx.Client, method: str, path: str) -> None:
    refused(locked.request(method, path, content=shop.ORIGINAL_ROW if method == "POST" else None))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""},
        {"X-API-Key": KEYS[0][:-1]},
        {"X-API-Key": f"{KEYS[0]},{KEYS[1]}"},
        {"Authorization": "Bearer no"},
        {"Authorization": f"Basic {KEYS[0]}"},
    ],
)
def test_with_another_key_or_none_nothing_is_answered(locked: httpx.Client, headers: dict[str, str]) -> None:
    refused(locked.get("/v1/users", headers=headers))


def test_a_key_that_is_no_text_is_only_unknown(locked: httpx.Client) -> None:
    answer = locked.get("/v1/users", headers={b"X-API-Key": b"no-such-key\xff"})
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "[", ""])
def test_without_keys_a_page_whose_name_leads_here_is_refused(client: httpx.Client, host: str) -> None:
    for answer in (
        client.get("/v1/users/7/basket", headers={"Host": host}),
        client.post("/v1/probability", content=shop.ORIGINAL_ROW, headers={"Host": host}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "misdirected")
        assert "set INSTACART_API_KEYS" in answer.json()["error"]["message"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.1.2.3", "[::1]:8000"])
def test_without_keys_this_machines_own_names_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/users", headers={"Host": host}).status_code == 200


def test_with_keys_any_name_is_answered(locked: httpx.Client) -> None:
    answer = locked.get("/v1/users", headers={"Host": "shop.example", "X-API-Key": KEYS[0]})
    assert answer.status_code == 200


@pytest.mark.parametrize("key", KEYS)
def test_each_key_opens_by_either_header(locked: httpx.Client, key: str) -> None:
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        assert locked.get("/v1/users/7/basket", headers=headers).status_code == 200
        answer = locked.post("/invocations", content=shop.ORIGINAL_ROW, headers={**headers, "Content-Type": "text/csv"})
        assert answer.text == "0.3\n"


def test_the_page_and_health_stay_open(locked: httpx.Client) -> None:
    for path in ("/", "/static/page.js", "/health", "/openapi.json"):
        assert locked.get(path).status_code == 200


def test_the_openapi_document_says_so(locked: httpx.Client, client: httpx.Client) -> None:
    told = locked.get("/openapi.json").json()
    assert set(told["components"]["securitySchemes"]) == {"APIKeyHeader", "HTTPBearer"}
    assert "security" in told["paths"]["/v1/users"]["get"]
    assert "401" in told["paths"]["/v1/users"]["get"]["responses"]
    open_to_all = client.get("/openapi.json").json()
    assert "securitySchemes" not in open_to_all["components"]
    assert "401" not in open_to_all["paths"]["/v1/users"]["get"]["responses"]


def test_no_key_is_logged(locked: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
            logging.getLogger(name).addHandler(caplog.handler)
        locked.get("/v1/users", headers={"X-API-Key": KEYS[0]})
        locked.get("/v1/users", headers={"X-API-Key": "a-wrong-key-of-sixteen"})
    assert KEYS[0] not in caplog.text
    assert "a-wrong-key" not in caplog.text
