"""A week of the customers system built again, after a run of it that is killed on the way."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from instacart_pipeline.customers import tables as t
from instacart_pipeline.customers.automation import WEEKLY_JOB
from instacart_pipeline.datagen.customers import generate_customers
from instacart_pipeline_tests.customers.weeks import MADE, everything, upload
from instacart_pipeline_tests.faulty_run import run_killed_at
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.tiers import costs

DT = "2026-11-23"
SCALE = 0.0015
"""150 customers."""


@pytest.fixture
@costs("deep")
def built(tmp_path: Path) -> Platform:
    platform = Platform(tmp_path / "home")
    generate_customers(tmp_path / DT, scale=SCALE, as_of=date.fromisoformat(DT))
    upload(platform, tmp_path / DT, DT)
    run = platform.run(DT, job=WEEKLY_JOB)
    assert (run.errors, run.failed_checks, run.success) == ({}, set(), True)
    return platform


@pytest.mark.timeout(1200)
def test_a_week_built_again_changes_nothing_and_neither_does_a_killed_run(built: Platform) -> None:
    before = everything(built, DT)
    assert all(before.values())
    run_killed_at(built, t.CUSTOMERS, "while_writing", DT, job=WEEKLY_JOB, patience=600)
    assert everything(built, DT) == before
    run = built.run(DT, job=WEEKLY_JOB)
    assert (run.errors, run.success) == ({}, True)
    assert everything(built, DT) == before
    assert [built.unpublished(table, DT) for table in MADE] == [[]] * len(MADE)
