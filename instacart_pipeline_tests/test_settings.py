"""The settings: what each variable takes, and how wrong ones are told."""

from datetime import date
from pathlib import Path

import pytest

from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.settings import PROJECT, Settings, parse_size

WRONG = {
    "INSTACART_PROFILE": "moon",
    "INSTACART_MEMORY": "600MB",
    "INSTACART_THREADS": "-1",
    "INSTACART_CONCURRENT_STEPS": "0",
    "INSTACART_GLUE_ENGINE": "flink",
    "INSTACART_RESULT_FILES": "0",
    "INSTACART_MAX_REJECTED": "1.5",
    "INSTACART_ROW_COUNT_TOLERANCE": "half",
    "INSTACART_RETENTION_DAYS": "a week",
    "INSTACART_FIRST_DAY": "2026-13-01",
    "INSTACART_TIMEZONE": "Mars/Olympus",
    "INSTACART_SETTLE_SECONDS": "1.5",
}


def test_nothing_set_is_enough() -> None:
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.home == PROJECT / ".instacart"
    assert settings.memory_bytes == 2_000_000_000
    assert settings.engine_threads >= 1


def test_a_variable_set_to_nothing_is_not_set() -> None:
    assert Settings.from_env({"INSTACART_MEMORY": "", "INSTACART_HOME": "  "}) == Settings()


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {
            "INSTACART_HOME": f"{tmp_path}/a/../b",
            "INSTACART_PROFILE": "local",
            "INSTACART_MEMORY": "1.5GB",
            "INSTACART_THREADS": "3",
            "INSTACART_CONCURRENT_STEPS": "2",
            "INSTACART_GLUE_ENGINE": "spark",
            "INSTACART_RESULT_FILES": "4",
            "INSTACART_MAX_REJECTED": "0.2",
            "INSTACART_ROW_COUNT_TOLERANCE": "1",
            "INSTACART_RETENTION_DAYS": "0",
            "INSTACART_FIRST_DAY": "2025-02-28",
            "INSTACART_TIMEZONE": "Europe/Berlin",
            "INSTACART_SETTLE_SECONDS": "5",
            "HOME": "/not/ours",
        }
    )
    assert settings == Settings(
        tmp_path / "b", "local", "1.5GB", 3, 2, "spark", 4, 0.2, 1.0, 0, date(2025, 2, 28), "Europe/Berlin", 5
    )
    assert settings.memory_bytes == 1_500_000_000
    assert settings.engine_threads == 1


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_told_with_its_variable(name: str) -> None:
    with pytest.raises(SettingsInvalid) as told:
        Settings.from_env({name: WRONG[name]})
    (_, problem) = str(told.value).splitlines()
    assert problem.startswith(f"  {name}={WRONG[name]!r}: ")


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(SettingsInvalid) as told:
        Settings.from_env(WRONG)
    assert [line.split("=")[0].strip() for line in str(told.value).splitlines()[1:]] == list(WRONG)


def test_a_misspelt_variable_is_told_with_those_there_are() -> None:
    with pytest.raises(
        SettingsInvalid, match=r"INSTACART_MEMROY is no setting of this project; there are .*INSTACART_MEMORY"
    ):
        Settings.from_env({"INSTACART_MEMROY": "2GB"})


@pytest.mark.parametrize(
    ("text", "size"), [("800MB", 800_000_000), ("2GB", 2_000_000_000), (" 1.5 gb ", 1_500_000_000)]
)
def test_sizes_are_decimal(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["2", "GB", "-1GB", "2GiB", "2TB", "1,5GB"])
def test_another_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="800MB or 2GB"):
        parse_size(text)
