"""What starts the reorder system: its jobs, schedules and the sensor on its uploads."""

from dataclasses import dataclass, field

from dagster import AssetSelection, DailyPartitionsDefinition, ScheduleDefinition, SensorDefinition, define_asset_job
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from instacart_pipeline.reorder import tables as t
from instacart_pipeline.settings import Settings

DAILY_JOB = "reorder_daily"


@dataclass
class Automation:
    jobs: list[UnresolvedAssetJobDefinition] = field(default_factory=list)
    schedules: list[ScheduleDefinition] = field(default_factory=list)
    sensors: list[SensorDefinition] = field(default_factory=list)


def build_automation(days: DailyPartitionsDefinition, settings: Settings) -> Automation:
    everything = AssetSelection.groups(*(f"{t.SYSTEM}_{zone}" for zone in ("staging", "curated", "features", "sandbox")))
    return Automation(jobs=[define_asset_job(DAILY_JOB, selection=everything, description="A day's chain, from the crawl to the result table.")])
