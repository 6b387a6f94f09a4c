"""Glue on this machine: the job's SQL on DuckDB, or the Glue script itself on a local Spark."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dagster import ResourceDependency

from instacart_pipeline.container import script_child
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.lake.versions import lineage_of
from instacart_pipeline.resources.catalog.inputs import inputs_of
from instacart_pipeline.resources.glue import Glue, GlueJob
from instacart_pipeline.resources.glue.local.java import java_home
from instacart_pipeline.resources.glue.scripts import sql_to_parquet
from instacart_pipeline.resources.glue.spark_job import SparkStatement
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.local_machine.queries import build, finish
from instacart_pipeline.resources.published import Published

_LOG_LINES = 30
_OUTSIDE_THE_HEAP = 600_000_000
"""Bytes a Spark child takes besides the JVM's heap: its Python, and the JVM's own."""


class LocalGlue(Glue):
    """Runs Glue jobs on `engine`."""

    lake: ResourceDependency[LocalLake]
    engine: Literal["duckdb", "spark"]

    def run(self, job: GlueJob, target: TableContract, dt: str) -> Published:
        """See Glue."""
        if self.engine == "duckdb":
            return build(self.lake, job.query.bind(dt=dt), target, dt, files=job.files, service={"engine": "duckdb"})
        started = time.perf_counter()
        query = job.query.bind(dt=dt)
        inputs = inputs_of(self.lake.catalog, query, dt)
        lineage = lineage_of(inputs)
        statement = SparkStatement.of(query, self.lake.catalog, inputs, dt)
        with self.lake.new_version(target, dt) as folder:
            arguments = statement.arguments(target, str(folder.path), job.files)
            self._spark(job, {"--sql": statement.sql, **arguments})
            for orphaned_files in (*folder.path.glob("*.crc"), *folder.path.glob(".*.crc")):
                orphaned_files.unlink(missing_ok=True)
            with self.lake.engine() as connection:
                return finish(self.lake, connection, target, dt, folder, lineage, started, {"engine": "spark"})

    def _spark(self, job: GlueJob, arguments: Mapping[str, str]) -> None:
        with self.lake.scratch() as scratch:
            heap = max(self.lake.memory - _OUTSIDE_THE_HEAP, 512_000_000) // 1_000_000
            settings = {
                "spark.master": f"local[{self.lake.threads}]",
                "spark.driver.memory": f"{heap}m",
                "spark.driver.host": "127.0.0.1",
                "spark.driver.bindAddress": "127.0.0.1",
                "spark.ui.enabled": "false",
                "spark.local.dir": str(scratch),
                "spark.sql.warehouse.dir": str(scratch / "warehouse"),
                "spark.sql.shuffle.partitions": str(4 * self.lake.threads),
                "spark.sql.ansi.enabled": "false",
                "spark.sql.session.timeZone": "UTC",
            }
            submit = " ".join(f"--conf {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
            environment = {
                **os.environ,
                "JAVA_HOME": java_home(Path(self.lake.home)),
                "PYSPARK_PYTHON": sys.executable,
                "PYSPARK_SUBMIT_ARGS": f"{submit} pyspark-shell",
            }
            scripts = (str(module.__file__) for module in (script_child, sql_to_parquet))
            command = [sys.executable, *scripts, *(word for argument in arguments.items() for word in argument)]
            log = scratch / "spark.log"
            with log.open("wb") as output:
                # A session of its own makes the child and its JVM one group, which is ended as one.
                child = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    start_new_session=True,
                )
                try:
                    code = child.wait()
                finally:
                    with suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
            if code != 0:
                lines = log.read_text(errors="replace").splitlines()
                raise JobFailed(
                    f"Glue job {job.name} ended with code {code}. The end of its log:\n"
                    + "\n".join(lines[-_LOG_LINES:])
                )
