"""Orphaned jobs: what a run that is over has left running elsewhere."""

from collections.abc import Sequence
from typing import Any

from dagster import ConfigurableResource


class OrphanedJobs(ConfigurableResource[Any]):
    """Jobs that outlived the process that started them. On one machine there are none: all that a run starts ends with its process."""

    def stop(self, run_id: str) -> Sequence[str]:
        """Stop what a run left behind, and return the ids of what was stopped. `run_id` is the first try's, if it was retried.

        To be called once neither the run nor a retry of it is alive. Called again, it goes on with what is left.
        Raises PipelineError if it can't be told what was left.
        """
        del run_id
        return ()
