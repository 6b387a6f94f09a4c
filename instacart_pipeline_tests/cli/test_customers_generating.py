"""`generate customers`: which Monday a dump is for, and how a bad one is refused."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instacart_pipeline.cli import customers_commands
from instacart_pipeline.cli.commands import app
from instacart_pipeline.customers.tables import STAGED
from instacart_pipeline.lake.errors import SettingsInvalid


def generate(out: Path, *arguments: str) -> str:
    """What the command prints."""
    command = ["generate", "customers", "--scale", "0.001", "--out", str(out), *arguments]
    ran = CliRunner().invoke(app, command, catch_exceptions=False, env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.mark.parametrize(
    ("today", "monday"),
    [(date(2026, 11, 23), "2026-11-23"), (date(2026, 11, 26), "2026-11-23"), (date(2026, 11, 29), "2026-11-23")],
)
def test_a_dump_is_for_the_last_monday_up_to_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, today: date, monday: str
) -> None:
    monkeypatch.setattr(customers_commands, "_today", lambda: today)
    said = generate(tmp_path / "out")
    assert f"--dt {monday}" in said
    assert all(table.name in said for table in STAGED)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{table.name}.csv" for table in STAGED}


def test_beside_real_orders_it_is_for_the_first_monday_after_them(tmp_path: Path) -> None:
    generate(tmp_path / "there", "--as-of", "2025-02-03")
    with (tmp_path / "there" / "orders.csv").open(newline="") as file:
        last = date.fromisoformat(max(order["created_at"] for order in csv.DictReader(file))[:10])
    said = generate(tmp_path / "out", "--beside", str(tmp_path / "there"))
    (monday,) = (day for day in (last + timedelta(days=ahead) for ahead in range(1, 8)) if day.weekday() == 0)
    assert f"--dt {monday}" in said


def test_a_day_that_is_no_monday_is_refused_naming_those_around_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="such as 2026-11-23 or 2026-11-30"):
        generate(tmp_path / "out", "--as-of", "2026-11-25")
    assert not (tmp_path / "out").exists()
