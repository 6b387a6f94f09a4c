"""The commands serve and predict as a user meets them: real processes, real signals, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.serving.reorder import shop

PROGRAM = str(Path(sys.executable).with_name("instacart-pipeline"))
KEY = "a-key-of-sixteen"
CSV = {"Content-Type": "text/csv"}
EVERYWHERE = "0.0.0.0"  # noqa: S104  # what is to be refused without keys


def environment(home: Path, **settings: str) -> dict[str, str]:
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(("INSTACART_", "DAGSTER_"))}
    return {**inherited, "INSTACART_HOME": str(home), **settings}


def call(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [PROGRAM, *arguments],
        env=environment(home, **settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Serving:
    """A running `instacart-pipeline serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, model_port: int, log: Path) -> None:
        self.process, self.port, self.model_port, self.log = process, port, model_port, log
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def text(self) -> str:
        return self.log.read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def ended(self, children: list[psutil.Process], seconds: float) -> bool:
        """Whether all of them end in time."""
        _, alive = psutil.wait_procs(children, timeout=seconds)
        return not alive


@contextmanager
def serving(home: Path, tmp_path: Path, *arguments: str, **settings: str) -> Iterator[Serving]:
    port, model_port, log = free_port(), free_port(), tmp_path / "serve.log"
    command = [PROGRAM, "serve", "--port", str(port), "--model-port", str(model_port), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(home, **settings), stdout=output, stderr=output)
    found = Serving(process, port, model_port, log)
    try:
        shop.until(lambda: "Ctrl-C ends it." in log.read_text() or process.poll() is not None, seconds=60)
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        found.client.close()
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it_within_seconds(home: Path, tmp_path: Path, number: signal.Signals) -> None:
    with serving(home, tmp_path) as served:
        address = f"http://127.0.0.1:{served.port}"
        assert f"The pages: {address}/, {address}/sales and {address}/customers" in served.text()
        assert served.client.get("/").status_code == 200
        assert served.client.get("/v1/users/7/basket").status_code == 200
        assert served.client.post("/invocations", content=shop.ORIGINAL_ROW, headers=CSV).text == "0.3\n"
        children = served.children()
        served.process.send_signal(number)
        assert served.process.wait(10) == 0
        assert served.ended(children, 1)
        assert served.text().rstrip().endswith("Stopped.")
        assert "Traceback" not in served.text()


def test_what_it_started_ends_with_it_however_it_dies(home: Path, tmp_path: Path) -> None:
    with serving(home, tmp_path, "--workers", "2") as served:
        children = served.children()
        assert len(children) == 5, "a model server of two processes, and two of the API"
        served.process.kill()
        assert served.ended(children, 15)


def test_a_process_that_dies_is_started_again(home: Path, tmp_path: Path) -> None:
    with serving(home, tmp_path) as served:
        for module in ("container.server", "api_worker"):
            (child,) = (one for one in served.children() if any(module in word for word in one.cmdline()))
            child.kill()
            shop.until(lambda: "is started again" in served.text(), seconds=30)

            def answers() -> bool:
                try:
                    return served.client.get("/v1/users/7/basket").status_code == 200
                except httpx.TransportError:
                    return False

            shop.until(answers, seconds=60)
        assert served.text().count("is started again") == 2


def test_beyond_this_machine_it_asks_for_keys(home: Path, tmp_path: Path) -> None:
    refused = call(home, "serve", "--host", EVERYWHERE)
    assert refused.returncode == 1
    assert "no key protects it. Set INSTACART_API_KEYS" in refused.stderr
    with serving(home, tmp_path, "--host", EVERYWHERE, "--access-log", INSTACART_API_KEYS=KEY) as served:
        assert "it asks for one of INSTACART_API_KEYS" in served.text()
        assert served.client.get("/v1/users").status_code == 401
        assert served.client.get("/v1/users?search=7", headers={"X-API-Key": KEY}).status_code == 200
        shop.until(lambda: "/v1/users?search=7" in served.text())
        assert KEY not in served.text()


def test_without_a_model_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    told = call(tmp_path, "predict", "7")
    assert told.returncode == 1
    assert "NothingDeployed" in told.stderr
    assert "`instacart-pipeline run reorder-model --dt DAY`" in told.stderr


def test_without_a_model_all_else_is_served_and_the_first_one_is_taken_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shop.put_day(Platform(home))
    with serving(home, tmp_path) as served:
        assert "Baskets can't be predicted yet, all else is served: There is no model to answer with." in served.text()
        assert "`instacart-pipeline run reorder-model --dt DAY`" in served.text()
        assert len(served.children()) == 1, "the API alone"
        assert served.client.get("/v1/users/7/basket").status_code == 503
        assert served.client.get("/health/reorder").json()["status"] == "unused"
        assert served.client.get("/health").status_code == 200
        shop.deploy(shop.local_endpoints(home, ("127.0.0.1", 1)), shop.version_of(home, 1))
        shop.until(lambda: served.client.get("/v1/users/7/basket").status_code == 200, seconds=60)
        assert "A model is deployed by now" in served.text()


def test_a_port_that_is_taken_is_told_with_its_option(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option, arguments in (
            ("--port", ("--port", port)),
            ("--model-port", ("--port", "0", "--model-port", port)),
        ):
            told = call(home, "serve", *arguments)
            assert told.returncode == 1
            assert f"PortTaken: 127.0.0.1:{port} can't be had: Address already in use." in told.stderr
            assert told.stderr.rstrip().endswith(f"choose another port with {option}.")


def test_predict_shows_the_basket_that_the_api_answers_with(home: Path, client: httpx.Client) -> None:
    told = call(home, "predict", "7", "--json", "--limit", "20")
    assert json.loads(told.stdout) == client.get("/v1/users/7/basket").json()
    shown = call(home, "predict", "7")
    assert "Order no. 6 of user 7, by reorder 1 on 2026-11-20" in shown.stdout
    assert "Organic Bananas" in shown.stdout
    assert "3 of 7 products bought before are predicted; expected F1 0.79." in shown.stderr


def test_predict_tells_whom_it_does_not_know(home: Path) -> None:
    told = call(home, "predict", "8")
    assert (told.returncode, told.stdout) == (1, "")
    assert "There is no user 8 in the upload of 2026-11-20." in told.stderr


def test_the_definitions_load_none_of_it(home: Path) -> None:
    heavy = "{'fastapi', 'uvicorn', 'starlette', 'instacart_pipeline.serving', 'pyarrow'}"
    program = f"import instacart_pipeline.definitions, sys; print(sorted({heavy} & set(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment(home), check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == "[]"
