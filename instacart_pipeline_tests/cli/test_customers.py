"""Weeks of customers by the command line: uploading, building, and what is said of it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from instacart_pipeline.cli import output
from instacart_pipeline.cli.mart import mart_of
from instacart_pipeline.cli.run_reports import AssetReport, RunReport
from instacart_pipeline.customers.mart_tables import CUSTOMER_MART
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline_tests.command_line import call
from instacart_pipeline_tests.customers.mart import mart_row, no_buyer
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.tiers import costs

DT, NO_MONDAY = "2026-11-16", "2026-11-18"
REFUSED = f"InputInvalid: {NO_MONDAY} is no Monday, and a week goes by the Monday that it is told as of. Name 2026-11-16 or 2026-11-23.\n"


@pytest.fixture(scope="module")
@costs("contract")
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


@pytest.mark.usefixtures("dump")
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


def test_a_mart_is_told_in_figures_as_json_and_as_a_table(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSTACART_HOME", str(platform.home))
    as_of = {"as_of": date.fromisoformat(DT)}
    idle = {**as_of, "segment": 2, "segment_name": "Bought nothing"}
    rows = [mart_row(1, **as_of), mart_row(2, **as_of, returns=1, return_rate=0.5), no_buyer(3, **idle)]
    platform.put_rows(CUSTOMER_MART, rows, dt=DT)
    made = AssetReport("/".join(CUSTOMER_MART.asset_key), 3, None, None, 0.1, "")
    assert mart_of(RunReport("customers_weekly", DT, "", assets=[])) is None
    told = mart_of(RunReport("customers_weekly", DT, "", assets=[made]))
    assert told
    spend = Decimal("160.5")
    buyers = {"customers": 2, "buyers": 2, "return_rate": 0.25, "spend": spend}
    others = {"customers": 1, "buyers": 0, "return_rate": None, "spend": Decimal(0)}
    assert told == {
        "dt": DT,
        "all": {"customers": 3, "buyers": 2, "return_rate": 0.25, "spend": spend},
        "profit_levels": [{"profit_level": 1, **others}, {"profit_level": 2, **buyers}],
        "segments": [
            {"segment": 1, "segment_name": "Occasional buyers", **buyers},
            {"segment": 2, "segment_name": "Bought nothing", **others},
        ],
    }
    output.mart_figures(told)
    shown = capsys.readouterr().out
    assert f"Customer mart of {DT}" in shown
    assert "profit level 2" in shown
    assert "160.50" in shown


def test_an_upload_lists_the_files_of_the_week(dump: Path, tmp_path: Path) -> None:
    uploaded = call(tmp_path / "home", "upload", "customers", dump, "--dt", DT)
    assert (uploaded.code, uploaded.out.count("written"), uploaded.err) == (0, 7, "")
