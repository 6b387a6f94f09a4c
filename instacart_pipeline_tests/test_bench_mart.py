"""The benchmark of the customer mart: chain, pandas and DuckDB make the same rows, and what differs is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from bench.mart_agreement import unlike
from bench.peers import WEEK, mart_duckdb, mart_pandas
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline_tests.tiers import costs, missing

pytest.importorskip("pandas", reason=missing("the benchmark's peers"))

PROJECT = Path(__file__).resolve().parents[1]


SCALE = 0.003


@pytest.fixture
@costs("deep")
def whole_benchmark() -> None:
    """For a test that runs contenders as the benchmark does."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder that holds generated CSVs."""
    folder = tmp_path_factory.mktemp("work")
    generate_customers(folder / f"mart-{SCALE}", scale=SCALE, as_of=WEEK)
    return folder


@pytest.fixture(scope="module")
def mart(work: Path) -> Path:
    """The mart of these CSVs by the DuckDB script."""
    out = work / "duckdb"
    out.mkdir()
    mart_duckdb.build(work / f"mart-{SCALE}", out, "1GB")
    return out / "customers.parquet"


def changed(mart: Path, folder: Path, select: str) -> list[str]:
    """What is told of a mart that `select` made of the table `mart`."""
    other = folder / "other.parquet"
    with duckdb.connect() as db:
        db.execute(f"CREATE VIEW mart AS FROM '{mart}'")
        db.execute(f"COPY ({select}) TO '{other}' (FORMAT parquet)")
    return unlike([str(mart)], [str(other)])


@pytest.mark.usefixtures("whole_benchmark")
def test_chain_pandas_and_duckdb_make_the_same_mart(work: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    options = ["--scale", str(SCALE), "--scales", "", "--work", str(work), "--json", str(figures)]
    command = [sys.executable, "-m", "bench.mart", *options, "--only", "duckdb,chain,pandas"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(figures.read_text())
    assert (list(told["runs"]), told["trouble"]) == (
        [f"{name} at scale {SCALE}" for name in ("duckdb", "chain", "pandas")],
        [],
    )
    assert [target for target, _, _ in told["targets"]] == [
        "chain at least 3 times as fast as pandas",
        "chain in at most a quarter of pandas' memory",
    ]
    assert list((work / "out").iterdir()) == []


@pytest.mark.parametrize("narrow", [False, True])
def test_pandas_makes_the_same_from_all_columns_and_from_those_it_needs(
    mart: Path, work: Path, tmp_path: Path, *, narrow: bool
) -> None:
    mart_pandas.build(work / f"mart-{SCALE}", tmp_path, "1GB", narrow=narrow)
    assert unlike([str(mart)], [str(tmp_path / "customers.parquet")]) == []


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
