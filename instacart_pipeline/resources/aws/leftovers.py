"""Leftovers on AWS: jobs that outlived the run that started them."""

from collections.abc import Sequence

from dagster import ResourceDependency

from instacart_pipeline.resources.aws.job_service import JobService
from instacart_pipeline.resources.aws.jobs import ManagedJobs
from instacart_pipeline.resources.aws.session import AwsSession
from instacart_pipeline.resources.leftovers import Leftovers


class AwsLeftovers(Leftovers):
    """Stops the jobs that the records of `jobs` name as a run's."""

    jobs: ResourceDependency[ManagedJobs]

    def stop(self, run_id: str) -> Sequence[str]:
        """See Leftovers."""
        return self.jobs.stop_left(run_id, all_services(self.jobs.session, self.jobs.base))


def all_services(session: AwsSession, work: str) -> list[JobService]:
    """Every service whose jobs this project starts. `work` is the prefix of the work zone, where crawls are written down."""
    from instacart_pipeline.resources.aws.athena_queries import AthenaQueries  # noqa: PLC0415  # where they are needed
    from instacart_pipeline.resources.aws.crawls import GlueCrawls  # noqa: PLC0415
    from instacart_pipeline.resources.aws.databrew import DataBrewRuns  # noqa: PLC0415
    from instacart_pipeline.resources.aws.endpoint_updates import EndpointUpdates  # noqa: PLC0415
    from instacart_pipeline.resources.aws.glue import GlueRuns  # noqa: PLC0415
    from instacart_pipeline.resources.aws.redshift_statements import RedshiftStatements  # noqa: PLC0415
    from instacart_pipeline.resources.aws.sagemaker_jobs import KINDS  # noqa: PLC0415

    others: list[JobService] = [
        AthenaQueries(session),
        GlueCrawls(session, work),
        DataBrewRuns(session),
        GlueRuns(session),
        EndpointUpdates(session),
        RedshiftStatements(session),
    ]
    return [*others, *(kind(session, work) for kind in KINDS)]
