"""Where lines of invoices are handed in: the retail part of the API, on a stream and lookup tables in a folder of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline.resources.stream import Entry, Stream, StreamBusy, StreamFull
from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline.retail.consumers.event_source_mapping import EventSourceMapping
from instacart_pipeline.retail.consumers.lookups import lookups
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline.retail.days import LineDays
from instacart_pipeline.retail.lines import Line
from instacart_pipeline.serving.api import create_app
from instacart_pipeline.serving.metrics import Metrics
from instacart_pipeline.serving.retail.part import retail_part
from instacart_pipeline.serving.retail.service import Service, service_of
from instacart_pipeline_tests.serving import web

_NEVER = 3600.0
CSV = {"Content-Type": "text/csv"}
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROW = "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def a_line(**changed: Any) -> dict[str, Any]:
    """The first line of the real data, or another one."""
    line: dict[str, Any] = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    return {**line, **changed}


def lines_in(stream: Stream) -> list[Line]:
    """All lines that are stored, shard by shard."""
    found: list[Line] = []
    for shard in stream.state().shards:
        after = ""
        while records := stream.read(shard.id, after, 10_000).records:
            found += [Line.of_record(record.data) for record in records]
            after = records[-1].sequence
    return found


def message(answer: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal, which must be this one."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    return str(answer.json()["error"]["message"])


class SalesClient:
    """The parts behind the API, and a client of it. How far consumers are behind, `service.look` says."""

    def __init__(self, home: Path, stream: Stream, service: Service, client: httpx.Client) -> None:
        self.home, self.stream, self.service, self.client = home, stream, service, client
        self.lookups = SqliteLookupTables(home=str(home))

    def post(self, json: Any, **headers: str) -> httpx.Response:
        """Hand lines in as JSON; headers are named with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/v1/transactions", json=json, headers=named)

    def post_csv(self, *rows: str, header: str = HEADER, **parameters: Any) -> httpx.Response:
        """Hand lines in as CSV."""
        body = "\n".join((header, *rows)).encode()
        return self.client.post("/v1/transactions", content=body, headers=CSV, params=parameters)

    def lines(self) -> list[Line]:
        """What is stored."""
        return lines_in(self.stream)

    def fill_lookups(self) -> None:
        """Have the consumer of the lookup tables read what is stored."""
        EventSourceMapping(self.stream, lookups(self.lookups), 0.01).run(threading.Event(), until_empty=True)


class Faulty(LocalStream):
    """A stream that fails as it is told by a file in its folder, or waits while there is one that says so."""

    def put(self, entries: Sequence[Entry]) -> None:
        while (fault := self._fault()) == "wait":
            time.sleep(0.01)
        if fault:
            kinds = {"busy": StreamBusy, "full": StreamFull, "gone": PipelineError, "bug": ZeroDivisionError}
            raise kinds[fault](f"The stream is {fault}.")
        super().put(entries)

    def _fault(self) -> str:
        with suppress(FileNotFoundError):
            return Path(self.home, "fault").read_text()
        return ""


@contextmanager
def sales_client(
    home: Path,
    stream: Stream | None = None,
    *,
    keys: tuple[str, ...] = (),
    most_behind: int = 1_000_000,
    most_waiting: int = 100_000,
    look_every: float = _NEVER,
    over_http: bool = False,
) -> Iterator[SalesClient]:
    """A desk, open for the length of the block: in this process, or over HTTP."""
    found = stream or LocalStream(home=str(home), shards=2)
    numbers = Metrics()
    service = service_of(
        found,
        SqliteLookupTables(home=str(home)),
        NAMES,
        numbers,
        days=LineDays(date(2010, 12, 1), ZoneInfo("UTC")),
        most_behind=most_behind,
        most_waiting=most_waiting,
    )
    app = create_app([retail_part(service, look_every=look_every)], keys, numbers)
    with ExitStack() as stack:
        client = web.client_of(stack.enter_context(web.listening(app))) if over_http else web.called(app)
        yield SalesClient(home, found, service, stack.enter_context(client))
