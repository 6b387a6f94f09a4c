"""The benchmark of the customer mart: chain, pandas and DuckDB make the same rows, and what differs is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from bench.mart_agreement import unlike
from bench.peers import WEEK
from instacart_pipeline.datagen.customers import generate_customers

pytest.importorskip("pandas", reason="the benchmark's peers are not installed (extra: bench)")

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder that holds the CSVs of scale 0.01."""
    folder = tmp_path_factory.mktemp("work")
    generate_customers(folder / "mart-0.01", scale=0.01, as_of=WEEK)
    return folder


@pytest.fixture(scope="module")
def mart(work: Path) -> Path:
    """The mart of these CSVs by the DuckDB script."""
    return made_by("duckdb", work)


def made_by(peer: str, work: Path) -> Path:
    out = work / peer
    command = [sys.executable, "-m", f"bench.peers.mart_{peer}", str(work / "mart-0.01"), str(out)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out / "customers.parquet"


def changed(mart: Path, folder: Path, select: str) -> list[str]:
    """What is told of a mart that `select` made of the table `mart`."""
    other = folder / "other.parquet"
    with duckdb.connect() as db:
        db.execute(f"CREATE VIEW mart AS FROM '{mart}'")
        db.execute(f"COPY ({select}) TO '{other}' (FORMAT parquet)")
    return unlike([str(mart)], [str(other)])


@pytest.mark.slow
def test_chain_pandas_and_duckdb_make_the_same_mart(work: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    options = ["--scale", "0.01", "--scales", "", "--work", str(work), "--json", str(figures)]
    command = [sys.executable, "-m", "bench.mart", *options, "--only", "duckdb,chain,pandas"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(figures.read_text())
    assert (list(told["runs"]), told["trouble"]) == (
        [f"{name} at scale 0.01" for name in ("duckdb", "chain", "pandas")],
        [],
    )
    assert [target for target, _, _ in told["targets"]] == [
        "chain at least 3 times as fast as pandas",
        "chain in at most a quarter of pandas' memory",
    ]
    assert list((work / "out").iterdir()) == []


def test_pandas_reads_the_same_from_the_columns_it_needs(mart: Path, work: Path) -> None:
    assert unlike([str(mart)], [str(made_by("pandas_narrow", work))]) == []


@pytest.mark.parametrize(
    ("select", "told"),
    [
        ("FROM mart ORDER BY user_id DESC", []),
        ("SELECT * REPLACE (CAST(spend AS DOUBLE) + 1e-12 AS spend) FROM mart", []),
        ("FROM mart WHERE user_id > 3", ["users: other in 3 rows"]),
        ("SELECT * REPLACE (if(user_id = 7, spend + 0.01, spend) AS spend) FROM mart", ["spend: other in 1 rows"]),
        ("SELECT * REPLACE (if(user_id = 7, NULL, age) AS age) FROM mart", ["age: other in 1 rows"]),
        (
            "SELECT * REPLACE (if(user_id <= 9, registered_at + INTERVAL 1 SECOND, registered_at) AS registered_at) FROM mart",
            ["registered_at: other in 9 rows"],
        ),
    ],
)
def test_a_row_or_figure_that_differs_is_told(mart: Path, tmp_path: Path, select: str, told: list[str]) -> None:
    assert changed(mart, tmp_path, select) == told
