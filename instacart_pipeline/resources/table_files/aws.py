"""Table files on AWS: copied from S3."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dagster import ResourceDependency

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.aws_account.errors import AwsNotFound
from instacart_pipeline.resources.aws_account.objects import Objects, split
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.table_files import TableFiles, version_missing_error

_AT_ONCE = 4
_CHUNK = 1 << 20


class S3TableFiles(TableFiles):
    """Objects of the lake, copied."""

    session: ResourceDependency[AwsSession]

    def folder(self, version: Version, scratch: Path) -> Path:
        """See TableFiles."""
        bucket, _ = split(version.location)
        # Athena names its files by the query, without an ending; a dot or underscore in front marks what is no data to any engine.
        keys = [found.key for found in Objects(self.session).listed(version.location)]
        keys = [key for key in keys if not key.rsplit("/", 1)[-1].startswith((".", "_"))]
        if not keys:
            raise version_missing_error(version)
        folder = Path(tempfile.mkdtemp(dir=scratch))
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            copies = [
                threads.submit(self._copy, bucket, key, folder / f"part-{number:05}.parquet")
                for number, key in enumerate(keys)
            ]
        try:
            for copy in copies:
                copy.result()
        except AwsNotFound:
            raise version_missing_error(version) from None
        return folder

    def _copy(self, bucket: str, key: str, path: Path) -> None:
        def copy(client: Any) -> None:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
            with path.open("wb") as file:
                for chunk in body.iter_chunks(_CHUNK):
                    file.write(chunk)

        self.session.doing("s3", "get_object", copy)
