"""Batch transform on this machine: a table's rows through the model's real server, over HTTP, in bounded memory.

Belongs here: rows to requests, answers to rows, both in the source's order. Doesn't: the server (container/).
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import get_dagster_logger

from instacart_pipeline.container.child_server import ServerFailed, end_of, serving
from instacart_pipeline.container.contract import MAX_BODY
from instacart_pipeline.container.csv_body import as_csv
from instacart_pipeline.container.unpacking import unpack
from instacart_pipeline.lake.artefacts import MODEL, SOURCE
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.local_machine.queries import finish
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.sagemaker import TransformJob
from instacart_pipeline.resources.sagemaker.local.jobs import lineage_by_table

_ROWS_A_REQUEST = 8192
_ROWS_A_GROUP = 122_880
"""Rows of a Parquet row group: as many as DuckDB writes."""
_ANSWER_SECONDS = 600.0
_REPORT_SECONDS = 10.0


def transform(lake: LocalLake, job: TransformJob, target: TableContract, dt: str) -> Published:
    """See SageMaker.transform."""
    started = time.perf_counter()
    lacking = [name for name in (*job.ids, *job.features) if name not in job.source.column_names]
    if lacking:
        raise JobFailed(f"{job.name} needs the columns {', '.join(lacking)}, which {job.source.qualified_name} lacks.")
    given = sorted((*job.ids, job.score))
    if given != sorted(target.column_names):
        raise JobFailed(
            f"{job.name} makes the columns {', '.join(given)}; {target.qualified_name} has {', '.join(target.column_names)}."
        )
    if not Path(job.model.location, MODEL).is_file():
        raise ArtefactNotFound(
            f"{job.name} asks the model {job.model.location}, which holds no {MODEL}: it was removed, or isn't a trained model."
        )
    source = lake.catalog.current(job.source, dt)
    lineage = lineage_by_table({"source": job.source}, {"source": source}, {"model": job.model})
    with lake.new_version(target, dt) as folder:
        with lake.scratch() as work:
            unpack(Path(job.model.location), work, MODEL, SOURCE)
            files = sorted(Path(source.location).glob("*.parquet"))
            # The server ends before the threads are waited for: that is what lets go of those that wait for its answer.
            with (
                ThreadPoolExecutor(lake.threads, "transform") as pool,
                _served(job, work, work / "server.log", lake.threads) as asked,
            ):
                answers = _in_order(pool, asked, _batches(files, (*job.ids, *job.features)), 2 * lake.threads + 2)
                _write(answers, target, folder.path / "part-00000.parquet", _Progress(job.name, source.rows))
        with lake.engine() as connection:
            return finish(lake, connection, target, dt, folder, lineage, started, {"threads": lake.threads})


@dataclass
class _Asked:
    """The model's server, asked by several threads over a connection each, as many `turn`s at once as it takes."""

    job: TransformJob
    address: tuple[str, int]
    log: Path
    turn: threading.Semaphore
    most_bytes: int
    kept: threading.local

    def answer(self, batch: Any) -> Any:
        """The rows' ids with the model's numbers. Raises JobFailed with what the model said and the end of its log."""
        import pyarrow as pa  # noqa: PLC0415

        features = batch.select(list(self.job.features))
        scores = pa.concat_arrays(list(self._scores(features)))
        return batch.select(list(self.job.ids)).append_column(self.job.score, scores)

    def _scores(self, features: Any) -> Iterator[Any]:
        body = as_csv(features)
        if len(body) > self.most_bytes:
            if features.num_rows == 1:
                raise JobFailed(
                    f"{self.job.name}: a row takes {len(body):,} bytes; a request may have {self.most_bytes:,}."
                )
            half = features.num_rows // 2
            yield from self._scores(features.slice(0, half))
            yield from self._scores(features.slice(half))
            return
        with self.turn:
            answer = self._post(body)
        yield self._numbers(answer, features.num_rows)

    def _post(self, body: bytes) -> bytes:
        connection: http.client.HTTPConnection | None = getattr(self.kept, "connection", None)
        if connection is None:
            connection = self.kept.connection = http.client.HTTPConnection(*self.address, timeout=_ANSWER_SECONDS)
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": "text/csv", "Accept": "text/csv"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise JobFailed(
                f"{self.job.name}: the model's server broke off: {error!r}. The end of its log:\n{end_of(self.log)}"
            ) from error
        if answer.status != http.HTTPStatus.OK:
            first = body[:300].partition(b"\n")[0].decode(errors="replace")
            raise JobFailed(
                f"{self.job.name}: the model answered with status {answer.status}: {content[:500].decode(errors='replace')}\n"
                f"The request's first row is {first}\nThe end of the server's log:\n{end_of(self.log)}"
            )
        return content

    def _numbers(self, answer: bytes, rows: int) -> Any:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import csv  # noqa: PLC0415

        try:
            read = csv.read_csv(
                pa.BufferReader(answer),
                csv.ReadOptions(column_names=["score"], use_threads=False),
                csv.ParseOptions(ignore_empty_lines=False),
                csv.ConvertOptions(column_types={"score": pa.float64()}, null_values=[]),
            )
        except pa.ArrowInvalid as error:
            raise JobFailed(f"{self.job.name}: the model's answer is not a number a line: {error}") from error
        if read.num_rows != rows:
            raise JobFailed(f"{self.job.name}: the model answered {rows} rows with {read.num_rows} lines.")
        return read.column("score").combine_chunks()


class _Progress:
    """Says in the run's log how far a transform has come."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._started = self._said = time.monotonic()

    def more(self, rows: int) -> None:
        """Count rows that are done."""
        self._done += rows
        now = time.monotonic()
        if now - self._said >= _REPORT_SECONDS:
            self._said = now
            rate = self._done / (now - self._started)
            get_dagster_logger().info(
                "%s: %s of %s rows, %s a second", self._name, f"{self._done:,}", f"{self._total:,}", f"{rate:,.0f}"
            )


@contextmanager
def _served(job: TransformJob, work: Path, log: Path, threads: int) -> Iterator[_Asked]:
    """The model's server for the length of the block."""
    version = f"{job.model.name}-{job.model.version}"
    arguments = [str(work), "--module", job.model.serve, "--version", version]
    try:
        with serving(arguments, log, {"OMP_NUM_THREADS": "1"}) as address:
            with closing(http.client.HTTPConnection(*address, timeout=_ANSWER_SECONDS)) as connection:
                connection.request("GET", "/execution-parameters")
                told = json.loads(connection.getresponse().read())
            yield _Asked(
                job,
                address,
                log,
                turn=threading.Semaphore(max(1, min(told["MaxConcurrentTransforms"], threads))),
                most_bytes=min(told["MaxPayloadInMB"] * 1024**2, MAX_BODY),
                kept=threading.local(),
            )
    except ServerFailed as error:
        raise JobFailed(f"{job.name}: the model {job.model.location} does not answer. {error}") from error


def _batches(files: Sequence[Path], columns: Sequence[str]) -> Iterator[Any]:
    """The rows of Parquet files in their order, some at a time."""
    from pyarrow import parquet  # noqa: PLC0415

    for path in files:
        # Buffered ahead, a file would come to lie in memory as a whole.
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(_ROWS_A_REQUEST, columns=list(columns), use_threads=False)


def _in_order(pool: ThreadPoolExecutor, asked: _Asked, batches: Iterator[Any], ahead: int) -> Iterator[Any]:
    """The answers to batches in the batches' order, at most so many of them in memory."""
    under_way: deque[Future[Any]] = deque()
    for batch in batches:
        under_way.append(pool.submit(asked.answer, batch))
        if len(under_way) >= ahead:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _write(answers: Iterator[Any], target: TableContract, path: Path, progress: _Progress) -> None:
    """Write answers as one Parquet file in the contract's columns and types."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {"bigint": pa.int64(), "int": pa.int32(), "double": pa.float64(), "string": pa.string()}
    schema = pa.schema([(column.name, kinds[column.type]) for column in target.columns])
    with parquet.ParquetWriter(path, schema) as writer:
        held: list[Any] = []
        for batch in answers:
            held.append(batch)
            progress.more(batch.num_rows)
            if sum(each.num_rows for each in held) >= _ROWS_A_GROUP:
                writer.write_table(pa.Table.from_batches(held).select(schema.names).cast(schema))
                held.clear()
        if held:
            writer.write_table(pa.Table.from_batches(held).select(schema.names).cast(schema))
