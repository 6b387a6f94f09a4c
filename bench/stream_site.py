"""What the stream's benchmark runs: a platform of its own with its server and workers, a peer, the lines, and the loads.

Belongs here: processes, requests and clocks. Doesn't: which are run with what (stream.py).
"""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from bench.measure import Cost, measure
from instacart_pipeline.resources.stream import Entry
from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline.retail.lines import counted, folded, read_line

BATCH = 500
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
PROGRAM = str(Path(sys.executable).with_name("instacart-pipeline"))
_START_SECONDS = 60
Load = Mapping[str, float]


@dataclass(frozen=True)
class Request:
    """One request: where it goes, what it is, and what it carries."""

    path: str
    content_type: str
    body: bytes


def make_lines(work: Path, number: int) -> list[str]:
    """Generated lines of CSV, without headers."""
    days = max(1, number // 2_000)
    out = work / "generated"
    command = [PROGRAM, "generate", "retail", "--days", str(days), "--lines-a-day", "2000", "--first-day", "2011-01-01"]
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    made: list[str] = []
    for path in sorted(out.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            next(rows)
            made += [_line(row) for row in rows]
    return made[:number]


def single(lines: list[str], *, plain: bool = False) -> Request:
    """A post of one line as JSON."""
    return Request(*_json_place(plain), json.dumps(_objects(lines[:1]) if plain else _objects(lines[:1])[0]).encode())


def batch_of(lines: list[str], *, plain: bool = False) -> Request:
    """A post of BATCH lines: CSV to the API, which its own client sends; JSON to the plain server, which takes nothing else."""
    if plain:
        return Request(*_json_place(plain), json.dumps(_objects(lines[:BATCH])).encode())
    return Request("/v1/transactions", "text/csv", "\n".join([HEADER, *lines[:BATCH], ""]).encode())


def load_of(port: int, request: Request, connections: int, seconds: float, work: Path) -> Load:
    """Answers a second and their milliseconds, over that many connections. Raises SystemExit if one request failed."""
    head = [f"POST {request.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Type: {request.content_type}"]
    file = work / "request"
    file.write_bytes("\r\n".join([*head, f"Content-Length: {len(request.body)}", "", ""]).encode() + request.body)
    command = [sys.executable, "-m", "bench.serving_load", str(port), str(file), "--connections", str(connections)]
    ended = subprocess.run([*command, "--seconds", str(seconds)], check=True, capture_output=True)
    told = cast(dict[str, float], json.loads(ended.stdout))
    if told["failed"]:
        raise SystemExit(f"{told['failed']:.0f} requests failed: {request.path}, {connections} connections.")
    return told


def fsync_floor(work: Path, body: bytes, seconds: float) -> Load:
    """The disk alone: the same bytes appended to a file and flushed, again and again."""
    taken: list[float] = []
    with (work / "floor").open("wb", buffering=0) as file:
        until = time.perf_counter() + seconds
        while (before := time.perf_counter()) < until:
            file.write(body)
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - before)
    (work / "floor").unlink()
    return {"per_second": len(taken) / seconds, "p99": 1000 * sorted(taken)[len(taken) * 99 // 100]}


@contextmanager
def plain_server(work: Path) -> Iterator[int]:
    """The peer (peers/fastapi_sqlite.py)."""
    port, script = _free_port(), Path(__file__).parent / "peers" / "fastapi_sqlite.py"
    with _running([sys.executable, str(script), str(port), str(work / "plain.sqlite")], {}, work / "plain.log"):
        _await(port, "/openapi.json", work / "plain.log")
        yield port


class Site:
    """A platform below `home`, with a stream of `shards`; gone at the end of the block."""

    def __init__(self, home: Path, *, shards: int) -> None:
        self.home, self.shards = home, shards
        self.environment = {"INSTACART_HOME": str(home), "INSTACART_STREAM_SHARDS": str(shards)}

    def __enter__(self) -> Site:
        self.home.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    @contextmanager
    def serving(self) -> Iterator[int]:
        """The web application, of one process."""
        port = _free_port()
        log = self.home / "serve.log"
        with _running([PROGRAM, "serve", "--port", str(port)], self.environment, log):
            _await(port, "/v1/invoices/none", log)
            yield port

    @contextmanager
    def working(self) -> Iterator[None]:
        """The consumers."""
        with _running([PROGRAM, "stream", "work"], self.environment, self.home / "work.log"):
            yield

    @contextmanager
    def sending(self, lines: list[str], rate: int, port: int) -> Iterator[None]:
        """A client that sends lines at a rate."""
        file = self.home / "lines.csv"
        file.write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")
        command = [PROGRAM, "stream", "send", str(file), "--rate", str(rate), "--url", f"http://127.0.0.1:{port}"]
        with _running(command, self.environment, self.home / "send.log"):
            yield

    def fill(self, lines: list[str]) -> None:
        """Put lines into the stream itself."""
        stream = LocalStream(home=str(self.home), shards=self.shards)
        read = counted(read_line(given) for given in _objects(lines, fold=True))
        entries = [Entry(line.invoice_no, line.record()) for line in read]
        for start in range(0, len(entries), 5_000):
            stream.put(entries[start : start + 5_000])

    def drain(self, consumer: str, processes: int) -> Cost:
        """What workers of one consumer cost, until nothing is left."""
        command = [PROGRAM, "stream", "work", "--consumer", consumer, "--processes", str(processes), "--until-empty"]
        log = self.home / f"{consumer}.log"
        return measure(command, env={**os.environ, **self.environment}, cwd=self.home, log=log, timeout=600)


def delays(port: int, number: int) -> Iterator[float]:
    """Seconds from the answer to a POST until a GET finds the line, one after another."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for count in range(number):
        invoice = f"{time.time_ns()}-{count}"
        line = f"{invoice},85123A,BENCH,1,2011-06-01 10:00:00,2.55,17850.0,United Kingdom"
        connection.request("POST", "/v1/transactions", "\n".join([HEADER, line, ""]), {"Content-Type": "text/csv"})
        connection.getresponse().read()
        since = time.perf_counter()
        while True:
            connection.request("GET", f"/v1/invoices/{invoice}/lines")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                break
            time.sleep(0.01)
        yield time.perf_counter() - since


def _json_place(plain: bool) -> tuple[str, str]:
    return "/transactions" if plain else "/v1/transactions", "application/json"


def _objects(lines: list[str], *, fold: bool = False) -> list[dict[str, Any]]:
    names = [folded(name) for name in HEADER.split(",")] if fold else HEADER.split(",")
    return [dict(zip(names, row, strict=True)) for row in csv.reader(lines)]


def _line(row: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(row)
    return written.getvalue()


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _await(port: int, path: str, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while not _answers(port, path):
        if time.monotonic() > until:
            raise SystemExit(f"The server does not come up:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
