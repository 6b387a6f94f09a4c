"""UNLOAD (SELECT ...) TO 's3://...' WITH (...): a result as text files, without a header and without a table."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from instacart_pipeline_tests.aws_double.jobs import JobFailure
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.wire import AwsError

_STATEMENT = re.compile(
    r"\s*UNLOAD\s*\((?P<select>.*)\)\s*TO\s*'(?P<place>[^']+)'\s*WITH\s*\((?P<options>[^()]*)\)\s*", re.S | re.I
)
_OPTION = re.compile(r"(\w+)\s*=\s*'([^']*)'")


@dataclass(frozen=True)
class Unload:
    """Where to and how. Raises AwsError for what the double does not write."""

    select: str
    location: str
    delimiter: str

    @classmethod
    def of(cls, sql: str) -> Unload | None:
        """The statement, if it is one."""
        found = _STATEMENT.fullmatch(sql)
        if found is None:
            return None
        options = {name.lower(): value for name, value in _OPTION.findall(found["options"])}
        form, compression = options.get("format", "PARQUET"), options.get("compression", "GZIP")
        if (form.upper(), compression.upper()) != ("TEXTFILE", "NONE"):
            raise AwsError(
                "InvalidRequestException", f"the double unloads to plain TEXTFILE, not to {form} {compression}"
            )
        return cls(found["select"], found["place"].rstrip("/") + "/", options.get("field_delimiter", "\x01"))

    def require_empty(self, objects: Objects) -> None:
        """Raise JobFailure if there is anything where it writes to."""
        if objects.below(self.location):
            raise JobFailure(
                f"HIVE_PATH_ALREADY_EXISTS: Target directory already exists: {self.location}. You may need to manually clean"
                " the data at location before retrying."
            )

    def write(self, objects: Objects, rows: Sequence[Sequence[str | None]], run: str, files: int) -> None:
        """Write rows of texts. A NULL is what Hive's text files have for it, and nothing is quoted."""
        parts = min(files, len(rows))
        for part in range(parts):
            lines = [
                self.delimiter.join(r"\N" if value is None else value for value in row) for row in rows[part::parts]
            ]
            objects.write(f"{self.location}{run[:8]}_{uuid.uuid4()}", "".join(f"{line}\n" for line in lines).encode())
