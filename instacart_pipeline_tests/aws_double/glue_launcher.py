"""Runs a Glue job's script in a process of its own: `python glue_launcher.py SCRIPT ARGS...`.

The process leads a group of its own and ends it, JVM and all, when its standard input ends: a test process that dies,
however it dies, takes the job with it. Imports nothing of this project, as a script on Glue doesn't.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from pathlib import Path


def _end_with_parent() -> None:
    # The file descriptor itself: a buffered stream read by a daemon thread breaks the interpreter's own ending.
    while os.read(0, 1):
        pass
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")
