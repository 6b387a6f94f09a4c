"""CloudWatch Logs: the end of a job's log.

Belongs here: reading streams. Doesn't: which streams a service's job writes (glue.py, databrew.py, ...).
"""

from __future__ import annotations

from collections.abc import Iterable

from instacart_pipeline.resources.aws_account.errors import AwsNotFound
from instacart_pipeline.resources.aws_account.session import AwsSession

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
