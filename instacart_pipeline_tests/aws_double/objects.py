"""The double's own way to S3 objects, for the engines that work on files: fetched once by version, uploaded from folders."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from instacart_pipeline_tests.aws_double.jobs import JobFailure


@dataclass(frozen=True)
class S3Object:
    """An object as a listing has it."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: float

    @property
    def uri(self) -> str:
        """s3://bucket/key."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]


class Objects:
    """S3 as the engines use it. Its requests are not recorded and no fault hits them."""

    def __init__(self, s3: Any, folder: Path) -> None:
        self._s3, self._folder = s3, folder
        self._lock = threading.Lock()
        folder.mkdir(exist_ok=True)

    def below(self, location: str) -> list[S3Object]:
        """The objects whose URI starts with `location`, by key. Raises JobFailure if there is no such bucket."""
        bucket, prefix = split_uri(location)
        found: list[S3Object] = []
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for each in page.get("Contents", []):
                    modified = each["LastModified"].timestamp()
                    found.append(S3Object(bucket, each["Key"], each["Size"], each["ETag"].strip('"'), modified))
        except ClientError as error:
            raise JobFailure(f"{error.response['Error']['Code']}: {location}: {error}") from error
        return found

    def data_below(self, location: str) -> list[S3Object]:
        """The objects in a folder that an engine reads as data: not empty, neither hidden nor markers."""
        folder = location.rstrip("/") + "/"
        return [each for each in self.below(folder) if each.size and not each.name.startswith((".", "_"))]

    def fetch(self, item: S3Object) -> Path:
        """The object as a local file with the end of its name, fetched unless it was before."""
        digest = hashlib.sha256(f"{item.uri} {item.etag}".encode()).hexdigest()[:24]
        path = self._folder / f"{digest}-{item.name[-60:]}"
        with self._lock:
            if not path.exists():
                partial = path.with_suffix(".partial")
                self._s3.download_file(item.bucket, item.key, str(partial))
                partial.replace(path)
        return path

    def read(self, uri: str) -> bytes:
        """An object's bytes. Raises JobFailure if there is none."""
        bucket, key = split_uri(uri)
        try:
            body: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise JobFailure(f"{error.response['Error']['Code']}: {uri}: {error}") from error
        return body

    def write(self, uri: str, body: bytes) -> None:
        """Write an object. Raises JobFailure if it can't be."""
        bucket, key = split_uri(uri)
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body)
        except ClientError as error:
            raise JobFailure(f"{error.response['Error']['Code']}: {uri}: {error}") from error

    def upload(self, path: Path, uri: str) -> None:
        """Upload a file."""
        self.write(uri, path.read_bytes())

    def delete(self, item: S3Object) -> None:
        """Delete an object."""
        self._s3.delete_object(Bucket=item.bucket, Key=item.key)


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of s3://bucket/key."""
    scheme, _, rest = uri.partition("://")
    if scheme not in ("s3", "s3a", "s3n") or not rest:
        raise JobFailure(f"{uri} is not an S3 location")
    bucket, _, key = rest.partition("/")
    return bucket, key
