"""The stream's workers, how far they are, and having them read again: what `stream work`, `status`, `replay` and `dead-letters` do.

Belongs here: starting and ending workers, asking the stream and the tables. Doesn't: a worker itself (stream_worker.py), sending (stream_sending.py).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from instacart_pipeline.cli import output
from instacart_pipeline.cli.children import Children, stopped_by_signals
from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.profiles import Resources, build_resources
from instacart_pipeline.resources.stream import Lag, Rewind
from instacart_pipeline.retail.consumers.consumer import DeadLetter, record_of
from instacart_pipeline.retail.consumers.registry import NAMES, consumers
from instacart_pipeline.retail.lookups import DEAD_LETTERS
from instacart_pipeline.settings import Settings

_AT_ONCE = 1000
"""Dead letters read, and given to their consumer again, at once."""


class NoConsumer(InputInvalid):
    """There is no consumer of that name."""


class ReplayUnclear(InputInvalid):
    """Where to read from again was not said, or twice."""


def work(settings: Settings, names: Sequence[str], *, processes: int, until_empty: bool, metrics_port: int) -> None:
    """Run so many workers of each consumer (0: one a core), a process each, until Ctrl-C or SIGTERM; or until nothing is left.

    More than there are shards would have nothing to read, and are not started.
    """
    chosen = [_known(name) for name in dict.fromkeys(names)] or list(NAMES)
    shards = build_resources(settings).stream.state().shards  # a stream that isn't there is said once, here
    each = min(processes or os.cpu_count() or 1, len(shards))
    with stopped_by_signals() as stopping, Children(stopping) as children:
        for place, (name, number) in enumerate((name, number) for name in chosen for number in range(each)):
            command = [sys.executable, "-m", "instacart_pipeline.cli.stream_worker", "--consumer", name]
            command += ["--share", str(number), str(each)]
            command += ["--until-empty"] if until_empty else []
            if metrics_port:
                command += ["--metrics-port", str(metrics_port + place)]
                output.note(f"Metrics of {name}: http://127.0.0.1:{metrics_port + place}/metrics")
            children.start(f"worker of {name}", command, {**os.environ, "INSTACART_HOME": str(settings.home)})
        if not until_empty:
            output.note(f"Working: {', '.join(chosen)}. Ctrl-C ends it.")
        while not stopping.wait(0.2):
            children.restart_the_dead(but_done=until_empty)
            if until_empty and children.all_done:
                break
    output.note("Stopped." if stopping.is_set() else "Nothing is left.")


@dataclass(frozen=True)
class ConsumerState:
    """How far a consumer is: lag in records and seconds, records in and out a second (None: not known), its dead letters, its shards."""

    consumer: str
    records: int | None
    seconds: float | None
    in_per_second: float | None
    out_per_second: float | None
    dead_letters: int
    shards: Sequence[Lag]


def status(settings: Settings, seconds: float) -> tuple[str, list[ConsumerState]]:
    """The stream's name, and how far each consumer is; its rates are measured over a few seconds."""
    found = build_resources(settings)
    before, begun = _look(found, settings), time.monotonic()
    time.sleep(seconds)
    after, took = _look(found, settings), time.monotonic() - begun
    states = []
    for name in NAMES:
        lags = after.lags[name]
        total = _total(lags)
        came = _rate(before.records, after.records, took)
        grew = _rate(_total(before.lags[name]), total, took)
        left = max(0.0, came - grew) if came is not None and grew is not None else None
        letters = sum(1 for _ in dead_letters(found, name))
        longest = None if lags is None else max((lag.seconds for lag in lags), default=0.0)
        states.append(ConsumerState(name, total, longest, came, left, letters, lags or ()))
    return after.name, states


def show_status(name: str, states: Sequence[ConsumerState], *, as_json: bool) -> None:
    """Print how far the consumers are."""
    if as_json:
        output.json_text({"stream": name, "consumers": [asdict(state) for state in states]})
        return
    rows = []
    for state in states:
        rows.append(
            (
                state.consumer,
                "all",
                _number(state.records),
                "" if state.seconds is None else f"{state.seconds:,.1f}",
                _number(state.in_per_second),
                _number(state.out_per_second),
                _number(state.dead_letters),
            )
        )
        rows += [("", lag.shard, _number(lag.records), f"{lag.seconds:,.1f}", "", "", "") for lag in state.shards]
    if any(state.seconds is None for state in states):
        output.note("How far the functions on Lambda are behind, the metric IteratorAge in CloudWatch tells.")
    headers = ("consumer", "shard", "records behind", "seconds behind", "in a second", "out a second", "dead letters")
    output.table(f"Stream {name}", headers, rows, right=(2, 3, 4, 5, 6))


def replay(settings: Settings, name: str, *, from_start: bool, since: str, letters: bool) -> str:
    """Have a consumer read again from an earlier place, or its dead letters once more. Returns what was done."""
    if from_start + bool(since) + letters != 1:
        raise ReplayUnclear("Say one of --from-start, --since TIME and --dead-letters.")
    found = build_resources(settings)
    if letters:
        given, left = replay_dead_letters(settings, found, _known(name))
        return (
            f"{given:,} dead letters of {name} were read again; {left:,} of them still hold no line that can be stored."
        )
    to = Rewind("start") if from_start else Rewind("since", _time(since, settings))
    found.stream.rewind(_known(name), to)
    return f"{name} reads again from {'the start' if from_start else since}. What is stored already stays as it is."


def replay_dead_letters(settings: Settings, found: Resources, name: str) -> tuple[int, int]:
    """Give a consumer its dead letters once more, and remove those that it made something of. Returns how many, and how many are left."""
    consumer = consumers(found.storage, found.lookup_tables, settings.stream_buffer_seconds)[name]
    given = left = 0
    batch: list[DeadLetter] = []
    for letter in [*dead_letters(found, name), None]:
        if letter is not None:
            batch.append(letter)
        if batch and (letter is None or len(batch) == _AT_ONCE):
            still = {DEAD_LETTERS.key_of(dead) for dead in consumer.deal_with([record_of(dead) for dead in batch])}
            keys = [DEAD_LETTERS.key_of(dead) for dead in batch]
            found.lookup_tables.delete(DEAD_LETTERS, [key for key in keys if key not in still])
            given, left, batch = given + len(keys), left + len(still), []
    return given, left


def dead_letters(found: Resources, name: str) -> Iterator[DeadLetter]:
    """The dead letters of a consumer, in the order of their positions."""
    page = found.lookup_tables.query(DEAD_LETTERS, _known(name), limit=_AT_ONCE)
    yield from page.items
    while page.after:
        page = found.lookup_tables.query(DEAD_LETTERS, name, after=page.after, limit=_AT_ONCE)
        yield from page.items


def show_dead_letters(settings: Settings, names: Sequence[str], limit: int, *, as_json: bool) -> None:
    """Print dead letters with their reasons."""
    found = build_resources(settings)
    letters = [letter for name in names or NAMES for letter in dead_letters(found, name)]
    if as_json:
        output.json_text(letters)
        return
    rows = [[str(letter[field]) for field in ("consumer", "position", "key", "at", "reason")] for letter in letters]
    headers = ("consumer", "position", "key", "arrived", "reason")
    output.table("Dead letters", headers, [_short(row) for row in rows[:limit]])
    if len(rows) > limit:
        output.note(f"{len(rows) - limit:,} more; raise --limit, or use --json.")


@dataclass(frozen=True)
class _Look:
    name: str
    records: int | None
    lags: dict[str, Sequence[Lag] | None]


def _look(found: Resources, settings: Settings) -> _Look:
    state, known = found.stream.state(), settings.lag_is_known
    return _Look(state.name, state.records, {name: found.stream.lag(name) if known else None for name in NAMES})


def _total(lags: Sequence[Lag] | None) -> int | None:
    if lags is None:
        return None
    counts = [lag.records for lag in lags]
    return None if None in counts else sum(count or 0 for count in counts)


def _rate(before: int | None, after: int | None, seconds: float) -> float | None:
    return None if before is None or after is None else (after - before) / seconds


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _short(row: Sequence[str]) -> list[str]:
    """A row with the zeros gone that pad a sequence."""
    shard, _, sequence = row[1].partition("#")
    return [row[0], f"{shard} {sequence.lstrip('0')}", *row[2:]]


def _known(name: str) -> str:
    if name not in NAMES:
        raise NoConsumer(f"There is no consumer {name!r}. There are {' and '.join(NAMES)}.")
    return name


def _time(text: str, settings: Settings) -> float:
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        raise ReplayUnclear(f"--since {text!r} is no time. Write it as 2026-11-20T08:30 or 2026-11-20.") from error
    return (told if told.tzinfo else told.replace(tzinfo=settings.zone)).timestamp()
