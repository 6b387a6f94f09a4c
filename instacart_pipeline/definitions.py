"""The whole graph: which assets, checks, jobs and resources there are, and what the resources are made of.

Belongs here: putting parts together. Dagster loads `defs` from here; a test calls build_defs with resources of its own.
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

from instacart_pipeline.orchestration.failure import build_failure_sensor
from instacart_pipeline.reorder import automation, checks
from instacart_pipeline.reorder.assets import build_assets
from instacart_pipeline.reorder.partitions import daily
from instacart_pipeline.resources.local.alerts import LogFileAlerts
from instacart_pipeline.resources.local.athena import LocalAthena
from instacart_pipeline.resources.local.catalog import SqliteCatalog
from instacart_pipeline.resources.local.crawler import LocalCrawler
from instacart_pipeline.resources.local.databrew import LocalDataBrew
from instacart_pipeline.resources.local.glue import LocalGlue
from instacart_pipeline.resources.local.intake import LocalIntake
from instacart_pipeline.resources.local.lake import LocalLake
from instacart_pipeline.resources.local.storage import LocalStorage
from instacart_pipeline.settings import Settings


def build_defs(settings: Settings, overrides: Mapping[str, object] | None = None) -> Definitions:
    """The definitions under `settings`; `overrides` replaces resources by name. Opens nothing and starts nothing."""
    days = daily(settings.first_day, settings.timezone)
    automated = automation.build_automation(days, settings)
    assets = build_assets(days, result_files=settings.result_files)
    return Definitions(
        assets=map_asset_specs(lambda spec: _with_freshness(spec, settings), assets),
        asset_checks=checks.build_checks(days, tolerance=settings.row_count_tolerance),
        jobs=automated.jobs,
        schedules=automated.schedules,
        sensors=[*automated.sensors, build_failure_sensor()],
        resources={**build_resources(settings), **(overrides or {})},
        executor=_executor(settings),
    )


def build_resources(settings: Settings) -> dict[str, object]:
    """The resources of the profile: each service's abstract name, and its twin."""
    home = str(settings.home)
    lake = build_lake(settings)
    return {
        "catalog": lake.catalog,
        "storage": LocalStorage(home=home),
        "alerts": LogFileAlerts(path=f"{home}/alerts.log"),
        "crawler": LocalCrawler(lake=lake),
        "intake": LocalIntake(lake=lake, max_rejected=settings.max_rejected),
        "athena": LocalAthena(lake=lake),
        "databrew": LocalDataBrew(lake=lake),
        "glue": LocalGlue(lake=lake, engine=settings.glue_engine),
    }


def build_lake(settings: Settings) -> LocalLake:
    """The lake of this machine."""
    return LocalLake(
        catalog=SqliteCatalog(path=f"{settings.home}/catalog.sqlite"),
        home=str(settings.home),
        memory=settings.memory_bytes // settings.concurrent_steps,
        threads=settings.engine_threads,
        retention_days=settings.retention_days,
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
    if settings.concurrent_steps == 1:
        return in_process_executor
    return multiprocess_executor.configured(
        {
            "max_concurrent": settings.concurrent_steps,
            "start_method": {"forkserver": {"preload_modules": ["instacart_pipeline.definitions"]}},
        }
    )


defs = build_defs(Settings.from_env())
