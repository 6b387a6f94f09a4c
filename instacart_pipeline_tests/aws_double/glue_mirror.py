"""A local mirror of S3 for Spark scripts, which have no way to s3:// here.

What the arguments name is fetched below a folder, the arguments are rewritten to it, and what the script makes, changes or
removes there is carried over to S3 afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from instacart_pipeline_tests.aws_double.objects import Objects, S3Object

_URI = re.compile(r"s3a?://([a-z0-9][a-z0-9.\-]+)/([^\s\"'\\,;\]}]*)")


class Mirror:
    """Local copies of what some S3 locations hold."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects, self._folder = objects, folder
        self._fetched: dict[str, tuple[S3Object, tuple[int, int]]] = {}

    def localized(self, arguments: Mapping[str, str]) -> dict[str, str]:
        """The arguments with every S3 location replaced by its folder or file here, which is fetched first."""
        return {name: _URI.sub(self._localize, value) for name, value in arguments.items()}

    def carry_over(self) -> None:
        """Bring to S3 what differs by now."""
        here = {str(path): path for path in self._folder.rglob("*") if path.is_file() and path.suffix != ".crc"}
        for name, path in here.items():
            if name not in self._fetched or self._fetched[name][1] != _version(path):
                self._objects.upload(path, f"s3://{path.relative_to(self._folder).as_posix()}")
        for name, (item, _) in self._fetched.items():
            if name not in here:
                self._objects.delete(item)

    def _localize(self, found: re.Match[str]) -> str:
        bucket, key = found.groups()
        for item in self._objects.below(f"s3://{bucket}/{key}"):
            inside = item.key == key or item.key.startswith(key.rstrip("/") + "/")
            path = self._folder / bucket / item.key
            if inside and not item.key.endswith("/") and str(path) not in self._fetched:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._objects.read(item.uri))
                self._fetched[str(path)] = (item, _version(path))
        return str(self._folder / bucket / key)


def _version(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns
