"""`python -m bench.serving`: the same model behind the project's servers and behind MLflow's, under the same load.

Belongs here: the contenders, the order of things, the table. Doesn't: the load itself (serving_load.py).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xgboost
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from instacart_pipeline.container.unpacking import pack
from instacart_pipeline.lake.artefacts import MODEL, SOURCE, Artefact
from instacart_pipeline.reorder.model.code import model_code
from instacart_pipeline.reorder.model.features import ORIGINAL
from instacart_pipeline.resources.endpoints import Canary
from instacart_pipeline.resources.local.endpoints import LocalEndpoints
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline.serving.names import ENDPOINT

console = Console(width=140)
FEATURES, TREES, DEPTH, BULK = 60, 300, 6, 10_000
MLFLOW_PYTHON = Path(__file__).resolve().parents[1] / ".venv-mlflow" / "bin" / "python"
_START_SECONDS = 120


@dataclass(frozen=True)
class Contender:
    """A server, by the command that starts it. `path` is where it answers, `workers` of how many processes."""

    name: str
    workers: int
    command: tuple[str, ...]
    path: str
    form: str = "csv"
    environment: tuple[tuple[str, str], ...] = ()


def main(
    seconds: Annotated[float, typer.Option(help="How long each load lasts, after a second's warm-up.")] = 6.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the raw figures here.")] = None,
) -> None:
    """Measure one-row latency and throughput, and bulk requests, of every server."""
    if not MLFLOW_PYTHON.exists():
        raise typer.BadParameter("MLflow's environment is not here: `make bench-serving` makes it")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = _make_model(work)
        figures: dict[str, dict[str, dict[str, float]]] = {}
        expected: NDArray[np.float64] | None = None
        for contender in _contenders(work):
            with _serving(contender, work) as port:
                answered = _probabilities(contender, port, rows[:100])
                if expected is None:
                    expected = answered
                elif not np.allclose(answered, expected, atol=1e-6):
                    console.print(f"[red]{contender.name} answers something else than the others; no verdict.[/]")
                    raise typer.Exit(1)
                figures[contender.name] = _measured(contender, port, rows, work, seconds)
                console.print(f"{contender.name}: {json.dumps(figures[contender.name])}", highlight=False)
        console.print(_table(figures))
        if json_file:
            json_file.write_text(json.dumps(figures, indent=2))
    failed = sum(run["failed"] for runs in figures.values() for run in runs.values())
    if failed:
        console.print(f"[red]{failed:.0f} requests failed.[/]")
        raise typer.Exit(1)


def _contenders(work: Path) -> list[Contender]:
    python, home = sys.executable, work / "home"
    server = ("-m", "instacart_pipeline.container.server", str(work / "bundle"), "--port", "{port}", "--workers")
    mlflow = (
        str(MLFLOW_PYTHON),
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(work / "mlflow"),
        "--env-manager",
        "local",
    )
    found = [
        Contender(
            f"container, {workers} {_processes(workers)}", workers, (python, *server, str(workers)), "/invocations"
        )
        for workers in (1, 2)
    ]
    program = str(Path(python).with_name("instacart-pipeline"))
    serve = (program, "serve", "--port", "{port}", "--model-port", "{port+1}", "--workers", "1")
    found.append(
        Contender(
            "public API before it, 1 process each", 1, serve, "/invocations", "csv", (("INSTACART_HOME", str(home)),)
        )
    )
    # MLflow's scoring server takes CSV with a header and several forms of JSON.
    for workers in (1, 2):
        command = (*mlflow, "--port", "{port}", "--workers", str(workers))
        for form in ("csv", "json"):
            name = f"MLflow, {form.upper()}, {workers} {_processes(workers)}"
            found.append(Contender(name, workers, command, "/invocations", f"mlflow-{form}"))
    return found


def _processes(number: int) -> str:
    return "process" if number == 1 else "processes"


def _make_model(work: Path) -> NDArray[np.float32]:
    """Train the model and lay it out for every server; returns rows to ask about."""
    random = np.random.default_rng(7)
    rows = random.random((60_000, FEATURES), np.float32)
    rows[random.random(rows.shape) < 0.05] = np.nan
    chance = 1 / (1 + np.exp(-4 * (np.nan_to_num(rows[:, :8]).mean(axis=1) - 0.6)))
    labels = (random.random(len(rows)) < chance).astype(np.float32)
    parameters = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.1, "tree_method": "hist"}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, labels), TREES)
    original = xgboost.train(parameters, xgboost.DMatrix(rows[:, : len(ORIGINAL)], labels), 20)
    (model := work / "bundle" / "model").mkdir(parents=True)
    booster.save_model(model / "model.ubj")
    original.save_model(model / "original.ubj")
    # A slope of one and no intercept: calibration that changes nothing, so that all answer alike.
    told = {"features": [f"f{n}" for n in range(FEATURES)], "original": list(ORIGINAL), "slope": 1.0, "intercept": 0.0}
    (model / "model.json").write_text(json.dumps({**told, "spread": 0.0}))
    for name, content in model_code().files.items():
        path = work / "bundle" / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    _deploy(work, told["features"])
    _run(
        [
            str(MLFLOW_PYTHON),
            str(Path(__file__).parent / "peers" / "mlflow_save.py"),
            model / "model.ubj",
            work / "mlflow",
        ]
    )
    return rows[:BULK]


def _deploy(work: Path, features: Any) -> None:
    artefact = work / "artefact"
    artefact.mkdir()
    pack(work / "bundle" / "model", artefact / MODEL)
    (artefact / SOURCE).write_bytes(model_code().archive())
    made = Artefact("reorder", "model", "2026-01-01", "v1", str(artefact), model_code().digest)
    version = ModelVersion(ENDPOINT, 1, "Approved", made, {}, {"features": features})
    endpoints = LocalEndpoints(home=str(work / "home"), url="http://127.0.0.1:1")
    endpoints.deploy(ENDPOINT, version, Canary(b"," * (FEATURES - 1) + b"\n", 1))


def _run(command: list[Any]) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def _serving(contender: Contender, work: Path) -> Iterator[int]:
    port = _free_ports()
    command = [word.replace("{port}", str(port)).replace("{port+1}", str(port + 1)) for word in contender.command]
    # MLflow's command starts its server by the name `uvicorn`, and has to find its own.
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    with (work / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PATH": path, **dict(contender.environment)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while _status(port, contender, b"," * (FEATURES - 1)) != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                console.print((work / "server.log").read_text(errors="replace")[-3000:], markup=False)
                raise SystemExit(f"{contender.name} does not come up.")
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _free_ports() -> int:
    """A port that is free, as is the one after it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except OSError:
                continue


def _status(port: int, contender: Contender, row: bytes) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", contender.path, *_message(contender.form, row))
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _message(form: str, rows: bytes) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of a request about rows of CSV, in the form that a server takes."""
    if form == "csv":
        return rows, {"Content-Type": "text/csv", "Accept": "text/csv"}
    if form == "mlflow-csv":
        header = ",".join(f"f{number}" for number in range(FEATURES))
        return f"{header}\n".encode() + rows, {"Content-Type": "text/csv"}
    # NaN as Python writes it: MLflow takes a column of nulls for one of objects, which XGBoost refuses.
    numbers = [[float(field or "nan") for field in row.split(",")] for row in rows.decode().splitlines()]
    columns = [f"f{number}" for number in range(FEATURES)]
    return json.dumps({"dataframe_split": {"columns": columns, "data": numbers}}).encode(), {
        "Content-Type": "application/json"
    }


def _csv(rows: NDArray[np.float32]) -> bytes:
    return "".join(
        ",".join("" if np.isnan(value) else f"{value:.6g}" for value in row) + "\n" for row in rows.tolist()
    ).encode()


def _probabilities(contender: Contender, port: int, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", contender.path, *_message(contender.form, _csv(rows)))
    body = connection.getresponse().read()
    connection.close()
    told = json.loads(body)["predictions"] if contender.form.startswith("mlflow") else body.split()
    return np.array([float(one) for one in told])


def _measured(
    contender: Contender, port: int, rows: NDArray[np.float32], work: Path, seconds: float
) -> dict[str, dict[str, float]]:
    """What the loads say: one row over 1 connection and over 16, and BULK rows at a time."""
    bodies = {"one": _csv(rows[:1]), "bulk": _csv(rows)}
    runs = {}
    for name, body, connections in (("one at 1", "one", 1), ("one at 16", "one", 16), ("bulk", "bulk", 1)):
        content, headers = _message(contender.form, bodies[body])
        lines = [f"POST {contender.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(content)}"]
        lines += [f"{header}: {value}" for header, value in headers.items()]
        request = work / "request"
        request.write_bytes("\r\n".join([*lines, "", ""]).encode() + content)
        command = [sys.executable, "-m", "bench.serving_load", str(port), str(request)]
        ended = subprocess.run(
            [*command, "--connections", str(connections), "--seconds", str(seconds)], check=True, capture_output=True
        )
        runs[name] = json.loads(ended.stdout)
    return runs


def _table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """A row a server; the last column compares with the best that MLflow does with as many processes."""
    drawn = Table(title=f"{TREES} trees of depth {DEPTH}, {FEATURES} features", title_justify="left")
    drawn.add_column("server")
    for header in (
        "1 row, 1 conn.: p50",
        "p99",
        "a second",
        "1 row, 16 conn.: p50",
        "p99",
        "a second",
        f"{BULK:,} rows",
        "x MLflow",
    ):
        drawn.add_column(header, justify="right")
    for name, runs in figures.items():
        one, many, bulk = (runs[run] for run in ("one at 1", "one at 16", "bulk"))
        best = max(
            (
                other["one at 16"]["per_second"]
                for peer, other in figures.items()
                if peer.startswith("MLflow") and peer.endswith(_tail(name))
            ),
            default=None,
        )
        cells = [
            f"{run[key]:,.2f} ms" if key != "per_second" else f"{run[key]:,.0f}"
            for run in (one, many)
            for key in ("p50", "p99", "per_second")
        ]
        ratio = f"{many['per_second'] / best:.1f}" if best else ""
        drawn.add_row(name, *cells, f"{bulk['p50']:,.0f} ms", ratio)
    return drawn


def _tail(name: str) -> str:
    return "2 processes" if name.endswith("2 processes") else "1 process"


if __name__ == "__main__":
    typer.run(main)
