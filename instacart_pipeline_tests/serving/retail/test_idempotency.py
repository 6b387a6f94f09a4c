"""The Idempotency-Key of a POST: a body is stored once under it and answered alike, whoever sends it, when and how often."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from instacart_pipeline.retail.lookups import REQUESTS
from instacart_pipeline.serving.retail.repeated import digest_of, key_of, take
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.retail.sales_client import Faulty, SalesClient, a_line, message, sales_client

BROKEN = {"InvoiceNo": "1", "Quantity": "many"}


def test_a_key_and_its_body_are_stored_once_and_answered_alike(own: SalesClient) -> None:
    first, again = (own.post([a_line(), BROKEN], Idempotency_Key="k-1") for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.json()["accepted"] == 1
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(own.lines()) == 1


def test_a_key_belongs_to_one_body(own: SalesClient) -> None:
    own.post(a_line(), Idempotency_Key="k-2").raise_for_status()
    told = message(own.post(a_line(Quantity=7), Idempotency_Key="k-2"), 422, "key_reused")
    assert "Another body was sent with the Idempotency-Key 'k-2'" in told
    assert len(own.lines()) == 1


def test_callers_with_api_keys_of_their_own_see_nothing_of_each_others_idempotency_keys(folder: Path) -> None:
    ours, theirs = {"X-API-Key": "ours"}, {"Authorization": "Bearer theirs"}
    with sales_client(folder, keys=("ours", "theirs")) as own:

        def post(quantity: int, caller: dict[str, str]) -> httpx.Response:
            headers = {**caller, "Idempotency-Key": "1"}
            return own.client.post("/v1/transactions", json=[a_line(Quantity=quantity), BROKEN], headers=headers)

        told = [(post(6, ours), post(7, theirs)) for _ in range(2)]
        for first, again in zip(*told, strict=True):
            assert (first.status_code, again.content) == (200, first.content)
            assert ("idempotent-replayed" in first.headers, "idempotent-replayed" in again.headers) == (False, True)
        assert sorted(line.quantity for line in own.lines()) == [6, 7]
        message(post(7, ours), 422, "key_reused")
        message(post(6, {"X-API-Key": "theirs"}), 422, "key_reused")
        # What another caller's key is kept under can't be chosen as a key of one's own.
        kept = [str(item["idempotency_key"]) for item in own.lookups.scan(REQUESTS).items]
        assert len(kept) == 2
        assert not any("ours" in key or "theirs" in key for key in kept)
        for key in kept:
            answer = own.client.post(
                "/v1/transactions", json=a_line(Quantity=9), headers={**ours, "Idempotency-Key": key}
            )
            assert answer.status_code == 200


def test_a_key_of_a_body_that_was_not_stored_stays_free(own: SalesClient) -> None:
    assert own.post(BROKEN, Idempotency_Key="k-3").status_code == 422
    assert own.post(a_line(), Idempotency_Key="k-3").status_code == 200


def test_a_key_is_forgotten_after_a_day(own: SalesClient) -> None:
    own.post(a_line(), Idempotency_Key="k-4")
    known = own.lookups.get(REQUESTS, "#k-4")
    assert known is not None
    assert time.time() + 23 * 3600 < int(known["expires"]) < time.time() + 25 * 3600
    own.lookups.put(REQUESTS, [{**known, "expires": int(time.time()) - 1}])
    assert own.post(a_line(Quantity=7), Idempotency_Key="k-4").status_code == 200
    assert len(own.lines()) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "h\u00e9"])
def test_a_key_is_up_to_255_printable_characters(shared: SalesClient, key: str) -> None:
    answer = shared.client.post("/v1/transactions", json=a_line(), headers={b"Idempotency-Key": key.encode("latin-1")})
    assert "Idempotency-Key" in message(answer, 422, "invalid")


def test_two_requests_with_one_key_at_once_store_one_line(own: SalesClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: own.post(a_line(), Idempotency_Key="k-5"), range(8)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert len({line.line_id for line in own.lines()}) == 1


def test_of_two_bodies_with_one_key_at_once_one_is_accepted_and_again_and_nothing_of_the_other_is_stored(
    own: SalesClient,
) -> None:
    for number in range(10):
        key, at_once = f"race-{number}", threading.Barrier(2)

        def post(quantity: int, key: str = key, at_once: threading.Barrier = at_once) -> httpx.Response:
            at_once.wait()
            return own.post(a_line(InvoiceNo=key, Quantity=quantity), Idempotency_Key=key)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(post, (1, 2)))
        assert sorted(answer.status_code for answer in answers) == [200, 422]
        won = 1 if answers[0].status_code == 200 else 2
        again = own.post(a_line(InvoiceNo=key, Quantity=won), Idempotency_Key=key)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert [line.quantity for line in own.lines() if line.invoice_no == key] == [won]


def test_a_key_belongs_to_a_body_from_before_it_is_stored(folder: Path, fault: Path) -> None:
    with sales_client(folder, Faulty(home=str(folder))) as own, ThreadPoolExecutor(1) as pool:
        fault.write_text("wait")
        first = pool.submit(own.post, a_line(), Idempotency_Key="k")
        web.until(lambda: own.lookups.get(REQUESTS, "#k") is not None)
        message(own.post(a_line(Quantity=7), Idempotency_Key="k"), 422, "key_reused")
        fault.unlink()
        assert first.result().status_code == 200
        assert [line.quantity for line in own.lines()] == [6]


def test_what_was_cut_off_before_it_was_stored_is_stored_by_its_retry(own: SalesClient) -> None:
    kind, body = "application/json", json.dumps(a_line()).encode()
    assert take(own.lookups, key_of("", "k-6"), digest_of(body, kind)) == 0  # and the server was killed
    headers = {"Idempotency-Key": "k-6", "Content-Type": kind}
    first, again = (own.client.post("/v1/transactions", content=body, headers=headers) for _ in range(2))
    assert ("idempotent-replayed" in first.headers, "idempotent-replayed" in again.headers) == (False, True)
    assert len(own.lines()) == 1


def test_a_body_of_which_more_is_accepted_than_before_is_stored_again(own: SalesClient) -> None:
    body = [a_line(), a_line(Quantity=7)]
    own.post(body, Idempotency_Key="k-7").raise_for_status()
    known = own.lookups.get(REQUESTS, "#k-7")
    assert known is not None
    own.lookups.put(REQUESTS, [{**known, "stored": 1}])
    assert "idempotent-replayed" not in own.post(body, Idempotency_Key="k-7").headers
    assert "idempotent-replayed" in own.post(body, Idempotency_Key="k-7").headers


def test_without_a_key_a_resend_stores_no_new_line(own: SalesClient) -> None:
    first, again = own.post([a_line(), a_line()]), own.post([a_line(), a_line()])
    assert first.json() == again.json()
    assert {line.line_id for line in own.lines()} == set(first.json()["line_ids"])
