"""Raw zones of both kinds, as the tests of Storage drive them: one table and day, put and looked at."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.storage import RawObject, Storage
from instacart_pipeline.resources.storage.aws import S3Storage
from instacart_pipeline.resources.storage.local import LocalStorage
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.platform import DT

DAY = f"reorder/orders/dt={DT}"


class Zone(ABC):
    """A raw zone, and uploads of one table and day to it."""

    storage: Storage

    def __init__(self, home: Path) -> None:
        self.home = home

    def put(self, files: Mapping[str, str]) -> Mapping[str, bool]:
        return self.storage.put("reorder", "orders", DT, self.sources(files))

    def sources(self, files: Mapping[str, str]) -> list[Path]:
        source = self.home / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        for name, text in files.items():
            (source / name).write_text(text)
        return sorted(source.iterdir())

    def objects(self) -> list[RawObject]:
        return list(self.storage.objects("reorder", "orders", DT))

    def listed(self) -> list[str]:
        return [found.path.removeprefix(f"{DAY}/") for found in self.objects()]

    def etags(self) -> list[str]:
        return list(self.storage.etags(self.objects()))

    @abstractmethod
    def write(self, path: str, text: str) -> None:
        """Something else than this project writes a file of the day, or below another path of the raw zone from / on."""

    @abstractmethod
    def names(self) -> list[str]:
        """Everything that lies in the day's folder, hidden or not."""

    @abstractmethod
    def read(self, name: str) -> str:
        """The text of a file of the day."""


class LocalZone(Zone):
    """A raw zone of folders."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.storage = LocalStorage(home=str(home))

    @property
    def folder(self) -> Path:
        return self.home / "lake" / "raw" / DAY

    def write(self, path: str, text: str) -> None:
        target = self.home / "lake" / "raw" / path[1:] if path.startswith("/") else self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()


class S3Zone(Zone):
    """A raw zone in the bucket `lake` of a double."""

    def __init__(self, home: Path, aws: AwsDouble) -> None:
        super().__init__(home)
        self.aws, self.s3 = aws, aws.client("s3")
        self.storage = S3Storage(session=AwsSession(endpoint=aws.endpoint), lake="s3://lake")

    def key(self, path: str) -> str:
        return f"raw{path}" if path.startswith("/") else f"raw/{DAY}/{path}"

    def write(self, path: str, text: str) -> None:
        self.s3.put_object(Bucket="lake", Key=self.key(path), Body=text.encode())

    def names(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket="lake", Prefix=f"raw/{DAY}/").get("Contents", [])
        return [each["Key"].rpartition("/")[2] for each in found]

    def read(self, name: str) -> str:
        return str(self.s3.get_object(Bucket="lake", Key=self.key(name))["Body"].read().decode())

    def fill(self, paths: Iterable[str]) -> None:
        """Many small files at once, written past HTTP: their number is what matters."""
        fill("lake", (self.key(path) for path in paths))


def fill(bucket: str, keys: Iterable[str]) -> None:
    """Objects of a byte, put into the double's S3 directly."""
    s3 = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for key in keys:
        s3.put_object(bucket, key, b"x")
