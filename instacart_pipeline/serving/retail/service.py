"""What the routes of transactions and invoices share: the stream's writer, the lookup tables, the numbers they count.

Belongs here: how a route gets at them, and the refusals that several routes have in common. Doesn't: the routes themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from prometheus_client import Counter, Gauge

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.resources.stream import Stream
from instacart_pipeline.retail.days import LineDays
from instacart_pipeline.retail.lookups import DEAD_LETTERS
from instacart_pipeline.serving.errors import Failed
from instacart_pipeline.serving.metrics import Metrics
from instacart_pipeline.serving.retail.backlog import Backlog
from instacart_pipeline.serving.retail.writer import MOST_WAITING, Writer

FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failed, "description": description}
    for code, description in {
        401: "An API key is needed, and was not given or is not known.",
        422: "A value that can't be taken; the message names it.",
        503: "The tables or the stream can't be reached, or are full. Retry-After says when to try again.",
    }.items()
}


class Numbers:
    """What /metrics tells of transactions."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self.lines = Counter(
            "instacart_lines", "Lines of transactions, by what became of them.", ["result"], registry=registry
        )
        self.waiting = Gauge(
            "instacart_lines_waiting", "Lines that wait to be stored.", registry=registry, multiprocess_mode="livesum"
        )
        self.lag = Gauge(
            "instacart_stream_lag_records",
            "Records that a consumer has not dealt with yet.",
            ["consumer"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.lag_seconds = Gauge(
            "instacart_stream_lag_seconds",
            "Age of the oldest record that a consumer has not dealt with yet.",
            ["consumer"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.dead_letters = Gauge(
            "instacart_dead_letters",
            "Records that consumers could make nothing of.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )


@dataclass
class Service:
    """What answers requests."""

    stream: Stream
    lookups: LookupTables
    writer: Writer
    backlog: Backlog
    numbers: Numbers
    days: LineDays
    dead_letters: int = field(default=0)

    def look(self) -> None:
        """Look how far the consumers are behind, and how many dead letters there are."""
        self.backlog.look()
        for name, behind in self.backlog.behind.items():
            if behind.records is not None:
                self.numbers.lag.labels(name).set(behind.records)
            self.numbers.lag_seconds.labels(name).set(behind.seconds)
        try:
            self.dead_letters = self.lookups.count(DEAD_LETTERS)
            self.numbers.dead_letters.set(self.dead_letters)
        except PipelineError as error:
            self.backlog.trouble = self.backlog.trouble or str(error)


def service_of(
    stream: Stream,
    lookups: LookupTables,
    consumers: Sequence[str],
    metrics: Metrics,
    *,
    days: LineDays,
    most_behind: int,
    most_waiting: int = MOST_WAITING,
) -> Service:
    """What answers requests, of a profile's resources. Lines of `days` are taken, and none while a consumer is more than
    `most_behind` records behind.
    """
    numbers = Numbers(metrics)
    writer = Writer(stream, most_waiting=most_waiting, on_change=numbers.waiting.set)
    return Service(stream, lookups, writer, Backlog(stream, consumers, most_behind), numbers, days)


async def _service(request: Request) -> Service:
    found: Service = request.app.state.retail
    return found


Served = Annotated[Service, Depends(_service)]
