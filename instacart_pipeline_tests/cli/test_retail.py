"""The retail commands: files in by day, and days named well or badly."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from instacart_pipeline.cli import retail_commands
from instacart_pipeline.cli.retail_commands import run_retail
from instacart_pipeline.cli.running import uploaded_between
from instacart_pipeline.cli.uploading import upload_days
from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.retail.automation import ANALYSES_JOB, DAILY_JOB
from instacart_pipeline.retail.days import LineDays
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.tables import STAGED, STAGED_UPLOADS
from instacart_pipeline.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSTACART_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of three days, one of them packed, and two others."""
    made = tmp_path / "files"
    made.mkdir()
    for name in ("2011-03-07.csv", "2011-03-08.CSV", "2011-03-10.csv.gz", "readme.md", "lines.csv"):
        (made / name).write_text(name)
    return made


def test_a_folder_of_files_named_by_day_becomes_their_days(home: Path, folder: Path) -> None:
    told = list[tuple[int, int]]()
    report = upload_days(STAGED_UPLOADS, folder, progress=lambda done, of: told.append((done, of)))
    assert [(day, name, new) for day, name, _, new in report.files] == [
        ("2011-03-07", "2011-03-07.csv", True),
        ("2011-03-08", "2011-03-08.CSV", True),
        ("2011-03-10", "2011-03-10.csv.gz", True),
    ]
    assert report.ignored == ["lines.csv", "readme.md"]
    assert told[-1] == (3, 3)
    raw = home / "lake" / "raw" / "retail" / "uploaded_lines"
    assert (raw / "dt=2011-03-10" / "2011-03-10.csv.gz").read_text() == "2011-03-10.csv.gz"
    again = upload_days(STAGED_UPLOADS, folder)
    assert [new for *_, new in again.files] == [False] * 3
    assert uploaded_between(STAGED, "2011-03-08", "2011-03-31") == ["2011-03-08", "2011-03-10"]


def test_with_a_day_named_a_file_of_any_name_is_that_days(home: Path, folder: Path) -> None:
    upload_days(STAGED_UPLOADS, folder / "lines.csv", "2011-03-07")
    day = home / "lake" / "raw" / "retail" / "uploaded_lines" / "dt=2011-03-07"
    assert [path.name for path in day.iterdir()] == ["lines.csv"]


@pytest.mark.parametrize(("first", "said"), [("2011-03-08", "2011-03-07"), ("2011-03-10", "2011-03-07, 2011-03-08")])
def test_files_of_days_that_no_run_builds_are_refused_and_nothing_is_uploaded(
    home: Path, folder: Path, first: str, said: str
) -> None:
    days = LineDays(date.fromisoformat(first), ZoneInfo("UTC"))
    with pytest.raises(
        InputInvalid, match=f"files of days that no run builds: {said}. Days run from {first} to .*FIRST_DAY"
    ):
        upload_days(STAGED_UPLOADS, folder, days=days)
    tomorrow, later = (datetime.now(ZoneInfo("UTC")).date() + timedelta(days=days_off) for days_off in (1, 2))
    with pytest.raises(InputInvalid, match=f"no run builds: {later}. Days run from {first} to {tomorrow};"):
        upload_days(STAGED_UPLOADS, folder / "lines.csv", later.isoformat(), days=days)
    assert not (home / "lake" / "raw" / "retail").exists()
    upload_days(STAGED_UPLOADS, folder / "lines.csv", tomorrow.isoformat(), days=days)


@pytest.mark.parametrize(
    ("source", "dt", "said"),
    [
        ("nowhere", "", "is or holds no file named by its day, such as 2010-12-01.csv"),
        ("files/readme.md", "2011-03-07", "is or holds no CSV file"),
        ("files", "tomorrow", "'tomorrow' is not a day"),
    ],
)
@pytest.mark.usefixtures("home", "folder")
def test_an_upload_of_nothing_says_what_it_takes(tmp_path: Path, source: str, dt: str, said: str) -> None:
    with pytest.raises(InputInvalid, match=said):
        upload_days(STAGED_UPLOADS, tmp_path / source, dt)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ({}, "Name the day with --dt, or a range of days with --from and --to"),
        ({"dt": "2011-03-07", "first": "2011-03-07"}, "Name the day with --dt"),
        ({"first": "2011-03-07"}, "Name the day with --dt"),
        ({"first": "2011-03-08", "last": "2011-03-07"}, "2011-03-08 comes after 2011-03-07"),
        ({"first": "2011-03-07", "last": "2011-03-08"}, "No day from 2011-03-07 to 2011-03-08 has a file of"),
        ({"dt": "2009-01-01"}, "days run from 2010-12-01 .* Earlier ones begin with INSTACART_RETAIL_FIRST_DAY"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_run_of_no_days_says_how_to_name_them(days: dict[str, str], said: str) -> None:
    with pytest.raises(InputInvalid, match=said):
        run_retail(days.get("dt", ""), days.get("first", ""), days.get("last", ""))


@pytest.mark.parametrize(
    ("newest", "runs"),
    [
        ("2011-03-07", [(DAILY_JOB, "2011-03-07")]),
        ("2011-12-09", [(DAILY_JOB, "2011-03-07"), (ANALYSES_JOB, "2011-12-09")]),
    ],
)
def test_a_run_of_an_old_day_publishes_the_analyses_as_of_the_newest_too(
    monkeypatch: pytest.MonkeyPatch, newest: str, runs: list[tuple[str, str]]
) -> None:
    started = list[tuple[str, str]]()
    monkeypatch.setattr(retail_commands, "run", lambda job, dt, **_: started.append((job, dt)))
    monkeypatch.setattr(retail_commands, "_newest_loaded", lambda: newest)
    run_retail("2011-03-07", "", "")
    assert started == runs


def test_the_job_of_a_day_makes_its_analyses_too() -> None:
    made = build_defs(Settings(home=Path("/nowhere"))).resolve_job_def(DAILY_JOB).asset_layer.executable_asset_keys
    assert {asset_key(table) for table in SANDBOX_TABLES} <= set(made)
