"""Weeks of customers by the command line: uploading, building, and what is said of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline_tests.test_cli import Told, call

DT, NO_MONDAY = "2026-11-16", "2026-11-18"
REFUSED = f"InputInvalid: {NO_MONDAY} is no Monday, and a week goes by the Monday that it is told as of. Name 2026-11-16 or 2026-11-23.\n"


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dump, whose distribution centres have a column more, as thelook's own have."""
    folder = tmp_path_factory.mktemp("customers") / "dump"
    generate_customers(folder, scale=0.003, as_of=date.fromisoformat(DT))
    centers = folder / "distribution_centers.csv"
    header, *rows = centers.read_text().splitlines()
    centers.write_text("\n".join([f"{header},distribution_center_geom", *(f"{row},POINT(1 2)" for row in rows)]) + "\n")
    return folder


def test_a_day_that_is_no_monday_is_neither_uploaded_nor_built(dump: Path, tmp_path: Path) -> None:
    for arguments in (["upload", "customers", dump], ["run", "customers"]):
        told = call(tmp_path, *arguments, "--dt", NO_MONDAY)
        assert (told.code, told.out, told.err) == (1, "", REFUSED)
    assert not (tmp_path / "lake").exists()


def test_a_week_before_the_first_says_what_sets_the_first(tmp_path: Path) -> None:
    told = call(tmp_path, "run", "customers", "--dt", "2023-12-25")
    assert told.code == 1
    assert "There is no week 2023-12-25: weeks run from Monday 2024-01-01 to" in told.err
    assert "Earlier ones begin with INSTACART_CUSTOMERS_FIRST_DAY." in told.err


def test_an_upload_that_lacks_a_table_says_so(dump: Path, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "users.csv").write_bytes((dump / "users.csv").read_bytes())
    told = call(tmp_path / "home", "upload", "customers", tmp_path / "some", "--dt", DT)
    assert told.code == 0
    assert (
        "The week still lacks distribution_centers, products, orders, inventory_items, order_items, events;" in told.err
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, dump: Path) -> Path:
    folder = tmp_path_factory.mktemp("customers-home")
    uploaded = call(folder, "upload", "customers", dump, "--dt", DT)
    assert (uploaded.code, uploaded.out.count("written"), uploaded.err) == (0, 7, "")
    return folder


@pytest.fixture(scope="module")
def ran(home: Path) -> Told:
    return call(home, "run", "customers", "--dt", DT, "--json")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_ends_with_the_mart_in_figures(home: Path, ran: Told) -> None:
    assert ran.code == 0, ran.err
    report = ran.json
    assert (report["success"], report["errors"], report["failed_checks"]) == (True, [], [])
    mart = report["mart"]
    everyone = mart["all"]["customers"]
    assert 250 < everyone <= 300
    assert 0 < mart["all"]["buyers"] < everyone
    assert 0 < mart["all"]["return_rate"] < 1
    for parts in ("profit_levels", "segments"):
        for figure in ("customers", "buyers"):
            assert sum(each[figure] for each in mart[parts]) == mart["all"][figure]
        assert sum(each["spend"] for each in mart[parts]) == pytest.approx(mart["all"]["spend"])
    assert {each["profit_level"] for each in mart["profit_levels"]} <= {1, 2, 3}
    counted = call(
        home, "sql", f"SELECT count(*) AS n FROM customers_sandbox.customer_mart WHERE dt = '{DT}'", "--format", "json"
    )
    assert counted.json == [{"n": everyone}]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sweeping_after_it_finds_nothing_of_any_system(home: Path, ran: Told) -> None:
    assert ran.code == 0
    assert call(home, "sweep").err == "Nothing to remove.\n"
