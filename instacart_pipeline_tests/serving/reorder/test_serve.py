"""The commands serve and predict: real processes, real signals, nothing left behind; and what is refused before one starts."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from instacart_pipeline.cli import serving as command
from instacart_pipeline.cli.children import stopped_by_signals
from instacart_pipeline.container import child_server
from instacart_pipeline.container.connections import MAX_LINE
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline_tests.command_line import call
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.processes import Serve
from instacart_pipeline_tests.serving.reorder import shop
from instacart_pipeline_tests.tiers import costs

KEY = "a-key-of-sixteen"
CSV = {"Content-Type": "text/csv"}
EVERYWHERE = "0.0.0.0"  # noqa: S104  # what asks for keys
LINE = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n1,1,X,1,2011-01-01 10:00,1,,X"
)


def test_serve_answers_for_every_system_asks_for_its_keys_and_ends_with_all_it_started(
    home: Path, serve: Serve
) -> None:
    with serve(home, "--host", EVERYWHERE, "--access-log", INSTACART_API_KEYS=KEY) as served:
        address = served.url
        assert f"The pages: {address}/, {address}/sales and {address}/customers; it asks for one of" in served.text()
        assert [served.client.get(page).status_code for page in ("/", "/sales", "/customers")] == [200] * 3
        assert served.client.get("/v1/users").status_code == 401
        assert served.client.get("/", headers={"X": "a" * MAX_LINE}).status_code == 431
        served.client.headers["X-API-Key"] = KEY
        assert served.client.get("/v1/users/7/basket").json()["basket"][0]["product_name"] == shop.NAMES[1]
        assert served.client.post("/invocations", content=shop.ORIGINAL_ROW, headers=CSV).text == "0.3\n"
        assert served.client.post("/v1/transactions", content=LINE, headers=CSV).json()["accepted"] == 1
        assert 'instacart_lines_total{result="accepted"} 1.0' in served.client.get("/metrics").text
        web.until(lambda: "/v1/users/7/basket" in served.text())
        children = served.children()
        assert len(children) == 2, "the model's server and the API"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(web.PATIENCE) == 0
        assert served.ended(children)
        assert served.text().rstrip().endswith("Stopped.")
        assert "Traceback" not in served.text()
        assert KEY not in served.text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_stop(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopped_by_signals() as stopping:
        assert not stopping.is_set()
        signal.raise_signal(number)
        assert stopping.wait(web.PATIENCE)
    assert signal.getsignal(number) == before


def test_what_it_started_ends_with_it_however_it_dies(home: Path, serve_in_depth: Serve) -> None:
    with serve_in_depth(home, "--workers", "2") as served:
        children = served.children()
        assert len(children) == 5, "a model server of two processes, and two of the API"
        served.process.kill()
        assert served.ended(children)


def test_a_process_that_dies_is_started_again(home: Path, serve_in_depth: Serve) -> None:
    with serve_in_depth(home) as served:
        for times, module in enumerate(("container.server", "api_worker"), start=1):
            (child,) = (one for one in served.children() if any(module in word for word in one.cmdline()))
            child.kill()
            web.until(lambda times=times: served.text().count("is started again") == times)

            def answers() -> bool:
                try:
                    return served.client.get("/v1/users/7/basket").status_code == 200
                except httpx.TransportError:
                    return False

            web.until(answers)


def test_without_a_model_all_else_is_served_and_the_first_one_is_taken_up(
    tmp_path: Path, serve_in_depth: Serve
) -> None:
    home = tmp_path / "home"
    shop.put_day(Platform(home))
    with serve_in_depth(home) as served:
        assert "Baskets can't be predicted yet, all else is served: There is no model to answer with." in served.text()
        assert "`instacart-pipeline run reorder-model --dt DAY`" in served.text()
        assert len(served.children()) == 1, "the API alone"
        assert served.client.get("/v1/users/7/basket").status_code == 503
        assert served.client.get("/health/reorder").json()["status"] == "unused"
        assert served.client.get("/health").status_code == 200
        shop.deploy(shop.local_endpoints(home, ("127.0.0.1", 1)), shop.version_of(home, 1))
        web.until(lambda: served.client.get("/v1/users/7/basket").status_code == 200)
        assert "A model is deployed by now" in served.text()


# What is refused before anything starts


@pytest.fixture
@costs("contract")
def taken() -> Iterator[str]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield str(listening.getsockname()[1])


def test_beyond_this_machine_serve_wants_keys(tmp_path: Path) -> None:
    refused = call(tmp_path, "serve", "--host", EVERYWHERE)
    assert refused.code == 1
    assert "no key protects it. Set INSTACART_API_KEYS" in refused.err


@pytest.mark.parametrize(("host", "shown"), [(EVERYWHERE, "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3")])
def test_the_address_that_is_shown_leads_there_from_this_machine(host: str, shown: str) -> None:
    assert command._url(host, 8000) == f"http://{shown}:8000"


@pytest.mark.parametrize(
    ("option", "others"), [("--port", ()), ("--model-port", ("--port", "0"))], ids=["API", "model server"]
)
def test_a_port_that_is_taken_is_told_with_its_option(
    home: Path, taken: str, option: str, others: tuple[str, ...]
) -> None:
    told = call(home, "serve", *others, option, taken)
    assert told.code == 1
    assert f"PortTaken: 127.0.0.1:{taken} can't be had: Address already in use." in told.err
    assert told.err.rstrip().endswith(f"choose another port with {option}.")


# predict


def test_predict_asks_a_server_of_its_own_and_says_what_the_api_answers(home: Path, client: httpx.Client) -> None:
    told = call(home, "predict", "7", "--json", "--limit", "20")
    assert told.json == client.get("/v1/users/7/basket").json()


@pytest.fixture
def answered_by_a_server_that_runs(endpoints: LocalEndpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have predict ask the server of the other tests and start none."""
    host, _, port = endpoints.url.removeprefix("http://").partition(":")

    @contextmanager
    def running(*_: object) -> Iterator[tuple[str, int]]:
        yield host, int(port)

    monkeypatch.setattr(child_server, "serving", running)


@pytest.mark.usefixtures("answered_by_a_server_that_runs")
def test_predict_shows_the_basket_as_a_table(home: Path) -> None:
    shown = call(home, "predict", "7")
    assert "Order no. 6 of user 7, by reorder 1 on 2026-11-20" in shown.out
    assert "Organic Bananas" in shown.out
    assert "3 of 7 products bought before are predicted; expected F1 0.79." in shown.err


@pytest.mark.usefixtures("answered_by_a_server_that_runs")
def test_predict_says_whom_it_does_not_know(home: Path) -> None:
    told = call(home, "predict", "8")
    assert (told.code, told.out) == (1, "")
    assert "There is no user 8 in the upload of 2026-11-20." in told.err


def test_without_a_model_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    told = call(tmp_path, "predict", "7")
    assert told.code == 1
    assert "NothingDeployed" in told.err
    assert "`instacart-pipeline run reorder-model --dt DAY`" in told.err
