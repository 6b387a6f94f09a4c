"""A model's server, as a real process over real HTTP: every answer that SageMaker's serving contract knows."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from instacart_pipeline.container.contract import MAX_BODY, features_digest
from instacart_pipeline.container.server import _DRAIN_SECONDS
from instacart_pipeline_tests.container.servers import (
    PATIENCE,
    Answer,
    Server,
    eventually,
    is_alive,
    server,
    toy_folder,
)
from instacart_pipeline_tests.resources.toy_model import CODE
from instacart_pipeline_tests.tiers import costs

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_DESCRIBED = CODE.files["inference.py"].decode() + "\ndef describe(model):\n    return {'features': ['y', 'x']}\n"
_GATED = (
    CODE.files["inference.py"]
    .decode()
    .replace(
        "def predict_fn(data: Rows, model: float) -> list[float]:",
        """def predict_fn(data: Rows, model: float) -> list[float]:
    import pathlib, time
    if len(data) > 1000:
        pathlib.Path("GATE.reached").touch()
        until = time.monotonic() + 120
        while not pathlib.Path("GATE").exists() and time.monotonic() < until:
            time.sleep(0.01)
""",
    )
)
"""A toy that predicts many rows only when a file GATE is there."""


@pytest.fixture(scope="module")
@costs("contract")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a toy that says what its features are."""
    folder = tmp_path_factory.mktemp("toy")
    model = toy_folder(folder / "model", 10.0, {"inference.py": _DESCRIBED})
    with server(model, "--version", "toy/7", log=folder / "log") as made:
        yield made


@pytest.fixture
@costs("contract")
def own_server() -> None:
    """For tests that start a server of their own."""


def test_ping_answers_that_the_model_is_up(toy: Server) -> None:
    answer = toy.ask("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"")


def test_rows_of_csv_are_answered_with_a_number_a_line(toy: Server) -> None:
    answer = toy.invoke(b"1,2\n,5\n3,\n")
    assert (answer.status, answer.body) == (200, b"11.0\n10.0\n13.0\n")
    assert answer.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("accept", ["text/csv", "*/*", "text/*", "image/png, text/csv;q=0.5", "TEXT/CSV", ""])
def test_csv_is_what_comes_unless_something_else_is_asked_for(toy: Server, accept: str) -> None:
    answer = toy.invoke(b"1,2\n", Accept=accept)
    assert (answer.status, answer.body) == (200, b"11.0\n")


@pytest.mark.parametrize("accept", ["application/json", "application/*", "text/csv;q=0.1,application/json"])
def test_json_is_answered_as_predictions_with_scores(toy: Server, accept: str) -> None:
    answer = toy.invoke(b"1,2\n", Accept=accept)
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {"predictions": [{"score": 11.0}]}


def test_a_type_that_can_t_be_answered_is_406(toy: Server) -> None:
    assert toy.invoke(b"1,2\n", Accept="image/png").status == 406


def test_an_empty_body_is_204(toy: Server) -> None:
    answer = toy.invoke(b"")
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(("body", "kind"), [(b"1,2\n", "image/png"), (b"a,b\n", "text/csv"), (b"\xff\xfe", "text/csv")])
def test_a_type_or_a_body_that_can_t_be_read_is_415_with_one_line_of_reason(
    toy: Server, body: bytes, kind: str
) -> None:
    answer = toy.invoke(body, Content_Type=kind)
    assert answer.status == 415
    assert answer.body
    assert b"\n" not in answer.body


def test_a_prediction_that_fails_is_400_with_one_line_of_reason(toy: Server) -> None:
    answer = toy.invoke(b"-1,2\n")
    assert (answer.status, answer.body) == (400, b"RuntimeError: -1 can't be predicted")


def test_a_body_of_the_greatest_size_is_answered(toy: Server) -> None:
    line = b"1" + b"0" * 62 + b"\n"
    answer = toy.invoke(line * (MAX_BODY // len(line)))
    assert (answer.status, len(answer.body.splitlines())) == (200, MAX_BODY // len(line))


def test_a_body_beyond_it_is_413(toy: Server) -> None:
    assert toy.invoke(b"1" * (MAX_BODY + 1)).status == 413


def test_a_length_beyond_it_is_refused_before_the_body_is_sent(toy: Server) -> None:
    with socket.create_connection(("127.0.0.1", toy.port), timeout=PATIENCE) as connection:
        head = (
            f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_refused_where_it_becomes_too_large(toy: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", toy.port, timeout=PATIENCE)
    chunks = (b"1" * 1_000_000 for _ in range(7))
    connection.request("POST", "/invocations", chunks, {"Content-Type": "text/csv"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_in_chunks_is_read_as_one(toy: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", toy.port, timeout=PATIENCE)
    chunks = iter([b"1,", b"2\n3", b",4\n"])
    connection.request("POST", "/invocations", chunks, {"Content-Type": "text/csv"}, encode_chunked=True)
    assert connection.getresponse().read() == b"11.0\n13.0\n"
    connection.close()


def test_a_batch_transform_is_told_how_to_ask(toy: Server) -> None:
    answer = toy.ask("GET", "/execution-parameters")
    told = json.loads(answer.body)
    assert answer.status == 200
    assert told["MaxConcurrentTransforms"] >= 1
    assert (told["BatchStrategy"], told["MaxPayloadInMB"]) == ("MULTI_RECORD", 6)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/invocations", 405), ("POST", "/ping", 405), ("GET", "/", 404)]
)
def test_what_the_contract_doesn_t_know_is_not_served(toy: Server, method: str, path: str, status: int) -> None:
    assert toy.ask(method, path).status == status


def test_every_answer_names_the_model_and_its_features(toy: Server) -> None:
    told = f"features={features_digest(['y', 'x'])},model=toy/7"
    answers = [
        toy.invoke(b"1,2\n"),
        toy.invoke(b""),
        toy.invoke(b"-1,2\n"),
        toy.invoke(b"a\n"),
        toy.ask("GET", "/ping"),
    ]
    assert [answer.headers[ATTRIBUTES.lower()] for answer in answers] == [told] * 5


def test_a_caller_with_other_features_is_refused_and_one_with_the_same_is_answered(toy: Server) -> None:
    same = toy.invoke(b"1,2\n", **{ATTRIBUTES: f"caller=7, features={features_digest(['y', 'x'])}"})
    assert same.status == 200
    other = toy.invoke(b"1,2\n", **{ATTRIBUTES: f"features={features_digest(['x', 'y'])}"})
    assert (other.status, other.body) == (400, b"features differ")
    assert other.headers[ATTRIBUTES.lower()].startswith(f"features={features_digest(['y', 'x'])},")


def test_a_connection_serves_one_request_after_the_other(toy: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", toy.port, timeout=PATIENCE)
    statuses = []
    for body in (b"1,2\n", b"", b"a\n", b"1" * (MAX_BODY + 1), b"3,4\n"):
        connection.request("POST", "/invocations", body, {"Content-Type": "text/csv"})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 204, 415, 413, 200]


@pytest.mark.usefixtures("own_server")
def test_a_model_that_can_t_be_loaded_answers_500_and_says_why(tmp_path: Path) -> None:
    with server(toy_folder(tmp_path / "model", None), log=tmp_path / "log") as broken:
        assert broken.ping() == 500
        answer = broken.invoke(b"1,2\n")
        assert (answer.status, b"can't be loaded" in answer.body) == (500, True)
        assert ATTRIBUTES.lower() not in answer.headers
        assert "JSONDecodeError" in (tmp_path / "log").read_text()


@dataclass
class Gated:
    """A server whose answer to a large request waits for a gate; the answers so far, and the thread that waits for one."""

    server: Server
    gate: Path
    answers: list[Answer] = field(default_factory=list)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """A large request is under way; it is answered afterwards."""
        large = threading.Thread(target=lambda: self.answers.append(self.server.invoke(b"1.5,2.5,3.5\n" * 10_000)))
        large.start()
        eventually(self.gate.with_suffix(".reached").exists, "the large request")
        yield
        self.gate.touch()
        large.join()


@pytest.fixture
@costs("contract")
def gated(tmp_path: Path) -> Iterator[Gated]:
    gate = tmp_path / "gate"
    code = {"inference.py": _GATED.replace("GATE", str(gate))}
    with server(toy_folder(tmp_path / "model", 10.0, code), log=tmp_path / "log") as made:
        yield Gated(made, gate)


def test_requests_are_answered_while_a_large_one_is_predicted(gated: Gated) -> None:
    with gated.asked():
        assert (gated.server.ping(), gated.server.invoke(b"1,2\n").body) == (200, b"11.0\n")
        assert gated.answers == []
    assert [answer.status for answer in gated.answers] == [200]


def test_sigterm_lets_requests_under_way_end_and_takes_no_new_ones(gated: Gated) -> None:
    with gated.asked():
        gated.server.process.send_signal(signal.SIGTERM)
        eventually(lambda: _refused(gated.server), "the port is closed")
    (answer,) = gated.answers
    assert (answer.status, len(answer.body.splitlines())) == (200, 10_000)
    assert gated.server.process.wait(PATIENCE) == 0


def _refused(asked: Server) -> bool:
    try:
        asked.ping()
    except OSError as error:
        return "refused" in str(error)
    return False


@pytest.mark.usefixtures("own_server")
def test_an_idle_server_ends_at_once_when_told_to(tmp_path: Path) -> None:
    with server(toy_folder(tmp_path / "model"), log=tmp_path / "log") as idle:
        kept = http.client.HTTPConnection("127.0.0.1", idle.port)
        kept.request("GET", "/ping")
        kept.getresponse().read()
        idle.process.send_signal(signal.SIGTERM)
        assert idle.process.wait(_DRAIN_SECONDS - 3) == 0
        kept.close()


def test_a_port_that_is_taken_is_said_so(tmp_path: Path, toy: Server) -> None:
    for workers in ("1", "2"):
        with (
            pytest.raises(IndexError),
            server(toy_folder(tmp_path / workers), "--workers", workers, log=tmp_path / "log", port=toy.port),
        ):
            pass
        assert f"127.0.0.1:{toy.port} can't be had: Address already in use" in (tmp_path / "log").read_text()


# Several workers.


@pytest.fixture
@costs("deep")
def crew(tmp_path: Path) -> Iterator[Server]:
    """A server of two workers."""
    with server(toy_folder(tmp_path / "model"), "--workers", "2", log=tmp_path / "log") as made:
        eventually(lambda: len(made.children) == 2, "two workers")
        yield made


def test_a_worker_that_dies_is_replaced_and_sigterm_ends_all_in_order(crew: Server) -> None:
    victim = crew.children[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(crew.children) == 2 and victim not in crew.children, "another worker")
    assert [crew.invoke(b"1,2\n").status for _ in range(50)] == [200] * 50
    workers = crew.children
    crew.process.send_signal(signal.SIGTERM)
    assert crew.process.wait(PATIENCE) == 0
    assert not any(is_alive(worker) for worker in workers)


def test_workers_don_t_outlive_their_parent(crew: Server) -> None:
    workers = crew.children
    crew.process.kill()
    eventually(lambda: not any(is_alive(worker) for worker in workers), "the end of the workers")
