"""The command line as tests call it: in this process, or as a process of its own, on a home of the test's choice."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from instacart_pipeline import definitions
from instacart_pipeline.cli import main, running
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.reorder.automation import DAILY_JOB
from instacart_pipeline.settings import Settings

PROGRAM = str(Path(sys.executable).with_name("instacart-pipeline"))


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and the code it ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(home: Path, *arguments: str | Path, **settings: str) -> CommandResult:
    """Run a command in this process, whose environment, arguments and output are the command's own meanwhile."""
    given = [PROGRAM, *map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.dict(os.environ, environment(home, settings), clear=True),
        patch.object(sys, "argv", given),
        redirect_stdout(out),
        redirect_stderr(err),
        _definitions(*map(str, arguments)),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    return _checked(CommandResult(code, out.getvalue(), err.getvalue()))


def call_process(home: Path, *arguments: str | Path, **settings: str) -> CommandResult:
    """Run a command as a process of its own, as a user does."""
    ended = subprocess.run(
        [PROGRAM, *arguments],
        env=environment(home, settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return _checked(CommandResult(ended.returncode, ended.stdout, ended.stderr))


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: this one's, without any setting of the project's or of Dagster's but those given."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(("INSTACART_", "DAGSTER_"))}
    return {**inherited, "INSTACART_HOME": str(home), **settings}


@contextmanager
def _definitions(command: str = "", *_arguments: str) -> Iterator[None]:
    """The definitions that a new process would load: this one's were loaded under the settings of another call."""
    with ExitStack() as changed:
        if command == "run":
            # Dagster keeps the job that a process loaded last, which is another home's here.
            kept = type(running.reconstructable_job(DAILY_JOB))
            kept.get_definition.cache_clear()
            kept.get_repository_definition.cache_clear()
            with suppress(PipelineError):  # what is wrong with the settings, the command says itself
                changed.enter_context(patch.object(definitions, "defs", definitions.build_defs(Settings.from_env())))
        yield


def _checked(result: CommandResult) -> CommandResult:
    assert "Traceback" not in result.out + result.err
    return result
