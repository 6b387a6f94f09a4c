"""The API over HTTP, with the real model server behind it: what it answers, and every way it refuses."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from typing import Any

import httpx
import pytest

from instacart_pipeline.container.contract import MAX_BODY
from instacart_pipeline.reorder.model.features import ORIGINAL
from instacart_pipeline_tests.serving.reorder.shop import NAMES, ORIGINAL_ROW
from instacart_pipeline_tests.serving.web import until

CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}
NUMBERS = [float(field) for field in ORIGINAL_ROW.split(",")]
BY_NAME = dict(zip(ORIGINAL, NUMBERS, strict=True))


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal, which has the form of every other."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    told = answer.json()
    assert list(told) == ["error"]
    assert told["error"]["code"] == code
    return str(told["error"]["message"])


# Vectors


@pytest.mark.parametrize("path", ["/v1/probability", "/invocations"])
def test_the_originals_body_has_the_originals_answer(client: httpx.Client, path: str) -> None:
    answer = client.post(path, content=ORIGINAL_ROW, headers=CSV)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == "0.3\n"


@pytest.mark.parametrize("path", ["/v1/probability", "/invocations"])
def test_several_rows_have_a_line_each(client: httpx.Client, path: str) -> None:
    body = f"\ufeff{ORIGINAL_ROW}\r\n8{ORIGINAL_ROW[1:]}\r\n{',' * 17}\r\n"
    assert client.post(path, content=body.encode(), headers=CSV).text == "0.3\n0.8\n0.0\n"


@pytest.mark.parametrize("features", [NUMBERS, BY_NAME, dict(reversed(BY_NAME.items()))])
def test_json_has_a_json_answer(client: httpx.Client, features: Any) -> None:
    answer = client.post("/v1/probability", json={"features": features})
    assert answer.json() == {"probability": 0.3, "likely": True}


def test_a_missing_value_is_null(client: httpx.Client) -> None:
    answer = client.post("/v1/probability", json={"features": [None] * 18})
    assert answer.json() == {"probability": 0.0, "likely": False}


def test_likely_is_above_the_originals_threshold(client: httpx.Client) -> None:
    def likely(first: float) -> bool:
        return bool(client.post("/v1/probability", json={"features": [first, *NUMBERS[1:]]}).json()["likely"])

    assert not likely(2.09)
    assert likely(2.11)


@pytest.mark.parametrize(
    ("sent", "accept", "answered"),
    [
        (CSV, "application/json", '{"predictions":[{"probability":0.3,"likely":true}]}'),
        (CSV, "text/*", "0.3\n"),
        (CSV, "application/json;q=0.1, text/csv", "0.3\n"),
        (CSV, "text/html, */*;q=0.1", "0.3\n"),
        (JSON, "text/csv", "0.3\n"),
        (JSON, "application/*", '{"probability":0.3,"likely":true}'),
        (JSON, "text/csv;q=0, */*", '{"probability":0.3,"likely":true}'),
    ],
)
def test_the_answer_comes_as_asked_for(client: httpx.Client, sent: dict[str, str], accept: str, answered: str) -> None:
    body = ORIGINAL_ROW if sent is CSV else json.dumps({"features": NUMBERS})
    assert client.post("/v1/probability", content=body, headers={**sent, "Accept": accept}).text == answered


def test_invocations_answers_json_as_the_container_does(client: httpx.Client) -> None:
    answer = client.post("/invocations", content=ORIGINAL_ROW, headers={**CSV, "Accept": "application/json"})
    assert answer.json() == {"predictions": [{"score": 0.3}]}


def test_rows_may_hold_all_features_of_the_model(client: httpx.Client) -> None:
    assert client.post("/invocations", content="0.4,5,2", headers=CSV).text == "0.4\n"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "The body is empty"),
        ("1,2\n", "Row 1 has 2 fields, not 18 or 3"),
        (f"{ORIGINAL_ROW}\n\n{ORIGINAL_ROW}", "Row 2 has 1 fields"),
        (ORIGINAL_ROW.replace("75", "many"), "Row 1, field 3 (user_period) is 'many'. Write a number"),
        (f"{ORIGINAL_ROW}\n{ORIGINAL_ROW.replace('75', 'nan')}", "Row 2, field 3 (user_period) is 'nan'"),
        (ORIGINAL_ROW.replace("75", "1e39"), "field 3"),
        (ORIGINAL_ROW.replace("75", "1_0"), "field 3"),
        (",".join(ORIGINAL), "The rows have no header line"),
        ("-1" + ORIGINAL_ROW[1:], "The model refuses these rows: RuntimeError: -1 can't be predicted"),
    ],
)
def test_rows_that_cannot_be_taken_are_told_with_their_place(client: httpx.Client, body: str, told: str) -> None:
    for path in ("/v1/probability", "/invocations"):
        answer = client.post(path, content=body, headers=CSV)
        assert answer.status_code == 422
        assert told in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "no JSON"),
        (b"\xff", 400, "not UTF-8 (byte 0)"),
        (b"[" * 100_000, 400, "no JSON"),
        (b"[]", 422, 'Send {"features"'),
        (b'{"features": 1}', 422, 'Send {"features"'),
        (b'{"features": [], "more": 1}', 422, "nothing else"),
        (b'{"features": [1, 2]}', 422, "features has 2 numbers, not 18"),
        (b'{"features": {"up_order": 1}}', 422, "unknown: up_order"),
        (b'{"features": {}}', 422, "missing: up_orders"),
        (json.dumps({"features": [*NUMBERS[:17], "x"]}).encode(), 422, "features.up_order_rate_since_first_order is"),
        (json.dumps({"features": [True, *NUMBERS[1:]]}).encode(), 422, "features.up_orders is true"),
        (json.dumps({"features": [float("nan"), *NUMBERS[1:]]}).encode(), 422, "features.up_orders"),
        (b'{"features": [' + b"9" * 400 + b",1" * 17 + b"]}", 422, "features.up_orders"),
    ],
)
def test_json_that_cannot_be_taken_is_told(client: httpx.Client, body: bytes, status: int, told: str) -> None:
    answer = client.post("/v1/probability", content=body, headers=JSON)
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]


def test_other_types_are_refused(client: httpx.Client) -> None:
    refused(client.post("/v1/probability", content="x"), 415, "unsupported_media_type")
    refused(
        client.post("/v1/probability", content="x", headers={"Content-Type": "image/png"}),
        415,
        "unsupported_media_type",
    )
    refused(client.post("/invocations", content="{}", headers=JSON), 415, "unsupported_media_type")
    answer = client.post("/v1/probability", content=ORIGINAL_ROW, headers={**CSV, "Accept": "image/png"})
    assert (
        refused(answer, 406, "not_acceptable") == "The answer comes as text/csv or application/json, not as image/png."
    )


def test_a_body_is_limited_whether_it_tells_its_length_or_not(client: httpx.Client) -> None:
    row = f"{ORIGINAL_ROW}\n".encode()
    too_many = row * (MAX_BODY // len(row) + 1)
    refused(client.post("/invocations", content=too_many, headers=CSV), 413, "too_large")
    untold = (too_many[at : at + 65536] for at in range(0, len(too_many), 65536))
    with suppress(httpx.TransportError):  # the server may hang up while the body is still being sent
        refused(client.post("/invocations", content=untold, headers=CSV), 413, "too_large")
    # One of the largest size is read: what is wrong with it is said of its first row.
    assert "Row 1 has 1 fields" in refused(
        client.post("/invocations", content=b"1" * MAX_BODY, headers=CSV), 422, "invalid"
    )


def test_a_request_that_is_cut_short_is_no_failure_of_the_server(
    client: httpx.Client, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def cut_short() -> float:
        counted = re.search(
            r'http_requests_total\{method="POST",route="/invocations",status="400"\} (\S+)', client.get("/metrics").text
        )
        return float(counted[1]) if counted else 0

    port, before = int(url.rsplit(":", 1)[1]), cut_short()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\n"
            connection.sendall(head.encode() + b"1,2,3")
    until(lambda: cut_short() == before + 3)
    assert client.post("/invocations", content=ORIGINAL_ROW, headers=CSV).text == "0.3\n"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# Baskets


def test_a_basket_tells_what_is_predicted_and_why(client: httpx.Client) -> None:
    told = client.get("/v1/users/7/basket", params={"limit": 2}).json()
    assert [(one["product_name"], one["probability"], one["in_basket"]) for one in told["basket"]] == [
        (NAMES[1], 0.92, True),
        (NAMES[2], 0.81, True),
        (NAMES[3], 0.64, True),
    ]
    assert [(one["product_name"], one["in_basket"]) for one in told["others"]] == [(NAMES[4], False), (NAMES[5], False)]
    assert told["candidates"] == 7
    assert not told["none_predicted"]
    assert told["expected_f1"] == pytest.approx(0.7926, abs=1e-4)
    assert told["order"] == {
        "order_id": 706,
        "order_number": 6,
        "order_hour_of_day": 10,
        "days_since_prior_order": 7.0,
    }
    assert [order["order_number"] for order in told["last_orders"]] == [5, 4, 3]
    assert [one["product_id"] for one in told["last_orders"][0]["products"]] == [6, 4, 3, 2, 1]
    assert told["model"] == {"name": "reorder", "version": 1}
    assert told["day"] == "2026-11-20"


def test_none_is_predicted_where_it_pays(client: httpx.Client) -> None:
    with_none = client.get("/v1/users/12/basket").json()
    assert (with_none["none_predicted"], len(with_none["basket"])) == (True, 1)
    alone = client.get("/v1/users/120/basket").json()
    assert (alone["none_predicted"], alone["basket"]) == (True, [])
    assert [one["probability"] for one in alone["others"]] == [0.03]


def test_who_has_bought_nothing_before_is_predicted_nothing(client: httpx.Client) -> None:
    told = client.get("/v1/users/1200/basket").json()
    assert (told["basket"], told["others"], told["last_orders"]) == ([], [], [])
    assert (told["none_predicted"], told["expected_f1"], told["candidates"]) == (True, 1.0, 0)


def test_a_product_has_the_probability_it_has_in_the_basket(client: httpx.Client) -> None:
    told = client.get("/v1/users/7/products/4/probability").json()
    assert told == {
        "probability": 0.35,
        "likely": True,
        "user_id": 7,
        "product_id": 4,
        "product_name": NAMES[4],
        "model": {"name": "reorder", "version": 1},
        "day": "2026-11-20",
    }


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("/v1/users/8/basket", "unknown_user", "There is no user 8 in the upload of 2026-11-20"),
        ("/v1/users/3/basket", "no_open_order", "User 3 has no open order"),
        ("/v1/users/8/products/1/probability", "unknown_user", "no user 8"),
        ("/v1/users/99/products/1/probability", "no_open_order", "User 99 has no open order"),
        ("/v1/users/7/products/11/probability", "unknown_product", "There is no product 11"),
        (
            "/v1/users/7/products/9/probability",
            "never_bought",
            "User 7 has never bought Never Bought Noodles. The model speaks about products bought before.",
        ),
        ("/v2/users", "not_found", "nothing at this address"),
        ("/docs", "not_found", "nothing at this address"),
        ("/static/none.js", "not_found", "nothing at this address"),
        ("/static/../api.py", "not_found", "nothing at this address"),
    ],
)
def test_what_there_is_not_is_told_by_name(client: httpx.Client, path: str, code: str, told: str) -> None:
    assert told in refused(client.get(path), 404, code)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/0/basket",
        "/v1/users/-1/basket",
        "/v1/users/seven/basket",
        "/v1/users/9223372036854775808/basket",
        "/v1/users/7/basket?limit=-1",
        "/v1/users/7/basket?limit=10001",
        "/v1/users/7/products/0/probability",
        "/v1/users?limit=0",
        "/v1/users?limit=101",
        "/v1/users?search=x",
        "/v1/users?search=11111111111111111111",
        "/v1/products",
        "/v1/products?search=",
        f"/v1/products?search={'x' * 101}",
    ],
)
def test_values_out_of_bounds_are_told(client: httpx.Client, path: str) -> None:
    message = refused(client.get(path), 422, "invalid")
    assert message.split(":")[0] in ("user_id", "product_id", "limit", "search")


def test_the_largest_id_is_only_unknown(client: httpx.Client) -> None:
    refused(client.get("/v1/users/9223372036854775807/basket"), 404, "unknown_user")
    refused(client.get("/v1/users/7/products/9223372036854775807/probability"), 404, "unknown_product")


def test_a_method_that_is_not_taken_is_told(client: httpx.Client) -> None:
    answer = client.get("/v1/probability")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


# Pickers


@pytest.mark.parametrize(
    ("search", "users"),
    [
        ("", [7, 12, 120, 1200]),
        ("1", [12, 120, 1200]),
        ("120", [120, 1200]),
        ("7", [7]),
        ("3", []),
        ("0", []),
        ("07", []),
    ],
)
def test_users_are_found_by_how_their_id_begins(client: httpx.Client, search: str, users: list[int]) -> None:
    told = client.get("/v1/users", params={"search": search}).json()
    assert [user["user_id"] for user in told["users"]] == users
    assert told["total"] == len(users)


def test_a_list_of_users_is_cut_and_says_so(client: httpx.Client) -> None:
    told = client.get("/v1/users", params={"search": "1", "limit": 2}).json()
    assert told == {
        "users": [
            {"user_id": 12, "order_number": 6, "candidates": 2},
            {"user_id": 120, "order_number": 6, "candidates": 1},
        ],
        "total": 3,
    }


@pytest.mark.parametrize(
    ("search", "products"),
    [
        ("b", [10, 6, 1, 9]),
        ("BUTTER", [6]),
        ("crème", [5]),
        ("9", [9]),
        ('"reserve"', [4]),
        ("<b>", [10]),
        ("zzz", []),
        ("99", []),
    ],
)
def test_products_are_found_by_name_or_id(client: httpx.Client, search: str, products: list[int]) -> None:
    told = client.get("/v1/products", params={"search": search}).json()
    found = [product["product_id"] for product in told["products"]]
    assert sorted(found) == sorted(products)


# Health, the page, headers


def test_health_tells_what_is_served(client: httpx.Client) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "reorder": {
            "status": "ok",
            "trouble": [],
            "model": {"name": "reorder", "version": 1},
            "day": "2026-11-20",
            "users": 4,
            "endpoint": "reachable",
        },
    }


def test_answers_carry_the_headers_that_browsers_heed(client: httpx.Client) -> None:
    for path in ("/", "/static/page.js", "/health", "/nowhere", "/v1/users/0/basket"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
    assert client.get("/health").headers["cache-control"] == "no-store"
    assert client.get("/", headers={"Origin": "https://elsewhere.example"}).headers["cache-control"] == "no-cache"


def test_the_page_names_no_other_place(client: httpx.Client) -> None:
    for path in (
        "/",
        *(f"/static/{name}" for name in ("page.css", "page.js", "api.js", "combobox.js", "view.js", "icon.svg")),
    ):
        text = client.get(path).raise_for_status().text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), path
        assert "//" not in "".join(part for part in text.split("http://www.w3.org") if path == "/"), path


def test_the_openapi_document_names_every_address(client: httpx.Client) -> None:
    told = client.get("/openapi.json").json()
    assert sorted(told["paths"]) == [
        "/health",
        "/health/reorder",
        "/invocations",
        "/metrics",
        "/v1/probability",
        "/v1/products",
        "/v1/users",
        "/v1/users/{user_id}/basket",
        "/v1/users/{user_id}/products/{product_id}/probability",
    ]
    text = json.dumps(told)
    pointed = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert pointed <= set(told["components"]["schemas"])
