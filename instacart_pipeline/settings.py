"""The settings, read from the environment: the only module that does.

Belongs here: every INSTACART_* variable, its meaning, its default and what values it takes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from instacart_pipeline.lake.errors import SettingsInvalid

PROJECT = Path(__file__).resolve().parents[1]
"""The clone: where dagster.yaml and workspace.yaml lie."""

Profile = Literal["local"]
GlueEngine = Literal["duckdb", "spark"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|GB)", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """Everything a user can set. Each field is read from INSTACART_<FIELD>, in capitals."""

    home: Path = PROJECT / ".instacart"
    """Everything the project keeps on this machine lies below this folder."""
    profile: Profile = "local"
    """Where the assets run. `local`: embedded engines on this machine."""
    memory: str = "2GB"
    """Most memory a run may take, the Dagster process included: "2GB", "800MB"; at least 700MB."""
    threads: int = 0
    """Threads of the embedded engines; 0 means one a core."""
    concurrent_steps: int = 1
    """Steps of a run under way at once, each in a process of its own when more than 1, sharing memory and threads."""
    glue_engine: GlueEngine = "duckdb"
    """What runs Glue jobs on this machine."""
    result_files: int = 1
    """Number of Parquet files the result table is written as."""
    max_rejected: float = 0.01
    """Highest share of a table's rows that may be rejected before everything downstream is stopped."""
    row_count_tolerance: float = 0.5
    """How far a day's row count may lie from the day before's, as a share of it, before a check warns."""
    retention_days: int = 7
    """How long a replaced version of a table is kept."""
    first_day: date = date(2026, 1, 1)
    """The first day that has a partition."""
    timezone: str = "UTC"
    """The time zone of days and schedules."""
    settle_seconds: int = 30
    """How long an upload must have stood unchanged before the sensor takes it for complete."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of the environment. Raises SettingsInvalid naming every variable at fault at once."""
        env = os.environ if environ is None else environ
        readers: dict[str, Callable[[str], object]] = {
            "home": lambda text: Path(text).expanduser().resolve(),
            "profile": _one_of("local"),
            "memory": _size,
            "threads": _whole(0),
            "concurrent_steps": _whole(1),
            "glue_engine": _one_of("duckdb", "spark"),
            "result_files": _whole(1),
            "max_rejected": _share,
            "row_count_tolerance": _share,
            "retention_days": _whole(0),
            "first_day": date.fromisoformat,
            "timezone": _timezone,
            "settle_seconds": _whole(0),
        }
        values: dict[str, object] = {}
        problems = []
        for name, read in readers.items():
            text = env.get(f"INSTACART_{name.upper()}", "").strip()
            if not text:
                continue
            try:
                values[name] = read(text)
            except ValueError as error:
                problems.append(f"INSTACART_{name.upper()}={text!r}: {error}")
        known = {f"INSTACART_{name.upper()}" for name in readers}
        problems += [
            f"{name} is no setting of this project; there are {', '.join(sorted(known))}"
            for name in env
            if name.startswith("INSTACART_") and name not in known
        ]
        if problems:
            raise SettingsInvalid("The environment can't be used:\n" + "\n".join(f"  {line}" for line in problems))
        return cls(**values)  # type: ignore[arg-type]  # each reader gives its field's type

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes."""
        return parse_size(self.memory)

    @property
    def zone(self) -> ZoneInfo:
        """`timezone` as Python's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def engine_threads(self) -> int:
        """Threads of one embedded engine, when all concurrent steps run one."""
        cores = (
            self.threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        return max(1, cores // self.concurrent_steps)


def parse_size(text: str) -> int:
    """Bytes of a size written as 800MB or 2GB (decimal units). Raises ValueError on anything else."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("write a size as 800MB or 2GB")
    return int(float(found[1]) * (1e6 if found[2].upper() == "MB" else 1e9))


def _size(text: str) -> str:
    if parse_size(text) < parse_size("700MB"):
        raise ValueError("the least that works is 700MB")
    return text


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"write a whole number from {least} up")
        return int(text)

    return read


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("write a share between 0 and 1")
    return value


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return text

    return read


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("no such time zone; write it as Europe/Berlin") from error
    return text
