"""Lines when it is too much or the stream fails: what is refused, and what the health and the numbers tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline.resources.stream import Entry
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.retail.sales_client import Faulty, SalesClient, a_line, message, sales_client

BROKEN = {"InvoiceNo": "1", "Quantity": "many"}


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("busy", 429, "stream_busy"),
        ("full", 503, "stream_full"),
        ("gone", 503, "unavailable"),
        ("bug", 500, "internal"),
    ],
)
def test_a_stream_that_fails_is_told_and_nothing_counts_as_accepted(
    folder: Path, fault: Path, kind: str, status: int, code: str
) -> None:
    with sales_client(folder, Faulty(home=str(folder))) as own:
        fault.write_text(kind)
        answer = own.post(a_line(), Idempotency_Key="k", Connection="close")  # as a server that failed may
        message(answer, status, code)
        assert ("retry-after" in answer.headers) == (status != 500)
        health = own.client.get("/health/retail")
        assert (health.status_code, health.json()["trouble"]) == (503, [f"The stream is {kind}."])
        fault.unlink()
        assert own.post(a_line(), Idempotency_Key="k").status_code == 200
        assert own.client.get("/health/retail").status_code == 200
        assert len(own.lines()) == 1


def test_when_the_queue_is_full_more_is_refused_until_it_is_not(folder: Path, fault: Path) -> None:
    with sales_client(folder, Faulty(home=str(folder)), most_waiting=10) as own, ThreadPoolExecutor(3) as pool:
        fault.write_text("wait")
        waiting = [pool.submit(own.post, [a_line(Quantity=q) for q in range(first, first + 5)]) for first in (1, 6)]
        web.until(lambda: "instacart_lines_waiting 10.0" in own.client.get("/metrics").text)
        answer = own.post(a_line(Quantity=99))
        assert "10 lines wait to be stored; more than 10 may not." in message(answer, 429, "queue_full")
        assert answer.headers["retry-after"] == "2"
        fault.unlink()
        assert [each.result().status_code for each in waiting] == [200, 200]
        assert own.post(a_line(Quantity=99)).status_code == 200
        assert len(own.lines()) == 11


def test_what_waits_together_is_stored_together(folder: Path, fault: Path) -> None:
    puts: list[int] = []

    class Watched(Faulty):
        def put(self, entries: Sequence[Entry]) -> None:
            super().put(entries)
            puts.append(len(entries))

    with sales_client(folder, Watched(home=str(folder))) as own, ThreadPoolExecutor(40) as pool:
        fault.write_text("wait")
        first = pool.submit(own.post, a_line(Quantity=1000))
        web.until(lambda: "instacart_lines_waiting 1.0" in own.client.get("/metrics").text)
        others = [pool.submit(own.post, a_line(Quantity=q)) for q in range(1, 31)]
        web.until(lambda: "instacart_lines_waiting 31.0" in own.client.get("/metrics").text)
        fault.unlink()
        assert {each.result().status_code for each in (first, *others)} == {200}
        assert puts == [1, 30]


def test_a_caller_who_hangs_up_leaves_the_others_served(folder: Path, fault: Path) -> None:
    with sales_client(folder, Faulty(home=str(folder)), over_http=True) as own, ThreadPoolExecutor(1) as pool:
        fault.write_text("wait")
        with web.client_of(str(own.client.base_url)) as caller, pytest.raises(httpx.ReadTimeout):
            caller.post("/v1/transactions", json=a_line(), timeout=httpx.Timeout(web.PATIENCE, read=0.5))
        other = pool.submit(own.post, a_line(Quantity=7))
        fault.unlink()
        assert other.result().status_code == 200
        assert {line.quantity for line in own.lines()} == {6, 7}


def test_when_the_consumers_are_too_far_behind_more_is_refused_until_they_are_not(folder: Path) -> None:
    with sales_client(folder, most_behind=5) as own:
        own.post([a_line(Quantity=q) for q in range(1, 7)]).raise_for_status()
        own.service.look()
        answer = own.post(a_line())
        told = message(answer, 429, "backlog")
        assert "is 6 records behind; above 5 (INSTACART_STREAM_BACKLOG)" in told
        assert "`instacart-pipeline stream work`" in told
        assert answer.headers["retry-after"] == "30"
        health = own.client.get("/health/retail")
        assert health.status_code == 503
        assert health.json()["consumers"]["lookups"]["records"] == 6
        for name in ("raw_zone", "lookups"):
            for shard in own.stream.state().shards:
                with own.stream.claim(name, shard) as claim:
                    records = own.stream.read(shard.id, "", 10).records
                    if claim and records:
                        claim.commit(records[-1].sequence)
        own.service.look()
        assert own.post(a_line()).status_code == 200
        assert own.client.get("/health/retail").status_code == 200


def test_a_table_of_requests_that_is_held_keeps_only_those_with_a_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise PipelineError("The table is busy.")

    with sales_client(folder) as own:
        monkeypatch.setattr(SqliteLookupTables, "put_if_new", busy)
        assert own.post(a_line(), Idempotency_Key="k").status_code == 503
        assert own.lines() == []
        assert own.post(a_line()).status_code == 200


# API keys, health, numbers


def test_all_but_health_asks_for_a_key(folder: Path) -> None:
    key = "a-key-of-sixteen"
    with sales_client(folder, keys=(key,)) as own:
        assert own.post(a_line()).status_code == 401
        for path in ("/v1/invoices/536365", "/v1/invoices/536365/lines", "/v1/customers/17850/invoices", "/metrics"):
            assert own.client.get(path).status_code == 401
        assert own.lines() == []
        assert own.post(a_line(), X_API_Key=key).status_code == 200
        assert own.client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert own.client.get("/health").status_code == 200


def test_health_tells_how_far_the_consumers_are_behind(own: SalesClient) -> None:
    own.post([a_line(), a_line()])
    own.service.look()
    assert own.client.get("/health").json()["retail"]["consumers"]["lookups"]["records"] == 2
    own.fill_lookups()
    own.service.look()
    told = own.client.get("/health").json()
    assert told["retail"]["consumers"]["lookups"]["records"] == 0
    assert (told["status"], told["retail"]["trouble"], told["retail"]["dead_letters"]) == ("ok", [], 0)
    assert told["retail"]["consumers"]["raw_zone"]["records"] == 2


def test_how_far_they_are_is_found_out_again_and_again(folder: Path) -> None:
    with sales_client(folder, look_every=0.05) as own:
        own.post([a_line(), a_line()])
        for records in (2, 0):
            web.until(partial(_lookups_are_behind, own, records))
            own.fill_lookups()


def _lookups_are_behind(own: SalesClient, records: int) -> bool:
    return bool(own.client.get("/health").json()["retail"]["consumers"]["lookups"]["records"] == records)


def test_the_numbers_tell_requests_lines_and_lag(own: SalesClient) -> None:
    own.post([a_line(), BROKEN])
    own.post(b"".decode())
    own.client.get("/v1/invoices/1")
    own.client.get("/v1/invoices/2")
    own.client.get(f"/nowhere/{'x' * 50}")
    own.stream.put([Entry("1", b"no line")])
    own.fill_lookups()
    own.service.look()
    answer = own.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    told = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert told["instacart_dead_letters"] == "1.0"
    assert told['instacart_lines_total{result="accepted"}'] == "1.0"
    assert told['instacart_lines_total{result="rejected"}'] == "1.0"
    assert told['instacart_http_requests_total{method="POST",route="/v1/transactions",status="200"}'] == "1.0"
    assert told['instacart_http_requests_total{method="GET",route="other",status="404"}'] == "1.0"
    assert told['instacart_stream_lag_records{consumer="lookups"}'] == "0.0"
    assert told['instacart_stream_lag_records{consumer="raw_zone"}'] == "2.0"
    assert [name for name in told if "/v1/invoices/1" in name or "xxx" in name] == []
    assert sum("invoice_no" in name and name.startswith("instacart_http_requests_total") for name in told) == 1
