"""POST /v1/transactions: every form a body may take, what is stored of it, and every way it is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.local.lookup_tables import SqliteLookupTables
from instacart_pipeline.resources.local.stream import LocalStream
from instacart_pipeline.resources.stream import Entry, StreamBusy, StreamFull
from instacart_pipeline.retail.lookups import REQUESTS
from instacart_pipeline.serving.retail.repeated import digest_of, take
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.retail.desk import CSV, HEADER, ROW, Desk, a_line, desk

JSON = {"Content-Type": "application/json"}
BROKEN = {"InvoiceNo": "1", "Quantity": "many"}


def message(answer: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    return str(answer.json()["error"]["message"])


# Forms of a body


@pytest.mark.parametrize("form", [a_line(), [a_line()], {"lines": [a_line()]}], ids=["object", "list", "lines"])
def test_json_comes_as_an_object_a_list_or_lines(own: Desk, form: Any) -> None:
    answer = own.post(form)
    (stored,) = own.lines()
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 1, "rejected": [], "rejected_lines": 0, "line_ids": [stored.line_id]}
    assert stored[:7] == (
        "536365",
        "85123A",
        "WHITE HANGING HEART T-LIGHT HOLDER",
        6,
        "2010-12-01 08:26:00",
        "2.5500",
        "17850",
    )


def test_fields_are_known_in_any_spelling_and_others_are_ignored(own: Desk) -> None:
    own.post({**a_line(), "Basket": [1]})
    own.post({name.lower(): value for name, value in a_line().items()})
    own.post({"invoice_no" if name == "InvoiceNo" else name: value for name, value in a_line(Quantity=6).items()})
    assert len(own.lines()) == 3
    assert len({line.line_id for line in own.lines()}) == 1


def test_csv_and_json_of_a_line_are_the_same_line(own: Desk) -> None:
    own.post(a_line())
    assert own.post_csv(ROW).json() == {"accepted": 1, "rejected": [], "rejected_lines": 0}
    assert len({line.line_id for line in own.lines()}) == 1


def test_csv_may_begin_with_a_bom_and_have_more_columns_in_any_order(own: Desk) -> None:
    names, values = HEADER.split(",")[::-1], ROW.split(",")[::-1]
    text = "\ufeff" + ",".join(["Note", *names]).upper() + '\r\n"a, ""b""\nc",' + ",".join(values) + "\r\n\r\n"
    answer = own.client.post(
        "/v1/transactions?ids=true", content=text.encode(), headers={"Content-Type": "text/csv; charset=utf-8"}
    )
    assert answer.json()["line_ids"] == [own.lines()[0].line_id]
    assert own.lines()[0].country == "United Kingdom"


def test_text_beyond_ascii_is_kept(own: Desk) -> None:
    own.post(a_line(Description="Crème “Brûlée” £2 ☕"))
    assert own.lines()[0].description == "Crème “Brûlée” £2 ☕"


def test_lines_that_are_alike_are_counted_unless_they_say_which_they_are(own: Desk) -> None:
    own.post([a_line(), a_line(Quantity=1), a_line(), a_line(Repeat=7), a_line(repeat=""), a_line(Repeat=None)])
    assert sorted((line.quantity, line.repeat) for line in own.lines()) == [
        (1, 1),
        (6, 1),
        (6, 2),
        (6, 3),
        (6, 4),
        (6, 7),
    ]


def test_a_file_sent_in_pieces_counts_its_repeats_itself(own: Desk) -> None:
    for repeat in (1, 2, 3):
        own.post_csv(f"{ROW},{repeat}", header=f"{HEADER},Repeat")
    assert sorted(line.repeat for line in own.lines()) == [1, 2, 3]


@pytest.mark.parametrize(("body", "kind"), [(b"[]", JSON), (b'{"lines": []}', JSON), (HEADER.encode(), CSV)])
def test_no_lines_are_no_error(shared: Desk, body: bytes, kind: dict[str, str]) -> None:
    answer = shared.client.post("/v1/transactions", content=body, headers=kind)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (200, 0, [])


# Lines that are not accepted


def test_good_lines_go_in_and_bad_ones_are_told_by_number(own: Desk) -> None:
    answer = own.post([a_line(), {**a_line(), "Quantity": "many", "Country": ""}, 3, a_line(Quantity=7)])
    assert answer.status_code == 200
    assert answer.json()["accepted"] == len(answer.json()["line_ids"]) == len(own.lines()) == 2
    assert answer.json()["rejected"] == [
        {"line": 2, "reason": "quantity 'many' is not a whole number; country is empty"},
        {"line": 3, "reason": "it is no object"},
    ]


def test_csv_rows_are_numbered_below_the_header(own: Desk) -> None:
    answer = own.post_csv(ROW, ROW.replace("2.55", "free"), "", "1,2,3")
    assert answer.json()["rejected"] == [
        {"line": 2, "reason": "unitprice 'free' is not an amount with at most four decimals"},
        {"line": 4, "reason": "it has 3 fields, not 8 as the header"},
    ]


def test_a_field_in_two_spellings_is_no_choice_of_ours(own: Desk) -> None:
    answer = own.post({**a_line(), "invoice_no": "1"})
    assert answer.json()["rejected"] == [{"line": 1, "reason": "a field is given twice, in two spellings"}]


@pytest.mark.parametrize(("days_off", "taken"), [(0, True), (1, True), (2, False)])
def test_lines_are_taken_until_tomorrow(own: Desk, days_off: int, *, taken: bool) -> None:
    day = datetime.now(ZoneInfo("UTC")).date() + timedelta(days=days_off)
    answer = own.post([a_line(), a_line(InvoiceDate=f"{day} 23:59:59")])
    assert answer.json()["accepted"] == len(own.lines()) == 1 + taken
    if not taken:
        assert answer.json()["rejected"][0]["reason"].startswith(
            f"invoicedate {day} 23:59:59 is on no day that is taken"
        )


def test_lines_of_days_before_the_first_are_rejected_with_the_days_that_are_taken(own: Desk) -> None:
    answer = own.post_csv(ROW, ROW.replace("2010-12-01", "2010-11-30"))
    assert own.lines()[0].day == "2010-12-01"
    (rejected,) = answer.json()["rejected"]
    assert rejected["line"] == 2
    assert rejected["reason"].startswith("invoicedate 2010-11-30 08:26:00 is on no day that is taken, 2010-12-01 to 2")


def test_without_one_good_line_it_is_the_callers_fault(own: Desk) -> None:
    answer = own.post([BROKEN, BROKEN])
    assert "line by line" in message(answer, 422, "none_accepted")
    assert (answer.json()["accepted"], len(answer.json()["rejected"])) == (0, 2)
    assert own.lines() == []


def test_the_list_of_rejected_lines_ends_at_a_thousand_and_their_number_does_not(own: Desk) -> None:
    answer = own.post([a_line(), *[BROKEN] * 2500])
    assert (len(answer.json()["rejected"]), answer.json()["rejected_lines"]) == (1000, 2500)


def test_a_reason_does_not_repeat_a_megabyte(shared: Desk) -> None:
    answer = shared.post(a_line(Quantity="9" * 1_000_000))
    assert len(answer.text) < 1000


# Bodies that are refused as a whole


@pytest.mark.parametrize(
    ("body", "kind", "status", "code", "told"),
    [
        (b"{", JSON, 400, "malformed_json", "The body is no JSON"),
        (b"", JSON, 400, "malformed_json", "no JSON"),
        (b"[" * 100_000, JSON, 400, "malformed_json", "no JSON"),
        (b"\xff", JSON, 400, "not_utf8", "not UTF-8 (byte 0)"),
        (b"3", JSON, 422, "invalid", 'as {"lines": [...]}'),
        (b'{"lines": 3}', JSON, 422, "invalid", 'as {"lines": [...]}'),
        (b"", CSV, 400, "columns", "missing: invoiceno, stockcode"),
        (HEADER.replace("Country", "Land").encode(), CSV, 400, "columns", "(missing: country)"),
        (f"{HEADER},invoice_no".encode(), CSV, 400, "columns", "(given twice: invoiceno)"),
        (f"{HEADER}\n{ROW}\n\xff".encode("latin-1"), CSV, 400, "not_utf8", "not UTF-8"),
        (f'{HEADER}\n{ROW}\n"never ends'.encode(), CSV, 400, "malformed_csv", "row 2 below the header"),
        (f'{HEADER}\n"a"b'.encode(), CSV, 400, "malformed_csv", "row 1 below the header"),
        (f"{HEADER}\n{'x' * 200_000}".encode(), CSV, 400, "malformed_csv", "row 1 below the header"),
        (b"x", {"Content-Type": "image/png"}, 415, "unsupported_media_type", "image/png"),
        (b"[]", {}, 415, "unsupported_media_type", "of no type"),
        (b"[" + b"1," * 50_000 + b"1]", JSON, 413, "too_many_lines", "more than 50,000 lines"),
        (HEADER.encode() + b"\n1" * 50_001, CSV, 413, "too_many_lines", "more than 50,000 lines"),
        (b" " * 6_291_457, JSON, 413, "too_large", "larger than 6,291,456 bytes"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_nothing_of_it_stored(
    own: Desk, body: bytes, kind: dict[str, str], status: int, code: str, told: str
) -> None:
    assert told in message(own.client.post("/v1/transactions", content=body, headers=kind), status, code)
    assert own.lines() == []


def test_fifty_thousand_lines_are_one_request(own: Desk) -> None:
    rows = [f"{number},1,,1,2011-01-01 10:00,1,,X" for number in range(50_000)]
    answer = own.post_csv(*rows)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 50_000)
    assert "line_ids" not in answer.json()
    assert {line.invoice_no for line in own.lines()} == {str(number) for number in range(50_000)}


# Idempotency-Key


def test_a_key_and_its_body_are_stored_once_and_answered_alike(own: Desk) -> None:
    first, again = (own.post([a_line(), BROKEN], Idempotency_Key="k-1") for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.json()["accepted"] == 1
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(own.lines()) == 1


def test_a_key_belongs_to_one_body(own: Desk) -> None:
    own.post(a_line(), Idempotency_Key="k-2").raise_for_status()
    told = message(own.post(a_line(Quantity=7), Idempotency_Key="k-2"), 422, "key_reused")
    assert "Another body was sent with the Idempotency-Key 'k-2'" in told
    assert len(own.lines()) == 1


def test_a_key_of_a_body_that_was_not_stored_stays_free(own: Desk) -> None:
    assert own.post(BROKEN, Idempotency_Key="k-3").status_code == 422
    assert own.post(a_line(), Idempotency_Key="k-3").status_code == 200


def test_a_key_is_forgotten_after_a_day(own: Desk) -> None:
    own.post(a_line(), Idempotency_Key="k-4")
    known = own.lookups.get(REQUESTS, "k-4")
    assert known is not None
    assert time.time() + 23 * 3600 < int(known["expires"]) < time.time() + 25 * 3600
    own.lookups.put(REQUESTS, [{**known, "expires": int(time.time()) - 1}])
    assert own.post(a_line(Quantity=7), Idempotency_Key="k-4").status_code == 200
    assert len(own.lines()) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "h\u00e9"])
def test_a_key_is_up_to_255_printable_characters(shared: Desk, key: str) -> None:
    answer = shared.client.post("/v1/transactions", json=a_line(), headers={b"Idempotency-Key": key.encode("latin-1")})
    assert "Idempotency-Key" in message(answer, 422, "invalid")


def test_two_requests_with_one_key_at_once_store_one_line(own: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: own.post(a_line(), Idempotency_Key="k-5"), range(8)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert len({line.line_id for line in own.lines()}) == 1


def test_of_two_bodies_with_one_key_at_once_one_is_accepted_and_again_and_nothing_of_the_other_is_stored(
    own: Desk,
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


def test_a_key_belongs_to_a_body_from_before_it_is_stored(tmp_path: Path, fault: Path) -> None:
    with desk(tmp_path, Faulty(home=str(tmp_path))) as own, ThreadPoolExecutor(1) as pool:
        fault.write_text("wait")
        first = pool.submit(own.post, a_line(), Idempotency_Key="k")
        web.until(lambda: own.lookups.get(REQUESTS, "k") is not None)
        message(own.post(a_line(Quantity=7), Idempotency_Key="k"), 422, "key_reused")
        fault.unlink()
        assert first.result().status_code == 200
        assert [line.quantity for line in own.lines()] == [6]


def test_what_was_cut_off_before_it_was_stored_is_stored_by_its_retry(own: Desk) -> None:
    kind, body = "application/json", json.dumps(a_line()).encode()
    assert take(own.lookups, "k-6", digest_of(body, kind)) == 0  # and the server was killed
    headers = {"Idempotency-Key": "k-6", "Content-Type": kind}
    first, again = (own.client.post("/v1/transactions", content=body, headers=headers) for _ in range(2))
    assert ("idempotent-replayed" in first.headers, "idempotent-replayed" in again.headers) == (False, True)
    assert len(own.lines()) == 1


def test_a_body_of_which_more_is_accepted_than_before_is_stored_again(own: Desk) -> None:
    body = [a_line(), a_line(Quantity=7)]
    own.post(body, Idempotency_Key="k-7").raise_for_status()
    known = own.lookups.get(REQUESTS, "k-7")
    assert known is not None
    own.lookups.put(REQUESTS, [{**known, "stored": 1}])
    assert "idempotent-replayed" not in own.post(body, Idempotency_Key="k-7").headers
    assert "idempotent-replayed" in own.post(body, Idempotency_Key="k-7").headers


def test_without_a_key_a_resend_stores_no_new_line(own: Desk) -> None:
    first, again = own.post([a_line(), a_line()]), own.post([a_line(), a_line()])
    assert first.json() == again.json()
    assert {line.line_id for line in own.lines()} == set(first.json()["line_ids"])


# Too much at once, and a stream that fails


class Faulty(LocalStream):
    """A stream that fails as it is told by a file in its folder, or waits while there is one that says so."""

    def put(self, entries: Sequence[Entry]) -> None:
        fault = Path(self.home, "fault")
        while (told := fault.read_text() if fault.exists() else "") == "wait":
            time.sleep(0.01)
        if told:
            kinds = {"busy": StreamBusy, "full": StreamFull, "gone": PipelineError, "bug": ZeroDivisionError}
            raise kinds[told](f"The stream is {told}.")
        super().put(entries)


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    return tmp_path / "fault"


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
    tmp_path: Path, fault: Path, kind: str, status: int, code: str
) -> None:
    with desk(tmp_path, Faulty(home=str(tmp_path))) as own:
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


def test_when_the_queue_is_full_more_is_refused_until_it_is_not(tmp_path: Path, fault: Path) -> None:
    with desk(tmp_path, Faulty(home=str(tmp_path)), most_waiting=10) as own, ThreadPoolExecutor(3) as pool:
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


def test_what_waits_together_is_stored_together(tmp_path: Path, fault: Path) -> None:
    puts: list[int] = []

    class Watched(Faulty):
        def put(self, entries: Sequence[Entry]) -> None:
            super().put(entries)
            puts.append(len(entries))

    with desk(tmp_path, Watched(home=str(tmp_path))) as own, ThreadPoolExecutor(40) as pool:
        fault.write_text("wait")
        first = pool.submit(own.post, a_line(Quantity=1000))
        web.until(lambda: "instacart_lines_waiting 1.0" in own.client.get("/metrics").text)
        others = [pool.submit(own.post, a_line(Quantity=q)) for q in range(1, 31)]
        web.until(lambda: "instacart_lines_waiting 31.0" in own.client.get("/metrics").text)
        fault.unlink()
        assert {each.result().status_code for each in (first, *others)} == {200}
        assert puts == [1, 30]


def test_a_caller_who_hangs_up_leaves_the_others_served(tmp_path: Path, fault: Path) -> None:
    with desk(tmp_path, Faulty(home=str(tmp_path))) as own, ThreadPoolExecutor(1) as pool:
        fault.write_text("wait")
        with pytest.raises(httpx.ReadTimeout):
            own.client.post("/v1/transactions", json=a_line(), timeout=0.2)
        other = pool.submit(own.post, a_line(Quantity=7))
        fault.unlink()
        assert other.result().status_code == 200
        assert {line.quantity for line in own.lines()} == {6, 7}


def test_when_the_consumers_are_too_far_behind_more_is_refused_until_they_are_not(tmp_path: Path) -> None:
    with desk(tmp_path, most_behind=5) as own:
        own.post([a_line(Quantity=q) for q in range(1, 7)]).raise_for_status()
        web.until(lambda: own.post([]).status_code == 429)
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
        web.until(lambda: own.post(a_line()).status_code == 200)
        assert own.client.get("/health/retail").status_code == 200


def test_a_table_of_requests_that_is_held_keeps_only_those_with_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise PipelineError("The table is busy.")

    with desk(tmp_path) as own:
        monkeypatch.setattr(SqliteLookupTables, "put_if_new", busy)
        assert own.post(a_line(), Idempotency_Key="k").status_code == 503
        assert own.lines() == []
        assert own.post(a_line()).status_code == 200


# Keys, health, numbers


def test_all_but_health_asks_for_a_key(tmp_path: Path) -> None:
    key = "a-key-of-sixteen"
    with desk(tmp_path, keys=(key,)) as own:
        assert own.post(a_line()).status_code == 401
        for path in ("/v1/invoices/536365", "/v1/invoices/536365/lines", "/v1/customers/17850/invoices", "/metrics"):
            assert own.client.get(path).status_code == 401
        assert own.lines() == []
        assert own.post(a_line(), X_API_Key=key).status_code == 200
        assert own.client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert own.client.get("/health").status_code == 200


def test_health_tells_how_far_the_consumers_are_behind(own: Desk) -> None:
    own.post([a_line(), a_line()])
    web.until(lambda: own.client.get("/health").json()["retail"]["consumers"]["lookups"]["records"] == 2)
    own.fill_lookups()
    web.until(lambda: own.client.get("/health").json()["retail"]["consumers"]["lookups"]["records"] == 0)
    told = own.client.get("/health").json()
    assert (told["status"], told["retail"]["trouble"], told["retail"]["dead_letters"]) == ("ok", [], 0)
    assert told["retail"]["consumers"]["raw_zone"]["records"] == 2


def test_the_numbers_tell_requests_lines_and_lag(own: Desk) -> None:
    own.post([a_line(), BROKEN])
    own.post(b"".decode())
    own.client.get("/v1/invoices/1")
    own.client.get("/v1/invoices/2")
    own.client.get(f"/nowhere/{'x' * 50}")
    own.stream.put([Entry("1", b"no line")])
    own.fill_lookups()
    settled = ("instacart_dead_letters 1.0", 'instacart_stream_lag_records{consumer="lookups"} 0.0')
    web.until(lambda: all(number in own.client.get("/metrics").text for number in settled))
    answer = own.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    told = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert told['instacart_lines_total{result="accepted"}'] == "1.0"
    assert told['instacart_lines_total{result="rejected"}'] == "1.0"
    assert told['instacart_http_requests_total{method="POST",route="/v1/transactions",status="200"}'] == "1.0"
    assert told['instacart_http_requests_total{method="GET",route="other",status="404"}'] == "1.0"
    assert told['instacart_stream_lag_records{consumer="lookups"}'] == "0.0"
    assert told['instacart_stream_lag_records{consumer="raw_zone"}'] == "2.0"
    assert [name for name in told if "/v1/invoices/1" in name or "xxx" in name] == []
    assert sum("invoice_no" in name and name.startswith("instacart_http_requests_total") for name in told) == 1


def test_many_single_posts_are_all_stored(own: Desk) -> None:
    accepted: list[str] = []
    lock = threading.Lock()

    def one(quantity: int) -> None:
        answer = own.post(a_line(Quantity=quantity))
        with lock:
            accepted.extend(json.loads(answer.text)["line_ids"])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(1, 201)))
    assert len(set(accepted)) == 200
    assert set(accepted) == {line.line_id for line in own.lines()}
