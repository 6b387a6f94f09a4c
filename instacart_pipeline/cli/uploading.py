"""Putting a folder of files into the raw zone, whatever the system."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.lake.zones import parse_day
from instacart_pipeline.profiles import build_lake, build_resources
from instacart_pipeline.settings import Settings


@dataclass(frozen=True)
class Upload:
    """What was uploaded: (table, file name, bytes, whether it was written) of each file, and what was left out."""

    location: str
    files: Sequence[tuple[str, str, int, bool]]
    ignored: Sequence[str]
    missing: Sequence[str]


def upload_folder(system: str, tables: Sequence[str], folder: Path, dt: str) -> Upload:
    """Upload the files of `folder` named <table>.csv or <table>__<part>.csv, gzipped or not, as day `dt`.

    Raises InputInvalid if there is no such folder, or no such file in it.
    """
    day = parse_day(dt)
    if not folder.is_dir():
        raise InputInvalid(f"{folder} is not a folder. Give the folder that holds the files, such as DIR/{day}.")
    of_table = re.compile(rf"({'|'.join(map(re.escape, tables))})(__\w+)?\.csv(\.gz)?", re.IGNORECASE)
    matched: dict[str, list[Path]] = {}
    ignored = []
    for path in sorted(folder.iterdir()):
        if found := of_table.fullmatch(path.name):
            matched.setdefault(found[1].lower(), []).append(path)
        elif path.is_file():
            ignored.append(path.name)
    if not matched:
        raise InputInvalid(
            f"{folder} holds no file of {system}. Its files are named {', '.join(f'{table}.csv' for table in tables)}; "
            f"a table may come in parts, such as {tables[-1]}__prior.csv."
        )
    settings = Settings.from_env()
    storage = build_resources(settings).storage
    files = []
    for table in tables:
        paths = matched.get(table, [])
        if paths:
            written = storage.put(system, table, day, paths)
            files += [(table, path.name, path.stat().st_size, written[path.name]) for path in paths]
    missing = [table for table in tables if not storage.objects(system, table, day, limit=1)]
    return Upload(f"{build_lake(settings).zones.zone('raw')}/{system}", files, ignored, missing)
