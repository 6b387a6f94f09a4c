"""Runs a script as `python SCRIPT ARGS...` does, in a process that doesn't outlive its parent: `python script_child.py SCRIPT ARGS...`.

Run as a file and not as a module, and free of imports beyond the standard library: the script's folder comes first, and a bundle's own
`instacart_pipeline` must not meet this one. The process leads a group of its own and ends it when its standard input ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path


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
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")
