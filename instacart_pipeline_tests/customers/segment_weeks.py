"""Weeks of segments as tests make them: customers put into the lake, and the assets run on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np

from instacart_pipeline.customers.model.rows import Customers
from instacart_pipeline.customers.segment_assets import (
    SEGMENTATION,
    STEADY,
    build_segment_assets,
    build_segment_checks,
)
from instacart_pipeline.customers.tables import CUSTOMERS
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.orchestration.partitions import weekly
from instacart_pipeline_tests.customers.model.planted import rows
from instacart_pipeline_tests.platform import Platform, Row, shared_instance

FIRST, SECOND, THIRD = "2024-01-08", "2024-01-15", "2024-01-22"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Week:
    """What a run of the segments' assets came to: whether it ended well, the error if not, checks by name, metadata of the segmentation."""

    success: bool
    error: str
    checks: dict[str, dg.AssetCheckEvaluation]
    metadata: dict[str, Any]

    @property
    def steady(self) -> dg.AssetCheckEvaluation:
        return self.checks[STEADY]


def put(platform: Platform, dt: str, customers: Customers) -> None:
    """Publish customers as a week's table, whole rows of it."""
    blank = {column.name: None for column in CUSTOMERS.columns}
    spare = {"registered_at": np.datetime64("2020-01-01", "us").item(), "returns": 0, "refunds": 0, "profit_level": 1}
    made: list[Row] = [{**blank, **spare, **row} for row in rows(customers)]
    platform.put_rows(CUSTOMERS, made, dt=dt, name=new_version())


def run(platform: Platform, dt: str, only: dg.AssetKey | None = None) -> Week:
    """Make the segments of a week, in this process."""
    weeks = weekly(platform.settings.customers_first_day)
    definitions = dg.Definitions(
        assets=build_segment_assets(weeks),
        asset_checks=build_segment_checks(weeks),
        resources=platform.resources.by_name(),
    )
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=shared_instance(),
        partition_key=dt,
        asset_selection=[only] if only else None,
        raise_on_error=False,
        run_config=QUIET,
    )
    events = result.all_events
    failures = [event.step_failure_data.error for event in events if event.is_step_failure]
    told = [event.asset_check_evaluation_data for event in events if event.event_type_value == "ASSET_CHECK_EVALUATION"]
    made = [event.step_materialization_data.materialization for event in events if event.is_step_materialization]
    about = {
        name: value.value for each in made if each.asset_key == SEGMENTATION for name, value in each.metadata.items()
    }
    error = next(((each.cause or each).message.strip() for each in failures if each), "")
    return Week(result.success, error, {check.check_name: check for check in told}, about)
