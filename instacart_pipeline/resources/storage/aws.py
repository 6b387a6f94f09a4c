"""The raw zone in S3."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from dagster import ResourceDependency, get_dagster_logger

from instacart_pipeline.lake.contracts import PARTITION
from instacart_pipeline.lake.errors import UploadChanged
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.aws_account.errors import AwsNotFound
from instacart_pipeline.resources.aws_account.objects import Objects, split
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.storage import MOST_FILES, RawObject, Storage, is_data_file

PART_BYTES = 32 * 1024 * 1024
"""Files from this size on go up in parts of this size. Always the same one, so that S3's own ETag of a file is, too."""
DIGESTS_ASKED = 100
"""Most files of a table and day whose digest is asked for, a call each. Of more, S3's own ETags stand for their content."""
_PARTS_AT_ONCE = 4
_ASKED_AT_ONCE = 16
_KEYS_A_PAGE = 1000
_OTHER_PAGES = 5
"""Pages of keys that are no data which a listing bears, besides those that its limit takes."""
_EVERYTHING = 1_000_000
_DIGEST = "sha256"
"""The key, in an object's metadata, of its content's digest."""


class S3Storage(Storage):
    """The raw zone of the lake at `lake` (s3://bucket/prefix, as in Zones).

    A file that this project uploads carries its SHA-256 as metadata, which is its ETag here. Of a file that something else
    uploaded it is S3's: the same bytes then have another one if they come in parts of another size, or are encrypted with a
    KMS key. A day uploaded again in such a way counts as changed and is built once more; never the other way round.
    A put that is killed while it sends parts leaves them in S3, where no listing shows them: the bucket should have a
    lifecycle rule that aborts incomplete multipart uploads.
    """

    session: ResourceDependency[AwsSession]
    lake: str

    def days(self, system: str, table: str) -> Sequence[str]:
        """See Storage. Costs a call for each thousand days, however many files they hold."""
        prefix = f"{PARTITION}="
        folders = Objects(self.session).folders(self._zones.raw_table(system, table))
        return sorted(name.removeprefix(prefix) for name in folders if name.startswith(prefix))

    def objects(self, system: str, table: str, dt: str, *, limit: int = MOST_FILES) -> Sequence[RawObject]:
        """See Storage. Costs a call for each thousand files; what lies in folders below the day's is not listed."""
        return list(islice(self._data_files(self._zones.raw_partition(system, table, dt), limit), limit))

    def etag(self, found: RawObject) -> str:
        """See Storage. Of a file that was replaced since it was listed, the new one's."""
        bucket, raw = self._raw
        head = self.session.call("s3", "head_object", Bucket=bucket, Key=f"{raw}{found.path}")
        return str(head["Metadata"].get(_DIGEST) or head["ETag"].strip('"'))

    def etags(self, found: Sequence[RawObject]) -> Sequence[str]:
        """See Storage. Costs DIGESTS_ASKED calls at most."""
        if len(found) > DIGESTS_ASKED:
            return [each.tag for each in found]
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            return list(pool.map(self.etag, found))

    def put(self, system: str, table: str, dt: str, files: Sequence[Path]) -> Mapping[str, bool]:
        """See Storage. Raises UploadChanged if a file is written to while it is sent; then the raw zone has none of that name."""
        bucket, raw = self._raw
        folder = f"{system}/{table}/{PARTITION}={dt}"
        written = {path.name: self._put(path, bucket, f"{raw}{folder}/{path.name}") for path in files}
        for found in self.objects(system, table, dt, limit=_EVERYTHING):
            if found.path.removeprefix(f"{folder}/") not in written:
                self.session.call("s3", "delete_object", Bucket=bucket, Key=f"{raw}{found.path}")
        return written

    def add(self, system: str, table: str, dt: str, name: str, content: bytes) -> bool:
        """See Storage. Costs two calls."""
        bucket, raw = self._raw
        key = f"{raw}{system}/{table}/{PARTITION}={dt}/{name}"
        sha256 = hashlib.sha256(content).hexdigest()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if self._is_there(bucket, key, sha256, md5):
            return False
        self.session.call("s3", "put_object", Bucket=bucket, Key=key, Body=content, Metadata={_DIGEST: sha256})
        return True

    def _is_there(self, bucket: str, key: str, sha256: str, md5: str) -> bool:
        """Whether there is a file with these digests."""
        try:
            head = self.session.call("s3", "head_object", Bucket=bucket, Key=key)
        except AwsNotFound:
            return False
        known = head["Metadata"].get(_DIGEST)
        return bool(known == sha256 or (known is None and head["ETag"].strip('"') == md5))

    def _data_files(self, folder: str, limit: int) -> Iterator[RawObject]:
        _, raw = self._raw
        bucket, prefix = split(f"{folder}/")
        pages = self.session.pages("s3", "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/")
        for number, page in enumerate(pages):
            if number > limit // _KEYS_A_PAGE + _OTHER_PAGES:
                get_dagster_logger().warning(
                    f"{folder} holds so much that is no CSV file that the listing was cut short."
                )
                return
            for each in page.get("Contents", []):
                if is_data_file(each["Key"].removeprefix(prefix)):
                    modified = each["LastModified"]
                    modified_ns = int(modified.timestamp()) * 1_000_000_000 + modified.microsecond * 1000
                    yield RawObject(
                        each["Key"].removeprefix(raw), int(each["Size"]), modified_ns, each["ETag"].strip('"')
                    )

    def _put(self, path: Path, bucket: str, key: str) -> bool:
        before = path.stat()
        sha256, md5 = _digests(path)
        if self._is_there(bucket, key, sha256, md5):
            return False

        def send(client: Any) -> None:
            from boto3.s3.transfer import TransferConfig  # noqa: PLC0415  # loaded where it is used

            config = TransferConfig(
                multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
            with path.open("rb") as stream:
                client.upload_fileobj(stream, bucket, key, ExtraArgs={"Metadata": {_DIGEST: sha256}}, Config=config)

        self.session.doing("s3", "upload_fileobj", send)
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            # It is neither what it was nor what its digest says: left there, it would pass for the content it never had.
            self.session.call("s3", "delete_object", Bucket=bucket, Key=key)
            raise UploadChanged(f"{path} was written to while it was uploaded. Upload it again once it is complete.")
        return True

    @property
    def _zones(self) -> Zones:
        return Zones(self.lake)

    @property
    def _raw(self) -> tuple[str, str]:
        """The raw zone's bucket, and what its keys begin with."""
        return split(f"{self._zones.zone('raw')}/")


def _digests(path: Path) -> tuple[str, str]:
    """SHA-256 and MD5 of a file."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()
