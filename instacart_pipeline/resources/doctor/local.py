"""What the profile local needs of this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import duckdb

from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.resources.doctor import Finding, Health
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.resources.glue.local.java import java_home
from instacart_pipeline.resources.local_machine.sqlite_file import FileDamaged, damage, remedy_of
from instacart_pipeline.settings import Settings

_ROOM = 20e9
"""Bytes a day of the full Instacart set takes while it is built, with what the engine spills."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at the folder, the disk, the memory, the engines."""
    folder = _folder(settings.home)
    yield folder
    if folder.health == "ok":
        yield _disk(settings.home)
        yield from _damaged(settings.home)
    yield _memory(settings)
    yield _engine()
    yield _spark(settings)


def _folder(home: Path) -> Finding:
    probe = home / f".doctor-{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(probe)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE looked (at TEXT)")
    except (OSError, sqlite3.Error) as error:
        remedy = "Set INSTACART_HOME to a folder on a local disk that may be written to."
        return Finding("folder", "bad", f"{home} can't hold the catalog: {error}", remedy)
    finally:
        for path in (probe, *(Path(f"{probe}{end}") for end in ("-wal", "-shm", "-journal"))):
            with suppress(OSError):
                path.unlink()
    return Finding("folder", "ok", f"{home} can be written to and holds SQLite files")


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(home).free
    if free < _ROOM:
        return Finding(
            "disk",
            "note",
            f"{free / 1e9:.0f} GB free",
            f"A full day takes up to {_ROOM / 1e9:.0f} GB; a small one much less.",
        )
    return Finding("disk", "ok", f"{free / 1e9:.0f} GB free")


def _damaged(home: Path) -> Iterator[Finding]:
    """What is kept on this machine and can't be read."""
    for service in ("catalog", "model_registry"):
        path = home / f"{service}.sqlite"
        if path.exists() and (text := damage(path)):
            yield Finding(service, "bad", f"{path} is damaged: {text}", remedy_of(path))
    try:
        LocalEndpoints(home=str(home)).locations()
    except FileDamaged as error:
        found, _, remedy = str(error).rpartition(". ")
        yield Finding("endpoints", "bad", found, remedy)
    warehouse = home / "warehouse.duckdb"
    if warehouse.exists():
        try:
            duckdb.connect(warehouse, read_only=True).close()
        except duckdb.Error as error:
            if "lock" not in str(error):  # a load that is under way holds one
                remedy = "Move it aside with the .wal beside it; then run all days of retail in one command (--from, --to) and each week of customers."
                yield Finding("warehouse", "bad", f"{warehouse} is damaged: {error}", remedy)
    yield from damaged_dagster_files(home / "dagster")


def damaged_dagster_files(folder: Path) -> Iterator[Finding]:
    """The SQLite files below the Dagster home that can't be read."""
    for path in sorted(folder.rglob("*.db")):
        if text := damage(path):
            remedy = f"Move {folder} aside: Dagster begins a new history of runs. Tables, models and uploads stay as they are."
            yield Finding("dagster", "bad", f"{path} is damaged: {text}", remedy)


def _memory(settings: Settings) -> Finding:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if settings.memory_bytes > there:
        return Finding(
            "memory",
            "bad",
            f"INSTACART_MEMORY is {settings.memory}, of {there / 1e9:.1f} GB there are",
            "Set it lower.",
        )
    return Finding("memory", "ok", f"a run takes up to {settings.memory} of {there / 1e9:.1f} GB")


def _engine() -> Finding:
    (answer,) = duckdb.connect().execute("SELECT version()").fetchone() or ("",)
    return Finding("engine", "ok", f"DuckDB {answer}")


def _spark(settings: Settings) -> Finding:
    wanted = settings.glue_engine == "spark"
    if importlib.util.find_spec("pyspark") is not None:
        if not wanted:
            return Finding("spark", "ok", "PySpark is installed")
        try:
            return Finding("spark", "ok", f"PySpark is installed, and Java is at {java_home(settings.home)}")
        except (SettingsInvalid, OSError) as error:
            return Finding("spark", "bad", str(error))
    health: Health = "bad" if wanted else "note"
    return Finding(
        "spark",
        health,
        "PySpark is not installed",
        "Only INSTACART_GLUE_ENGINE=spark needs it: pip install -e '.[spark]'.",
    )
