"""The whole graph: which assets, checks, jobs and resources there are, and what the resources are made of.

Belongs here: putting parts together; which twins there are stands in profiles.py. Dagster loads `defs` from here; a test calls build_defs with resources of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from dagster import (
    AssetSpec,
    Definitions,
    ExecutorDefinition,
    FreshnessPolicy,
    apply_freshness_policy,
    in_process_executor,
    map_asset_specs,
    multiprocess_executor,
)

from instacart_pipeline.orchestration.failure import build_failure_sensors
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.reorder import automation, checks
from instacart_pipeline.reorder.assets import build_assets
from instacart_pipeline.reorder.model_assets import build_model_assets
from instacart_pipeline.orchestration.partitions import daily
from instacart_pipeline.reorder.rhythm_assets import build_rhythm_assets, build_rhythm_checks
from instacart_pipeline.settings import Settings


def build_defs(settings: Settings, overrides: Mapping[str, object] | None = None) -> Definitions:
    """The definitions under `settings`; `overrides` replaces resources by name. Opens nothing and starts nothing."""
    days = daily(settings.first_day, settings.timezone)
    automated = automation.build_automation(days, settings)
    assets = [
        *build_assets(days, result_files=settings.result_files),
        *build_rhythm_assets(days, training_pairs=settings.training_pairs, result_files=settings.result_files),
        *build_model_assets(days),
    ]
    return Definitions(
        assets=map_asset_specs(lambda spec: _with_freshness(spec, settings), assets),
        asset_checks=[
            *checks.build_checks(days, tolerance=settings.row_count_tolerance),
            *build_rhythm_checks(days),
        ],
        jobs=automated.jobs,
        schedules=automated.schedules,
        sensors=[*automated.sensors, *build_failure_sensors(settings)],
        resources={**build_resources(settings).by_name(), **(overrides or {})},
        executor=_executor(settings),
    )


def _with_freshness(spec: AssetSpec, settings: Settings) -> AssetSpec:
    """What analysts and models read is expected by ten, an hour after the last schedule."""
    if not (spec.group_name or "").endswith("_sandbox"):
        return spec
    by_ten = FreshnessPolicy.cron("0 10 * * *", timedelta(hours=10), timezone=settings.timezone)
    fresh: AssetSpec = apply_freshness_policy(spec, by_ten)
    return fresh


def _executor(settings: Settings) -> ExecutorDefinition:
    # An embedded engine uses every core by itself, so one step after another in one process is the fastest by far.
    if settings.steps_at_once == 1:
        return in_process_executor
    return multiprocess_executor.configured(
        {
            "max_concurrent": settings.steps_at_once,
            "start_method": {"forkserver": {"preload_modules": ["instacart_pipeline.definitions"]}},
        }
    )


defs = build_defs(Settings.from_env())
