"""What the managed-job core needs of a service: how its jobs are looked at, stopped and found.

Belongs here: the words between the core (jobs.py) and the services (aws_account/athena_queries.py, crawler/aws/crawls.py, databrew/aws/, glue/aws.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.resources.aws_account.errors import AwsNotFound
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs.attempts import Work

State = Literal["queued", "running", "stopping", "succeeded", "failed", "timed out", "stopped"]
Usage = Mapping[str, int | float | str]


@dataclass(frozen=True)
class JobStatus:
    """What a service says of a job: its own word for the state, the error if there is one, times and what it used."""

    state: str
    error: str = ""
    queued_seconds: float = 0.0
    running_seconds: float = 0.0
    usage: Usage = field(default_factory=dict)
    cost_usd: float = 0.0


@dataclass(frozen=True)
class JobSucceeded:
    """A job that succeeded."""

    id: str
    link: str
    look: JobStatus

    def facts(self) -> dict[str, int | float | str]:
        """What is reported of the job, for an asset's metadata."""
        return {
            "job_id": self.id,
            "job_link": self.link,
            "queued_seconds": round(self.look.queued_seconds, 3),
            "running_seconds": round(self.look.running_seconds, 3),
            **self.look.usage,
            "estimated_cost_usd": round(self.look.cost_usd, 6),
        }


class JobService(ABC):
    """The jobs of one service, by id. `states` says what each of its words for a state means."""

    name: ClassVar[str]
    states: ClassVar[Mapping[str, State]]

    def __init__(self, session: AwsSession) -> None:
        self.session = session

    @abstractmethod
    def look(self, job: str) -> JobStatus:
        """One call that asks for the job's state, tried once."""

    @abstractmethod
    def stop(self, job: str) -> None:
        """Ask the service to stop the job. A job that has ended already is no error."""

    @abstractmethod
    def link(self, job: str) -> str:
        """The job's page in the AWS console."""

    def log_tail(self, job: str) -> Sequence[str]:
        """The last lines of the job's log."""
        del job
        return ()

    def left(self, work: Work, token: str) -> str | None:
        """The job that a process, now dead, started with a token of `work` without noting its id, if that can be told."""
        del work, token
        return None

    def remove(self, work: Work, token: str) -> None:
        """Remove what was made in the service for this one job of `work`, which has ended. None of it need be there."""
        del work, token


class StateUnknown(JobFailed):
    """A service reports a state this project doesn't know, so it can't tell whether the job has ended."""


class DeadlinePassed(JobFailed):
    """A job did not end in time and was stopped."""


LINES = 30
"""Lines that are read of a stream."""


def log_tail(session: AwsSession, streams: Iterable[tuple[str, str]]) -> list[str]:
    """The last lines of streams (group, name), in the order of time. A stream that is not there has none: a call each."""
    events: list[tuple[int, str]] = []
    for group, stream in streams:
        try:
            answer = session.call("logs", "get_log_events", logGroupName=group, logStreamName=stream, limit=LINES)
        except AwsNotFound:
            continue
        events += [(event["timestamp"], event["message"].rstrip()) for event in answer["events"]]
    return [line for _, message in sorted(events, key=lambda event: event[0])[-LINES:] for line in message.splitlines()]


def streams_of(session: AwsSession, group: str, prefix: str) -> list[tuple[str, str]]:
    """The newest streams of a group whose name begins with `prefix`, at most five: one call."""
    try:
        answer = session.call("logs", "describe_log_streams", logGroupName=group, logStreamNamePrefix=prefix, limit=5)
    except AwsNotFound:
        return []
    return [(group, str(stream["logStreamName"])) for stream in answer["logStreams"]]
