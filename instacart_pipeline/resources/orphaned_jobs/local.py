"""Orphaned jobs on this machine: there are none, since everything a run starts ends with its process."""

from collections.abc import Sequence

from instacart_pipeline.resources.orphaned_jobs import OrphanedJobs


class NoOrphanedJobs(OrphanedJobs):
    """Stops nothing."""

    def stop(self, run_id: str) -> Sequence[str]:
        """See Orphaned jobs."""
        del run_id
        return ()
