"""CloudWatch Logs: what jobs wrote, and the calls that read it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_PAGE = 10_000


@dataclass(frozen=True)
class _Event:
    number: int
    stream: str
    timestamp: int
    message: str


class Logs:
    """Log groups and their streams. A group is there as soon as something is in it."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, list[_Event]]] = {}
        self._lock = threading.Lock()
        self._number = 0

    def write(self, group: str, stream: str, lines: Iterable[str] = ()) -> None:
        """Add lines to a stream; with none the stream is made and stays empty."""
        with self._lock:
            events = self._groups.setdefault(group, {}).setdefault(stream, [])
            for line in lines:
                self._number += 1
                events.append(_Event(self._number, stream, int(time.time() * 1000), line))

    def get_log_events(self, parameters: Parameters) -> Parameters:
        """A stretch of a stream: its end, or from its head on."""
        group, name = self._group(parameters), parameters["logStreamName"]
        if name not in group:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        events = _within(group[name], parameters)
        limit, token = parameters.get("limit") or _PAGE, parameters.get("nextToken")
        if token:
            place = int(token[2:])
            first, last = (place, place + limit) if token.startswith("f/") else (place - limit, place)
        else:
            first, last = (0, limit) if parameters.get("startFromHead") else (len(events) - limit, len(events))
        first, last = max(first, 0), max(min(last, len(events)), 0)
        shown = [{key: value for key, value in _shown(each).items() if key in _READ} for each in events[first:last]]
        return {"events": shown, "nextForwardToken": f"f/{last:056}", "nextBackwardToken": f"b/{first:056}"}

    def filter_log_events(self, parameters: Parameters) -> Parameters:
        """Events of many streams in the order of time; a pattern's words must all be in the message."""
        group, names = self._group(parameters), parameters.get("logStreamNames")
        prefix = parameters.get("logStreamNamePrefix", "")
        wanted = [name for name in group if (names is None or name in names) and name.startswith(prefix)]
        words = [word.strip('"') for word in parameters.get("filterPattern", "").split()]
        found = [each for name in wanted for each in _within(group[name], parameters)]
        found = sorted(
            (each for each in found if all(word in each.message for word in words)), key=lambda each: each.number
        )
        shown, token = page(found, parameters.get("nextToken"), parameters.get("limit") or _PAGE)
        return {"events": [_shown(each) for each in shown], "searchedLogStreams": [], "nextToken": token}

    def describe_log_streams(self, parameters: Parameters) -> Parameters:
        """The streams of a group, by name or by their last event."""
        group, prefix = self._group(parameters), parameters.get("logStreamNamePrefix", "")
        streams = [_stream(name, events) for name, events in group.items() if name.startswith(prefix)]
        key = "lastEventTimestamp" if parameters.get("orderBy") == "LastEventTime" else "logStreamName"
        streams.sort(key=lambda each: each.get(key) or 0, reverse=bool(parameters.get("descending")))
        shown, token = page(streams, parameters.get("nextToken"), parameters.get("limit") or 50)
        return {"logStreams": shown, "nextToken": token}

    def describe_log_groups(self, parameters: Parameters) -> Parameters:
        """The groups there are."""
        prefix = parameters.get("logGroupNamePrefix", "")
        return {"logGroups": [{"logGroupName": name} for name in sorted(self._groups) if name.startswith(prefix)]}

    def _group(self, parameters: Parameters) -> dict[str, list[_Event]]:
        name = parameters.get("logGroupName") or parameters.get("logGroupIdentifier", "")
        with self._lock:
            if name not in self._groups:
                raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
            return {stream: list(events) for stream, events in self._groups[name].items()}


_READ = ("timestamp", "message", "ingestionTime")


def _within(events: list[_Event], parameters: Parameters) -> list[_Event]:
    start, end = parameters.get("startTime", 0), parameters.get("endTime", 1 << 62)
    return [each for each in events if start <= each.timestamp < end]


def _shown(event: _Event) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.timestamp,
        "eventId": f"{event.number:056}",
    }


def _stream(name: str, events: list[_Event]) -> dict[str, Any]:
    times = {"firstEventTimestamp": events[0].timestamp, "lastEventTimestamp": events[-1].timestamp} if events else {}
    return {"logStreamName": name, "storedBytes": 0, **times}
