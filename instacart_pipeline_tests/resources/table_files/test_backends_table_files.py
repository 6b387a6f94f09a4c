"""Table files on both backends: what was published can be read as Parquet, and what is gone is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import parquet

from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.table_files import VersionGone
from instacart_pipeline_tests.platform import Row
from instacart_pipeline_tests.resources.backends import Day

ROWS: list[Row] = [{"aisle_id": 1, "aisle": "fresh fruits"}, {"aisle_id": 2, "aisle": None}]


def test_a_versions_files_hold_its_rows(day: Day, tmp_path: Path) -> None:
    version = day.put_rows(t.AISLES, ROWS)
    folder = day.backend.resources.table_files.folder(version, tmp_path)
    assert [row for path in sorted(folder.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()] == ROWS


def test_marks_and_hidden_files_are_no_data(day: Day, tmp_path: Path) -> None:
    version = day.put_rows(t.AISLES, ROWS)
    for name in (".writing", "_SUCCESS"):
        day.backend.write(f"{version.location}/{name}", b"")
    folder = day.backend.resources.table_files.folder(version, tmp_path)
    assert len(list(folder.glob("*.parquet"))) == 1


def test_two_versions_are_kept_apart(day: Day, tmp_path: Path) -> None:
    first = day.put_rows(t.AISLES, ROWS)
    second = day.put_rows(t.AISLES, ROWS[:1], name="20260102T000000000000-000000")
    read = [
        sum(parquet.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
        for folder in (day.backend.resources.table_files.folder(version, tmp_path) for version in (first, second))
    ]
    assert read == [2, 1]


def test_a_version_whose_files_were_removed_is_told(day: Day, tmp_path: Path) -> None:
    version = day.put_rows(t.AISLES, ROWS)
    swept = replace(version, location=f"{version.location}-swept")
    with pytest.raises(VersionGone, match="-swept holds no data files any more"):
        day.backend.resources.table_files.folder(swept, tmp_path)
