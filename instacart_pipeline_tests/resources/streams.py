"""The backends of the stream and of the lookup tables, as the contract suites drive them (test_backends_stream.py, test_backends_lookup_tables.py).

Belongs here: making each backend fresh, in STREAM_TWINS and LOOKUP_TWINS, and reading from one in terms of the abstract resource alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from instacart_pipeline.resources.lookup_tables import LookupTable, LookupTables
from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables
from instacart_pipeline.resources.stream import START, Claim, Record, Shard, Stream
from instacart_pipeline.resources.stream.local import LocalStream
from instacart_pipeline_tests.resources.aws_streams import StreamSite
from instacart_pipeline_tests.tiers import costs

T = TypeVar("T")

SHARDS = 4
PATIENCE_SECONDS = 120.0
BY_COLOUR = "by_colour"
_NUMBERS = count(1)


@dataclass(frozen=True)
class StreamBackend:
    """A stream of SHARDS shards that nobody has written to yet. `open` is handed to child processes as it is, so it can be pickled."""

    open: Callable[[], Stream]
    open_to_die: Callable[[], Stream]
    """Opens it for a worker that is going to be killed: its claims, where they are leases, soon run out."""
    leases: bool = False
    """Whether the claim of a dead worker still keeps others out for a while."""
    tick_seconds: float = 0.05
    """What the service can tell apart in time of arrival."""


@dataclass(frozen=True)
class LookupsBackend:
    """Lookup tables. `make` makes a table where the service wants that before it is used."""

    open: Callable[[], LookupTables]
    make: Callable[[LookupTable], None] = field(default=lambda _: None)


def _local_stream(request: pytest.FixtureRequest) -> StreamBackend:
    opened = partial(LocalStream, home=_folder(request), shards=SHARDS)
    return StreamBackend(opened, opened)


def _local_lookups(request: pytest.FixtureRequest) -> LookupsBackend:
    return LookupsBackend(partial(SqliteLookupTables, home=_folder(request)))


def _aws_stream(site: str, request: pytest.FixtureRequest) -> StreamBackend:
    made: StreamSite = request.getfixturevalue(site)
    opened = made.stream(SHARDS)
    # A lease that runs out while a busy machine sees to something else would fail tests that have nothing to do with leases.
    return StreamBackend(partial(opened, lease_seconds=120.0), partial(opened, lease_seconds=3.0), leases=True)


def _aws_lookups(site: str, request: pytest.FixtureRequest) -> LookupsBackend:
    made: StreamSite = request.getfixturevalue(site)
    return LookupsBackend(made.lookups(), made.make)


STREAM_BACKENDS: Mapping[str, Callable[[pytest.FixtureRequest], StreamBackend]] = {
    "local": _local_stream,
    "moto": partial(_aws_stream, "moto_site"),
    "kinesalite": partial(_aws_stream, "node_site"),
}
"""A line a backend. What it needs beside (a server, once a module) it asks `request.getfixturevalue` for."""

LOOKUP_BACKENDS: Mapping[str, Callable[[pytest.FixtureRequest], LookupsBackend]] = {
    "local": _local_lookups,
    "moto": partial(_aws_lookups, "moto_site"),
    "dynalite": partial(_aws_lookups, "node_site"),
}


@pytest.fixture(params=STREAM_BACKENDS)
@costs("contract", deep_params=("kinesalite",))
def stream_backend(request: pytest.FixtureRequest) -> StreamBackend:
    """Each backend of the stream in turn, fresh for the test."""
    return STREAM_BACKENDS[request.param](request)


@pytest.fixture
def stream(stream_backend: StreamBackend) -> Stream:
    """The stream of `stream_twin`."""
    return stream_backend.open()


@pytest.fixture(params=LOOKUP_BACKENDS)
@costs("contract", deep_params=("dynalite",))
def lookups_backend(request: pytest.FixtureRequest) -> LookupsBackend:
    """Each backend of the lookup tables in turn."""
    return LOOKUP_BACKENDS[request.param](request)


@pytest.fixture
def lookups(lookups_backend: LookupsBackend) -> LookupTables:
    """The tables of `lookups_twin`."""
    return lookups_backend.open()


@pytest.fixture
def plain(lookups_backend: LookupsBackend) -> LookupTable:
    """An empty table without a sort key: items are found by `id`."""
    return made_in(lookups_backend, LookupTable("plain", "id"))


@pytest.fixture
def things(lookups_backend: LookupsBackend) -> LookupTable:
    """An empty table: things in a `box` by their `place`, and by `colour` in the order of `weight`."""
    return made_in(lookups_backend, LookupTable("things", "box", "place", indexes={BY_COLOUR: ("colour", "weight")}))


def made_in(backend: LookupsBackend, table: LookupTable) -> LookupTable:
    own = replace(table, name=f"{table.name}_{next(_NUMBERS)}")
    backend.make(own)
    return own


def _folder(request: pytest.FixtureRequest) -> str:
    made: Path = request.getfixturevalue("tmp_path")
    return str(made / "home")


def eventually(what: Callable[[], T | None], within: float = PATIENCE_SECONDS) -> T:
    """The first answer of `what` that is true, asked until then; fails after `within` seconds."""
    until = time.monotonic() + within
    while not (answer := what()):
        assert time.monotonic() < until, f"not within {within} seconds"
        time.sleep(0.1)
    return answer


def settles(what: Callable[[], object], expected: object) -> None:
    """Holds that `what` comes to be `expected`: an index may be a moment behind its table."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (answer := what()) != expected and time.monotonic() < until:
        time.sleep(0.05)
    assert answer == expected


def read_on(stream: Stream, shard: str, after: str, records: int, limit: int = 1000) -> list[Record]:
    """The next `records` records of a shard; a batch may be empty before the end is reached."""
    found: list[Record] = []

    def all_there() -> bool:
        batch = stream.read(shard, found[-1].sequence if found else after, min(limit, records - len(found)))
        found.extend(batch.records)
        return len(found) >= records

    if records:
        eventually(all_there)
    return found


def read_all(stream: Stream, records: int) -> list[Record]:
    """What all shards hold, shard by shard, once that is `records` records at least."""

    def found() -> Sequence[Record]:
        there = [record for shard in stream.state().shards for record in _drained(stream, shard)]
        return there if len(there) >= records else ()

    return list(eventually(found)) if records else []


def _drained(stream: Stream, shard: Shard) -> list[Record]:
    found: list[Record] = []
    for _ in range(3):  # empty answers in a row: one may come in the middle
        while batch := stream.read(shard.id, found[-1].sequence if found else START, 1000).records:
            found += batch
    return found


def position_of(stream: Stream, consumer: str, shard: Shard, within: float = PATIENCE_SECONDS) -> str:
    """The position that a consumer has committed at a shard that no worker reads."""

    def claimed() -> tuple[str] | None:
        with stream.claim(consumer, shard) as claim:
            return (claim.position,) if claim else None

    return eventually(claimed, within)[0]


def the(claim: Claim | None) -> Claim:
    """A claim that must have been given."""
    assert claim is not None
    return claim
