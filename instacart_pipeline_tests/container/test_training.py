"""Scripts under the script-mode contract: what they find, what is told of them, and that none is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from instacart_pipeline.container.training import Metrics, Script, Stopped, as_arguments, of_training
from instacart_pipeline.lake.artefacts import ModelCode
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline_tests.container.servers import PATIENCE, eventually, is_alive
from instacart_pipeline_tests.tiers import costs

LASTING = "import subprocess, sys, time\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\ntime.sleep(600)\n"
"""A script that starts a process, says its id, and goes on for ten minutes."""


@pytest.fixture
@costs("contract")
def processes() -> None:
    """For tests that run scripts."""


runs_scripts = pytest.mark.usefixtures("processes")


def script(work: Path, text: str, *arguments: str, **environment: str) -> Script:
    code = ModelCode(
        {
            "run.py": text.encode(),
            "lib/helper.py": b"WORD = 'own'\n",
            "instacart_pipeline/__init__.py": b"WORD = 'ours'\n",
        }
    )
    return Script("toy", code, "run.py", arguments, environment, work, threads=2)


def said_by(work: Path, text: str, *arguments: str, **environment: str) -> list[str]:
    lines: list[str] = []
    script(work, text, *arguments, **environment).run(lines.append)
    return lines


@runs_scripts
def test_a_script_finds_its_folders_channels_and_hyperparameters(tmp_path: Path) -> None:
    told = of_training(tmp_path / "m", tmp_path / "o", {"train": tmp_path / "t"}, {"rate": 0.5})
    names = [*told, "SM_NUM_CPUS", "OMP_NUM_THREADS"]
    (line,) = said_by(tmp_path, f"import json, os\nprint(json.dumps([os.environ[name] for name in {names}]))", **told)
    assert dict(zip(names, json.loads(line), strict=True)) == {
        "SM_MODEL_DIR": str(tmp_path / "m"),
        "SM_OUTPUT_DATA_DIR": str(tmp_path / "o"),
        "SM_CHANNELS": '["train"]',
        "SM_HPS": '{"rate": 0.5}',
        "SM_CHANNEL_TRAIN": str(tmp_path / "t"),
        "SM_NUM_CPUS": "2",
        "OMP_NUM_THREADS": "2",
    }


@runs_scripts
def test_arguments_are_given_as_on_the_command_line(tmp_path: Path) -> None:
    given = as_arguments({"rate": 0.5, "kind": "two words"})
    assert said_by(tmp_path, "import sys\nprint(sys.argv[1:])", *given) == ["['--rate', '0.5', '--kind', 'two words']"]


@runs_scripts
def test_a_bundle_s_own_modules_come_first_even_under_this_project_s_name(tmp_path: Path) -> None:
    text = (
        "import instacart_pipeline, os\nfrom lib.helper import WORD\nprint(instacart_pipeline.WORD, WORD, os.getcwd())"
    )
    assert said_by(tmp_path, text) == [f"ours own {tmp_path / 'code'}"]


@runs_scripts
def test_all_it_says_is_told_line_by_line_and_logged(tmp_path: Path) -> None:
    text = "import sys\nprint('größe')\nprint('to err', file=sys.stderr)\nsys.stdout.buffer.write(b'\\xff no newline')"
    made = script(tmp_path, text)
    lines: list[str] = []
    made.run(lines.append)
    assert sorted(lines) == sorted(["größe", "to err", "\ufffd no newline"])
    assert "größe".encode() in made.log.read_bytes()


@runs_scripts
def test_a_line_is_told_when_it_is_said(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    waits = f"""
import pathlib, time
print('first')
until = time.monotonic() + {PATIENCE}
while not pathlib.Path({str(answer)!r}).exists():
    assert time.monotonic() < until
    time.sleep(0.01)
print('second')
"""
    told: list[str] = []

    def on_line(line: str) -> None:
        told.append(line)
        answer.touch()

    script(tmp_path, waits).run(on_line)
    assert told == ["first", "second"]


@runs_scripts
def test_a_script_that_fails_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(JobFailed) as failed:
        said_by(tmp_path, "for n in range(100): print('line', n)\nraise ValueError('no such rows')")
    text = str(failed.value)
    assert "toy: run.py ended with code 1" in text
    assert "ValueError: no such rows" in text
    assert "line 99" in text
    assert "line 10\n" not in text


@runs_scripts
def test_a_script_that_is_killed_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="ended by signal 9"):
        said_by(tmp_path, "import os\nos.kill(os.getpid(), 9)")


@runs_scripts
def test_what_a_script_left_running_ends_with_it_and_is_not_waited_for(tmp_path: Path) -> None:
    (line,) = said_by(tmp_path, LASTING.replace("time.sleep(600)\n", ""))
    eventually(lambda: not is_alive(int(line)), "the end of what it left")


@runs_scripts
def test_whatever_interrupts_a_script_ends_it_and_all_it_started(tmp_path: Path) -> None:
    started: list[int] = []
    others = set(psutil.Process().children())  # of tests before this one, such as a server that forks

    def on_line(line: str) -> None:
        started.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        script(tmp_path, LASTING).run(on_line)
    eventually(lambda: not is_alive(started[0]), "the end of what it started")
    assert set(psutil.Process().children()) <= others


@runs_scripts
def test_a_silent_script_stops_when_it_is_told_to(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        script(tmp_path, "import time\ntime.sleep(600)").run(stop=stop)


@runs_scripts
def test_a_script_doesn_t_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = f"""
from pathlib import Path
from instacart_pipeline.container.training import Script
from instacart_pipeline.lake.artefacts import ModelCode
Script("toy", ModelCode({{"run.py": {LASTING.encode()!r}}}), "run.py", (), {{}}, Path({str(tmp_path)!r}), 1).run(lambda line: print(line, flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        scripts = [child.pid for child in psutil.Process(process.pid).children()]
        os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, [grandchild, *scripts])), "the end of the script and what it started")


def test_metrics_are_read_by_their_patterns_in_the_order_they_come() -> None:
    metrics = Metrics({"loss": r"loss=(\S+)", "other": r"other=([0-9]+)"})
    for line in ("loss=2 loss=1.5", "nothing", "loss=oops", "loss=1e-3"):
        metrics.read(line)
    assert metrics.found == {"loss": [2.0, 1.5, 0.001], "other": []}
    assert metrics.last == {"loss": 0.001}
