"""The profiles: which backend stands behind each service's name. The only place that picks them.

Belongs here: making the resources of a profile from the settings. A profile's backends are imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.alerts import Alerts
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.crawler import Crawler
from instacart_pipeline.resources.databrew import DataBrew
from instacart_pipeline.resources.doctor import Finding
from instacart_pipeline.resources.endpoints import Endpoints
from instacart_pipeline.resources.glue import Glue
from instacart_pipeline.resources.ingest import Ingest
from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.resources.model_registry import ModelRegistry
from instacart_pipeline.resources.orphaned_jobs import OrphanedJobs
from instacart_pipeline.resources.sagemaker import SageMaker
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.resources.stream import Stream
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.resources.upload_notices import UploadNotices
from instacart_pipeline.resources.warehouse import Warehouse
from instacart_pipeline.retail.consumers.registry import NAMES
from instacart_pipeline.settings import Settings

if TYPE_CHECKING:
    from instacart_pipeline.resources.aws_account.lake import AwsLake
    from instacart_pipeline.resources.aws_account.session import AwsSession
    from instacart_pipeline.resources.local_machine.lake import LocalLake
    from instacart_pipeline.resources.local_machine.sweep import Swept


@dataclass(frozen=True)
class Resources:
    """The resources of a profile, by the names that assets ask for."""

    catalog: Catalog
    storage: Storage
    uploads: UploadNotices
    alerts: Alerts
    orphaned_jobs: OrphanedJobs
    crawler: Crawler
    ingest: Ingest
    athena: Athena
    databrew: DataBrew
    glue: Glue
    sagemaker: SageMaker
    model_registry: ModelRegistry
    endpoints: Endpoints
    table_files: TableFiles
    stream: Stream
    lookup_tables: LookupTables
    warehouse: Warehouse

    def by_name(self) -> dict[str, object]:
        """The resources as Dagster's definitions take them."""
        return dict(vars(self))


def build_resources(settings: Settings) -> Resources:
    """The resources of the profile. Opens nothing and needs no AWS variable."""
    return _aws(settings) if settings.profile == "aws" else _local(settings)


def build_lake(settings: Settings) -> LocalLake | AwsLake:
    """The lake of the profile."""
    return aws_lake(settings) if settings.profile == "aws" else local_lake(settings)


def local_lake(settings: Settings) -> LocalLake:
    """The lake of this machine."""
    from instacart_pipeline.resources.catalog.local import SqliteCatalog  # noqa: PLC0415  # see above
    from instacart_pipeline.resources.local_machine.lake import LocalLake  # noqa: PLC0415

    return LocalLake(
        catalog=SqliteCatalog(home=str(settings.home)),
        home=str(settings.home),
        memory=settings.memory_bytes // settings.steps_at_once,
        threads=settings.engine_threads,
        retention_days=settings.retention_days,
    )


def _local(settings: Settings) -> Resources:
    from instacart_pipeline.resources.alerts.local import LogFileAlerts  # noqa: PLC0415
    from instacart_pipeline.resources.athena.local import LocalAthena  # noqa: PLC0415
    from instacart_pipeline.resources.crawler.local import LocalCrawler  # noqa: PLC0415
    from instacart_pipeline.resources.databrew.local import LocalDataBrew  # noqa: PLC0415
    from instacart_pipeline.resources.endpoints.local import LocalEndpoints  # noqa: PLC0415
    from instacart_pipeline.resources.glue.local import LocalGlue  # noqa: PLC0415
    from instacart_pipeline.resources.ingest.local import LocalIngest  # noqa: PLC0415
    from instacart_pipeline.resources.lookup_tables.local import SqliteLookupTables  # noqa: PLC0415
    from instacart_pipeline.resources.model_registry.local import SqliteModelRegistry  # noqa: PLC0415
    from instacart_pipeline.resources.orphaned_jobs import OrphanedJobs  # noqa: PLC0415
    from instacart_pipeline.resources.sagemaker.local import LocalSageMaker  # noqa: PLC0415
    from instacart_pipeline.resources.storage.local import LocalStorage  # noqa: PLC0415
    from instacart_pipeline.resources.stream.local import LocalStream  # noqa: PLC0415
    from instacart_pipeline.resources.table_files import TableFiles  # noqa: PLC0415
    from instacart_pipeline.resources.upload_notices import UploadNotices  # noqa: PLC0415
    from instacart_pipeline.resources.warehouse.local import LocalWarehouse  # noqa: PLC0415

    home = str(settings.home)
    lake = local_lake(settings)
    registry = SqliteModelRegistry(home=str(home))
    endpoints = LocalEndpoints(home=home, url=settings.model_url)
    return Resources(
        catalog=lake.catalog,
        storage=LocalStorage(home=home),
        uploads=UploadNotices(),
        alerts=LogFileAlerts(path=f"{home}/alerts.log"),
        orphaned_jobs=OrphanedJobs(),
        crawler=LocalCrawler(lake=lake),
        ingest=LocalIngest(lake=lake, max_rejected=settings.max_rejected),
        athena=LocalAthena(lake=lake),
        databrew=LocalDataBrew(lake=lake),
        glue=LocalGlue(lake=lake, engine=settings.glue_engine),
        sagemaker=LocalSageMaker(lake=lake, registry=registry, endpoints=endpoints),
        model_registry=registry,
        endpoints=endpoints,
        table_files=TableFiles(),
        stream=LocalStream(
            home=home,
            shards=settings.stream_shards,
            retention_hours=settings.stream_retention_hours,
            consumers=list(NAMES),
        ),
        lookup_tables=SqliteLookupTables(home=home),
        warehouse=LocalWarehouse(lake=lake),
    )


def aws_session(settings: Settings) -> AwsSession:
    """The session of the profile aws."""
    from instacart_pipeline.resources.aws_account.session import AwsSession  # noqa: PLC0415

    return AwsSession(
        region=settings.aws_region,
        profile=settings.aws_profile,
        endpoint=settings.aws_endpoint,
        role=settings.aws_role,
    )


def aws_lake(settings: Settings) -> AwsLake:
    """The lake in S3."""
    from instacart_pipeline.resources.aws_account.lake import AwsLake  # noqa: PLC0415
    from instacart_pipeline.resources.catalog.aws import GlueCatalog  # noqa: PLC0415
    from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs  # noqa: PLC0415

    session = aws_session(settings)
    return AwsLake(
        session=session,
        catalog=GlueCatalog(session=session, lake=settings.lake),
        jobs=ManagedJobs(
            session=session,
            base=Zones(settings.lake).zone("work"),
            deadline_seconds=settings.job_deadline * 60,
            poll_seconds=settings.poll_seconds,
        ),
        base=settings.lake,
        workgroup=settings.athena_workgroup,
        retention_days=settings.retention_days,
    )


def _aws(settings: Settings) -> Resources:
    from instacart_pipeline.resources.alerts.aws import SnsAlerts  # noqa: PLC0415
    from instacart_pipeline.resources.athena.aws import AwsAthena  # noqa: PLC0415
    from instacart_pipeline.resources.crawler.aws import GlueCrawler  # noqa: PLC0415
    from instacart_pipeline.resources.databrew.aws import AwsDataBrew  # noqa: PLC0415
    from instacart_pipeline.resources.endpoints.aws import AwsEndpoints  # noqa: PLC0415
    from instacart_pipeline.resources.glue.aws import AwsGlue  # noqa: PLC0415
    from instacart_pipeline.resources.ingest.aws import AwsIngest  # noqa: PLC0415
    from instacart_pipeline.resources.lookup_tables.aws import DynamoLookupTables  # noqa: PLC0415
    from instacart_pipeline.resources.model_registry.aws import AwsModelRegistry  # noqa: PLC0415
    from instacart_pipeline.resources.orphaned_jobs.aws import AwsOrphanedJobs  # noqa: PLC0415
    from instacart_pipeline.resources.sagemaker.aws import AwsSageMaker  # noqa: PLC0415
    from instacart_pipeline.resources.storage.aws import S3Storage  # noqa: PLC0415
    from instacart_pipeline.resources.stream.aws import KinesisStream  # noqa: PLC0415
    from instacart_pipeline.resources.table_files.aws import S3TableFiles  # noqa: PLC0415
    from instacart_pipeline.resources.upload_notices.aws import SqsUploadNotices  # noqa: PLC0415
    from instacart_pipeline.resources.warehouse.aws import RedshiftWarehouse  # noqa: PLC0415

    lake = aws_lake(settings)
    storage = S3Storage(session=lake.session, lake=settings.lake)
    return Resources(
        catalog=lake.catalog,
        storage=storage,
        uploads=SqsUploadNotices(session=lake.session, queue_url=settings.upload_queue, lake=settings.lake),
        alerts=SnsAlerts(session=lake.session, topic=settings.alert_topic, lake=settings.lake),
        orphaned_jobs=AwsOrphanedJobs(jobs=lake.jobs),
        crawler=GlueCrawler(lake=lake, storage=storage),
        ingest=AwsIngest(
            lake=lake, storage=storage, max_rejected=settings.max_rejected, worker_type=settings.glue_worker
        ),
        athena=AwsAthena(lake=lake, reuse_minutes=settings.athena_reuse_minutes),
        databrew=AwsDataBrew(lake=lake, role=settings.service_role, nodes=settings.databrew_nodes),
        glue=AwsGlue(lake=lake, worker_type=settings.glue_worker, workers=settings.glue_workers),
        sagemaker=AwsSageMaker(
            lake=lake,
            image=settings.model_image,
            role=settings.service_role,
            training_instance=settings.training_instance,
            transform_instance=settings.transform_instance,
        ),
        model_registry=AwsModelRegistry(lake=lake, image=settings.model_image),
        endpoints=AwsEndpoints(
            lake=lake, image=settings.model_image, role=settings.service_role, instance=settings.endpoint_instance
        ),
        table_files=S3TableFiles(session=lake.session),
        stream=KinesisStream(session=lake.session, name=settings.stream_name, prefix=settings.lookup_prefix),
        lookup_tables=DynamoLookupTables(session=lake.session, prefix=settings.lookup_prefix),
        warehouse=RedshiftWarehouse(
            lake=lake,
            workgroup=settings.redshift_workgroup,
            database=settings.redshift_database,
            role=settings.service_role,
        ),
    )


def examine(settings: Settings) -> Iterator[Finding]:
    """What the profile finds of what it needs, thing by thing."""
    if settings.profile == "aws":
        from instacart_pipeline.resources.doctor import aws as aws_doctor  # noqa: PLC0415
        from instacart_pipeline.retail import lookups  # noqa: PLC0415
        from instacart_pipeline.systems import STAGED_TABLES  # noqa: PLC0415

        return aws_doctor.examine(settings, aws_lake(settings), tuple(STAGED_TABLES), lookups.ALL)
    from instacart_pipeline.resources.doctor import local as local_doctor  # noqa: PLC0415

    return local_doctor.examine(settings)


def sweep(settings: Settings, *, apply: bool) -> Swept:
    """Sweep the profile's lake. On this machine more than a tenth of it is removed only with `apply`."""
    from instacart_pipeline.resources.local_machine.sweep import Swept, sweep  # noqa: PLC0415
    from instacart_pipeline.resources.sagemaker.local import LocalSageMaker  # noqa: PLC0415
    from instacart_pipeline.systems import LAKE_TABLES  # noqa: PLC0415

    sagemaker, tables = build_resources(settings).sagemaker, [table for of in LAKE_TABLES.values() for table in of]
    if isinstance(sagemaker, LocalSageMaker):
        return sweep(sagemaker.lake, sagemaker.artefacts, tables, LAKE_TABLES, apply=apply)
    models = (found for system in LAKE_TABLES for found in sagemaker.sweep(system))
    return Swept(dict.fromkeys([*aws_lake(settings).sweep_all(tuple(tables)), *models], 0))
