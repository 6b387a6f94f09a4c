"""POST /v1/transactions: every form a body may take, what is stored of it, and every way it is refused."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from instacart_pipeline_tests.serving.retail.sales_client import CSV, HEADER, ROW, SalesClient, a_line, message

JSON = {"Content-Type": "application/json"}
BROKEN = {"InvoiceNo": "1", "Quantity": "many"}


# Forms of a body


@pytest.mark.parametrize("form", [a_line(), [a_line()], {"lines": [a_line()]}], ids=["object", "list", "lines"])
def test_json_comes_as_an_object_a_list_or_lines(own: SalesClient, form: Any) -> None:
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


def test_fields_are_known_in_any_spelling_and_others_are_ignored(own: SalesClient) -> None:
    own.post({**a_line(), "Basket": [1]})
    own.post({name.lower(): value for name, value in a_line().items()})
    own.post({"invoice_no" if name == "InvoiceNo" else name: value for name, value in a_line(Quantity=6).items()})
    assert len(own.lines()) == 3
    assert len({line.line_id for line in own.lines()}) == 1


def test_csv_and_json_of_a_line_are_the_same_line(own: SalesClient) -> None:
    own.post(a_line())
    assert own.post_csv(ROW).json() == {"accepted": 1, "rejected": [], "rejected_lines": 0}
    assert len({line.line_id for line in own.lines()}) == 1


def test_csv_may_begin_with_a_bom_and_have_more_columns_in_any_order(own: SalesClient) -> None:
    names, values = HEADER.split(",")[::-1], ROW.split(",")[::-1]
    text = "\ufeff" + ",".join(["Note", *names]).upper() + '\r\n"a, ""b""\nc",' + ",".join(values) + "\r\n\r\n"
    answer = own.client.post(
        "/v1/transactions?ids=true", content=text.encode(), headers={"Content-Type": "text/csv; charset=utf-8"}
    )
    assert answer.json()["line_ids"] == [own.lines()[0].line_id]
    assert own.lines()[0].country == "United Kingdom"


def test_text_beyond_ascii_is_kept(own: SalesClient) -> None:
    own.post(a_line(Description="Crème “Brûlée” £2 ☕"))
    assert own.lines()[0].description == "Crème “Brûlée” £2 ☕"


def test_lines_that_are_alike_are_counted_unless_they_say_which_they_are(own: SalesClient) -> None:
    own.post([a_line(), a_line(Quantity=1), a_line(), a_line(Repeat=7), a_line(repeat=""), a_line(Repeat=None)])
    assert sorted((line.quantity, line.repeat) for line in own.lines()) == [
        (1, 1),
        (6, 1),
        (6, 2),
        (6, 3),
        (6, 4),
        (6, 7),
    ]


def test_a_file_sent_in_pieces_counts_its_repeats_itself(own: SalesClient) -> None:
    for repeat in (1, 2, 3):
        own.post_csv(f"{ROW},{repeat}", header=f"{HEADER},Repeat")
    assert sorted(line.repeat for line in own.lines()) == [1, 2, 3]


@pytest.mark.parametrize(("body", "kind"), [(b"[]", JSON), (b'{"lines": []}', JSON), (HEADER.encode(), CSV)])
def test_no_lines_are_no_error(shared: SalesClient, body: bytes, kind: dict[str, str]) -> None:
    answer = shared.client.post("/v1/transactions", content=body, headers=kind)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (200, 0, [])


# Lines that are not accepted


def test_good_lines_go_in_and_bad_ones_are_told_by_number(own: SalesClient) -> None:
    answer = own.post([a_line(), {**a_line(), "Quantity": "many", "Country": ""}, 3, a_line(Quantity=7)])
    assert answer.status_code == 200
    assert answer.json()["accepted"] == len(answer.json()["line_ids"]) == len(own.lines()) == 2
    assert answer.json()["rejected"] == [
        {"line": 2, "reason": "quantity 'many' is not a whole number; country is empty"},
        {"line": 3, "reason": "it is no object"},
    ]


def test_csv_rows_are_numbered_below_the_header(own: SalesClient) -> None:
    answer = own.post_csv(ROW, ROW.replace("2.55", "free"), "", "1,2,3")
    assert answer.json()["rejected"] == [
        {"line": 2, "reason": "unitprice 'free' is not an amount with at most four decimals"},
        {"line": 4, "reason": "it has 3 fields, not 8 as the header"},
    ]


def test_a_field_in_two_spellings_is_no_choice_of_ours(own: SalesClient) -> None:
    answer = own.post({**a_line(), "invoice_no": "1"})
    assert answer.json()["rejected"] == [{"line": 1, "reason": "a field is given twice, in two spellings"}]


@pytest.mark.parametrize(("days_off", "taken"), [(0, True), (1, True), (2, False)])
def test_lines_are_taken_until_tomorrow(own: SalesClient, days_off: int, *, taken: bool) -> None:
    day = datetime.now(ZoneInfo("UTC")).date() + timedelta(days=days_off)
    answer = own.post([a_line(), a_line(InvoiceDate=f"{day} 23:59:59")])
    assert answer.json()["accepted"] == len(own.lines()) == 1 + taken
    if not taken:
        assert answer.json()["rejected"][0]["reason"].startswith(
            f"invoicedate {day} 23:59:59 is on no day that is taken"
        )


def test_lines_of_days_before_the_first_are_rejected_with_the_days_that_are_taken(own: SalesClient) -> None:
    answer = own.post_csv(ROW, ROW.replace("2010-12-01", "2010-11-30"))
    assert own.lines()[0].day == "2010-12-01"
    (rejected,) = answer.json()["rejected"]
    assert rejected["line"] == 2
    assert rejected["reason"].startswith("invoicedate 2010-11-30 08:26:00 is on no day that is taken, 2010-12-01 to 2")


def test_without_one_good_line_it_is_the_callers_fault(own: SalesClient) -> None:
    answer = own.post([BROKEN, BROKEN])
    assert "line by line" in message(answer, 422, "none_accepted")
    assert (answer.json()["accepted"], len(answer.json()["rejected"])) == (0, 2)
    assert own.lines() == []


def test_the_list_of_rejected_lines_ends_at_a_thousand_and_their_number_does_not(own: SalesClient) -> None:
    answer = own.post([a_line(), *[BROKEN] * 2500])
    assert (len(answer.json()["rejected"]), answer.json()["rejected_lines"]) == (1000, 2500)


def test_a_reason_does_not_repeat_a_megabyte(shared: SalesClient) -> None:
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
    own: SalesClient, body: bytes, kind: dict[str, str], status: int, code: str, told: str
) -> None:
    assert told in message(own.client.post("/v1/transactions", content=body, headers=kind), status, code)
    assert own.lines() == []


def test_fifty_thousand_lines_are_one_request(own: SalesClient) -> None:
    rows = [f"{number},1,,1,2011-01-01 10:00,1,,X" for number in range(50_000)]
    answer = own.post_csv(*rows)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 50_000)
    assert "line_ids" not in answer.json()
    assert sum(lag.records or 0 for lag in own.stream.lag("lookups")) == 50_000


def test_many_single_posts_are_all_stored(own: SalesClient) -> None:
    accepted: list[str] = []
    lock = threading.Lock()

    def one(quantity: int) -> None:
        answer = own.post(a_line(Quantity=quantity))
        with lock:
            accepted.extend(json.loads(answer.text)["line_ids"])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(1, 81)))
    assert len(set(accepted)) == 80
    assert set(accepted) == {line.line_id for line in own.lines()}
