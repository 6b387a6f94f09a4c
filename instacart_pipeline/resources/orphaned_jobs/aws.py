"""Orphaned jobs on AWS: jobs that outlived the run that started them."""

from collections.abc import Sequence

from dagster import ResourceDependency

from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs.job_service import JobService
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs
from instacart_pipeline.resources.orphaned_jobs import OrphanedJobs


class AwsOrphanedJobs(OrphanedJobs):
    """Stops the jobs that the records of `jobs` name as a run's."""

    jobs: ResourceDependency[ManagedJobs]

    def stop(self, run_id: str) -> Sequence[str]:
        """See Orphaned jobs."""
        return self.jobs.stop_left(run_id, all_services(self.jobs.session, self.jobs.base))


def all_services(session: AwsSession, work: str) -> list[JobService]:
    """Every service whose jobs this project starts. `work` is the prefix of the work zone, where crawls are written down."""
    from instacart_pipeline.resources.aws_account.athena_queries import AthenaQueries  # noqa: PLC0415  # where they are needed
    from instacart_pipeline.resources.crawler.aws.crawls import GlueCrawls  # noqa: PLC0415
    from instacart_pipeline.resources.databrew.aws import DataBrewRuns  # noqa: PLC0415
    from instacart_pipeline.resources.endpoints.aws.updates import EndpointUpdates  # noqa: PLC0415
    from instacart_pipeline.resources.glue.aws import GlueRuns  # noqa: PLC0415
    from instacart_pipeline.resources.sagemaker.aws.jobs import KINDS  # noqa: PLC0415
    from instacart_pipeline.resources.warehouse.aws.statements import RedshiftStatements  # noqa: PLC0415

    others: list[JobService] = [
        AthenaQueries(session),
        GlueCrawls(session, work),
        DataBrewRuns(session),
        GlueRuns(session),
        EndpointUpdates(session),
        RedshiftStatements(session),
    ]
    return [*others, *(kind(session, work) for kind in KINDS)]
