"""The customers chain up to the mart's figures: crawl, ingest and features, run as `instacart-pipeline run` runs a job.

Belongs here: a job of those assets alone; the system's own goes on to segments and the warehouse. Doesn't: measuring.
"""

from __future__ import annotations

import sys

from dagster import AssetSelection, Definitions, define_asset_job

from instacart_pipeline.cli.running import dagster_instance
from instacart_pipeline.customers import tables as t
from instacart_pipeline.definitions import defs
from instacart_pipeline.orchestration.table_assets import asset_key
from instacart_pipeline.settings import Settings

JOB = "customers_figures"


def main(dt: str) -> bool:
    """Run the week; whether it succeeded. The platform is that of the environment's settings."""
    made = (*t.STAGED, *t.CURATED_TABLES.values(), *t.DERIVED)
    job = define_asset_job(JOB, AssetSelection.assets(*map(asset_key, made)))
    with dagster_instance(Settings.from_env()) as instance:
        ran = (
            Definitions.merge(defs, Definitions(jobs=[job]))
            .resolve_job_def(JOB)
            .execute_in_process(
                instance=instance,
                partition_key=dt,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            )
        )
    return ran.success


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1]) else 1)
