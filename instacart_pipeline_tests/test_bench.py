"""The benchmark: its peers compute the same tables, its harness measures what it says, and disagreement is loud."""

from __future__ import annotations

import csv
import importlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import psutil
import pytest
import typer

from bench.__main__ import main
from bench.agreement import SUMMED, differences
from bench.contenders import Contender, Limits, Run
from bench.measure import CommandFailed, Cost, measure
from bench.report import ScaleCost, verdicts
from instacart_pipeline.reorder.tables import DERIVED, ORDER_PRODUCTS_TRAIN
from instacart_pipeline_tests.tiers import costs, missing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytest.importorskip("polars", reason=missing("the benchmark's peers"))

PROJECT = Path(__file__).resolve().parents[1]

KEYS = {
    "order_products_prior": "order_id, product_id",
    "train_labels": "order_id, product_id",
    "user_features_1": "user_id",
    "user_features_2": "user_id",
    "up_features": "user_id, product_id",
    "prd_features": "product_id",
    "result_table": "user_id, product_id",
}

Row = tuple[object, ...]


def written(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty users with 2 to 12 orders; user 1 bought as the tests that name them say, user 2 has one prior order only."""
    folder = tmp_path_factory.mktemp("raw")
    chance = random.Random(7)  # noqa: S311  # test data
    orders: list[Row] = []
    lines: dict[str, list[Row]] = {"prior": [], "train": [], "test": []}
    baskets: dict[int, list[list[int]]] = {1: [[10, 20], [10, 30, 20], [10], [40]], 2: [[10, 50], [10]]}
    for user in range(3, 41):
        baskets[user] = [chance.sample(range(1, 60), chance.randint(1, 12)) for _ in range(chance.randint(3, 12))]
    for user, of_user in baskets.items():
        bought: set[int] = set()
        for number, basket in enumerate(of_user, start=1):
            last = "train" if user % 3 else "test"
            eval_set = last if number == len(of_user) else "prior"
            hour = chance.randint(0, 23)
            order = 1000 - len(orders)
            days = None if number == 1 else float(number if user == 1 else chance.randint(0, 30))
            orders.append(
                (order, user, eval_set, number, chance.randint(0, 6), f"{hour:02}" if user % 2 else str(hour), days)
            )
            lines[eval_set] += [
                (order, product, position, int(product in bought)) for position, product in enumerate(basket, start=1)
            ]
            bought |= set(basket)
    chance.shuffle(lines["prior"])
    header = "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order"
    written(folder / "orders.csv", header, orders)
    for eval_set in ("prior", "train"):
        header = "order_id,product_id,add_to_cart_order,reordered"
        written(folder / f"order_products__{eval_set}.csv", header, lines[eval_set])
    written(folder / "aisles.csv", "aisle_id,aisle", [(1, "fresh")])
    written(folder / "departments.csv", "department_id,department", [(1, "produce")])
    products = [(product, f'{product}" pizza, frozen', 1, 1) for product in range(1, 60)]
    written(folder / "products.csv", "product_id,product_name,aisle_id,department_id", products)
    return folder


@pytest.fixture
@costs("contract")
def processes() -> None:
    """For tests that measure a command."""


@pytest.fixture
@costs("deep")
def whole_benchmark() -> None:
    """For tests that run contenders as the benchmark does."""


def run_peer(name: str, raw: Path, out: Path) -> Path:
    importlib.import_module(f"bench.peers.{name}_script").build(raw, out, "1GB")
    return out


@pytest.fixture(scope="module")
def floor(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_peer("duckdb", raw, tmp_path_factory.mktemp("floor"))


def select(folder: Path, table: str, columns: str = "*", where: str = "true") -> list[dict[str, object]]:
    path = folder / f"{table}.parquet"
    source = path / "*.parquet" if path.is_dir() else path
    with duckdb.connect() as db:
        answer = db.execute(f"SELECT {columns} FROM '{source}' WHERE {where} ORDER BY {KEYS[table]}")
        names = [str(column[0]) for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def assert_same_tables(folder: Path, expected: Path) -> None:
    for table in KEYS:
        want, got = select(expected, table), select(folder, table)
        assert len(got) == len(want), table
        for want_row, got_row in zip(want, got, strict=True):
            assert list(got_row) == list(want_row), table
            for column, value in want_row.items():
                same = pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
                assert got_row[column] == same, f"{table}.{column} of {want_row}"


@pytest.mark.parametrize("peer", ["polars", "pandas", "duckdb_tuned"])
def test_a_peer_computes_the_tables_of_the_floor(peer: str, raw: Path, floor: Path, tmp_path: Path) -> None:
    assert_same_tables(run_peer(peer, raw, tmp_path), floor)


def test_the_spark_peer_computes_the_tables_of_the_floor(
    raw: Path, floor: Path, tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.peers.pyspark_script.local_session", lambda _scratch: spark)
    monkeypatch.setattr(spark, "stop", lambda: None)
    assert_same_tables(run_peer("pyspark", raw, tmp_path), floor)


def test_the_floor_keeps_ids_and_counts_in_the_types_of_the_contracts(floor: Path) -> None:
    contracts = {table.name: table for table in DERIVED} | {"train_labels": ORDER_PRODUCTS_TRAIN}
    for name in KEYS:
        with duckdb.connect() as db:
            types = {
                str(column): str(type_).lower()
                for column, type_, *_ in db.execute(f"DESCRIBE FROM '{floor / name}.parquet'").fetchall()
            }
        wanted = {column.name: column.type for column in contracts[name].columns if column.name in types}
        assert set(wanted) == set(types), name
        sql_types = {"string": "varchar", "int": "integer"}
        assert types == {column: sql_types.get(type_, type_) for column, type_ in wanted.items()}, name


def test_the_floor_counts_what_a_user_bought(floor: Path) -> None:
    # Prior orders of user 1: [10, 20], [10, 30, 20], [10], after 2 and 3 days. The fourth is the target and stays out.
    assert select(floor, "user_features_1", where="user_id = 1") == [
        {"user_id": 1, "user_orders": 3, "user_period": 5.0, "user_mean_days_since_prior": 2.5}
    ]
    assert select(floor, "user_features_2", where="user_id = 1") == [
        {"user_id": 1, "user_total_products": 6, "user_distinct_products": 3, "user_reorder_ratio": 3 / 4}
    ]
    assert select(
        floor, "up_features", "product_id, up_orders, up_last_order, up_average_cart_position", "user_id = 1"
    ) == [
        {"product_id": 10, "up_orders": 3, "up_last_order": 3, "up_average_cart_position": 1.0},
        {"product_id": 20, "up_orders": 2, "up_last_order": 2, "up_average_cart_position": 2.5},
        {"product_id": 30, "up_orders": 1, "up_last_order": 2, "up_average_cart_position": 2.0},
    ]
    ratios = "up_order_rate, up_orders_since_last_order, up_order_rate_since_first_order, user_average_basket"
    assert select(floor, "result_table", ratios, "user_id = 1 AND product_id = 30") == [
        {
            "up_order_rate": 1 / 3,
            "up_orders_since_last_order": 1,
            "up_order_rate_since_first_order": 1 / 2,
            "user_average_basket": 2.0,
        }
    ]


def test_a_user_with_one_prior_order_has_no_period_and_no_reorder_ratio(floor: Path) -> None:
    (periods,) = select(floor, "user_features_1", where="user_id = 2")
    assert periods == {"user_id": 2, "user_orders": 1, "user_period": None, "user_mean_days_since_prior": None}
    (ratio,) = select(floor, "user_features_2", "user_reorder_ratio", "user_id = 2")
    assert ratio == {"user_reorder_ratio": None}


def test_the_floor_computes_the_known_figures_of_real_baskets(tmp_path: Path, real_data: Path) -> None:
    out = run_peer("duckdb", real_data / "retail_baskets", tmp_path)

    def figures(table: str, query: str) -> Row:
        with duckdb.connect() as db:
            row = db.execute(f"SELECT {query} FROM '{out / table}.parquet'").fetchone()
            assert row
            return tuple(round(value, 6) if isinstance(value, float) else value for value in row)

    assert figures(
        "order_products_prior",
        "count(*), count(DISTINCT user_id), count(DISTINCT product_id), sum(reordered), sum(add_to_cart_order)",
    ) == (253_857, 1_496, 3_549, 98_893, 6_349_304)
    assert figures("train_labels", "count(*), count(DISTINCT order_id)") == (21_245, 977)
    assert figures(
        "user_features_1", "count(*), sum(user_orders), sum(user_period), avg(user_mean_days_since_prior)"
    ) == (1_496, 12_233, 230_084, 23.472226)
    assert figures(
        "user_features_2",
        "count(*), sum(user_total_products), sum(user_distinct_products), avg(user_reorder_ratio)",
    ) == (1_496, 253_857, 154_964, 0.343069)
    assert figures(
        "up_features",
        "count(*), sum(up_orders), sum(up_first_order), sum(up_last_order), avg(up_average_cart_position)",
    ) == (154_964, 253_857, 1_135_462, 1_673_910, 23.380384)
    assert figures(
        "prd_features",
        "count(*), sum(prod_orders), sum(prod_reorders), sum(prod_first_orders), sum(prod_second_orders)",
    ) == (3_549, 253_857, 98_893, 154_964, 46_495)
    assert figures("result_table", "count(*)") == (154_964,)


def measured_python(code: str, tmp_path: Path, timeout: float = 60) -> Cost:
    return measure([sys.executable, "-c", code], env=os.environ, cwd=tmp_path, log=tmp_path / "log", timeout=timeout)


@pytest.mark.usefixtures("processes")
def test_memory_and_cpu_of_grandchildren_count(tmp_path: Path) -> None:
    grandchild = "import time; held = b'x' * 200_000_000; sum(range(10_000_000)); time.sleep(0.3)"
    cost = measured_python(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}], check=True)", tmp_path
    )
    assert 200e6 < cost.peak_bytes < 300e6
    assert cost.cpu_seconds > 0.1


@pytest.mark.usefixtures("processes")
def test_a_failed_command_says_how_it_ended(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"(?s)exit code 3.*the disk is full"):
        measured_python("import sys; print('the disk is full', file=sys.stderr); sys.exit(3)", tmp_path)


@pytest.mark.usefixtures("processes")
def test_a_command_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    grandchild = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(CommandFailed, match="still running after 4 s"):
        measured_python(
            f"import subprocess, sys; subprocess.run([sys.executable, '-IS', '-c', {grandchild!r}])",
            tmp_path,
            timeout=4,
        )
    with suppress(psutil.NoSuchProcess):  # whoever adopted it may not have taken note of its end yet
        assert psutil.Process(int((tmp_path / "pid").read_text())).status() == psutil.STATUS_ZOMBIE


def test_sums_may_differ_by_rounding_only() -> None:
    floor = {"up_features": {"row_count": 3.0, "up_orders": 1e9, "user_period": None}}
    rounded = {"up_features": {"row_count": 3.0, "up_orders": 1e9 + 1e-3, "user_period": None}}
    wrong = {"up_features": {"row_count": 4.0, "up_orders": 1e9 + 10, "user_period": 0.0}}
    assert differences(floor, rounded) == []
    assert [line.split(":")[0] for line in differences(floor, wrong)] == [
        "up_features.row_count",
        "up_features.up_orders",
        "up_features.user_period",
    ]


def test_every_table_is_compared_on_columns_it_has(floor: Path) -> None:
    assert set(SUMMED) == set(KEYS)
    for table, columns in SUMMED.items():
        assert set(columns) <= set(select(floor, table)[0]), table


def test_verdicts_hold_figures_to_their_targets() -> None:
    costs = {
        "chain": Cost(seconds=30, cpu_seconds=50, peak_bytes=1e9),
        "duckdb": Cost(seconds=25, cpu_seconds=45, peak_bytes=1e9),
        "pandas": Cost(seconds=60, cpu_seconds=60, peak_bytes=5e9),
    }
    scales = [ScaleCost(0.1, 3_000_000, 4.0), ScaleCost(3, 100_000_000, 100.0)]
    met = {verdict.target: verdict.met for verdict in verdicts(costs, scales)}
    assert list(met.values()) == [True, False, True, None, True, None, True]


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "--scales", "", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("whole_benchmark")
def test_the_benchmark_writes_its_figures_and_leaves_no_outputs(raw: Path, tmp_path: Path) -> None:
    figures, work = tmp_path / "figures.json", tmp_path / "work"
    done = run_bench(
        "--raw",
        str(raw),
        "--only",
        "duckdb,duckdb-tuned",
        "--only",
        "polars",
        "--work",
        str(work),
        "--json",
        str(figures),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written_figures = json.loads(figures.read_text())
    assert list(written_figures["runs"]) == ["duckdb", "polars", "duckdb-tuned"]
    (run,) = written_figures["runs"]["duckdb"]
    assert run["cost"]["seconds"] > 0
    assert math.isclose(run["totals"]["prd_features"]["prod_orders"], run["totals"]["up_features"]["up_orders"])
    assert [path for path in work.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("whole_benchmark")
def test_a_contender_that_fails_is_shown_and_does_not_stop_the_next(raw: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(raw, damaged)
    with (damaged / "order_products__train.csv").open("a") as file:
        file.write("1,not a product,1,0,one field too many\n")
    done = run_bench("--raw", str(damaged), "--only", "duckdb", "--only", "pandas")
    assert done.returncode == 1
    assert "duckdb failed" in done.stdout
    assert "pandas failed" in done.stdout
    assert "Expected 4 fields" in done.stdout


class Claimant(Contender):
    """Computes nothing and claims a number of result rows."""

    def __init__(self, name: str, rows: float) -> None:
        super().__init__(name, name)
        self._rows = rows

    def run(self, raw: Path, out: Path, limits: Limits) -> Run:  # noqa: ARG002  # it only claims
        return Run(Cost(1, 1, 1), {"result_table": {"row_count": self._rows}})


def test_contenders_that_disagree_fail_the_benchmark(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claimants = {"duckdb": Claimant("duckdb", 100), "polars": Claimant("polars", 100), "pandas": Claimant("pandas", 99)}
    monkeypatch.setattr("bench.__main__.CONTENDERS", claimants)
    with pytest.raises(typer.Exit) as ended:
        main(raw=raw, work=tmp_path)
    assert ended.value.exit_code == 1
    printed = capsys.readouterr().out
    assert "pandas, with" in printed
    assert "result_table.row_count: 100 and 99" in printed
    assert "polars, with" not in printed


def test_the_cost_per_line_can_be_measured_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claimants = {"duckdb": Claimant("duckdb", 100), "chain": Claimant("chain", 100)}
    monkeypatch.setattr("bench.__main__.CONTENDERS", claimants)
    figures = tmp_path / "figures.json"
    main(cost_only=True, scales="0.0001,0.0005", work=tmp_path, json_file=figures)
    measured = json.loads(figures.read_text())
    assert measured["runs"] == {}
    assert [cost["scale"] for cost in measured["chain_by_scale"]] == [0.0001, 0.0005]
    assert "Feature tables from CSV" not in capsys.readouterr().out


def test_an_unknown_contender_and_cost_only_of_contenders_are_refused(raw: Path) -> None:
    with pytest.raises(typer.BadParameter, match="no contender dukdb"):
        main(raw=raw, scales="", only=["duckdb,dukdb"])
    for options in ({"scales": "0.001", "only": ["duckdb"]}, {"scales": ""}):
        with pytest.raises(typer.BadParameter, match="--cost-only"):
            main(cost_only=True, **options)


def test_a_folder_without_all_files_is_refused_before_anything_runs(raw: Path, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    shutil.copytree(raw, partial, ignore=shutil.ignore_patterns("orders.csv", "aisles.csv"))
    with pytest.raises(typer.BadParameter, match=r"lacks aisles\.csv, orders\.csv"):
        main(raw=partial, scales="")
