"""Interrupts that can't get lost.

Dagster turns SIGINT and SIGTERM into an exception wherever the program happens to be. If that is inside a callback of the
garbage collector, Python drops the exception, and whoever waits for a job would wait on. So the signal is noted as well.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dagster import DagsterExecutionInterruptedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def noted_interrupts() -> Iterator[Callable[[], None]]:
    """Gives a function that raises DagsterExecutionInterruptedError if a signal came since the block began.

    The handlers that are there are called as before, and a signal without one does what it did. Outside of the main thread,
    where no signal arrives, it never raises.
    """
    came: list[int] = []

    def check() -> None:
        if came:
            raise DagsterExecutionInterruptedError

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    handlers = {number: handler for number in _SIGNALS if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
