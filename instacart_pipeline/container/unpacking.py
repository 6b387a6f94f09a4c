"""Unpacking what a training left: archives of an artefact into the folders model/, output/ and code/.

Belongs here: archives and the scratch folders they are unpacked to. Doesn't: where artefacts lie and which is the current one.
"""

from __future__ import annotations

import fcntl
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instacart_pipeline.lake.artefacts import MODEL, OUTPUT, SOURCE

FOLDERS = {MODEL: "model", OUTPUT: "output", SOURCE: "code"}
"""The folder that each archive is unpacked to."""

_PREFIX = "container-"


def unpack(location: Path, into: Path, *archives: str) -> None:
    """Unpack the archives of an artefact, all of them or those named; an archive that isn't there gives an empty folder."""
    for archive in archives or FOLDERS:
        folder = into / FOLDERS[archive]
        folder.mkdir(parents=True, exist_ok=True)
        if (location / archive).exists():
            with tarfile.open(location / archive) as packed:
                packed.extractall(folder, filter="data")


def pack(folder: Path, archive: Path) -> None:
    """Pack what lies in a folder."""
    # Models hardly get smaller by more effort than the least.
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        for entry in sorted(folder.iterdir()):
            packed.add(entry, entry.name)


@contextmanager
def scratch(root: Path | None = None) -> Iterator[Path]:
    """A folder for the length of the block. Those of processes that were killed are removed on the way.

    Each is locked by the process that uses it, and the kernel lets go of the lock however the process ends.
    """
    base = root or Path(tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    for found in base.glob(f"{_PREFIX}*"):
        if _is_abandoned(found):
            shutil.rmtree(found, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=base))
    path = base / made.name.removeprefix(".")
    try:
        with (made / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made.rename(path)  # others look at it from here on, when it is locked
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / ".lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or another user's
        return False
    return True
