"""Putting a folder of files into the raw zone, whatever the system."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.lake.zones import parse_day
from instacart_pipeline.profiles import build_lake, build_resources
from instacart_pipeline.resources.storage import is_data_file
from instacart_pipeline.retail.days import LineDays
from instacart_pipeline.settings import Settings

_DAYS_AT_ONCE = 8
_SHOWN = 12
_OF_DAY = re.compile(r"(\d{4}-\d\d-\d\d)\.csv(\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class UploadedDays:
    """What was uploaded: (day, file name, bytes, whether it was written) of each file, and what was left out."""

    location: str
    files: Sequence[tuple[str, str, int, bool]]
    ignored: Sequence[str]


@dataclass(frozen=True)
class Upload:
    """What was uploaded: (table, file name, bytes, whether it was written) of each file, and what was left out."""

    location: str
    files: Sequence[tuple[str, str, int, bool]]
    ignored: Sequence[str]
    missing: Sequence[str]


def upload_folder(tables: Sequence[TableContract], folder: Path, dt: str) -> Upload:
    """Upload the files of `folder` named <table>.csv or <table>__<part>.csv, gzipped or not, as day `dt` of a system's tables.

    Raises InputInvalid, before anything is uploaded, if there is no such folder, no such file in it, or if one of that name is no file.
    """
    day = parse_day(dt)
    if not folder.is_dir():
        raise InputInvalid(f"{folder} is not a folder. Give the folder that holds the files, such as DIR/{day}.")
    system, names = tables[0].system, [table.name for table in tables]
    of_table = re.compile(rf"({'|'.join(map(re.escape, names))})(__\w+)?\.csv(\.gz)?", re.IGNORECASE)
    matched: dict[str, list[Path]] = {}
    ignored = []
    for path in sorted(folder.iterdir()):
        if found := of_table.fullmatch(path.name):
            matched.setdefault(found[1].lower(), []).append(_data_file(path))
        elif path.is_file():
            ignored.append(path.name)
    if not matched:
        raise InputInvalid(
            f"{folder} holds no file of {system}. Its files are named {', '.join(f'{name}.csv' for name in names)}; "
            f"a table may come in parts, such as {names[-1]}__prior.csv."
        )
    settings = Settings.from_env()
    storage = build_resources(settings).storage
    files = []
    for table in names:
        paths = matched.get(table, [])
        if paths:
            written = storage.put(system, table, day, paths)
            files += [(table, path.name, path.stat().st_size, written[path.name]) for path in paths]
    there = {table: [each.path for each in storage.objects(system, table.name, day)] for table in tables}
    missing = [lacking for table in tables for lacking in table.missing_of(there[table])]
    return Upload(f"{build_lake(settings).zones.zone('raw')}/{system}", files, ignored, missing)


def _data_file(path: Path) -> Path:
    """The file at `path`, or the one of the same name in a folder called like it, as archives unpack. Raises InputInvalid if it is neither."""
    if path.is_file():
        return path
    if path.is_dir() and [each.name for each in path.iterdir()] == [path.name] and (path / path.name).is_file():
        return path / path.name
    kind = "a folder" if path.is_dir() else "a link to nothing" if path.is_symlink() else "no regular file"
    raise InputInvalid(
        f"{path} is named like a data file and is {kind}. Put the file itself in its place, or rename it. Nothing was uploaded."
    )


def upload_days(
    table: TableContract,
    source: Path,
    dt: str = "",
    *,
    days: LineDays | None = None,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> UploadedDays:
    """Upload files of one table, many days at once: those of the folder `source` named by day, 2010-12-01.csv, gzipped or not.

    With `dt` the file `source`, or all CSV files of that folder, are the day's. Raises InputInvalid, before anything is uploaded, if there is no
    such file, and if one is of a day that is none of `days`.
    """
    by_day, ignored = _files_of_days(source, dt)
    if days and (outside := days.outside(by_day)):
        first, last = days.bounds()
        named = ", ".join(outside[:_SHOWN]) + (f" and {len(outside) - _SHOWN:,} more" if len(outside) > _SHOWN else "")
        raise InputInvalid(
            f"{source} has files of days that no run builds: {named}. Days run from {first} to {last}; earlier ones begin with "
            f"INSTACART_RETAIL_FIRST_DAY. Nothing was uploaded."
        )
    settings = Settings.from_env()
    storage = build_resources(settings).storage
    done = list[tuple[str, str, int, bool]]()
    with ThreadPoolExecutor(_DAYS_AT_ONCE) as pool:

        def put(day: str) -> list[tuple[str, str, int, bool]]:
            written = storage.put(table.system, table.name, day, by_day[day])
            return [(day, path.name, path.stat().st_size, written[path.name]) for path in by_day[day]]

        for number, files in enumerate(pool.map(put, by_day), start=1):
            done += files
            progress(number, len(by_day))
    return UploadedDays(build_lake(settings).zones.raw_table(table.system, table.name), done, ignored)


def _files_of_days(source: Path, dt: str) -> tuple[dict[str, list[Path]], list[str]]:
    """The files by day, and the names of others."""
    found = sorted(source.iterdir()) if source.is_dir() else [source] if source.is_file() else []
    by_day, ignored = dict[str, list[Path]](), list[str]()
    for path in (path for path in found if path.is_file()):
        if dt and is_data_file(path.name):
            by_day.setdefault(parse_day(dt), []).append(path)
        elif not dt and (named := _OF_DAY.fullmatch(path.name)):
            by_day.setdefault(parse_day(named[1]), []).append(path)
        else:
            ignored.append(path.name)
    if not by_day:
        wanted = "CSV file" if dt else "file named by its day, such as 2010-12-01.csv or 2010-12-01.csv.gz"
        raise InputInvalid(
            f"{source} is or holds no {wanted}." + ("" if dt else " Or name the day of a file with --dt.")
        )
    return by_day, ignored
