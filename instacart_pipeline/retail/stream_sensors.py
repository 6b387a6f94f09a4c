"""The sensor that tells people when the stream needs them: a consumer far behind, records that became dead letters, or nothing to be seen.

Belongs here: what counts as an incident, and what is said of it. Doesn't: where alerts go (resources/alerts/), days of the lake (automation.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SensorResult, SkipReason, sensor

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.alerts import Alert, Alerts
from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.resources.stream import Stream
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline.retail.lookups import DEAD_LETTERS
from instacart_pipeline.settings import Settings

SENSOR = "retail_stream"
_INTERVAL_SECONDS = 30
_OVER = 0.5
"""A consumer has caught up once its lag is below this share of the limit: around the limit itself, one incident would be many."""
_BLIND = 5
"""So many times in a row a consumer can't be looked at before that is told."""
_PAGE = 1000


@dataclass(frozen=True)
class Seen:
    """What a consumer was found to be: the age of the oldest record it has not dealt with, how many there are, and its dead letters.

    `seconds` is None where the stream can't tell how far it is behind.
    """

    consumer: str
    seconds: float | None
    records: int | None
    letters: int

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.consumer} has {self.letters:,} dead letters"
        count = "" if self.records is None else f", {self.records:,} records"
        return f"{self.consumer} is {self.seconds:,.0f} s behind{count}, with {self.letters:,} dead letters"


@dataclass
class StreamSensorCursor:
    """What the sensor remembers: which consumers it has told to be behind, of how many dead letters each, and its alerts by number.

    `unseen` is how many times in a row each could not be looked at, `blind` for which of them that is told. An alert has the same id until it is sent, so one whose sending broke off isn't sent twice.
    """

    began: int
    sent: int = 0
    behind: list[str] = field(default_factory=list)
    letters: dict[str, int] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)
    blind: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, cursor: str | None) -> StreamSensorCursor:
        """The memory that a cursor holds."""
        return cls(**json.loads(cursor)) if cursor else cls(int(time.time()))

    def next_id(self, what: str) -> str:
        """The id of the next alert, if it is of `what`."""
        return f"stream-{what}-{self.began}-{self.sent + 1}"


def look(name: str, stream: Stream | None, tables: LookupTables) -> Seen:
    """What a consumer is found to be just now; without the stream, its dead letters alone."""
    if stream is None:
        return Seen(name, None, None, _letters(name, tables))
    lags = stream.lag(name)
    counts = [lag.records for lag in lags if lag.records is not None]
    records = sum(counts) if len(counts) == len(lags) else None
    return Seen(name, max((lag.seconds for lag in lags), default=0.0), records, _letters(name, tables))


def watch(seen: Seen, memory: StreamSensorCursor, limit: float, tell: Callable[[str, str, str], None]) -> None:
    """Tell what is new of a consumer, by a word, a title and a text, and remember each thing once it is told."""
    name = seen.consumer
    if seen.seconds is None:
        memory.behind = [behind for behind in memory.behind if behind != name]
    elif seen.seconds > limit and name not in memory.behind:
        tell(
            f"{name}-behind",
            f"The stream's consumer {name} is {seen.seconds:,.0f} s behind",
            f"{seen}; at most {limit:,.0f} s are meant to pass (INSTACART_STREAM_LAG_SECONDS). Look at `instacart-pipeline stream status`: "
            "if nothing goes out, start its worker with `instacart-pipeline stream work`, or read in the worker's log what holds it up; "
            "if less goes out than comes in, start more workers.",
        )
        memory.behind.append(name)
    elif seen.seconds < limit * _OVER and name in memory.behind:
        memory.behind.remove(name)
    new = seen.letters - memory.letters.get(name, 0)
    if new > 0:
        tell(
            f"{name}-dead-letters",
            f"{new:,} records of the stream became dead letters of {name}",
            f"{seen}. `instacart-pipeline stream dead-letters --consumer {name}` says why. Once that is mended, "
            f"`instacart-pipeline stream replay --consumer {name} --dead-letters` reads them once more.",
        )
    memory.letters[name] = seen.letters


def miss(name: str, why: str, memory: StreamSensorCursor, tell: Callable[[str, str, str], None]) -> None:
    """Count a look at a consumer that failed, and tell if none has succeeded for a while."""
    memory.unseen[name] = memory.unseen.get(name, 0) + 1
    if memory.unseen[name] >= _BLIND and name not in memory.blind:
        tell(
            f"{name}-blind",
            f"The stream's consumer {name} can't be looked at",
            f"{memory.unseen[name]} looks in a row failed, {_INTERVAL_SECONDS} s apart; the last: {why} Until that is mended nobody knows whether it is "
            "behind, and lines may not be taken. `instacart-pipeline stream status` looks the same way, `instacart-pipeline doctor` further.",
        )
        memory.blind.append(name)


def build_stream_sensors(settings: Settings) -> list[SensorDefinition]:
    """The sensors on the stream; they ask for the resources `stream`, `lookup_tables` and `alerts`."""

    @sensor(
        name=SENSOR,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Sends an alert when a consumer of the stream is far behind or can't be looked at, and when records became dead letters; once each.",
    )
    def retail_stream(
        context: SensorEvaluationContext, stream: Stream, lookup_tables: LookupTables, alerts: Alerts
    ) -> SensorResult:
        memory, said = StreamSensorCursor.of(context.cursor), list[str]()
        asked = stream if settings.lag_is_known else None

        def tell(what: str, title: str, text: str) -> None:
            alerts.send(Alert(memory.next_id(what), SENSOR, "", text, settings.dagster_url, title))
            memory.sent += 1
            said.append(f"told: {title}")

        for name in NAMES:
            try:
                seen = _looked_at(name, asked, lookup_tables, memory, tell)
                said.append(str(seen))
                watch(seen, memory, settings.stream_lag_seconds, tell)
            except PipelineError as error:  # noqa: PERF203  # the other consumer is looked at all the same, and this one again
                said.append(f"{name} is looked at again: {type(error).__name__}: {error}")
                context.log.warning(said[-1])
        return SensorResult(cursor=json.dumps(vars(memory)), skip_reason=SkipReason("; ".join(said)))

    return [retail_stream]


def _looked_at(
    name: str,
    stream: Stream | None,
    tables: LookupTables,
    memory: StreamSensorCursor,
    tell: Callable[[str, str, str], None],
) -> Seen:
    try:
        seen = look(name, stream, tables)
    except PipelineError as error:
        miss(name, f"{type(error).__name__}: {error}", memory, tell)
        raise
    memory.unseen.pop(name, None)
    if name in memory.blind:
        memory.blind.remove(name)
    return seen


def _letters(name: str, tables: LookupTables) -> int:
    page = tables.query(DEAD_LETTERS, name, limit=_PAGE)
    count = len(page.items)
    while page.after:
        page = tables.query(DEAD_LETTERS, name, after=page.after, limit=_PAGE)
        count += len(page.items)
    return count
