"""The settings, read from the environment: the only module that does.

Belongs here: every INSTACART_* variable, its meaning, its default and what values it takes. Doesn't: how the text of a value
is read (setting_readers.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from instacart_pipeline import setting_readers as read
from instacart_pipeline.lake.errors import SettingsInvalid

_PACKAGE = Path(__file__).resolve().parent
_IN_CLONE = not (_PACKAGE / "dagster.yaml").exists()
CONFIG = _PACKAGE.parent if _IN_CLONE else _PACKAGE
"""Where dagster.yaml and workspace.yaml lie: in the clone, or in the package that was installed from a wheel."""
PROJECT = _PACKAGE.parent if _IN_CLONE else Path.cwd()
"""The clone; of an installed package, the working directory."""

Profile = Literal["local", "aws"]
GlueEngine = Literal["duckdb", "spark"]
StreamConsumers = Literal["worker", "lambda"]

_SECRET = ("api_keys",)
"""Settings whose values are never shown."""


@dataclass(frozen=True)
class Settings:
    """Everything a user can set. Each field is read from INSTACART_<FIELD>, in capitals."""

    home: Path = PROJECT / ".instacart"
    """Everything the project keeps on this machine lies below this folder."""
    profile: Profile = "local"
    """Where the assets run. `local`: embedded engines on this machine; `aws`: S3, Glue, Athena, DataBrew and SageMaker."""
    memory: str = "2GB"
    """Most memory a run may take, the Dagster process included: "2GB", "800MB"; at least 700MB."""
    threads: int = 0
    """Threads of the embedded engines; 0 means one a core."""
    concurrent_steps: int = 0
    """Steps of a run under way at once, each in a process of its own when more than 1; 0: one on this machine, where a step
    uses all cores, and five on AWS, where it waits for a job. Steps on this machine share memory and threads."""
    glue_engine: GlueEngine = "duckdb"
    """What runs Glue jobs on this machine."""
    result_files: int = 1
    """Number of Parquet files the result table is written as."""
    training_pairs: int = 1_100_000
    """About how many pairs of an order and a product the model learns from: where the users' last orders give fewer, orders before them
    serve as further examples."""
    max_rejected: float = 0.01
    """Highest share of a table's rows that may be rejected before everything downstream is stopped."""
    row_count_tolerance: float = 0.5
    """How far a day's row count may lie from the day before's, as a share of it, before a check warns."""
    retention_days: int = 7
    """How long a replaced version of a table is kept."""
    first_day: date = date(2026, 1, 1)
    """The first day that has a partition."""
    timezone: str = "UTC"
    """The time zone of days and schedules."""
    settle_seconds: int = 30
    """How long an upload must have stood unchanged before the sensor takes it for complete."""
    retail_first_day: date = date(2010, 12, 1)
    """The first day of the retail system that has a partition: transactions may be older than the platform."""
    customers_first_day: date = date(2024, 1, 1)
    """The first Monday that the customers system has a partition of."""
    stream_shards: int = 4
    """Shards of the stream of transactions: how many workers of a consumer can read it side by side."""
    stream_retention_hours: int = 168
    """How long the stream keeps records: Kinesis read or not, on this machine for longer while a consumer has not read them."""
    stream_buffer_seconds: int = 60
    """How long transactions are gathered before they are written to the raw zone as one file a day, unless 10,000 of a shard come sooner."""
    stream_backlog: int = 5_000_000
    """Records that the slowest consumer may be behind before the API takes no more and answers 429."""
    stream_lag_seconds: int = 600
    """How old a transaction may get before a consumer has dealt with it; an alert is sent when one is older. More than twice
    `stream_buffer_seconds`."""
    dagster_url: str = "http://127.0.0.1:3000"
    """Address of the Dagster UI, for the links in alerts."""
    model_url: str = "http://127.0.0.1:8080"
    """Address of the model's server on this machine, which `instacart-pipeline serve` starts."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys that open the API, separated by commas, each of 16 characters or more; needed to serve beyond this machine."""

    # Of the profile aws alone. None is needed to load the definitions.
    lake: str = ""
    """The lake: s3://bucket or s3://bucket/prefix; or s3://acme-{zone}, for a bucket a zone."""
    aws_region: str = ""
    """The region; empty: as the machine's AWS configuration says."""
    aws_profile: str = ""
    """The profile of the AWS configuration; empty: the default credentials."""
    aws_role: str = ""
    """ARN of a role to assume, whose credentials renew themselves; empty: none."""
    aws_endpoint: str = ""
    """Address of the AWS services, where they aren't AWS's own: a double, or a proxy."""
    service_role: str = ""
    """ARN of the role that crawlers, Glue, DataBrew and SageMaker jobs run as, and endpoints."""
    athena_workgroup: str = "instacart"
    """The Athena workgroup, which `instacart-pipeline deploy` makes."""
    athena_scan_limit: str = "200GB"
    """Most data one query may scan before Athena stops it."""
    athena_reuse_minutes: int = 0
    """How old a result `instacart-pipeline sql` may show again in place of running the same query; 0: always runs it."""
    glue_worker: str = "G.1X"
    """Type of the workers of Glue jobs."""
    glue_workers: int = 2
    """Number of the workers of Glue Spark jobs."""
    databrew_nodes: int = 2
    """Number of the nodes of DataBrew jobs."""
    model_image: str = ""
    """URI of SageMaker's XGBoost framework image, in the registry of one's region (docs/aws.md)."""
    training_instance: str = "ml.m5.2xlarge"
    """Type of the instance of SageMaker training, tuning and processing jobs."""
    transform_instance: str = "ml.m5.xlarge"
    """Type of the instance of SageMaker batch transform jobs."""
    endpoint_instance: str = "ml.m5.large"
    """Type of the instance of SageMaker endpoints."""
    stream_name: str = "instacart-transactions"
    """Name of the Kinesis stream, which `instacart-pipeline deploy` makes."""
    stream_consumers: StreamConsumers = "worker"
    """What runs the stream's consumers. `worker`: `instacart-pipeline stream work`; `lambda`: AWS Lambda, of which CloudWatch tells how far they are."""
    lookup_prefix: str = "instacart-"
    """What the names of the DynamoDB tables begin with."""
    redshift_workgroup: str = ""
    """Name of the Redshift Serverless workgroup that is the warehouse."""
    redshift_database: str = "dev"
    """The database in it."""
    upload_queue: str = ""
    """URL of the SQS queue that the raw zone's S3 event notifications go to; empty: recent days are listed instead."""
    alert_topic: str = ""
    """ARN of the SNS topic that alerts go to; empty: alerts are only logged."""
    job_deadline: int = 120
    """Minutes after which a job that has not ended is stopped."""
    poll_seconds: float = 2.0
    """Seconds between the first two looks at a job; the pause grows to 15 times as long."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of the environment. Raises SettingsInvalid naming every variable at fault at once."""
        env = os.environ if environ is None else environ
        readers: dict[str, Callable[[str], object]] = {
            "home": lambda text: Path(text).expanduser().resolve(),
            "profile": read.one_of("local", "aws"),
            "memory": read.size_of("700MB"),
            "threads": read.whole(0),
            "concurrent_steps": read.whole(0),
            "glue_engine": read.one_of("duckdb", "spark"),
            "result_files": read.whole(1),
            "training_pairs": read.whole(0),
            "max_rejected": read.share,
            "row_count_tolerance": read.share,
            "retention_days": read.whole(0),
            "first_day": date.fromisoformat,
            "timezone": read.timezone,
            "settle_seconds": read.whole(0),
            "retail_first_day": date.fromisoformat,
            "customers_first_day": date.fromisoformat,
            "stream_shards": read.whole(1),
            "stream_retention_hours": read.whole(1),
            "stream_buffer_seconds": read.whole(1),
            "stream_backlog": read.whole(1),
            "stream_lag_seconds": read.whole(1),
            "dagster_url": read.url,
            "model_url": read.url,
            "api_keys": read.keys,
            "lake": read.s3_uri,
            "aws_region": str,
            "aws_profile": str,
            "aws_role": read.arn,
            "aws_endpoint": read.url,
            "service_role": read.arn,
            "athena_workgroup": str,
            "athena_scan_limit": read.size_of("10MB"),
            "athena_reuse_minutes": read.whole(0),
            "glue_worker": read.one_of("G.1X", "G.2X", "G.4X", "G.8X"),
            "glue_workers": read.whole(2),
            "databrew_nodes": read.whole(2),
            "model_image": read.image,
            "training_instance": read.instance,
            "transform_instance": read.instance,
            "endpoint_instance": read.instance,
            "stream_name": read.name,
            "stream_consumers": read.one_of("worker", "lambda"),
            "lookup_prefix": read.name,
            "redshift_workgroup": read.name,
            "redshift_database": read.name,
            "upload_queue": read.url,
            "alert_topic": read.arn,
            "job_deadline": read.whole(1),
            "poll_seconds": read.seconds,
        }
        values: dict[str, object] = {}
        problems = []
        for name, reader in readers.items():
            text = env.get(f"INSTACART_{name.upper()}", "").strip()
            if not text:
                continue
            try:
                values[name] = reader(text)
            except ValueError as error:
                shown = "..." if name in _SECRET else repr(text)
                problems.append(f"INSTACART_{name.upper()}={shown}: {error}")
        known = {f"INSTACART_{name.upper()}" for name in readers}
        problems += [
            f"{name} is no setting of this project; there are {', '.join(sorted(known))}"
            for name in env
            if name.startswith("INSTACART_") and name not in known
        ]
        settings = cls(**values)  # type: ignore[arg-type]  # each reader gives its field's type
        problems = problems or _conflicting_settings(settings)
        if problems:
            raise SettingsInvalid("The environment can't be used:\n" + "\n".join(f"  {line}" for line in problems))
        return settings

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes."""
        return read.size(self.memory)

    @property
    def steps_at_once(self) -> int:
        """`concurrent_steps`, or the profile's own number."""
        return self.concurrent_steps or (5 if self.profile == "aws" else 1)

    @property
    def lag_is_known(self) -> bool:
        """Whether the stream can tell how far its consumers are behind. Lambda keeps their positions to itself."""
        return self.profile == "local" or self.stream_consumers == "worker"

    @property
    def zone(self) -> ZoneInfo:
        """`timezone` as Python's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def engine_threads(self) -> int:
        """Threads of one embedded engine, when all concurrent steps run one."""
        affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return max(1, (self.threads or cores) // self.steps_at_once)


def _conflicting_settings(settings: Settings) -> list[str]:
    """What is wrong with settings that are right each by itself."""
    lag, buffer = settings.stream_lag_seconds, settings.stream_buffer_seconds
    if lag > 2 * buffer:
        return []
    return [
        f"INSTACART_STREAM_LAG_SECONDS={lag}: it must be more than twice INSTACART_STREAM_BUFFER_SECONDS={buffer}, for so long transactions are gathered "
        "for a file: they would all count as late"
    ]
