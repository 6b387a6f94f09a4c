"""A run of a Glue job: its script in a child process, with the arguments, environment and logs that Glue gives it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from instacart_pipeline.resources.glue.local.java import java_home
from instacart_pipeline_tests.aws_double import glue_launcher
from instacart_pipeline_tests.aws_double.glue_mirror import Mirror
from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects

OUTPUT, ERROR = "/aws-glue/jobs/output", "/aws-glue/jobs/error"
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b.*")


class GlueChild:
    """One run's process. `environment` is what it gets of AWS."""

    def __init__(self, run: JobRun, objects: Objects, logs: Logs, folder: Path, environment: Mapping[str, str]) -> None:
        self._run, self._objects, self._logs, self._folder = run, objects, logs, folder
        self._environment = environment
        self._errors: list[str] = []

    def work(self, script: str, arguments: Mapping[str, str]) -> None:
        """Run the script at an S3 location to its end. Raises JobFailure with its error, or Stopped."""
        self._folder.mkdir()
        path = self._folder / Path(script).name
        path.write_bytes(self._objects.read(script))
        environment = self._base_environment(arguments.get("--extra-py-files", ""))
        if b"pyspark" not in path.read_bytes():
            self._execute(path, arguments, environment)
            return
        mirror = Mirror(self._objects, self._folder / "mirror")
        try:
            self._execute(path, mirror.localized(arguments), {**environment, **_spark_environment(self._folder)})
        finally:
            mirror.carry_over()

    def _execute(self, script: Path, arguments: Mapping[str, str], environment: Mapping[str, str]) -> None:
        words = [word for name, value in arguments.items() for word in (name, value)]
        self._run.check_stop()
        child = subprocess.Popen(
            [sys.executable, "-u", str(Path(glue_launcher.__file__)), str(script), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self._folder,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        readers = [
            threading.Thread(target=self._read, args=(stream, group), daemon=True)
            for stream, group in ((child.stdout, OUTPUT), (child.stderr, ERROR))
        ]
        for reader in readers:
            reader.start()
        try:
            with self._run.stoppable_by(lambda: _kill(child)):
                code = child.wait()
        finally:
            _kill(child)  # and what it may have left behind
            child.wait()
            for reader in readers:
                reader.join()
            if child.stdin:
                child.stdin.close()
        self._run.check_stop()
        if code != 0:
            told = [line for line in self._errors if _EXCEPTION.fullmatch(line)]
            raise JobFailure(told[-1] if told else f"Command failed with exit code {code}")

    def _read(self, stream: IO[str], group: str) -> None:
        with stream:
            for line in stream:
                text = line.rstrip("\n")
                self._logs.write(group, self._run.id, [text])
                if group == ERROR:
                    self._errors.append(text)

    def _base_environment(self, extra: str) -> dict[str, str]:
        paths = []
        for place, uri in enumerate(uri.strip() for uri in extra.split(",") if uri.strip()):
            folder = self._folder / f"extra{place}"
            folder.mkdir()
            path = folder / Path(uri).name
            path.write_bytes(self._objects.read(uri))
            paths.append(str(folder if path.suffix == ".py" else path))
        names = ("PATH", "HOME", "LANG", "TMPDIR", "SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return {**kept, **self._environment, "PYTHONPATH": os.pathsep.join(paths)}


def _spark_environment(scratch: Path) -> dict[str, str]:
    settings = {
        "spark.master": "local[2]",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(scratch / "spark"),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
    }
    submit = " ".join(f"--conf {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
    return {
        "JAVA_HOME": java_home(Path(tempfile.gettempdir()) / "instacart_pipeline_java"),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": f"{submit} pyspark-shell",
    }


def _kill(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
