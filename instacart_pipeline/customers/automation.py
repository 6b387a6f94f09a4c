"""What starts the customers system: its job, its schedule, and the sensor on its uploads.

A week is built by one job, whose runs follow each other (orchestration/one_run.py): segments are held against those of the week before, which
must not change meanwhile, and all weeks are loaded into one warehouse. Assets that are materialized by hand in the UI are no run of that job,
and wait for none of another week.
"""

from functools import partial
from typing import Any

from dagster import AssetSelection, WeeklyPartitionsDefinition, define_asset_job

from instacart_pipeline.customers import mart_tables as m
from instacart_pipeline.customers import tables as t
from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.lake.zones import parse_day
from instacart_pipeline.orchestration.arrival import Arrival, StartLimits
from instacart_pipeline.orchestration.automation import (
    Automation,
    UploadSensorConfig,
    loaded_into,
    upload_sensor,
    waiting_schedule,
)
from instacart_pipeline.orchestration.one_run import tags_of
from instacart_pipeline.orchestration.partitions import mondays_around, why_none
from instacart_pipeline.settings import Settings

WEEKLY_JOB = "customers_weekly"
_PACE = StartLimits(open_days=520, oldest_first=True)
"""A week's segments are held against those of the week before, once: so it goes first. All weeks not built yet are looked at, ten years of them."""
_SECONDS, _SECONDS_ON_AWS = 60, 600
"""Between two looks at the raw zone: on AWS each costs some lists a table and week, and a week's upload can wait ten minutes."""


def build_automation(weeks: WeeklyPartitionsDefinition, settings: Settings) -> Automation:
    """The job, the schedule and the sensor over the partitions `weeks`."""
    weekly = define_asset_job(
        WEEKLY_JOB,
        AssetSelection.key_prefixes([t.SYSTEM]) - AssetSelection.groups(f"{t.SYSTEM}_raw"),
        tags=tags_of(t.SYSTEM),
        description="A week whole: from the crawl to the segments, the mart and the warehouse.",
    )

    def arrival(found: Any) -> Arrival:
        # A week is built once the warehouse has both tables as they were made of its mart.
        reached = loaded_into(found.warehouse, m.WAREHOUSE_TABLES, m.CUSTOMER_MART)
        return Arrival(
            found.storage,
            found.catalog,
            t.STAGED,
            m.CUSTOMER_MART,
            settings.settle_seconds,
            reached=reached,
            pace=_PACE,
        )

    watched = UploadSensorConfig(weeks, arrival, frozenset({"storage", "catalog", "warehouse"}), one_run_of=t.SYSTEM)
    return Automation(
        jobs=[weekly],
        schedules=[waiting_schedule(weekly, "0 10 * * 1", watched, weeks.timezone, made=(m.CUSTOMER_MART,))],
        sensors=[
            # The queue of notices serves the reorder system, which would lose what is received here. So this sensor looks around.
            upload_sensor(
                "customers_uploads",
                weekly,
                watched,
                seconds=_SECONDS_ON_AWS
                if settings.profile == "aws"
                else max(1, min(_SECONDS, settings.settle_seconds)),
                description="Builds a week once its upload is whole, and again when a file of it is replaced. "
                "An upload of a day that is no Monday is told of, and not built.",
                unknown=partial(_not_built, weeks),
            )
        ],
    )


def _not_built(weeks: WeeklyPartitionsDefinition, dt: str) -> str:
    """Why nothing is built of the files of `dt`, which is none of `weeks`, in words."""
    try:
        before, after = mondays_around(parse_day(dt))
    except InputInvalid:
        return "is no day, so nothing is built of its files"
    if dt != before:
        return f"is no Monday, so nothing is built of its files: upload them as {before} or {after}"
    return f"is none of the weeks there are: {why_none(weeks, dt, 'INSTACART_CUSTOMERS_FIRST_DAY')}"
