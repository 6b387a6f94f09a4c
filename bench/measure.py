"""What a command costs: wall time, CPU time and peak memory of it and every process it starts.

Belongs here: running a child and watching its process tree. Doesn't: what is run, and what the figures are compared with.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

SAMPLE_SECONDS = 0.05
MEMORY_KIND = "PSS" if Path("/proc/self/smaps_rollup").exists() else "RSS"
"""PSS counts a page that several processes share once in all; RSS, the fallback, once in each of them."""

_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class CommandFailed(Exception):
    """A measured command ended in failure or took too long; carries the end of what it printed."""


@dataclass(frozen=True)
class Cost:
    """What one run of a command cost."""

    seconds: float
    cpu_seconds: float
    peak_bytes: float


class _TreeWatch(Thread):
    """Samples a process and its descendants until stopped; a descendant stays watched when its parent ends."""

    def __init__(self, root: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._cpu_seconds = {root: 0.0}
        self._ended = Event()
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        """CPU time of every process seen, as of its last sample."""
        return sum(self._cpu_seconds.values())

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._sample()

    def stop(self) -> None:
        """Stop sampling, and end what the command left running."""
        self._ended.set()
        self.join()
        left = [process for process in self._cpu_seconds if process.is_running()]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)

    def _sample(self) -> None:
        with suppress(psutil.NoSuchProcess):
            for process in self._root.children(recursive=True):
                self._cpu_seconds.setdefault(process, 0.0)
        resident: dict[psutil.Process, int] = {}
        for process in self._cpu_seconds:
            with suppress(psutil.NoSuchProcess), process.oneshot():
                times = process.cpu_times()
                self._cpu_seconds[process] = times.user + times.system
                resident[process] = process.memory_info().rss
        total = sum(resident.values())
        # Reading PSS walks page tables of the measured process. RSS is cheap and never less, so it says when PSS can't
        # be a new peak.
        if MEMORY_KIND == "PSS" and total > self.peak_bytes:
            total = sum(map(_pss, resident))
        self.peak_bytes = max(self.peak_bytes, total)


def _pss(process: psutil.Process) -> int:
    try:
        found = _PSS.search(Path(f"/proc/{process.pid}/smaps_rollup").read_bytes())
    except OSError:  # the process has ended since
        return 0
    return int(found[1]) * 1024 if found else 0


def measure(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, timeout: float) -> Cost:
    """Run `command` as a process group of its own and say what it cost. What it prints goes to `log`.

    Raises: CommandFailed when it exits with anything but 0 or takes more than `timeout` seconds. Nothing of it is left
    running either way.
    """
    waited_before = _cpu_of_waited_children()
    with log.open("wb") as printed:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True
        )
        watch = _TreeWatch(psutil.Process(child.pid))
        watch.start()
        try:
            code = child.wait(timeout)
            seconds = time.perf_counter() - started
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"still running after {timeout:.0f} s; it was stopped.\n{_end_of(log)}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            watch.stop()
    if code != 0:
        raise CommandFailed(f"exit code {code}.\n{_end_of(log)}")
    # The kernel's account is exact, but lacks processes whose parent didn't wait for them; the samples have those, but
    # lack what ran since the last one.
    return Cost(seconds, max(_cpu_of_waited_children() - waited_before, watch.cpu_seconds), watch.peak_bytes)


def _cpu_of_waited_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end_of(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
