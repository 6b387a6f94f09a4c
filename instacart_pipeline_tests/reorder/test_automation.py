"""What starts the model's job, beside the schedule: the sensor on result tables, for those who switch it on."""

from __future__ import annotations

import dagster as dg
import pytest

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.automation import MODEL_JOB
from instacart_pipeline_tests.platform import DT, Platform

EARLIER, FIRST, SECOND = "2026-11-19", "20261120T080000000000-aaaaaa", "20261120T120000000000-bbbbbb"


@pytest.fixture
def sensor(platform: Platform) -> dg.SensorDefinition:
    return build_defs(platform.settings).resolve_sensor_def("reorder_results")


def tick(platform: Platform, sensor: dg.SensorDefinition) -> dg.SensorExecutionData | object:
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"catalog": platform.catalog}
        return sensor(dg.build_sensor_context(instance, resources=resources))


def test_the_sensor_on_results_is_off_until_somebody_switches_it_on(sensor: dg.SensorDefinition) -> None:
    assert (sensor.default_status, sensor.job_name) == (dg.DefaultSensorStatus.STOPPED, MODEL_JOB)


def test_the_newest_result_table_starts_one_training_and_one_more_when_it_is_rebuilt(
    platform: Platform, sensor: dg.SensorDefinition
) -> None:
    assert tick(platform, sensor) == dg.SkipReason("No result table is built yet.")
    platform.put_rows(t.RESULT_TABLE, [], dt=EARLIER)
    platform.put_rows(t.RESULT_TABLE, [], name=FIRST)
    first, again = tick(platform, sensor), tick(platform, sensor)
    platform.put_rows(t.RESULT_TABLE, [], name=SECOND)
    rebuilt = tick(platform, sensor)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert isinstance(rebuilt, dg.RunRequest)
    assert [first.partition_key, again.partition_key, rebuilt.partition_key] == [DT] * 3
    # Dagster starts nothing a second time for a run key that it has seen.
    assert first.run_key == again.run_key != rebuilt.run_key
