"""The Glue script of ingest: validates the files of an upload by their contract, on one worker, as the platform does locally.

It is given an order, a JSON object in S3, fetches the files, ingests them with the embedded engine, puts
the good rows and the rejects where the order says, and last of all its report. What fails is reported in words too: the caller raises it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from instacart_pipeline.engine.connection import connected
from instacart_pipeline.engine.ingest import ingest_table
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import PipelineError

_OUTSIDE_THE_ENGINE = 0.4
"""Share of the worker's memory that is left to Spark's own process and to Python."""


def main(arguments: Sequence[str]) -> None:
    """Carry out the order that the arguments name. Ends with an error only if there is nothing to report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order", required=True, help="s3:// address of the order")
    options, _ = parser.parse_known_args(arguments)  # Glue adds arguments of its own

    import boto3  # noqa: PLC0415  # a Glue worker brings its own

    s3 = boto3.client("s3")
    order = json.loads(s3.get_object(**_address(options.order))["Body"].read())
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = _ingested(s3, order, Path(folder))
        except PipelineError as error:
            text = str(error).replace(f"{folder}/raw", order["raw"])
            report = {"error": type(error).__name__, "text": text}
        print(json.dumps(report))  # noqa: T201  # for the job's log
        s3.put_object(**_address(order["report"]), Body=json.dumps(report).encode())


def _ingested(s3: Any, order: dict[str, Any], folder: Path) -> dict[str, Any]:
    raw, good, rejects, scratch = (folder / name for name in ("raw", "good", "rejects", "scratch"))
    for made in (raw, good, rejects, scratch):
        made.mkdir()
    target = TableContract.from_json(order["target"])
    paths = [_fetched(s3, uri, raw / uri.removeprefix(f"{order['raw']}/")) for uri in order["files"]]
    references = {
        name: str(_fetched_below(s3, location, folder / "references" / name))
        for name, location in order["references"].items()
    }
    memory = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * (1 - _OUTSIDE_THE_ENGINE))
    with connected(memory, os.cpu_count() or 1, scratch) as connection:
        ingested = ingest_table(connection, paths, target, references, good, rejects, scratch, raw)
    for written, to in ((good, order["to"]), (rejects, order["rejects_to"])):
        for path in sorted(written.glob("*.parquet")):
            s3.upload_file(str(path), *_address(f"{to}/{path.name}").values())
    return asdict(ingested)


def _fetched(s3: Any, uri: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    s3.download_file(*_address(uri).values(), str(path))
    return path


def _fetched_below(s3: Any, location: str, folder: Path) -> Path:
    address = _address(f"{location}/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=address["Bucket"], Prefix=address["Key"])
    for page in pages:
        for found in page.get("Contents", []):
            _fetched(s3, f"s3://{address['Bucket']}/{found['Key']}", folder / Path(found["Key"]).name)
    return folder


def _address(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


if __name__ == "__main__":
    main(sys.argv[1:])
