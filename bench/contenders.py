"""The contenders: how each is called, and how it is asked for its totals afterwards.

Belongs here: command lines, environments and where results lie. Doesn't: measuring, and what the figures mean.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from bench.agreement import SUMMED, Totals, totals
from bench.measure import CommandFailed, Cost, measure

PROJECT = Path(__file__).resolve().parents[1]
DAY = date(2026, 1, 1)
"""The day the upload stands for; the platform's first partition by default, so every installation has it."""


@dataclass(frozen=True)
class Run:
    """One measured run of a contender, and what it computed."""

    cost: Cost
    totals: Totals
    upload_seconds: float | None = None
    """What the chain's upload took. Not part of the cost: it only copies the files to where the platform reads them."""


@dataclass(frozen=True)
class Limits:
    """What every contender is held to."""

    memory: str
    timeout: float


class Contender(ABC):
    """Computes the feature tables of a folder of CSVs into a fresh folder, as a command."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.title = title

    @abstractmethod
    def run(self, raw: Path, out: Path, limits: Limits) -> Run:
        """Compute the tables below `out`, which exists and is empty. Raises CommandFailed."""


class Peer(Contender):
    """One of the scripts of bench.peers."""

    def run(self, raw: Path, out: Path, limits: Limits) -> Run:
        """Run the script; its tables are Parquet files, or folders of them."""
        tables = out / "tables"
        command = [sys.executable, "-m", f"bench.peers.{self.name.replace('-', '_')}_script", str(raw), str(tables)]
        cost = measure(
            [*command, "--memory", limits.memory],
            env=os.environ,
            cwd=PROJECT,
            log=out / "log.txt",
            timeout=limits.timeout,
        )
        with duckdb.connect() as db:

            def ask(sql: str) -> Mapping[str, float | None]:
                answer = db.execute(sql)
                names = [str(column[0]) for column in answer.description or ()]
                return dict(zip(names, answer.fetchall()[0], strict=True))

            try:
                return Run(cost, totals({table: f"'{_parquet_of(tables, table)}'" for table in SUMMED}, ask))
            except duckdb.Error as error:
                raise CommandFailed(f"its tables can't be read: {error}") from error


class Chain(Contender):
    """The platform's own chain, through its command line; each run in a platform that has never run before."""

    sources = {  # noqa: RUF012  # never changed
        "order_products_prior": "reorder_curated.order_products_prior",
        "train_labels": "reorder_curated.order_products_train",
        "user_features_1": "reorder_features.user_features_1",
        "user_features_2": "reorder_features.user_features_2",
        "up_features": "reorder_features.up_features",
        "prd_features": "reorder_features.prd_features",
        "result_table": "reorder_sandbox.result_table",
    }

    def run(self, raw: Path, out: Path, limits: Limits) -> Run:
        """Upload the day, then run it: only the latter counts."""
        command_line = Path(sys.executable).with_name("instacart-pipeline")
        if not command_line.exists():
            raise CommandFailed(f"there is no {command_line.name} beside {sys.executable}: install the project first.")
        # The settings of whoever runs the benchmark must not decide what is measured.
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("INSTACART_", "DAGSTER_"))}
        env = {**mine, "INSTACART_HOME": str(out / "home"), "INSTACART_MEMORY": limits.memory}

        def pipeline(*words: str) -> str:
            done = subprocess.run(
                [str(command_line), *words], env=env, cwd=PROJECT, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise CommandFailed(
                    f"`instacart-pipeline {words[0]}`: exit code {done.returncode}.\n{done.stderr[-2000:]}"
                )
            return done.stdout

        started = time.perf_counter()
        pipeline("upload", "reorder", str(raw), "--dt", DAY.isoformat())
        upload_seconds = time.perf_counter() - started
        cost = measure(
            [str(command_line), "run", "reorder", "--dt", DAY.isoformat()],
            env=env,
            cwd=PROJECT,
            log=out / "log.txt",
            timeout=limits.timeout,
        )

        def ask(sql: str) -> Mapping[str, float | None]:
            printed = pipeline("sql", sql, "--format", "json")
            try:
                (row,) = json.loads(printed)
            except ValueError as error:
                raise CommandFailed(f"`instacart-pipeline sql` printed no row as JSON but: {printed[:500]}") from error
            return {name: None if value is None else float(value) for name, value in row.items()}

        return Run(cost, totals(self.sources, ask), upload_seconds)


def _parquet_of(folder: Path, table: str) -> Path:
    path = folder / f"{table}.parquet"
    return path / "*.parquet" if path.is_dir() else path


CHAIN = "chain"
FLOOR = "duckdb"
CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (
        Peer(FLOOR, "DuckDB (floor)"),
        Chain(CHAIN, "chain (this project)"),
        Peer("polars", "Polars"),
        Peer("pandas", "pandas"),
        Peer("pyspark", "PySpark"),
        Peer("duckdb-tuned", "DuckDB, tuned to this data"),
    )
}
"""Every contender by its name, in the order they run in."""
