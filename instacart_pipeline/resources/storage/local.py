"""The raw zone on this machine: folders of files."""

import filecmp
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from instacart_pipeline.engine.csv_files import csv_files
from instacart_pipeline.lake.contracts import PARTITION
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.storage import MOST_FILES, FileNotWritten, RawObject, Storage


class LocalStorage(Storage):
    """The raw zone below the lake's folder in `home`.

    A file's content is read for its ETag once; afterwards it is remembered by path, size and time of writing.
    """

    home: str

    def days(self, system: str, table: str) -> Sequence[str]:
        """See Storage."""
        folder = Path(self._zones.raw_table(system, table))
        prefix = f"{PARTITION}="
        with os.scandir(folder) if folder.is_dir() else _nothing() as entries:
            return sorted(entry.name.removeprefix(prefix) for entry in entries if entry.name.startswith(prefix))

    def objects(self, system: str, table: str, dt: str, *, limit: int = MOST_FILES) -> Sequence[RawObject]:
        """See Storage."""
        return raw_objects(Path(self._zones.raw_partition(system, table, dt)), Path(self._zones.zone("raw")))[:limit]

    def etag(self, found: RawObject) -> str:
        """See Storage."""
        identity = f"{found.size} {found.modified_ns}"
        with closing(sqlite3.connect(Path(self.home) / "etags.sqlite", timeout=60)) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS etags (path TEXT PRIMARY KEY, identity TEXT, etag TEXT)")
            known = db.execute(
                "SELECT etag FROM etags WHERE path = ? AND identity = ?", (found.path, identity)
            ).fetchone()
            if known is None:
                known = (_digest(Path(self._zones.zone("raw")) / found.path),)
                db.execute("INSERT OR REPLACE INTO etags VALUES (?, ?, ?)", (found.path, identity, known[0]))
        return str(known[0])

    def put(self, system: str, table: str, dt: str, files: Sequence[Path]) -> Mapping[str, bool]:
        """See Storage."""
        folder = Path(self._zones.raw_partition(system, table, dt))
        folder.mkdir(parents=True, exist_ok=True)
        written = {}
        for source in files:
            target = folder / source.name
            written[source.name] = not (target.exists() and filecmp.cmp(source, target, shallow=False))
            if written[source.name]:
                # A name with a dot in front is no data file to anybody; the rename makes it one in a single step.
                partial = folder / f".{source.name}.part"
                shutil.copyfile(source, partial)
                partial.replace(target)
        for path in csv_files(folder):
            if path.name not in written:
                path.unlink()
        return written

    def add(self, system: str, table: str, dt: str, name: str, content: bytes) -> bool:
        """See Storage. A process that is killed meanwhile may leave a file with a dot in front, which is no data file to anybody."""
        folder = Path(self._zones.raw_partition(system, table, dt))
        target = folder / name
        partial = folder / f".{name}.{os.getpid()}.part"  # two processes may write the same file at once
        try:
            if target.exists() and target.read_bytes() == content:
                return False
            folder.mkdir(parents=True, exist_ok=True)
            try:
                _write_through(partial, content)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
            _flush_folder(folder)
        except OSError as error:
            raise FileNotWritten(f"{target} can't be written: {error.strerror}. Mend that, then try again.") from error
        return True

    @property
    def _zones(self) -> Zones:
        return Zones(f"{self.home}/lake")


def _write_through(path: Path, content: bytes) -> None:
    """Write a file that is on the disk when this returns."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, so that a file that was just renamed is there after a power cut too."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def raw_objects(folder: Path, raw_zone: Path) -> list[RawObject]:
    """The CSV files of a raw folder as the raw zone lists them; one that is removed meanwhile is left out."""
    found = []
    for path in csv_files(folder):
        with suppress(FileNotFoundError):
            state = path.stat()
            found.append(RawObject(str(path.relative_to(raw_zone)), state.st_size, state.st_mtime_ns))
    return found


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:32]


class _nothing:  # noqa: N801  # stands in for os.scandir of a folder that isn't there
    def __enter__(self) -> list[os.DirEntry[str]]:
        return []

    def __exit__(self, *_: object) -> None:
        return None
