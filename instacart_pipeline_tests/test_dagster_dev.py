"""The whole platform as a user runs it: `instacart-pipeline up`, an upload, and what the sensor makes of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import pytest

from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.faulty_run import eventually
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.tiers import costs

PROGRAM = str(Path(sys.executable).with_name("instacart-pipeline"))
RUNS = "{ runsOrError { ... on Runs { results { status jobName tags { key value } } } } }"
ASSETS = "{ assetNodes { assetKey { path } groupName dependencyKeys { path } } }"


class Up:
    """`instacart-pipeline up`, running on a home of its own."""

    def __init__(self, home: Path, log: Path) -> None:
        self.home, self.log, self.platform = home, log, Platform(home, settle_seconds=1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        inherited = {name: v for name, v in os.environ.items() if not name.startswith(("INSTACART_", "DAGSTER_"))}
        self.environment = {**inherited, "INSTACART_HOME": str(home), "INSTACART_SETTLE_SECONDS": "1"}
        with log.open("wb") as output:
            # In a session of its own: what is started in the background of another's ignores Ctrl-C.
            self.process = subprocess.Popen(
                [PROGRAM, "up", "--port", str(self.port)],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Whether the UI's server is there."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/server_info", timeout=5) as response:
                return bool(json.load(response)["dagster_webserver_version"])
        except OSError:
            return False

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that GraphQL answers with."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # our own server
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def runs(self) -> list[dict[str, str]]:
        """The runs there are, newest first: their status, and by what they were started."""
        return [
            {"status": run["status"], "job": run["jobName"], **{tag["key"]: tag["value"] for tag in run["tags"]}}
            for run in self.ask(RUNS)["runsOrError"]["results"]
        ]

    def ended(self, runs: int) -> bool:
        """Whether there are so many runs and all have ended."""
        now = [run["status"] for run in self.runs()]
        return len(now) >= runs and not set(now) & {"QUEUED", "NOT_STARTED", "STARTING", "STARTED"}

    def processes(self) -> list[str]:
        """The command lines of living processes on this home, this test's own aside."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it ended meanwhile
                if process.environ().get("INSTACART_HOME") == str(self.home) and process.status() != "zombie":
                    found.append(" ".join(process.cmdline()))
        return found


@pytest.fixture
@costs("e2e")
def up(tmp_path: Path) -> Iterator[Up]:
    """The platform, up and answering; nothing of it is left when the test ends, however it ends."""
    running = Up(tmp_path / "home", tmp_path / "up.log")
    try:
        eventually(running.answers, within=300, what="an answer of the UI's server")
        yield running
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()


@pytest.mark.timeout(1800)  # as long as its own waits together
def test_an_upload_is_built_by_the_sensor_and_ctrl_c_ends_every_process(up: Up, upload_folder: Path) -> None:
    nodes = up.ask(ASSETS)["assetNodes"]
    paths = {".".join(node["assetKey"]["path"]) for node in nodes}
    assert {".".join(table.asset_key) for table in t.TABLES} <= paths

    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    up.platform.upload(upload_folder, today)
    eventually(lambda: up.ended(1), within=300, what="a run of the upload")
    (run,) = up.runs()
    assert (run["status"], run["job"]) == ("SUCCESS", "reorder_daily")
    assert (run["dagster/sensor_name"], run["dagster/partition"]) == ("reorder_uploads", today)
    assert up.platform.rows(t.RESULT_TABLE, today)
    assert up.platform.orphaned_files(today) == []

    os.killpg(up.process.pid, signal.SIGINT)
    up.process.wait(120)
    eventually(lambda: up.processes() == [], within=120, what="the end of every process of the platform")
