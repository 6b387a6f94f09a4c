"""Lines that wait to be stored: what many requests sent is put into the stream in one go, since that costs hardly more than one line.

Belongs here: the queue, its limit, and the thread that empties it. Doesn't: what is put (ingest.py).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from instacart_pipeline.resources.stream import Entry, Stream, StreamBusy, StreamFull
from instacart_pipeline.serving.errors import RETRY, Refused

_log = logging.getLogger(__name__)
MOST_WAITING = 100_000
"""Lines that may wait, those being stored included; they are held in memory."""
_AT_ONCE = 5_000
_TROUBLE_SECONDS = 30.0
"""How long a put that failed counts as trouble, if none follows that tells otherwise."""


class _Waiting(NamedTuple):
    entries: Sequence[Entry]
    stored: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class Writer:
    """Puts lines into the stream, by one thread that `run` is. `on_change` is told how many lines wait."""

    def __init__(
        self, stream: Stream, *, most_waiting: int = MOST_WAITING, on_change: Callable[[int], None] = lambda _: None
    ) -> None:
        self._stream, self._most, self._on_change = stream, most_waiting, on_change
        self._queue: deque[_Waiting] = deque()
        self._lines = 0
        self._change = threading.Condition()
        self._failed: tuple[float, str] = (0.0, "")

    @property
    def trouble(self) -> str:
        """Why lines can't be stored just now; nothing if they can, as far as is known."""
        when, why = self._failed
        return why if why and time.monotonic() - when < _TROUBLE_SECONDS else ""

    async def put(self, entries: Sequence[Entry]) -> None:
        """Return when all of them are durable. Raises Refused if they aren't, saying when to send them again."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        with self._change:  # never held for longer than it takes to queue
            if self._lines and self._lines + len(entries) > self._most:
                raise Refused(
                    429,
                    "queue_full",
                    f"{self._lines:,} lines wait to be stored; more than {self._most:,} may not. None of this request's was "
                    "stored. Send it again in a moment.",
                    RETRY,
                )
            self._queue.append(_Waiting(entries, stored, loop))
            self._grow(len(entries))
            self._change.notify()
        await stored

    def run(self, stop: threading.Event) -> None:
        """Store what waits, until `stop` is set and nothing does."""
        while not stop.is_set() or self._queue:
            taken = self._gathered()
            if taken:
                failure = self._store([entry for each in taken for entry in each.entries])
                for each in taken:
                    with suppress(RuntimeError):  # the server has ended, and with it who waited
                        each.loop.call_soon_threadsafe(_answer, each.stored, failure)
                with self._change:
                    self._grow(-sum(len(each.entries) for each in taken))

    def _gathered(self) -> list[_Waiting]:
        """What waits, up to _AT_ONCE lines, or the first request alone if that has more."""
        with self._change:
            self._change.wait_for(lambda: bool(self._queue), timeout=0.1)
            taken: list[_Waiting] = []
            lines = 0
            while self._queue and (not taken or lines + len(self._queue[0].entries) <= _AT_ONCE):
                taken.append(self._queue.popleft())
                lines += len(taken[-1].entries)
            return taken

    def _grow(self, by: int) -> None:
        self._lines += by
        self._on_change(self._lines)

    def _store(self, entries: Sequence[Entry]) -> Exception | None:
        try:
            self._stream.put(entries)
        except Exception as error:  # noqa: BLE001  # whatever it is, who waits is told, and the next ones may fare better
            self._failed = (time.monotonic(), str(error) or type(error).__name__)
            _log.warning("Lines could not be stored: %s: %s", type(error).__name__, error)
            return _told(error)
        self._failed = (0.0, "")
        return None


def _told(error: Exception) -> Exception:
    """A failure of the stream, as those who wait are told of it."""
    again = f"{error} Some of the lines may be stored: send the whole request again, which stores no line twice."
    if isinstance(error, StreamBusy):
        return Refused(429, "stream_busy", again, RETRY)
    if isinstance(error, StreamFull):
        return Refused(503, "stream_full", again, {"Retry-After": "30"})
    return error


def _answer(stored: asyncio.Future[None], failure: Exception | None) -> None:
    if stored.done():
        return  # the caller has gone
    if failure is None:
        stored.set_result(None)
    else:
        stored.set_exception(failure)
