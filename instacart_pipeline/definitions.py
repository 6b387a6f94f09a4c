"""The whole graph: which assets, checks, jobs and resources there are, and what the resources are made of.

Belongs here: putting parts together; which backends there are stands in profiles.py. Dagster loads `defs` from here; a test calls build_defs with resources of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from dagster import (
    AssetsDefinition,
    AssetSpec,
    Definitions,
    ExecutorDefinition,
    FreshnessPolicy,
    apply_freshness_policy,
    in_process_executor,
    map_asset_specs,
    multiprocess_executor,
)

from instacart_pipeline.customers import assets as customers_assets
from instacart_pipeline.customers import automation as customers_automation
from instacart_pipeline.customers import checks as customers_checks
from instacart_pipeline.customers.mart_assets import build_mart_assets, build_mart_checks
from instacart_pipeline.customers.segment_assets import build_segment_assets, build_segment_checks
from instacart_pipeline.customers.tables import SANDBOX as CUSTOMERS_SANDBOX
from instacart_pipeline.orchestration.failure import build_failure_sensors
from instacart_pipeline.orchestration.lost_runs import locking
from instacart_pipeline.orchestration.partitions import daily, weekly
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.reorder import assets as reorder_assets
from instacart_pipeline.reorder import automation as reorder_automation
from instacart_pipeline.reorder import checks as reorder_checks
from instacart_pipeline.reorder.model_assets import build_model_assets
from instacart_pipeline.reorder.rhythm_assets import build_rhythm_assets, build_rhythm_checks
from instacart_pipeline.retail import assets as retail_assets
from instacart_pipeline.retail import automation as retail_automation
from instacart_pipeline.retail import checks as retail_checks
from instacart_pipeline.retail.analysis_assets import build_analysis_assets
from instacart_pipeline.retail.stream_sensors import build_stream_sensors
from instacart_pipeline.retail.warehouse_assets import build_warehouse_assets, build_warehouse_checks
from instacart_pipeline.settings import Settings


def build_defs(settings: Settings, overrides: Mapping[str, object] | None = None) -> Definitions:
    """The definitions under `settings`; `overrides` replaces resources by name. Opens nothing and starts nothing."""
    reorder_days = daily(settings.first_day, settings.timezone)
    retail_days = daily(settings.retail_first_day, settings.timezone)
    customers_weeks = weekly(settings.customers_first_day)
    reorder = reorder_automation.build_automation(reorder_days, settings)
    retail = retail_automation.build_automation(retail_days, settings)
    customers = customers_automation.build_automation(customers_weeks, settings)
    files, pairs = settings.result_files, settings.training_pairs
    assets = [
        *reorder_assets.build_assets(reorder_days, result_files=files),
        *build_rhythm_assets(reorder_days, training_pairs=pairs, result_files=files),
        *build_model_assets(reorder_days),
        *retail_assets.build_assets(retail_days),
        *build_warehouse_assets(retail_days),
        *build_analysis_assets(retail_days),
        *customers_assets.build_assets(customers_weeks),
        *build_segment_assets(customers_weeks),
        *build_mart_assets(customers_weeks),
    ]
    return Definitions(
        assets=_with_freshness(assets, settings),
        asset_checks=[
            *reorder_checks.build_checks(
                reorder_days, tolerance=settings.row_count_tolerance, max_rejected=settings.max_rejected
            ),
            *build_rhythm_checks(reorder_days),
            *retail_checks.build_checks(retail_days),
            *build_warehouse_checks(retail_days),
            *customers_checks.build_checks(customers_weeks),
            *build_segment_checks(customers_weeks),
            *build_mart_checks(customers_weeks),
        ],
        jobs=[*reorder.jobs, *retail.jobs, *customers.jobs],
        schedules=[*reorder.schedules, *retail.schedules, *customers.schedules],
        sensors=[
            *reorder.sensors,
            *retail.sensors,
            *customers.sensors,
            *build_stream_sensors(settings),
            *build_failure_sensors(settings),
        ],
        resources={**build_resources(settings).by_name(), **(overrides or {})},
        executor=_executor(settings),
    )


def _with_freshness(
    assets: Sequence[AssetsDefinition | AssetSpec], settings: Settings
) -> Iterable[AssetsDefinition | AssetSpec]:
    """What analysts and models read is expected each day by ten, an hour after the last schedule; the mart on Mondays by noon."""
    # Dagster reckons with a thousand ticks to check a cron string, so each policy is made once and not for every asset.
    daily_at_ten = FreshnessPolicy.cron("0 10 * * *", timedelta(hours=10), timezone=settings.timezone)
    mondays_at_noon = FreshnessPolicy.cron("0 12 * * 1", timedelta(hours=12), timezone=settings.timezone)

    def with_policy(spec: AssetSpec) -> AssetSpec:
        group = spec.group_name or ""
        if not group.endswith("_sandbox"):
            return spec
        policy = mondays_at_noon if group == CUSTOMERS_SANDBOX else daily_at_ten
        fresh: AssetSpec = apply_freshness_policy(spec, policy)
        return fresh

    return map_asset_specs(with_policy, assets)


def _executor(settings: Settings) -> ExecutorDefinition:
    # An embedded engine uses every core by itself, so one step after another in one process is the fastest by far.
    if settings.steps_at_once == 1:
        return locking(in_process_executor)
    return locking(
        multiprocess_executor.configured(
            {
                "max_concurrent": settings.steps_at_once,
                "start_method": {"forkserver": {"preload_modules": ["instacart_pipeline.definitions"]}},
            }
        )
    )


defs = build_defs(Settings.from_env())
