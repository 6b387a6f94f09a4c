"""Leftovers on AWS: jobs that outlived the run that started them."""

from collections.abc import Sequence

from dagster import ResourceDependency

from instacart_pipeline.resources.aws.jobs import JobService, ManagedJobs
from instacart_pipeline.resources.aws.session import AwsSession
from instacart_pipeline.resources.leftovers import Leftovers


class AwsLeftovers(Leftovers):
    """Stops the jobs that the records of `jobs` name as a run's."""

    jobs: ResourceDependency[ManagedJobs]

    def stop(self, run_id: str) -> Sequence[str]:
        """See Leftovers."""
        return self.jobs.stop_left(run_id, all_services(self.jobs.session))


def all_services(session: AwsSession) -> list[JobService]:
    """Every service whose jobs this project starts."""
    from instacart_pipeline.resources.aws.athena_queries import AthenaQueries  # noqa: PLC0415
    from instacart_pipeline.resources.aws.databrew import DataBrewRuns  # noqa: PLC0415
    from instacart_pipeline.resources.aws.glue import GlueRuns  # noqa: PLC0415

    return [AthenaQueries(session), GlueRuns(session), DataBrewRuns(session)]
