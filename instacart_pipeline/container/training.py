"""Running a script of a model's code under SageMaker's script-mode contract, in a child process.

Belongs here: the environment a script finds, its process, its log. Doesn't: where its inputs come from and what becomes of its outputs.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from instacart_pipeline.container import script_child
from instacart_pipeline.container.child_server import end_of
from instacart_pipeline.lake.artefacts import ModelCode
from instacart_pipeline.lake.errors import JobFailed, PipelineError

_LOOK_SECONDS = 0.2
_CHUNK = 65_536


class Stopped(PipelineError):
    """A script was stopped by whoever runs it."""


def _ignore(line: str) -> None:
    del line


@dataclass(frozen=True)
class Script:
    """A script to run in a folder of its own, `work`: its code is unpacked to code/ there, and its log is `log`.

    `environment` is added to this process's; `threads` are what its engines may use.
    """

    name: str
    code: ModelCode
    file: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    work: Path
    threads: int

    @property
    def log(self) -> Path:
        """All it prints, errors included."""
        return self.work / "script.log"

    def run(self, on_line: Callable[[str], None] = _ignore, stop: threading.Event | None = None) -> None:
        """Run it to its end, giving each line it prints to `on_line`. Raises JobFailed with the end of its log; Stopped when `stop` is set.

        However this is left, by what `on_line` raises or by a signal's exception, nothing that the script started is still running.
        """
        folder = self.work / "code"
        for name, content in self.code.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        with self._started(folder) as child, self.log.open("wb") as log:
            for line in _lines(child, log, stop):
                on_line(line)
            code = child.wait()
        if code != 0:
            ended = f"by signal {-code}" if code < 0 else f"with code {code}"
            raise JobFailed(f"{self.name}: {self.file} ended {ended}. The end of its log:\n{end_of(self.log)}")

    @contextmanager
    def _started(self, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
        own = {
            "SM_NUM_CPUS": str(self.threads),
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONUNBUFFERED": "1",
            **self.environment,
        }
        command = [sys.executable, str(script_child.__file__), str(folder / self.file), *self.arguments]
        # A session of its own makes the script and all it starts one group, which is ended as one.
        child = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()


def of_training(
    model: Path, output: Path, channels: Mapping[str, Path], hyperparameters: Mapping[str, object]
) -> dict[str, str]:
    """What a training script finds in its environment."""
    return {
        "SM_MODEL_DIR": str(model),
        "SM_OUTPUT_DATA_DIR": str(output),
        "SM_CHANNELS": json.dumps(sorted(channels)),
        "SM_HPS": json.dumps(dict(hyperparameters)),
        **{f"SM_CHANNEL_{name.upper()}": str(folder) for name, folder in channels.items()},
    }


def as_arguments(values: Mapping[str, object]) -> list[str]:
    """Hyper-parameters or arguments as the command line gives them."""
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


class Metrics:
    """Reads metrics from a script's lines: patterns with one group, by the metric's name. All values found, in their order."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {name: re.compile(pattern) for name, pattern in patterns.items()}
        self.found: dict[str, list[float]] = {name: [] for name in patterns}

    def read(self, line: str) -> None:
        """Take what a line says."""
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(line):
                with suppress(ValueError):  # not a number after all: as SageMaker, which leaves it out
                    self.found[name].append(float(match[1]))

    @property
    def last(self) -> dict[str, float]:
        """The last value of each metric that was reported at all."""
        return {name: values[-1] for name, values in self.found.items() if values}


def _lines(child: subprocess.Popen[bytes], log: IO[bytes], stop: threading.Event | None) -> Iterator[str]:
    """The lines a child prints, each written to its log first, until it ends. What it left running may hold the pipe longer."""
    if child.stdout is None:
        raise ValueError("the child's output isn't a pipe")
    descriptor, rest = child.stdout.fileno(), b""
    os.set_blocking(descriptor, False)
    with selectors.DefaultSelector() as waiting:
        waiting.register(descriptor, selectors.EVENT_READ)
        while True:
            if stop and stop.is_set():
                raise Stopped(f"process {child.pid} was told to stop")
            over = child.poll() is not None  # asked before reading: what it printed last is read all the same
            chunk = b""
            if waiting.select(0 if over else _LOOK_SECONDS):
                chunk = os.read(descriptor, _CHUNK)
                if not chunk:
                    break
                log.write(chunk)
                log.flush()
                *complete, rest = (rest + chunk).split(b"\n")
                for line in complete:
                    yield line.decode(errors="replace")
            if over and not chunk:
                break
    if rest:
        yield rest.decode(errors="replace")
