"""The command line as a user meets it, on a home that is built once. Processes of its own are the run, and one that can not begin."""

import csv
import io
import os
from pathlib import Path

import pytest

from instacart_pipeline.cli import commands, output
from instacart_pipeline.cli.run_reports import AssetReport, RunReport
from instacart_pipeline.reorder import tables as t
from instacart_pipeline_tests.command_line import CommandResult, call, call_process
from instacart_pipeline_tests.platform import DT, Platform, write_upload
from instacart_pipeline_tests.resources.disks import Disk
from instacart_pipeline_tests.tiers import costs

COMMANDS = (
    "",
    "generate",
    "generate reorder",
    "upload",
    "upload reorder",
    "run",
    "run reorder",
    "sql",
    "tables",
    "sweep",
    "deploy",
    "up",
    "serve",
    "predict",
)


RUN = f"run reorder --dt {DT}"


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_upload(tmp_path_factory.mktemp("cli") / "upload")


@pytest.fixture(scope="module")
@costs("e2e")
def built(tmp_path_factory: pytest.TempPathFactory, upload: Path) -> tuple[Path, CommandResult, CommandResult]:
    """A home with one day built by the command line, and what it said to the upload and to the run, a process of its own."""
    home = tmp_path_factory.mktemp("home")
    uploaded = call(home, "upload", "reorder", upload, "--dt", DT)
    return home, uploaded, call_process(home, "run", "reorder", "--dt", DT, "--json")


@pytest.fixture(scope="module")
def home(built: tuple[Path, CommandResult, CommandResult]) -> Path:
    return built[0]


@pytest.fixture
@costs("contract")
def empty_home(tmp_path: Path) -> Path:
    """Where nothing is yet."""
    return tmp_path / "home"


DAMAGED = {"catalog.sqlite": "tables", "endpoints/reorder.json": "predict 1", "dagster/history/runs.db": RUN}


@pytest.mark.parametrize("file", DAMAGED)
def test_a_damaged_file_is_named_with_what_to_do(empty_home: Path, file: str) -> None:
    path = empty_home / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"what this held was overwritten" * 1000)
    told = call(empty_home, *DAMAGED[file].split())
    assert (told.code, f": {path} is damaged: " in told.err, "Move " in told.err) == (1, True, True)


@pytest.mark.parametrize("command", ["tables", RUN])
def test_a_full_disk_is_said(small_disk: Disk, command: str) -> None:
    small_disk.fill()
    told = call(small_disk.path / "home", *command.split())
    assert (told.code, "Make room on" in told.err) == (1, True)


def test_a_command_whose_terminal_was_closed_ends_like_one_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = os.dup(2)
    ours, terminal = os.openpty()
    os.dup2(terminal, 2)
    os.close(ours)
    monkeypatch.setattr(commands, "app", lambda prog_name: os.write(2, f"{prog_name}: too late".encode()))
    try:
        with pytest.raises(SystemExit) as ended:
            commands.main()
    finally:
        os.dup2(kept, 2)
    assert ended.value.code == 130


def test_an_upload_lists_its_files(built: tuple[Path, CommandResult, CommandResult]) -> None:
    _, uploaded, _ = built
    assert uploaded.code == 0
    assert uploaded.out.count("written") == 6
    assert "order_products__prior.csv" in uploaded.out
    assert uploaded.err == ""


def test_a_run_tells_of_every_table_as_json(built: tuple[Path, CommandResult, CommandResult]) -> None:
    home, _, ran = built
    assert ran.code == 0, ran.err
    report = ran.json
    assert (report["success"], report["dt"], report["errors"], report["failed_checks"]) == (True, DT, [], [])
    assert {asset["asset"] for asset in report["assets"]} == {"/".join(table.asset_key) for table in t.TABLES}
    assert report["checks_passed"] > 20
    assert all(asset["location"].startswith(f"{home}/lake/") for asset in report["assets"])


def report_of(ran: CommandResult) -> RunReport:
    """The report that a run printed as JSON."""
    told = ran.json
    return RunReport(**{**told, "assets": [AssetReport(**asset) for asset in told["assets"]]})


def test_a_run_tells_of_every_table_as_a_table(
    built: tuple[Path, CommandResult, CommandResult], capsys: pytest.CaptureFixture[str]
) -> None:
    output.run_report(report_of(built[2]), as_json=False)
    shown = capsys.readouterr()
    assert "reorder/sandbox/result_table" in shown.out
    assert "succeeded in" in shown.err


def test_the_same_upload_again_changes_nothing(home: Path, upload: Path) -> None:
    again = call(home, "upload", "reorder", upload, "--dt", DT)
    assert again.out.count("unchanged") == 6
    assert "written" not in again.out


def test_an_upload_says_what_is_ignored_and_what_still_lacks(home: Path, tmp_path: Path) -> None:
    (tmp_path / "aisles.csv").write_text("aisle_id,aisle\n1,tea\n")
    (tmp_path / "notes.txt").write_text("x")
    told = call(home, "upload", "reorder", tmp_path, "--dt", "2026-11-10")
    assert told.code == 0
    assert "Ignored, as no table's file: notes.txt." in told.err
    assert "The day still lacks departments, products, orders, order_products" in told.err


def test_what_is_named_like_a_data_file_and_is_none_is_named_before_anything_is_uploaded(
    empty_home: Path, tmp_path: Path
) -> None:
    folder = write_upload(tmp_path / "upload")
    (folder / "orders.csv").rename(folder / "kept")
    (folder / "orders.csv").symlink_to("nowhere")
    told = call(empty_home, "upload", "reorder", folder, "--dt", DT)
    assert (told.code, told.out) == (1, "")
    assert "orders.csv is named like a data file and is a link to nothing." in told.err
    assert list(empty_home.rglob("*.csv")) == []
    (folder / "orders.csv").unlink()
    (folder / "orders.csv").mkdir()
    assert (
        "orders.csv is named like a data file and is a folder."
        in call(empty_home, "upload", "reorder", folder, "--dt", DT).err
    )
    (folder / "kept").rename(folder / "orders.csv" / "orders.csv")
    assert call(empty_home, "upload", "reorder", folder, "--dt", DT).code == 0
    assert len(list(empty_home.rglob("orders.csv"))) == 1


def test_an_upload_without_one_of_its_known_parts_says_which_and_is_not_built(empty_home: Path, tmp_path: Path) -> None:
    folder = write_upload(tmp_path / "upload")
    (folder / "order_products__prior.csv").rename(folder / "order_products__prior.csv.zip")
    told = call(empty_home, "upload", "reorder", folder, "--dt", DT)
    assert "The day still lacks order_products__prior; it is built once they are there." in told.err
    run = call(empty_home, "run", "reorder", "--dt", DT)
    assert run.code == 1
    assert f"reorder upload of {DT} lacks order_products__prior (found" in run.err


QUERY = f"SELECT aisle_id, aisle FROM reorder_curated.aisles WHERE dt = '{DT}' ORDER BY aisle_id"


def test_sql_prints_json(home: Path) -> None:
    told = call(home, "sql", QUERY, "--format", "json")
    assert told.json[:2] == [{"aisle_id": 1, "aisle": "fresh fruits"}, {"aisle_id": 2, "aisle": "cheeses, specialty"}]
    assert told.err == ""


def test_sql_keeps_columns_of_one_name_apart_and_values_as_they_are(empty_home: Path) -> None:
    query = "SELECT 1 AS a, CAST(0.10 AS decimal(20, 2)) AS a, CAST(NULL AS varchar) AS b, '' AS c, 'x, \"y\"' AS a_1"
    assert call(empty_home, "sql", query, "--format", "json").out == (
        '[\n  {"a": 1, "a_2": 0.10, "b": null, "c": "", "a_1": "x, \\"y\\""}\n]\n'
    )
    assert call(empty_home, "sql", query, "--format", "csv").out == 'a,a,b,c,a_1\n1,0.10,,"","x, ""y"""\n'
    shown = call(empty_home, "sql", query).out.splitlines()
    assert [cell.strip() for cell in shown[3].strip("│").split("│")] == ["1", "0.10", "", "", 'x, "y"']


def test_sql_prints_csv(home: Path) -> None:
    told = call(home, "sql", QUERY, "--format", "csv")
    assert list(csv.reader(io.StringIO(told.out)))[:3] == [
        ["aisle_id", "aisle"],
        ["1", "fresh fruits"],
        ["2", "cheeses, specialty"],
    ]


def test_sql_prints_a_table_and_says_when_there_is_more(home: Path) -> None:
    told = call(home, "sql", QUERY, "--limit", "2")
    assert "cheeses, specialty" in told.out
    assert "tea" not in told.out
    assert told.err.startswith("2 rows (there are more; raise --limit, or use --format csv)")


def test_tables_are_listed(home: Path) -> None:
    listed = call(home, "tables", "--json").json
    assert {table.qualified_name for table in t.TABLES} <= {table["table"] for table in listed}
    assert all(table["days"] == [DT] for table in listed if table["table"] == t.RESULT_TABLE.qualified_name)
    assert "reorder_sandbox.result_table" in call(home, "tables").out


def test_a_table_is_described(home: Path) -> None:
    told = call(home, "tables", t.RESULT_TABLE.qualified_name, "--json").json
    assert tuple(told["columns"]) == t.RESULT_TABLE.column_names
    assert [day["dt"] for day in told["days"]] == [DT]
    assert "up_order_rate_since_first_order" in call(home, "tables", t.RESULT_TABLE.qualified_name).out


def test_sweep_finds_nothing_after_good_runs(home: Path) -> None:
    assert call(home, "sweep").err == "Nothing to remove.\n"


def test_a_sweep_of_more_than_a_tenth_of_the_lake_lists_it_and_waits_for_apply(platform: Platform) -> None:
    for name in ("1", "2"):
        platform.put_rows(t.AISLES, [{"aisle_id": 1, "aisle": "tea"}], name=name)
    told = call(platform.home, "sweep", INSTACART_RETENTION_DAYS="0")
    assert told.code == 1
    assert "v=1" in told.out
    assert "are more than a tenth of the lake. `instacart-pipeline sweep --apply` removes them." in told.err
    assert call(platform.home, "sweep", "--apply", INSTACART_RETENTION_DAYS="0").err.startswith(
        "Removed 1 version folders, "
    )
    assert platform.rows(t.AISLES) == [{"aisle_id": 1, "aisle": "tea"}]


WRONG = {
    "an unknown table": (
        ("tables", "reorder_curated.nothing"),
        "TableNotFound: The catalog has no table reorder_curated.nothing. There is reorder_",
    ),
    "a query of an unknown table": (
        ("sql", "SELECT 1 FROM reorder_curated.nothing"),
        "TableNotFound: The catalog has no table reorder_curated.nothing. There is reorder_",
    ),
    "a day that is none": (
        ("run", "reorder", "--dt", "yesterday"),
        "InputInvalid: 'yesterday' is not a day. Write it as 2026-11-20.",
    ),
    "a day before the first": (
        ("run", "reorder", "--dt", "2025-12-31"),
        "InputInvalid: There is no day 2025-12-31: days run from 2026-01-01 to",
    ),
    "a folder that is not there": (
        ("upload", "reorder", "/nowhere", "--dt", DT),
        "InputInvalid: /nowhere is not a folder.",
    ),
    "SQL that is none": (("sql", "SELEC 1"), "UnsupportedSql: "),
    "a statement that writes": (("sql", "DROP TABLE reorder_curated.aisles"), "UnsupportedSql: "),
    "an unknown column": (
        ("sql", f"SELECT nothing FROM reorder_curated.aisles WHERE dt = '{DT}'"),
        "Column 'nothing' could not be resolved",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_is_its_text_alone_and_ends_with_1(home: Path, what: str) -> None:
    arguments, text = WRONG[what]
    told = call(home, *arguments)
    assert told.code == 1
    assert text in told.err
    assert told.out == ""


def test_a_run_without_an_upload_ends_with_1_and_names_what_is_missing_as_json_and_as_text(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = call(home, "run", "reorder", "--dt", "2026-11-01", "--json")
    assert failed.code == 1
    assert failed.json["success"] is False
    assert failed.json["errors"][0][1].startswith("UploadIncomplete: reorder upload of 2026-11-01 lacks")
    output.run_report(report_of(failed), as_json=False)
    text = capsys.readouterr().err
    assert "reorder upload of 2026-11-01 lacks aisles, departments, products, orders, order_products" in text
    assert "failed in" in text


def test_a_folder_without_files_of_the_system_says_what_they_are_called(home: Path, tmp_path: Path) -> None:
    told = call(home, "upload", "reorder", tmp_path, "--dt", DT)
    assert told.code == 1
    assert "Its files are named aisles.csv, departments.csv" in told.err


def test_a_wrong_setting_is_told_by_every_command_that_reads_it(empty_home: Path) -> None:
    for arguments in (["tables"], ["sql", "SELECT 1"], ["run", "reorder", "--dt", DT], ["sweep"], ["up"]):
        told = call(empty_home, *arguments, INSTACART_MEMORY="much", INSTACART_THREADS="x")
        assert told.code == 1
        assert "INSTACART_MEMORY='much'" in told.err
        assert "INSTACART_THREADS='x'" in told.err


@pytest.mark.usefixtures("built")
def test_a_wrong_setting_ends_a_run_s_process_before_it_begins(empty_home: Path) -> None:
    told = call_process(empty_home, "run", "reorder", "--dt", DT, INSTACART_MEMORY="much")
    assert (told.code, told.out) == (1, "")
    assert "INSTACART_MEMORY='much'" in told.err
    assert not empty_home.exists()


def test_every_command_explains_itself(empty_home: Path) -> None:
    for command in COMMANDS:
        told = call(empty_home, *command.split(), "--help")
        assert (told.code, "Usage: instacart-pipeline" in told.out) == (0, True), (command, told)
    assert not empty_home.exists()


def test_an_unknown_command_is_told_with_code_2(empty_home: Path) -> None:
    assert call(empty_home, "fly").code == 2
