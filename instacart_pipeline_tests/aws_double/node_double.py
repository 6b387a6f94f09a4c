"""Kinesis and DynamoDB as kinesalite and dynalite have them, in a node process of its own (node/double.js).

They were made by measuring AWS, apart from moto: what holds on both is less likely to be one double's own idea.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
import botocore.config

HOME = Path(__file__).parent / "node"
REGION = "eu-central-1"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIANODEDOUBLE000000",
    "AWS_SECRET_ACCESS_KEY": "double",
    "AWS_DEFAULT_REGION": REGION,
}


def lacking() -> str:
    """Why it can't be started on this machine; empty if it can."""
    if shutil.which("node") is None:
        return "node is not installed: kinesalite and dynalite can't run"
    if not (HOME / "node_modules" / "kinesalite").is_dir() or not (HOME / "node_modules" / "dynalite").is_dir():
        return "kinesalite and dynalite are not installed: `make test` does it where npm is"
    return ""


class NodeDouble:
    """`with NodeDouble() as aws:` a Kinesis and a DynamoDB at `aws.endpoint`, with nothing in them.

    The process ends with the block, and with this process, however that ends: it waits on a pipe from here.
    """

    def __enter__(self) -> NodeDouble:
        self.process = subprocess.Popen(
            ["node", "double.js"], cwd=HOME, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        port = self.process.stdout.readline().strip()
        assert port, "kinesalite and dynalite did not start"
        self.endpoint = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def environment(self) -> dict[str, str]:
        """The AWS_* variables of the code under test, the endpoint excepted."""
        return dict(_CREDENTIALS)

    def client(self, service: str) -> Any:
        """A plain boto3 client that never retries, for setting a test up."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )
