"""What the profile local needs of this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.resources.findings import Finding, Health
from instacart_pipeline.resources.local.java import java_home
from instacart_pipeline.settings import Settings

_ROOM = 20e9
"""Bytes a day of the full Instacart set takes while it is built, with what the engine spills."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at the folder, the disk, the memory, the engines."""
    folder = _folder(settings.home)
    yield folder
    if folder.health == "ok":
        yield _disk(settings.home)
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
    import duckdb  # noqa: PLC0415  # loaded where it is used

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
