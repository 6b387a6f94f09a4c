"""Weeks of the customers system beside each other: one is built again, and a run of it is killed on the way."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers.automation import WEEKLY_JOB
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline_tests.customers.weeks import MADE, everything, upload
from instacart_pipeline_tests.faulty_run import run_killed_at
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.tiers import costs

LAST, DT = "2026-11-16", "2026-11-23"
SCALE = 0.002
"""200 customers."""


@pytest.fixture
@costs("whole weeks", "deep")
def built(tmp_path: Path) -> Platform:
    """Two weeks, one after the other."""
    platform = Platform(tmp_path / "home")
    for dt in (LAST, DT):
        generate_customers(tmp_path / dt, scale=SCALE, as_of=date.fromisoformat(dt))
        upload(platform, tmp_path / dt, dt)
        run = platform.run(dt, job=WEEKLY_JOB)
        assert (run.errors, run.failed_checks, run.success) == ({}, set(), True), dt
    return platform


@pytest.mark.timeout(1200)
def test_the_first_week_built_again_changes_nothing_and_neither_does_a_killed_run(built: Platform) -> None:
    before = {dt: everything(built, dt) for dt in (LAST, DT)}
    assert before[LAST] != before[DT]
    run_killed_at(built, m.CUSTOMER_MART, "while_writing", LAST, job=WEEKLY_JOB, patience=600)
    assert {dt: everything(built, dt) for dt in (LAST, DT)} == before
    run = built.run(LAST, job=WEEKLY_JOB)
    assert (run.errors, run.success) == ({}, True)
    assert {dt: everything(built, dt) for dt in (LAST, DT)} == before
    assert [built.unpublished(table, LAST) for table in MADE] == [[]] * len(MADE)
