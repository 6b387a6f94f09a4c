"""A SageMaker container as a child process: the folder /opt/ml elsewhere, a command, its log, and what it leaves behind.

Belongs here: folders, processes, archives. Doesn't: what kind of job it is (sagemaker_training.py, sagemaker_processing.py).
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects

ML = "/opt/ml"


class Container:
    """One run's container. `root` stands for /opt/ml; `lines` is all that the process printed."""

    def __init__(self, run: JobRun, objects: Objects, logs: Logs, root: Path, stream: tuple[str, str]) -> None:
        self._run, self._objects, self._logs, self.root, self._stream = run, objects, logs, root, stream
        self.lines: list[str] = []
        self._errors: list[str] = []
        root.mkdir(parents=True)
        logs.write(*stream)

    def here(self, path: str) -> str:
        """A path of the container as it is on this machine; anything else as it is."""
        return f"{self.root}{path.removeprefix(ML)}" if path == ML or path.startswith(f"{ML}/") else path

    def fetch(self, uri: str, path: str) -> Path:
        """Bring what lies below an S3 prefix into a folder of the container. Raises JobFailure if there is nothing."""
        folder = Path(self.here(path))
        folder.mkdir(parents=True, exist_ok=True)
        found = self._objects.below(uri)
        if not found:
            raise JobFailure(
                f"ClientError: Data download failed:No S3 objects found under S3 URL '{uri}' given in input"
            )
        start = uri.removeprefix("s3://").partition("/")[2].rpartition("/")[0]
        for item in found:
            target = folder / item.key.removeprefix(start).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._objects.fetch(item).read_bytes())
        return folder

    def unpack(self, uri: str, path: str) -> Path:
        """Unpack an archive of S3 into a folder of the container."""
        folder = Path(self.here(path))
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(self._objects.read(uri))) as archive:
            archive.extractall(folder, filter="data")
        return folder

    def execute(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Run a command to its end. Raises JobFailure with the end of what it said, or Stopped."""
        self._run.check_stop()
        words = [
            sys.executable if place == 0 and word.startswith("python") else self.here(word)
            for place, word in enumerate(command)
        ]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        given = {name: self.here(value) for name, value in environment.items()}
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**kept, "PYTHONUNBUFFERED": "1", **given},
            cwd=folder,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        readers = [
            threading.Thread(target=self._read, args=(stream, known), daemon=True)
            for stream, known in ((child.stdout, []), (child.stderr, self._errors))
        ]
        for reader in readers:
            reader.start()
        try:
            with self._run.stoppable_by(lambda: kill(child)):
                code = child.wait()
        finally:
            kill(child)  # and what it may have left behind
            child.wait()
            for reader in readers:
                reader.join()
        self._run.check_stop()
        if code != 0:
            said = " ".join(self._errors[-10:])[-600:]
            raise JobFailure(f'AlgorithmError: ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{said}"')

    def put_archive(self, path: str, uri: str) -> None:
        """Pack a folder of the container into an archive of S3. An empty folder makes none."""
        folder = Path(self.here(path))
        if not folder.is_dir() or not any(folder.iterdir()):
            return
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for each in sorted(folder.iterdir()):
                archive.add(each, each.name)
        self._objects.write(uri, packed.getvalue())

    def put_files(self, path: str, uri: str) -> None:
        """Upload a folder of the container below an S3 prefix."""
        folder = Path(self.here(path))
        for each in sorted(found for found in folder.rglob("*") if found.is_file()):
            self._objects.upload(each, f"{uri.rstrip('/')}/{each.relative_to(folder).as_posix()}")

    def _read(self, stream: Any, known: list[str]) -> None:
        with stream:
            for line in stream:
                text = line.rstrip("\n")
                self._logs.write(*self._stream, [text])
                self.lines.append(text)
                known.append(text)


def kill(child: subprocess.Popen[Any]) -> None:
    """End a process and all it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def stream_of(kind: str, name: str) -> tuple[str, str]:
    """The log group and stream of a job's only container."""
    return f"/aws/sagemaker/{kind}", f"{name}/algo-1-{int(time.time())}"
