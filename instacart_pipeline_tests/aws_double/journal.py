"""What was asked of the double: every request, and how to count them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

POLLS = frozenset(
    [
        "GetQueryExecution",
        "BatchGetQueryExecution",
        "GetJobRun",
        "GetJobRuns",
        "DescribeJobRun",
        "ListJobRuns",
        "GetCrawler",
        "ListCrawls",
        "DescribeTrainingJob",
        "DescribeHyperParameterTuningJob",
        "DescribeProcessingJob",
        "DescribeTransformJob",
        "DescribeEndpoint",
    ]
)
"""The operations that ask for the state of a job."""


@dataclass(frozen=True)
class Recorded:
    """A request. `time` is time.monotonic() at its arrival; `status` is 0 if the connection was closed without an answer.

    `caller` is "client" for the code under test and "job" for a script that runs as a Glue job.
    """

    service: str
    operation: str
    time: float
    status: int
    caller: str = "client"
    parameters: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_poll(self) -> bool:
        """Whether it asks for the state of a job."""
        return self.operation in POLLS


class Requests:
    """All requests so far, in the order of their arrival. Iterates over a copy, so it may be read while requests come in."""

    def __init__(self) -> None:
        self._all: list[Recorded] = []
        self._lock = threading.Lock()

    def add(self, request: Recorded) -> None:
        """Record a request that has been answered."""
        with self._lock:
            self._all.append(request)

    def __iter__(self) -> Iterator[Recorded]:
        with self._lock:
            return iter(sorted(self._all, key=lambda each: each.time))

    def __len__(self) -> int:
        return len(self._all)

    def clear(self) -> None:
        """Forget what was asked up to now."""
        with self._lock:
            self._all.clear()

    def of(self, service: str | None = None, operation: str | None = None, status: int | None = None) -> list[Recorded]:
        """The requests of a service, operation and status; None stands for any."""
        wanted = (service, operation, status)
        return [
            each
            for each in self
            if all(w in (None, g) for w, g in zip(wanted, (each.service, each.operation, each.status), strict=True))
        ]

    def count(self, service: str | None = None, operation: str | None = None, status: int | None = None) -> int:
        """How many requests there were."""
        return len(self.of(service, operation, status))

    def counts(self) -> dict[tuple[str, str], int]:
        """How many requests there were, by service and operation."""
        found: dict[tuple[str, str], int] = {}
        for each in self:
            key = (each.service, each.operation)
            found[key] = found.get(key, 0) + 1
        return found

    def polls(self, service: str | None = None) -> list[Recorded]:
        """The requests for the state of a job."""
        return [each for each in self.of(service) if each.is_poll]

    def most_per_minute(self, service: str | None = None, operation: str | None = None) -> int:
        """The most requests within any 60 seconds."""
        times = [each.time for each in self.of(service, operation)]
        most = first = 0
        for last, time in enumerate(times):
            while time - times[first] >= 60:
                first += 1
            most = max(most, last - first + 1)
        return most
