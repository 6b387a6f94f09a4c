"""What starts the retail system's runs: what is behind the warehouse, and what a failed run of several days leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.orchestration.day_ranges import (
    DAYS_TAG,
    FAILED_DAYS,
    FROM_DAY,
    days_of_tags,
    days_tag,
    days_to_retry,
)
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline.resources.catalog.local import SqliteCatalog
from instacart_pipeline.resources.warehouse.loads import Load
from instacart_pipeline.retail.automation import behind_the_warehouse
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.warehouse_tables import SALES_LINES

OLD, NEW = "2011-03-01", "2011-12-09"


@pytest.mark.parametrize(
    ("computed_from", "behind"),
    [
        ("20260103T000000", 0),
        ("20260102T000000", 0),
        ("20260101T000000", len(SANDBOX_TABLES)),
        ("", len(SANDBOX_TABLES)),
    ],
)
def test_the_newest_analyses_are_behind_whenever_any_day_was_loaded_since(
    tmp_path: Path, computed_from: str, behind: int
) -> None:
    catalog = SqliteCatalog(home=str(tmp_path))
    for table in SANDBOX_TABLES if computed_from else ():
        catalog.put_table(CatalogTable.of(table, "sandbox"))
        lineage = {SALES_LINES.qualified_name: computed_from}
        catalog.publish(table.database, table.name, NEW, Version("20260104T000000", f"s/{table.name}", 1, 1, lineage))
    # The newest load is of an old day: a line that came late.
    loads = {OLD: Load(OLD, "20260102T000000", 1, {}), NEW: Load(NEW, "20260101T000000", 1, {})}
    assert len(behind_the_warehouse(catalog, loads)) == behind


@pytest.mark.parametrize(
    ("tags", "days"),
    [
        ({}, [NEW]),
        (days_tag([NEW]), [NEW]),
        (days_tag([OLD, NEW]), [OLD, NEW]),
        ({FROM_DAY: "2011-12-07"}, ["2011-12-07", "2011-12-08", NEW]),
    ],
)
def test_a_run_takes_the_days_that_its_tags_say(tags: dict[str, str], days: list[str]) -> None:
    assert days_of_tags(tags, NEW) == days


@pytest.mark.parametrize(
    ("days", "failed", "left"),
    [("a b c", "b", ["a", "c"]), ("a b c", "", []), ("a b", "a b", []), ("", "a", [])],
)
def test_a_failed_run_is_gone_on_with_without_the_days_at_fault(days: str, failed: str, left: list[str]) -> None:
    assert days_to_retry({DAYS_TAG: days, FAILED_DAYS: failed}) == left
