"""The platform on AWS as tests drive it: the same definitions, resources and job, against the double."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from pyarrow import parquet

from instacart_pipeline.cli.deploying import deployment
from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.profiles import aws_lake
from instacart_pipeline.reorder.automation import DAILY_JOB
from instacart_pipeline.resources.aws_account.changes import Change
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.aws_account.objects import split
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.faulty_run import processes
from instacart_pipeline_tests.platform import DT, Platform, Row, Run, run_of, shared_instance
from instacart_pipeline_tests.resources.toy_assets import IMAGE, toy_definitions
from instacart_pipeline_tests.resources.toy_assets import JOB as TOY_JOB
from instacart_pipeline_tests.resources.toy_model import SCORES

ROOT = Path(__file__).parents[1]
LAKE = "s3://lake"
ROLE = "arn:aws:iam::123456789012:role/instacart-services"


class AwsPlatform(Platform):
    """A platform on the double; `home` only holds Dagster's own files. `settings` are passed on to Settings."""

    def __init__(self, home: Path, endpoint: str, **settings: Any) -> None:
        of_aws = {
            "profile": "aws",
            "lake": LAKE,
            "aws_endpoint": endpoint,
            "service_role": ROLE,
            "model_image": IMAGE,
            "redshift_workgroup": "warehouse",
            "poll_seconds": 0.02,
            "concurrent_steps": 1,
        }
        super().__init__(home, **{**of_aws, **settings})
        self.double_endpoint = endpoint
        self._definitions: dict[str, dg.Definitions] = {}

    @property
    def aws_lake(self) -> AwsLake:
        return aws_lake(self.settings)

    def deploy(self) -> None:
        """Make what AWS must have before a run."""
        for change in self._deployment():
            change.apply()

    def deploy_for_one_table(self) -> None:
        """The part of a deployment that a run of one table needs: no recipes, which a run publishes itself, and no stream."""
        glue_code, _definitions, *others = takewhile(
            lambda change: change.service != "databrew recipe", self._deployment()
        )
        for change in (glue_code, *others):
            change.apply()

    def _deployment(self) -> Iterator[Change]:
        return deployment(replace(self.settings, job_deadline=120)).plan()

    def materialize(self, table: TableContract, *, dt: str = DT, overrides: Mapping[str, object] | None = None) -> Run:
        """Make one table alone, as a Dagster run of its asset, in this process."""
        definitions = self.definitions(table.system, overrides)
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=shared_instance(),
            partition_key=dt,
            asset_selection=[asset_key(table)],
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        return run_of(result)

    def definitions(self, system: str, overrides: Mapping[str, object] | None = None) -> dg.Definitions:
        """The graph that a system's tables are part of: the project's own, or the toy's."""
        of_toy = system == SCORES.system
        if overrides and not of_toy:
            return build_defs(self.settings, overrides)
        if system not in self._definitions:  # to put the whole graph together is a good part of a small run
            self._definitions[system] = toy_definitions(self.settings) if of_toy else build_defs(self.settings)
        return self._definitions[system]

    @property
    def zones(self) -> Zones:
        """See Platform."""
        return self.aws_lake.zones

    def write(self, location: str, content: bytes) -> None:
        """See Platform."""
        self.aws_lake.objects.put(location, content)

    def files(self, version: Version) -> list[str]:
        """See Platform. Everything that lies there counts."""
        return [found.key.rsplit("/", 1)[-1] for found in self.aws_lake.objects.listed(version.location)]

    def stored_rows(self, table: TableContract, dt: str = DT) -> pa.Table:
        """A day of a table as its published files hold it, without asking Athena."""
        location = self.catalog.current(table, dt).location
        s3 = self.aws_lake.session.client("s3")
        parts = []
        for found in self.aws_lake.objects.listed(location):
            body = s3.get_object(Bucket=split(location)[0], Key=found.key)["Body"].read()
            parts.append(parquet.read_table(io.BytesIO(body)).select(table.column_names))
        return pa.concat_tables(parts)

    def stored(self, table: TableContract, dt: str = DT) -> list[Row]:
        """The same as rows, sorted."""
        rows: list[Row] = self.stored_rows(table, dt).to_pylist()
        return sorted(rows, key=lambda row: [(value is not None, value) for value in row.values()])

    def unpublished(self, table: TableContract, dt: str = DT) -> list[str]:
        """See Platform."""
        current = self.catalog.find(table, dt)
        known = {current.location, *(location for location, _ in current.retired)} if current else set()
        day = self.aws_lake.zones.partition(table, dt)
        return [name for name in self.aws_lake.objects.folders(day) if f"{day}/{name}" not in known]


class RunElsewhere:
    """A run that makes some tables, in a process of its own and on an instance that outlives it; so it can be killed and retried."""

    def __init__(self, platform: AwsPlatform, double: AwsDouble, *tables: TableContract, retry_of: str = "") -> None:
        steps = platform.settings.concurrent_steps
        keys = [asset_key(table).path for table in tables]
        system = tables[0].system
        given = (str(platform.home), double.endpoint, steps, system, double.environment(), keys, retry_of)
        self.platform = platform
        self.process = processes.Process(target=_run, args=given)
        self.process.start()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, once, and wait for its end."""
        assert self.process.pid
        os.kill(self.process.pid, number)
        self.wait()

    def wait(self) -> None:
        """Wait for the end of the process."""
        self.process.join(300)
        assert self.process.exitcode is not None, "the run does not end"

    def runs(self) -> list[dg.DagsterRun]:
        """All runs of the instance, the first one first."""
        with _instance(self.platform.settings.home) as instance:
            return list(reversed(instance.get_runs()))


def job_of(home: str, endpoint: str, steps: int, system: str) -> dg.JobDefinition:
    """The daily job of a platform: Dagster loads it by this in the processes that run it."""
    platform = AwsPlatform(Path(home), endpoint, concurrent_steps=steps)
    return platform.definitions(system).resolve_job_def(TOY_JOB if system == SCORES.system else DAILY_JOB)


def _run(
    home: str,
    endpoint: str,
    steps: int,
    system: str,
    environment: Mapping[str, str],
    assets: list[list[str]],
    retry_of: str,
) -> None:
    os.environ.update(environment)
    place: Any = (home, endpoint, steps, system)
    job = dg.build_reconstructable_job("instacart_pipeline_tests.aws_platform", "job_of", place, {}, str(ROOT))
    with _instance(Path(home)) as instance:
        result = dg.execute_job(
            job,
            instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            tags={"dagster/partition": DT},
            reexecution_options=dg.ReexecutionOptions(retry_of) if retry_of else None,
        )
        raise SystemExit(0 if result.success else 1)


def _instance(home: Path) -> dg.DagsterInstance:
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    return dg.DagsterInstance.local_temp(str(folder))
