"""The code that Glue jobs run: its bytes, where they lie in S3, and whether what is deployed is the code at hand.

Belongs here: the scripts, the package they import, their content hash and their jobs' names. Doesn't: putting them there (deploy.py).

Everything lies below a prefix named after its content, so that code is never replaced under a job that runs.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from instacart_pipeline.lake.artefacts import digest_of
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.aws_account.errors import AwsNotFound
from instacart_pipeline.resources.aws_account.session import AwsSession

SQL_TO_PARQUET = "instacart-sql-to-parquet"
INGEST_UPLOAD = "instacart-ingest-upload"
GLUE_JOBS = {SQL_TO_PARQUET: "sql_to_parquet.py", INGEST_UPLOAD: "ingest_upload.py"}
"""The Glue jobs, each with its script."""
PACKAGE = "instacart_pipeline.zip"

_ROOT = Path(__file__).parents[2]
_PACKED = ("__init__.py", "lake/**/*.py", "engine/**/*.py")
"""The part of the package that scripts import. A change to anything else needs no new deployment."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


class NotDeployed(PipelineError):
    """AWS lacks what a run needs, or has another state of it than the code at hand."""


@dataclass(frozen=True)
class Bundle:
    """Files that are deployed together, by name."""

    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """A digest of names and contents."""
        return digest_of(self.files)

    def location(self, lake: str) -> str:
        """The prefix of the files in S3, for the lake at `lake`."""
        return f"{Zones(lake).zone('work')}/code/{self.digest}"


@cache
def glue_code() -> Bundle:
    """The scripts of the Glue jobs and the package they import, as they are on this machine."""
    folder = _ROOT / "resources" / "glue" / "scripts"
    return Bundle({PACKAGE: _package(), **{name: (folder / name).read_bytes() for name in GLUE_JOBS.values()}})


def script_location(lake: str, job: str) -> str:
    """Where the script of a Glue job lies, if the code at hand is deployed."""
    return f"{glue_code().location(lake)}/{GLUE_JOBS[job]}"


def require_deployed(session: AwsSession, lake: str, job: str) -> None:
    """Raise NotDeployed unless the Glue job runs the code at hand. One call, tried once."""
    try:
        found = session.call("glue", "get_job", once=True, JobName=job)["Job"]
    except AwsNotFound:
        raise NotDeployed(f"There is no Glue job {job}. Make it with `instacart-pipeline deploy --apply`.") from None
    there, wanted = found.get("Command", {}).get("ScriptLocation", ""), script_location(lake, job)
    if there != wanted:
        raise NotDeployed(
            f"The Glue job {job} runs {there}, which is not the code at hand ({wanted}). "
            f"Bring it up to date with `instacart-pipeline deploy --apply`."
        )


def _package() -> bytes:
    """The package as a zip: the same files give the same bytes, whenever and wherever it is made."""
    paths = sorted({path for pattern in _PACKED for path in _ROOT.glob(pattern)})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.relative_to(_ROOT.parent).as_posix(), _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return packed.getvalue()
