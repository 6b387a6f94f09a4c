"""`python -m bench.serving`: the same model behind the project's servers and behind MLflow's, under the same load.

Belongs here: the contenders, the order of things, the table. Doesn't: the model (serving_model.py), the load (serving_load.py).
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.serving_model import BULK, DEPTH, FEATURES, TREES, make_model

console = Console(width=170)
MLFLOW_PYTHON = Path(__file__).resolve().parents[1] / ".venv-mlflow" / "bin" / "python"
_START_SECONDS = 120
Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By server and load."""


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
    seconds: Annotated[float, typer.Option(help="How long each load lasts, after a second's warm-up.")] = 4.0,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each server, in turns; the median counts.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the raw figures here.")] = None,
) -> None:
    """Measure one-row latency and throughput, and bulk requests, of every server."""
    if not MLFLOW_PYTHON.exists():
        raise typer.BadParameter("MLflow's environment is not here: `make bench-serving` makes it")
    taken: dict[str, list[dict[str, dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = make_model(work, MLFLOW_PYTHON)
        expected: NDArray[np.float64] | None = None
        for contender in _contenders(work) * repeat:
            with _serving(contender, work) as port:
                answered = _probabilities(contender, port, rows[:100])
                if expected is not None and not np.allclose(answered, expected, atol=1e-6):
                    console.print(f"[red]{contender.name} answers something else than the others; no verdict.[/]")
                    raise typer.Exit(1)
                expected = answered
                taken.setdefault(contender.name, []).append(_measured(contender, port, rows, work, seconds))
            console.print(f"{contender.name}: {json.dumps(taken[contender.name][-1])}", highlight=False, soft_wrap=True)
    figures = {name: _medians(runs) for name, runs in taken.items()}
    console.print(_table(figures))
    for line in _verdicts(figures):
        console.print(line)
    if json_file:
        json_file.write_text(json.dumps(taken, indent=2))
    if failed := sum(load["failed"] for runs in taken.values() for run in runs for load in run.values()):
        console.print(f"[red]{failed:.0f} requests failed.[/]")
        raise typer.Exit(1)


def _medians(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """By load and figure, the median of the runs."""
    return {
        load: {figure: median(run[load][figure] for run in runs) for figure in ("p50", "p99", "per_second")}
        for load in runs[0]
    }


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
            "API and container, 1 process each", 1, serve, "/invocations", "csv", (("INSTACART_HOME", str(home)),)
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


def _table(figures: Figures) -> Table:
    """A row a server; the last column compares with the best that MLflow does with as many processes."""
    drawn = Table(title=f"{TREES} trees of depth {DEPTH}, {FEATURES} features", title_justify="left")
    drawn.add_column("server")
    headers = (
        "1 row, 1 conn.: p50",
        "p99",
        "a second",
        "1 row, 16 conn.: p50",
        "p99",
        "a second",
        f"{BULK:,} rows",
        "x MLflow",
    )
    for header in headers:
        drawn.add_column(header, justify="right")
    for name, runs in figures.items():
        cells = [
            f"{runs[run][key]:,.2f} ms" if key != "per_second" else f"{runs[run][key]:,.0f}"
            for run in ("one at 1", "one at 16")
            for key in ("p50", "p99", "per_second")
        ]
        best = _best_of_mlflow(figures, name)
        ratio = runs["one at 16"]["per_second"] / best["per_second"]
        drawn.add_row(name, *cells, f"{runs['bulk']['p50']:,.0f} ms", f"{ratio:.1f}")
    return drawn


def _best_of_mlflow(figures: Figures, name: str) -> Mapping[str, float]:
    """The load of 16 connections on MLflow, in the form it answers faster, with as many processes as `name` has."""
    tail = "2 processes" if name.endswith("2 processes") else "1 process"
    peers = [runs["one at 16"] for peer, runs in figures.items() if peer.startswith("MLflow") and peer.endswith(tail)]
    return max(peers, key=lambda run: run["per_second"])


def _verdicts(figures: Figures) -> Iterator[str]:
    """The target: three times MLflow's answers a second at a lower p99, over 16 connections."""
    for name, runs in figures.items():
        if name.startswith("MLflow"):
            continue
        ours, best = runs["one at 16"], _best_of_mlflow(figures, name)
        ratio = ours["per_second"] / best["per_second"]
        met = ratio >= 3 and ours["p99"] < best["p99"]
        yield (
            f"{name}: {ratio:.1f} times MLflow's answers a second (at least 3), p99 {ours['p99']:.1f} ms against {best['p99']:.1f} "
            f"(lower): {'met' if met else 'missed'}"
        )


if __name__ == "__main__":
    typer.run(main)
