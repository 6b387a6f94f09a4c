"""S3 objects, by their URI: small reads and writes, conditional ones, and prefixes.

Belongs here: what the AWS backends do with objects that are no tables. Doesn't: uploads of the raw zone (storage/aws.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsNotFound, translated
from instacart_pipeline.resources.aws_account.session import AwsSession

_DELETED_AT_ONCE = 1000


@dataclass(frozen=True)
class S3Object:
    """An object of a listing: its key, bytes, ETag without quotes, and when it was last written."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Held:
    """A JSON object as it was read: its content, the ETag to replace it by, and its age in seconds by S3's own clock."""

    content: dict[str, Any]
    etag: str
    age: float


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of s3://bucket/key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class Objects:
    """Objects of S3 as a session sees them."""

    def __init__(self, session: AwsSession) -> None:
        self.session = session

    def listed(self, prefix: str, *, limit: int | None = None) -> Iterator[S3Object]:
        """The objects below a prefix, by key, a page of 1,000 a call; no more pages than `limit` objects need."""
        bucket, key = split(prefix)
        count = 0
        for page in self.session.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=f"{key.rstrip('/')}/"):
            for found in page.get("Contents", []):
                if limit is not None and count == limit:
                    return
                count += 1
                yield S3Object(found["Key"], int(found["Size"]), found["ETag"].strip('"'), found["LastModified"])

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a prefix. What lies in them is not listed, however much it is."""
        bucket, key = split(prefix)
        start = f"{key.rstrip('/')}/"
        pages = self.session.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=start, Delimiter="/")
        return [
            found["Prefix"].removeprefix(start).rstrip("/")
            for page in pages
            for found in page.get("CommonPrefixes", [])
        ]

    def text(self, uri: str) -> str:
        """The text of an object. Raises AwsNotFound if there is none."""
        return self.content(uri).decode()

    def content(self, uri: str) -> bytes:
        """The bytes of an object. Raises AwsNotFound if there is none."""
        return self._read(uri)[1]

    def put(self, uri: str, content: bytes) -> None:
        """Write an object, whatever is there."""
        bucket, key = split(uri)
        self.session.call("s3", "put_object", Bucket=bucket, Key=key, Body=content)

    def held(self, uri: str) -> Held | None:
        """A JSON object and what it takes to replace it, or None. Raises AwsNotFound if there is not even the bucket."""
        try:
            answer, body = self._read(uri)
        except AwsNotFound as error:
            if error.code == "NoSuchBucket":  # or whoever waits for the object to change would wait for ever
                raise
            return None
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return Held(json.loads(body), answer["ETag"], (now - answer["LastModified"]).total_seconds())

    def swap(self, uri: str, content: dict[str, Any], held: Held | None) -> str | None:
        """Write a JSON object if what is there is still `held`, or nothing. Its ETag, or None if another was faster.

        A write whose answer was lost is met again as one's own: contents tell writers apart.
        """
        bucket, key = split(uri)
        condition: dict[str, Any] = {"IfMatch": held.etag} if held else {"IfNoneMatch": "*"}
        body = json.dumps(content, sort_keys=True).encode()
        try:
            answer = self.session.call("s3", "put_object", Bucket=bucket, Key=key, Body=body, **condition)
            return str(answer["ETag"])
        except (AwsConflict, AwsNotFound):
            there = self.held(uri)
            return there.etag if there and there.content == content else None

    def remove(self, uri: str, etag: str | None = None) -> None:
        """Remove an object, if it is there, and, given an ETag, if it is still the one with that."""
        bucket, key = split(uri)
        condition: dict[str, Any] = {"IfMatch": etag} if etag else {}
        with suppress(AwsConflict, AwsNotFound):
            self.session.call("s3", "delete_object", Bucket=bucket, Key=key, **condition)

    def remove_below(self, prefix: str) -> None:
        """Remove every object below a prefix. Raises the AwsError that kept one of them."""
        bucket, _ = split(prefix)
        keys = [{"Key": found.key} for found in self.listed(prefix)]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            part = keys[start : start + _DELETED_AT_ONCE]
            answer = self.session.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": part, "Quiet": True})
            for refused in answer.get("Errors", []):  # the call itself succeeds even then
                told = {
                    "Code": refused.get("Code", "unknown"),
                    "Message": f"{refused.get('Message', '')} ({refused['Key']})",
                }
                raise translated("s3", "delete_objects", ClientError({"Error": told}, "DeleteObjects"))

    def _read(self, uri: str) -> tuple[dict[str, Any], bytes]:
        bucket, key = split(uri)

        def read(client: Any) -> tuple[dict[str, Any], bytes]:
            answer = client.get_object(Bucket=bucket, Key=key)
            return answer, answer["Body"].read()

        return self.session.doing("s3", "get_object", read)
