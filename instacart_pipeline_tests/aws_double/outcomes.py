"""Outcomes: what becomes of the next jobs of a service, where it is not what their work would come to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

Kind = Literal["failed", "timed_out", "stopped", "unknown", "stuck", "slow"]
JobService = Literal["athena", "glue", "databrew", "crawler", "redshift-data", "sagemaker"]


@dataclass
class Outcome:
    """What becomes of `times` jobs of a service whose name, SQL or arguments have `containing` in them."""

    kind: Kind
    service: str
    containing: str = ""
    error: str = ""
    seconds: float = 0.0
    after_work: bool = False
    times: int = 1


class Outcomes:
    """The outcomes in store; each is used up by the first jobs that meet it, otherwise a job does its real work.

    `after_work` lets the job do its work first and end badly then, as a job does that dies on its last step.
    """

    def __init__(self) -> None:
        self._store: list[Outcome] = []
        self._lock = threading.Lock()

    def failed(
        self,
        service: JobService,
        error: str = "Out of memory",
        *,
        containing: str = "",
        times: int = 1,
        after_work: bool = False,
    ) -> None:
        """The job fails with this error, which is also the end of its log."""
        self._add(Outcome("failed", service, containing, error, after_work=after_work, times=times))

    def timed_out(self, service: JobService, *, containing: str = "", times: int = 1, after_work: bool = False) -> None:
        """The service ends the job because it took too long."""
        self._add(Outcome("timed_out", service, containing, "Timeout", after_work=after_work, times=times))

    def stopped(self, service: JobService, *, containing: str = "", times: int = 1, after_work: bool = False) -> None:
        """Somebody else stops the job."""
        self._add(Outcome("stopped", service, containing, after_work=after_work, times=times))

    def unknown(self, service: JobService, seconds: float = 0.0, *, containing: str = "", times: int = 1) -> None:
        """The job is in a state no SDK knows: for `seconds`, after which it does its work, or until it is stopped."""
        self._add(Outcome("unknown", service, containing, seconds=seconds, times=times))

    def stuck(self, service: JobService, *, containing: str = "", times: int = 1) -> None:
        """The job runs until it is stopped."""
        self._add(Outcome("stuck", service, containing, times=times))

    def slow(self, service: JobService, seconds: float, *, containing: str = "", times: int = 1) -> None:
        """The job runs for `seconds` before it does its work."""
        self._add(Outcome("slow", service, containing, seconds=seconds, times=times))

    def clear(self) -> None:
        """Let every job do its work again."""
        with self._lock:
            self._store.clear()

    def take(self, service: str, text: str) -> Outcome | None:
        """The outcome of a job that starts now."""
        with self._lock:
            for outcome in self._store:
                if outcome.service == service and outcome.containing in text and outcome.times > 0:
                    outcome.times -= 1
                    return outcome
        return None

    def _add(self, outcome: Outcome) -> None:
        with self._lock:
            self._store.append(outcome)
