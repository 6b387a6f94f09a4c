"""Runs a Glue script in a process of its own: `python -m instacart_pipeline.resources.local.spark_child SCRIPT ARGS...`.

The process leads a group of its own and ends it, JVM and all, when its standard input ends: a parent that dies, however it
dies, takes the job with it.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from contextlib import suppress


def _end_with_parent() -> None:
    # The file descriptor itself: a buffered stream read by a daemon thread breaks the interpreter's own ending.
    while os.read(0, 1):
        pass
    with suppress(ProcessLookupError):  # started by hand it leads no group
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_path(script, run_name="__main__")
