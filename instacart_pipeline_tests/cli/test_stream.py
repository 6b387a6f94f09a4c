"""The commands of the stream: sending files to an API that fails in every way it may, working off, looking, reading again."""

from __future__ import annotations

import base64
import csv
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from instacart_pipeline.cli.commands import app
from instacart_pipeline.cli.stream_sending import NotTaken, Sender, files_of, pieces
from instacart_pipeline.lake.errors import FileUnreadable, InputInvalid, PipelineError
from instacart_pipeline.resources.stream import Entry
from instacart_pipeline.retail.consumers.event_source_mapping import EventSourceMapping
from instacart_pipeline.retail.lines import Line, counted, folded, read_line
from instacart_pipeline.retail.lookups import DEAD_LETTERS
from instacart_pipeline.serving.retail.bodies import read_body
from instacart_pipeline_tests.retail.consumers.shop import Shop, a_line, many_lines
from instacart_pipeline_tests.tiers import costs

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROW = '536365,85123A,"HEART, ""WHITE""",6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom'
OTHER = "536366,71053,LANTERN,-1,2010-12-01 08:28:00,3.39,,France"
KEY = "a-key-of-16-characters"


class Api:
    """Reads bodies as the API does. `faults` are what the next requests get in place of an answer."""

    def __init__(self, port: int = 0) -> None:
        self.connections: list[socket.socket] = []
        self.lines: list[Line] = []
        self.keys: list[str | None] = []
        self.bodies: list[str] = []
        self.faults: list[tuple[int, dict[str, str]] | None] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                api.connections.append(self.connection)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if api.faults:
                    api.fail(self, api.faults.pop(0))
                elif self.headers["X-API-Key"] != KEY:
                    api.answer(self, 401, {"error": {"code": "key", "message": "This API key is not known."}})
                else:
                    assert (self.path, self.headers["Content-Type"]) == ("/v1/transactions", "text/csv")
                    api.keys.append(self.headers["Idempotency-Key"])
                    api.bodies.append(body.decode())
                    api.take(self, body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        sent = read_body(body, "text/csv")
        self.lines += sent.lines
        told = {
            "accepted": len(sent.lines),
            "rejected": [r._asdict() for r in sent.rejected],
            "rejected_lines": sent.rejected_lines,
        }
        self.answer(request, 200 if sent.lines else 422, told)

    def fail(self, request: BaseHTTPRequestHandler, fault: tuple[int, dict[str, str]] | None) -> None:
        if fault is None:  # cut off without an answer
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
        else:
            self.answer(request, fault[0], {"error": {"code": "later", "message": "not now"}}, fault[1])

    @staticmethod
    def answer(request: BaseHTTPRequestHandler, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(told).encode()
        request.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(port: int = 0) -> Iterator[Api]:
    made = Api(port)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
@costs("contract")
def api() -> Iterator[Api]:
    with running() as made:
        yield made


@pytest.fixture(autouse=True)
@costs("contract")
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSTACART_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INSTACART_API_KEYS", KEY)
    return tmp_path / "home"


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["stream", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def file_of(folder: Path, *rows: str, name: str = "2010-12-01.csv", header: str = HEADER) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


# Sending.


def test_files_go_in_pieces_with_repeats_counted_over_each_whole_file(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    file_of(folder, ROW, OTHER, ROW, ROW, "", OTHER)
    file_of(folder, ROW, name="2010-12-02.csv")
    told = json.loads(run("send", str(folder), "--url", api.url, "--batch", "2", "--json").stdout)
    assert (told["files"], told["accepted"], told["refused"], told["refusals"]) == (2, 6, 0, [])
    assert [body.count("\n") - 1 for body in api.bodies] == [2, 2, 1, 1]
    rows = [read_line(dict(zip(map(folded, HEADER.split(",")), parts, strict=True))) for parts in _parts(ROW, OTHER)]
    whole = counted([rows[0], rows[1], rows[0], rows[0], rows[1]])
    assert [line.line_id for line in api.lines] == [*(line.line_id for line in whole), rows[0].line_id]


def _parts(*rows: str) -> list[list[str]]:
    return list(csv.reader(rows))


def test_the_same_file_again_has_the_same_lines_and_none_is_held_back_as_sent_already(api: Api, tmp_path: Path) -> None:
    path = file_of(tmp_path / "files", ROW, ROW, OTHER)
    run("send", str(path), "--url", api.url)
    lines = list(api.lines)
    run("send", str(path), "--url", api.url)
    assert (api.lines, api.keys) == (lines * 2, [None, None])


def test_what_is_refused_is_told_with_its_place_in_the_file_and_ends_with_1(api: Api, tmp_path: Path) -> None:
    bad = ROW.replace(",6,", ",six,")
    path = file_of(
        tmp_path / "files", ROW, bad, '536367,1,"two', 'lines",1,2010-12-01 08:26:00,1,,France', "short,row", bad
    )
    result = run("send", str(path), "--url", api.url, "--batch", "2", "--json", code=1)
    told = json.loads(result.stdout)
    assert (told["accepted"], told["refused"]) == (2, 3)
    assert [(each["file"], each["line"]) for each in told["refusals"]] == [
        (path.name, 3),
        (path.name, 6),
        (path.name, 7),
    ]
    assert "quantity 'six' is not a whole number" in told["refusals"][0]["reason"]
    assert "'six' is not a whole number" in run("send", str(path), "--url", api.url, code=1).stdout


def test_a_busy_or_cut_off_server_is_asked_again_and_each_line_is_taken_once(api: Api, tmp_path: Path) -> None:
    api.faults = [(503, {"Retry-After": "1"}), (429, {}), None, (502, {}), (504, {})]
    path = file_of(tmp_path / "files", ROW, OTHER)
    result = run("send", str(path), "--url", api.url, "--batch", "1", "--json")
    told = json.loads(result.stdout)
    assert (told["accepted"], told["retries"], len(api.lines)) == (2, 5, 2)
    assert told["seconds"] > 1.0  # Retry-After was kept
    assert "The API answers 503: not now. It is tried again." in result.stderr


def test_a_server_that_restarts_in_the_middle_gets_the_rest(tmp_path: Path) -> None:
    said: list[str] = []
    path = file_of(tmp_path / "files", *(f"{number},{OTHER.partition(',')[2]}" for number in range(30)))
    first = Api()
    port = first.port
    again: list[Api] = []

    def restart() -> None:
        again.append(Api(port))

    def progress(_: Path, __: int) -> None:
        if len(first.bodies) == 3 and not again:
            first.stop()
            threading.Timer(0.7, restart).start()

    try:
        report = Sender(first.url, KEY, 5, say=said.append).send([path], progress)
    finally:
        (first if not again else again[0]).stop()
    assert (report.accepted, len(first.lines), len(again[0].lines)) == (30, 15, 15)
    assert report.retries > 0
    assert "does not answer" in said[0]


def test_patience_ends_saying_what_was_accepted(tmp_path: Path) -> None:
    with running() as gone:
        url = gone.url
    path = file_of(tmp_path / "files", ROW)
    with pytest.raises(
        NotTaken, match=r"does not answer .* 0 lines are accepted\. Sending the same files again is harmless"
    ):
        Sender(url, KEY, patience_seconds=0.5).send([path])


def test_what_is_refused_as_a_whole_is_not_tried_again(api: Api, tmp_path: Path) -> None:
    path = file_of(tmp_path / "files", ROW)
    with pytest.raises(NotTaken, match=r"\(401\): This API key is not known"):
        Sender(api.url, "another-key-of-16-chars").send([path])
    assert api.bodies == []


def test_a_rate_is_kept(api: Api, tmp_path: Path) -> None:
    path = file_of(tmp_path / "files", *(f"{number},{OTHER.partition(',')[2]}" for number in range(30)))
    report = Sender(api.url, KEY, rate=20).send([path])
    assert report.seconds > 1.3
    assert len(api.bodies) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"InvoiceNo\n\xff\xfe\n", "UTF-8"),
        (b'InvoiceNo,StockCode\n1,"open', "unexpected end of data"),
    ],
)
def test_a_file_that_is_no_csv_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    with pytest.raises(FileUnreadable, match=says) as error:
        list(pieces(path, 10))
    assert str(path) in str(error.value)


def test_a_file_that_numbers_its_lines_itself_goes_as_it_is_and_a_mark_at_its_start_is_none_of_its_name(
    tmp_path: Path,
) -> None:
    path = file_of(tmp_path / "f", f"{ROW},7", header=f"\ufeff{HEADER},repeat")
    (piece,) = pieces(path, 10)
    assert piece.body.decode().splitlines()[0] == f"{HEADER},repeat"
    assert piece.body.decode().splitlines()[1].endswith(",United Kingdom,7")
    assert (list(piece.places), piece.read) == ([2], path.stat().st_size)


def test_nothing_to_send_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(InputInvalid, match="neither a CSV file nor a folder"):
            files_of(path)


# Working, looking, reading again.


def worked_off(shop: Shop, name: str) -> None:
    """What a worker does until nothing is left, in this process."""
    EventSourceMapping(shop.stream, shop.consumer(name), 0.05, share=(0, 1)).run(threading.Event(), until_empty=True)


def state(name: str) -> dict[str, Any]:
    told = json.loads(run("status", "--json", "--seconds", "0.1").stdout)
    return next(each for each in told["consumers"] if each["consumer"] == name)


def test_work_until_empty_starts_both_workers_and_ends_when_nothing_is_left(home: Path) -> None:
    shop = Shop(home)
    shop.put(many_lines(200))
    assert (state("lookups")["records"], state("raw_zone")["records"]) == (200, 200)
    assert "Nothing is left." in run("work", "--until-empty").stderr
    assert len(shop.invoices()) == len(shop.raw_lines()) == 200
    assert (state("lookups")["records"], state("raw_zone")["seconds"]) == (0, 0.0)


def test_status_for_people_shows_shards_and_rates(home: Path) -> None:
    Shop(home).put(many_lines(10))
    shown = run("status", "--seconds", "0.1").stdout
    assert all(text in shown for text in ("Stream transactions", "raw_zone", "lookups", "shard-003", "out a second"))


def test_dead_letters_are_listed_and_read_once_more_and_those_that_hold_a_line_by_now_go(home: Path) -> None:
    shop = Shop(home)
    shop.stream.put([Entry("1", b"no line"), Entry("2", a_line("2").record())])
    worked_off(shop, "lookups")
    (letter,) = json.loads(run("dead-letters", "--json").stdout)
    assert (letter["consumer"], "JSONDecodeError" in letter["reason"]) == ("lookups", True)
    assert state("lookups")["dead_letters"] == 1
    assert "is no line of an invoice" in " ".join(run("dead-letters").stdout.split())
    mended = {**letter, "position": f"shard-000#{77:060}", "data": "eyJ9"}
    good = shop.letters("lookups")[0] | {"position": f"shard-000#{78:060}", "data": _base64(a_line("78").record())}
    shop.tables.put(DEAD_LETTERS, [mended, good])
    assert (
        "3 dead letters of lookups were read again; 2 of them still hold no line"
        in run("replay", "--consumer", "lookups", "--dead-letters").stderr
    )
    assert len(shop.letters("lookups")) == 2
    assert len(shop.invoices()) == 2


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_replay_reads_again_from_the_start_or_a_time(home: Path) -> None:
    shop = Shop(home)
    shop.put(many_lines(100))
    worked_off(shop, "lookups")
    assert state("lookups")["records"] == 0
    run("replay", "--consumer", "lookups", "--since", "2090-01-01")
    assert state("lookups")["records"] == 0
    run("replay", "--consumer", "lookups", "--since", "2020-01-01T08:00")
    assert state("lookups")["records"] == 100
    worked_off(shop, "lookups")
    run("replay", "--consumer", "lookups", "--from-start")
    assert state("lookups")["records"] == 100
    worked_off(shop, "lookups")
    assert set(shop.invoices().values()) == {1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay", "--consumer", "lookups"], "Say one of --from-start, --since TIME and --dead-letters"),
        (["replay", "--consumer", "lookups", "--from-start", "--dead-letters"], "Say one of"),
        (
            ["replay", "--consumer", "lookups", "--since", "yesterday"],
            "'yesterday' is no time. Write it as 2026-11-20T08:30",
        ),
        (
            ["replay", "--consumer", "firehose", "--from-start"],
            "no consumer 'firehose'. There are raw_zone and lookups",
        ),
        (["work", "--consumer", "firehose"], "no consumer 'firehose'"),
        (["dead-letters", "--consumer", "firehose"], "no consumer 'firehose'"),
    ],
)
def test_what_can_not_be_done_is_refused_saying_what_can(arguments: list[str], says: str) -> None:
    error = run(*arguments, code=1).exception
    assert isinstance(error, PipelineError)
    assert says in str(error)


def test_a_consumer_that_is_at_work_is_not_rewound(home: Path) -> None:
    shop = Shop(home)
    shop.put(many_lines(10))
    (shard, *_) = shop.stream.state().shards
    with shop.stream.claim("lookups", shard):
        error = run("replay", "--consumer", "lookups", "--from-start", code=1).exception
    assert "Stop the workers, then rewind" in str(error)
